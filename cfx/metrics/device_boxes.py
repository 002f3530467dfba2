"""Foreign objects preserved (fop) by a detector's boxes, where no mask tells the pixels of a device.

A device of the input is kept if the detector finds one of the same class in the counterfactual, with its centre within
5 % of the width and with at least 70 % of its contrast.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from cfx.metrics.boxes import DEVICES, BoxSet, labels_of
from cfx.metrics.devices import CENTRE, CONTRAST, high_pass, in_edit

Array = npt.NDArray[Any]

BRIGHT = 0.2
FLICKER = 0.5
"""Share of the class's threshold at which a device is looked for again: a score that flickers is no loss."""


def devices_of(found: BoxSet, threshold: Array) -> BoxSet:
    """The devices among a picture's boxes that reach their class's threshold (C,)."""
    return found[np.isin(found.label, labels_of(DEVICES)) & (found.score >= threshold[found.label])]


def box_pixels(box: Array, side: int) -> npt.NDArray[np.bool_]:
    """Pixels (side, side) whose centre lies in a box (4,); the nearest pixel where a box holds no centre."""
    x0, y0, x1, y1 = np.asarray(box, dtype=np.float64) * side
    at = np.arange(side) + 0.5
    columns, rows = (at >= x0) & (at < x1), (at >= y0) & (at < y1)
    if not columns.any():
        columns[int(np.clip((x0 + x1) / 2, 0, side - 1))] = True
    if not rows.any():
        rows[int(np.clip((y0 + y1) / 2, 0, side - 1))] = True
    return np.asarray(rows[:, None] & columns[None, :])


def box_contrast(image: Array, box: Array) -> float:
    """Contrast within a box: the mean of its brightest fifth less the mean of its other pixels.

    Args:
        image: (H, H) grey values without slow changes (`high_pass`): ribs and organs count little.
        box: (4,) shares of the side.
    """
    values = np.sort(image[box_pixels(box, image.shape[-1])])
    bright = max(1, round(BRIGHT * len(values)))
    rest = values[: len(values) - bright]
    return float(values[-bright:].mean() - (rest.mean() if len(rest) else 0.0))


def kept_devices(
    before: Array, after: Array, there: BoxSet, found: BoxSet, threshold: Array
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which devices of the input are still in the counterfactual, and which lie in the edited region.

    Args:
        before, after: (H, H) the input and its counterfactual, grey values in [0, 1].
        there: the devices of the input (`devices_of`), N of them.
        found: all boxes found in the counterfactual.
        threshold: (C,) by class.

    Returns:
        kept (N,) and edited (N,), bool. Each box of the counterfactual stands for one device.
    """
    again = found[found.score >= FLICKER * threshold[found.label]]
    first, second = high_pass(before), high_pass(after)
    free = np.ones(len(again), dtype=bool)
    kept, edited = np.zeros(len(there), dtype=bool), np.zeros(len(there), dtype=bool)
    for row in np.argsort(-there.score, kind="stable"):
        box = there.box[row]
        away = np.hypot(*(again.centre - there.centre[row]).T)
        near = free & (again.label == there.label[row]) & (away <= CENTRE)
        if near.any():
            best = int(np.where(near, away, np.inf).argmin())
            free[best] = False
            kept[row] = box_contrast(second, again.box[best]) >= CONTRAST * box_contrast(first, box)
        edited[row] = in_edit(before, after, box_pixels(box, before.shape[-1]))
    return kept, edited
