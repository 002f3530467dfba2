"""May a single counterfactual be interpreted? If not, why not."""

from typing import Any

import numpy as np
import numpy.typing as npt

from cfx.metrics.clinical import READING_FLOOR

Array = npt.NDArray[Any]

INTERPRET = "interpret"
MISSED = "target missed"
UNLIKE = "input unlike the training data"
NOT_MADE = "measurement not made"
FLOOR = "shift under the reading floor"
DISAGREES = "independent classifier disagrees"
REASONS = (MISSED, UNLIKE, NOT_MADE, FLOOR, DISAGREES)
TOLERANCE = 0.1
ENDS = 0.02  # a posterior of exactly 0 or 1 does not exist: the ends are asked for up to this


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
) -> list[str]:
    """Judge pictures one by one.

    Args:
        target: (N,) posteriors asked for.
        after: (N,) posteriors reached; NaN counts as missed.
        measured_net_before: (N,) measurement of the method's own output at c = p(x), or of the input; None where the
            task's measurement is not made at all: then it is no reason either.
        measured_after: (N,) measurement of the counterfactual; NaN = not made. None as before.
        transfer_after: (N,) posteriors of an independent classifier; None or NaN: not asked.
        threshold: its own threshold; it disagrees where it calls the picture otherwise than the black box at 0.5.
        familiar: (N,) bool, whether the input is like the training data; None: not asked.
        floor: least shift of one picture that is called a change.

    Returns:
        `interpret`, or `do not interpret: ` and the reasons, separated by commas.
    """
    target, after = np.asarray(target, dtype=np.float64), np.asarray(after, dtype=np.float64)
    asked = np.clip(target, ENDS, 1 - ENDS)
    move = np.full(len(target), np.inf)  # beyond any floor
    if measured_after is not None and measured_net_before is not None:
        move = np.asarray(measured_after, dtype=np.float64) - np.asarray(
            measured_net_before, dtype=np.float64
        )
    none = np.zeros(len(target), dtype=bool)
    unlike = none if familiar is None else ~np.asarray(familiar, dtype=bool)
    disagrees = none
    if transfer_after is not None:
        other = np.asarray(transfer_after, dtype=np.float64)
        disagrees = np.isfinite(other) & ((other >= threshold) != (after >= 0.5))
    with np.errstate(invalid="ignore"):
        flags = (
            ~(np.abs(after - asked) <= TOLERANCE),
            unlike,
            np.isnan(move),
            np.abs(move) < floor,
            disagrees,
        )
    found = []
    for marks in zip(*flags, strict=True):
        reasons = [reason for reason, mark in zip(REASONS, marks, strict=True) if mark]
        found.append(f"do not interpret: {', '.join(reasons)}" if reasons else INTERPRET)
    return found
