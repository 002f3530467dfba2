"""The findings of an evaluation in sentences: the verdict first, then what qualifies it.

The rules are those of EVALUATION: a posterior that moves without the measurement is not an explanation, a
shift under the reading floor is no change, and every statement holds for the worse direction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfx.evaluation.reading_words import label_of
from cfx.measurements import READING_FLOOR
from cfx.reporting.example_readings import floor_of, measurement_of, measures_nothing, read_by_of
from cfx.reporting.recess_sides import ASKED, sides_in_words, weaker_side
from cfx.reporting.run_files import RunFiles, number_at
from cfx.reporting.tables import DIRECTIONS

REACH_BAR = 0.8
"""Below this share of targets reached, in the worse direction, an evaluation says that the explainer failed.
"""

GAP_BAND = (0.5, 1.5)
"""Where |shift| over the gap of the classifier's own groups counts as the same size of effect."""

ALIKE = (0.8, 1.25)
"""Within this band of it the sentence says 'about as far'; outside it says how far."""

SIDE_BAR = 0.95
"""Below this share of patients a side that does not move the right way is named, however both sides are on average."""

_MEASURED = {
    "ctr": ("the heart grows", "it shrinks", "cardiothoracic ratio", "heart size"),
    "scp": ("a recess blunts", "clears", "recess score", "the costophrenic recess"),
    "recess": ("a recess blunts", "clears", "recess score", "the costophrenic recess"),
    "haze": ("the lungs get hazier", "get clearer", "lungs' brightness against the heart", "lung haze"),
}


@dataclass(frozen=True)
class Verdict:
    """The verdict of an evaluation.

    Attributes:
        tone: 'good', 'mixed' or 'bad', for the colour of the report's first box.
        sentence: one sentence that a clinician understands.
        detail: the numbers behind it, one sentence.

    """

    tone: str
    sentence: str
    detail: str


def finding_of(run: RunFiles) -> str:
    """The finding in words, lower case: the task's ``finding`` of the configuration, else the task's name."""
    task = run.config.get("task")
    finding = task.get("finding") if isinstance(task, Mapping) else None
    return str(finding or run.metrics.get("task") or "the finding").replace("_", " ").lower()


def worse(metrics: Mapping[str, Any], key: str) -> float | None:
    """The smaller of a figure's two directions (key with ``{d}``); None where neither was made."""
    values = [number_at(metrics, key.format(d=side)) for side in DIRECTIONS]
    known = [value for value in values if value is not None]
    return min(known) if known else None


def _detail(metrics: Mapping[str, Any], name: str, measured: str) -> str:
    """'Asked for the finding, ... 0.45 to 0.57 ...' with what is known of each direction."""
    parts = []
    for side, asked in (("up", "Asked for the finding"), ("down", "asked to take it away")):
        before, after = (number_at(metrics, f"clinical.{name}.{side}.{when}") for when in ("before", "after"))
        reach = number_at(metrics, f"validity.{side}.reach")
        words = []
        if reach is not None:
            words.append(f"the target was reached on {reach:.0%} of the images")
        if before is not None and after is not None:
            words.append(f"the {measured} went from {before:.2f} to {after:.2f}")
        if words:
            parts.append(f"{asked}, {' and '.join(words)}")
    both = "; ".join(parts) + "." if parts else ""
    return " ".join(text for text in (both, sides_in_words(metrics, name)) if text)


def _extent(closed: Sequence[float]) -> str:
    """How far the measurement moves beside what the classifier's own groups differ by; '' where that is not known."""
    if not closed:
        return ""
    low, high = min(closed), max(closed)
    if low >= ALIKE[0] and high <= ALIKE[1]:
        return ", about as far as the patients it calls negative and positive differ"
    share = f"{low:.0%} to {high:.0%}" if f"{low:.0%}" != f"{high:.0%}" else f"{low:.0%}"
    return f", by {share} of what the patients it calls negative and positive differ by"


def _one_side(metrics: Mapping[str, Any], name: str) -> str:
    """What is said of the side that follows least; '' where each follows, or where nothing is measured by side."""
    weak = weaker_side(metrics, name)
    if weak is None or weak.share >= SIDE_BAR:
        return ""
    by = "" if weak.closed is None else f" and by {weak.closed:.0%} of what that side's groups differ by"
    nothing = ", where a side without fluid has nothing to clear" if weak.direction == "down" else ""
    return (
        f" That holds of both sides together; one alone does not always follow: {ASKED[weak.direction]}, the "
        f"patient's {weak.side} moved the right way in {weak.share:.0%} of those measured{by}{nothing}."
    )


