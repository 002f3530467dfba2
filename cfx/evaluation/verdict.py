"""May a single counterfactual be interpreted? If not, why not."""

from typing import Any

import numpy as np
import numpy.typing as npt

from cfx.measurements import READING_FLOOR

Array = npt.NDArray[Any]

INTERPRET = "interpret"
MISSED = "target missed"
UNLIKE = "input unlike the training data"
NOT_MADE = "measurement not made"
FLOOR = "shift under the reading floor"
DISAGREES = "independent classifier disagrees"
UNMEASURED = "nothing measured of the finding"
THORAX = "thorax width changes"
LOST = "device lost"
BORDER = "old heart border shows through"
REASONS = (MISSED, UNLIKE, NOT_MADE, FLOOR, DISAGREES, UNMEASURED, THORAX, LOST, BORDER)
"""The first five are those of EVALUATION section 7; the others are this project's own and only ever say no."""
TOLERANCE = 0.1
ENDS = 0.02  # a posterior of exactly 0 or 1 does not exist: the ends are asked for up to this
THORAX_CHANGE = 0.04
"""Change of the inner thoracic width, as a share of it, that a large heart or wet lungs do not explain. Seen again, the
pictures of 398 patients of NIH train_val_list differ by up to .015 in 95 % and .054 in 99 % (`experiments/old_border`);
a CTR of .45 to .55 moves by less than its floor."""
THORAX_STAYS = ("ctr", "haze")
"""What a task is read by for the thorax to be judged. Fluid in the pleural space cuts off the lungs that the width is
measured by: phantoms that are drawn again with an effusion rightly change it by more than `THORAX_CHANGE`."""
BORDER_LEFT = 0.40
"""Share of the old heart border's contrast from which it shows through: more than true pictures of phantoms keep, less
than when they are blended half and half with the picture before (`cfx.evaluation.ghosts`, `experiments/old_border`)."""


def verdicts(
    target: Array,
    after: Array,
    measured_net_before: Array | None,
    measured_after: Array | None,
    *,
    transfer_after: Array | None = None,
    threshold: float = 0.5,
    familiar: Array | None = None,
    floor: float = READING_FLOOR,
    thorax_change: Array | None = None,
    devices_lost: Array | None = None,
    border_left: Array | None = None,
) -> list[str]:
    """Judge pictures one by one.

    Args:
        target: (N,) posteriors asked for.
        after: (N,) posteriors reached; NaN counts as missed.
        measured_net_before: (N,) measurement of the method's own output at c = p(x), or of the input; None where the
            task's measurement can not be made at all: then nothing tells whether it is the finding that changed.
        measured_after: (N,) measurement of the counterfactual; NaN = not made. None as before.
        transfer_after: (N,) posteriors of an independent classifier; None or NaN: not asked.
        threshold: its own threshold; it disagrees where it calls the picture otherwise than the black box at 0.5.
        familiar: (N,) bool, whether the input is like the training data; None: not asked.
        floor: least shift of one picture that is called a change.
        thorax_change: (N,) of the function of that name below; None or NaN: not measured or not judged, no reason.
        devices_lost: (N,) devices of the input that are gone; None or NaN: nobody looked, no reason.
        border_left: (N,) of `cfx.evaluation.ghosts.OldBorder.left`; None or NaN: not measured, no reason.

    Returns:
        `interpret`, or `do not interpret: ` and the reasons, separated by commas.
    """
    target, after = np.asarray(target, dtype=np.float64), np.asarray(after, dtype=np.float64)
    asked = np.clip(target, ENDS, 1 - ENDS)
    none = np.zeros(len(target), dtype=bool)
    unmeasured = none | (measured_after is None or measured_net_before is None)
    move = _known(measured_after, len(target)) - _known(measured_net_before, len(target))
    unlike = none if familiar is None else ~np.asarray(familiar, dtype=bool)
    not_made = np.isnan(move) & ~unmeasured
    other = _known(transfer_after, len(target))
    with np.errstate(invalid="ignore"):
        flags = (
            ~(np.abs(after - asked) <= TOLERANCE),
            unlike,
            not_made,
            np.abs(move) < floor,
            np.isfinite(other) & ((other >= threshold) != (after >= 0.5)),
            unmeasured,
            (np.abs(_known(thorax_change, len(target))) > THORAX_CHANGE) & ~not_made,
            _known(devices_lost, len(target)) > 0,
            _known(border_left, len(target)) > BORDER_LEFT,
        )
    found = []
    for marks in zip(*flags, strict=True):
        reasons = [reason for reason, mark in zip(REASONS, marks, strict=True) if mark]
        found.append(f"do not interpret: {', '.join(reasons)}" if reasons else INTERPRET)
    return found


def thorax_change(before: Array, after: Array, read_by: str | None) -> Array | None:
    """Change of the inner thoracic width, as a share of it, where a task's thorax is judged.

    Args:
        before, after: (N,) widths, or (1,) before.
        read_by: what the task is read by.

    Returns:
        (N,); None where `read_by` is not among `THORAX_STAYS`.
    """
    if read_by not in THORAX_STAYS:
        return None
    change: Array = after / before - 1.0
    return change


def _known(values: Array | None, count: int) -> Array:
    """Values (N,) as float64; all NaN where there are none."""
    return np.full(count, np.nan) if values is None else np.asarray(values, dtype=np.float64)
