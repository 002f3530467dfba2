"""The verdict on one drawn picture in words that need no manual (EVALUATION section 7)."""

from collections.abc import Mapping, Sequence

from cfx.evaluation.explained import AT_FULL
from cfx.evaluation.verdict import THORAX_CHANGE
from cfx.measurements import READING_FLOOR

PLAIN = {
    "target missed": "the classifier does not give what it was asked for",
    "input unlike the training data": "the original is unlike the pictures this explainer was trained on",
    "measurement not made": "heart or lungs could not be measured on it",
    "shift under the reading floor": (
        f"the cardiothoracic ratio changes by less than two readers of one image differ ({READING_FLOOR}), "
        "which is no change"
    ),
    "independent classifier disagrees": (
        "an independent classifier does not agree, so it may be fooling this one alone"
    ),
    "nothing measured of the finding": "nothing is measured that would tell whether it is the finding that changed",
    "thorax width changes": (
        f"the chest gets wider or narrower by more than {THORAX_CHANGE:.0%}, which this finding does not explain"
    ),
    "device lost": "a pacemaker, line or tube of the original is gone",
    "old heart border shows through": "the heart's old border shows through beside the new one",
}
"""A clause for each reason of `cfx.evaluation.verdict`."""

_RECESS = {
    "measurement not made": "a costophrenic recess could not be found on it",
    "shift under the reading floor": "the score of the costophrenic recesses hardly changes",
}
_HAZE = {
    "shift under the reading floor": (
        "the lungs' brightness changes by less than a second reading of one image differs, which is no change"
    ),
}
_WORDS = {"scp": PLAIN | _RECESS, "haze": PLAIN | _HAZE}
_MOVED = {
    "ctr": f"the cardiothoracic ratio changes by more than two readers of one image differ ({READING_FLOOR})",
    "scp": "the score of the costophrenic recesses changes",
    "haze": "the lungs get hazier or clearer",
}


def _clause(reason: str, words: Mapping[str, str]) -> str:
    """A reason in words; what only the sharper picture gives says so."""
    if reason.endswith(AT_FULL):
        name = reason.removesuffix(AT_FULL)
        return f"of the sharper picture that you see, {words.get(name, name)}"
    return words.get(reason, reason)


def plain_verdict(reasons: Sequence[str], checked: bool = True, read_by: str | None = "ctr") -> str:
    """One sentence a reader can act on.

    Args:
        reasons: why the picture may not be interpreted; none where it may.
        checked: whether an independent classifier was asked.
        read_by: what the task is read by, `ctr`, `scp` or `haze`; None where that is not measured.

    """
    if reasons:
        words = _WORDS.get(read_by or "", PLAIN)
        listed = "; ".join(_clause(reason, words) for reason in reasons)
        return f"Do not interpret this picture: {listed}."
    parts = ["the classifier gives what it was asked for", _MOVED.get(read_by or "", "")]
    parts += ["an independent classifier agrees"] if checked else []
    *first, last = [part for part in parts if part]
    return f"This picture may be interpreted: {', '.join(first)} and {last}."