def _sentence(metrics: Mapping[str, Any], finding: str, name: str) -> tuple[str, str]:
    """Tone and sentence by the rules of this module."""
    grow, shrink, _, about = _MEASURED.get(name, _MEASURED["ctr"])
    reach = worse(metrics, "validity.{d}.reach")
    shifts = [number_at(metrics, f"clinical.{name}.{side}.shift_net") for side in DIRECTIONS]
    if reach is None:
        return (
            "mixed",
            "Too few patients lie at either end of the classifier's scale to judge this explainer.",
        )
    if reach < REACH_BAR:
        return "bad", (
            f"The explainer did not move this {finding} classifier reliably: in the worse direction "
            f"{reach:.0%} of the images reached the target, so its pictures should not be interpreted."
        )
    if measures_nothing(metrics):
        return "mixed", (
            f"The explainer moves this {finding} classifier both ways, but nothing that the finding could be read by "
            "is measured: what changes can only be looked at in the pictures."
        )
    known = [(side, s) for side, s in zip(DIRECTIONS, shifts, strict=True) if s is not None]
    if read_by_of(metrics) is None:
        return "mixed", (
            f"The explainer moves this {finding} classifier both ways, but what the finding is read by could not be "
            f"measured on its pictures, so that they are not known to show {finding}."
        )
    if not known:
        return "mixed", (
            f"The explainer moves this {finding} classifier both ways, but {about} could not be measured on its "
            "pictures, so what it changes is not known."
        )
    gaps = [number_at(metrics, f"clinical.{name}.{side}.gap_closed") for side, _ in known]
    closed = [gap for gap in gaps if gap is not None]
    right = worse(metrics, f"clinical.{name}.{{d}}.moved_right")
    wrong_way = any((shift > 0) != (side == "up") for side, shift in known) and name == "ctr"
    small = min(abs(shift) for _, shift in known) < floor_of(metrics, name) or (
        closed and min(closed) < GAP_BAND[0]
    )
    if wrong_way or (right is not None and right < 0.8):
        return "bad", (
            f"The classifier's {finding} posterior can be moved, but {about} does not follow in the direction that "
            f"the finding is defined by: {about} does not explain this classifier's calls."
        )
    if small:
        return "bad", (
            f"The classifier's {finding} posterior can be moved while {about} hardly changes: either it reads "
            f"something other than {about}, or the explainer found a short cut; do not read these pictures as {about}."
        )
    apart = _one_side(metrics, name)
    if closed and max(closed) > GAP_BAND[1]:
        return "mixed", (
            f"The classifier follows {about}, but the pictures exaggerate: {about} changes by "
            f"{max(closed):.1f} times what separates the patients it calls negative and positive.{apart}"
        )
    return "mixed" if apart else "good", (
        f"This {finding} classifier follows {about}: {grow} as its posterior is pushed up and {shrink} as it is "
        f"pushed down{_extent(closed)}.{apart}"
    )


def verdict(run: RunFiles) -> Verdict:
    """The verdict of an evaluation: what drives the classifier, and whether the pictures may be trusted."""
    name = measurement_of(run.metrics)
    tone, sentence = _sentence(run.metrics, finding_of(run), name)
    warned = bool(run.metrics.get("warnings"))
    return Verdict(
        "mixed" if warned and tone == "good" else tone,
        sentence,
        _detail(run.metrics, name, _MEASURED.get(name, _MEASURED["ctr"])[2]),
    )


def _smallest_change(metrics: Mapping[str, Any]) -> str:
    """Which shift of one image is called none, of what the task is read by."""
    name = read_by_of(metrics)
    if name is None:
        return "Nothing is measured of this finding: no figure here tells whether an image shows more or less of it."
    if name == "ctr":
        return f"Two readers differ by {READING_FLOOR} of CTR on one image; no smaller shift of one image is a change."
    floor = floor_of(metrics, name)
    if floor <= 0:
        return f"How much {label_of(name)} differs when an image is measured again is not known here."
    return f"No shift of {label_of(name)} by less than {floor:.2g} on a single image is a change."


def limits(run: RunFiles) -> list[str]:
    """What a reader must not conclude, in plain sentences, those of this run first."""
    lines = []
    if str(run.metrics.get("data") or "").startswith("phantom"):
        lines.append(
            "The images are a digital phantom's, not patients': the numbers validate the method and the metrics and "
            "prove nothing about people."
        )
    prior = number_at(run.metrics, "blackbox.prior")
    if prior is not None:
        lines.append(
            f"Posteriors are given at a prior of {prior:.0%}; in a clinic where the finding is rarer, the same image "
            "has a lower probability."
        )
    lines += [
        (
            "A counterfactual shows what the classifier responds to, not what disease looks like and not what"
            " will happen to the patient."
        ),
        _smallest_change(run.metrics),
        "Drawn pictures are synthetic and must not be read as radiographs. For research; not a medical device.",
    ]
    return lines
