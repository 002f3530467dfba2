"""What a reader should know of an explained picture besides its verdict, a sentence each."""

from cfx.evaluation.explained import AT_FULL, Reading, Step
from cfx.evaluation.reading_words import label_of, written
from cfx.measurements import READING_FLOOR
from cfx.metrics.recess import SIDES


def wrong_way(redrawn: Reading, step: Step, before: Reading, direction: int, read_by: str | None) -> str:
    """A note where the measurement clearly moves against the finding; an empty text where it does not.

    Args:
        redrawn: reading that the shift is counted from.
        step: the picture that the verdict is about.
        before: reading of the original.
        direction: as `Tools.direction`.
        read_by: what the task is read by.
    """
    start, end = redrawn.measured(read_by), step.reading.measured(read_by)
    if direction == 0 or read_by is None or start is None or end is None:
        return ""
    move = end - start
    if move == 0:
        return ""
    more = step.target > before.posterior
    if (move > 0) == (more == (direction > 0)):
        return ""
    way = "rises" if move > 0 else "falls"
    asked = "more" if more else "less"
    return f"{label_of(read_by)} {way} although {asked} of the finding was asked for, see the outlines"


def recess_gone(step: Step, before: Reading, read_by: str | None) -> str:
    """A note where a costophrenic recess of the original is not found any more; fluid may have filled it."""
    if read_by != "scp":
        return ""
    pairs = zip(SIDES, before.recesses, step.reading.recesses, strict=True)
    gone = " and ".join(side for side, first, last in pairs if first is not None and last is None)
    if not gone:
        return ""
    what = f"the patient's {gone} costophrenic recess is not found at {step.target:g}"
    return f"{what}: what was drawn may have filled it" if step.target > before.posterior else what


def seen_sharper(step: Step, read_by: str | None, floor: float) -> str:
    """A note with what was read at the original's resolution, where the verdict goes by it alone or it reads otherwise.

    Args:
        step: the picture that the verdict is about.
        read_by: what the task is read by.
        floor: least shift of that which is called a change.
    """
    if step.full is None:
        return ""
    reading = step.full.reading
    known, again = step.reading.measured(read_by), reading.measured(read_by)
    apart = known is not None and again is not None and abs(again - known) >= floor > 0
    if not apart and not any(reason.endswith(AT_FULL) for reason in step.reasons):
        return ""
    parts = (f"posterior {reading.posterior:.2f}", written(read_by, reading.measured(read_by)))
    return f"the picture at full resolution has {', '.join(part for part in parts if part)}"


def heart_moves(step: Step, redrawn: Reading, read_by: str | None) -> str:
    """A note where the CTR moves by more than two readers differ, and is not what the task is read by."""
    if read_by == "ctr" or redrawn.ctr is None or step.reading.ctr is None:
        return ""
    move = step.reading.ctr - redrawn.ctr
    return "" if abs(move) < READING_FLOOR else f"CTR changes by {move:+.2f}, which was not asked for"


def border_unknown(step: Step, before: Reading, sharper: bool) -> str:
    """A note where sharp pictures have measured hearts and nothing tells whether the old one's border is gone."""
    if not sharper or step.border_left is not None or before.ctr is None or step.reading.ctr is None:
        return ""
    why = "too near to the new one or too faint"
    return f"whether the old heart border shows through can not be told ({why}): look for a double contour"


def limits_told(steps: tuple[Step, ...]) -> str:
    """A note on what `limit` beside a target means, where one has it."""
    if all(step.limit is None for step in steps):
        return ""
    return "limit is the posterior that the run aims at where a target lies beyond what it was trained for"
