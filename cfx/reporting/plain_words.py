"""The verdict on one drawn picture in words that need no manual (EVALUATION section 7)."""

from collections.abc import Sequence

from cfx.reporting.style import READING_FLOOR

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
}
"""A clause for each reason of `cfx.evaluation.verdict`."""


def plain_verdict(reasons: Sequence[str], checked: bool = True) -> str:
    """One sentence a reader can act on.

    Args:
        reasons: why the picture may not be interpreted; none where it may.
        checked: whether an independent classifier was asked.

    """
    if reasons:
        clauses = [PLAIN.get(reason, reason) for reason in reasons]
        listed = "; ".join(clauses)
        return f"Do not interpret this picture: {listed}."
    also = ", and an independent classifier agrees" if checked else ""
    return (
        "This picture may be interpreted: the classifier gives what it was asked for, the cardiothoracic ratio "
        f"changes by more than two readers of one image differ ({READING_FLOOR}){also}."
    )
