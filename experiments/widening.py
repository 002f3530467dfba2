"""Contoured chests whose heart alone is wider or narrower by a known amount: one warp for picture and masks.

The warp moves along rows and nowhere else. Within the heart it scales about the heart's middle, so that the
cardiothoracic ratio changes by the amount asked for; beside the heart it falls linearly to nothing at the lungs' outer
borders, beyond which nothing moves; above and below the heart it fades. Left and right are those of the picture.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cfx.measurements import HEART, LEFT_LUNG, RIGHT_LUNG, largest_part, measure

Array = npt.NDArray[Any]

FADE = 1 / 8
"""How far above and below the heart something still moves, as a share of the picture's height."""
SMOOTH = 7
"""Rows over which borders are smoothed: neighbouring rows must not be torn apart by a ragged contour."""
SQUEEZE = 1 / 3
"""Lung beside the heart is pressed to no less than this share of its width, and drawn out to no more than the inverse:
a heart that asks for more lies at the chest wall, and no picture of it would look like one."""


@dataclass(frozen=True)
class Chest:
    """Where a chest's heart and lungs end in each row, in pixels: 0 is the middle of the first column.

    Attributes:
        ctr: cardiothoracic ratio by the masks.
        middle: column halfway between the heart's extreme edges.
        heart: (H, 2) left and right border of the heart, smooth, on it or outside it.
        walls: (H, 2) outer borders of the two lungs, smooth, on them or inside them.
        share: (H,) of the warp that each row takes part in: 1 in the heart's rows, 0 from `FADE` on.
        width: columns of the picture.
    """

    ctr: float
    middle: float
    heart: Array
    walls: Array
    share: Array
    width: int


def chest_of(masks: Array) -> Chest:
    """Find the borders of one chest.

    Args:
        masks: (3, H, W) in [0, 1]; heart, left lung, right lung.

    Raises:
        ValueError: the masks leave no cardiothoracic ratio (see `cfx.measurements.measure`).
    """
    found, (height, width) = measure(masks[None]), masks.shape[1:]
    if not np.isfinite(found.ctr[0]):
        raise ValueError("the masks leave no cardiothoracic ratio")
    keep, _, _ = largest_part(masks)
    heart_left, heart_right, rows = _by_row(keep[HEART])
    wall_left, wall_right = _by_row(keep[RIGHT_LUNG])[0], _by_row(keep[LEFT_LUNG])[1]
    beyond = np.maximum(rows[0] - np.arange(height), np.arange(height) - rows[-1]).clip(0)
    return Chest(
        ctr=float(found.ctr[0]),
        middle=float(found.heart_edges[0].mean() * width - 0.5),
        heart=np.stack([-_over(-heart_left), _over(heart_right)], axis=1),
        walls=np.stack([_over(wall_left), -_over(-wall_right)], axis=1),
        share=0.5 + 0.5 * np.cos(np.pi * np.minimum(beyond / (FADE * height), 1)),
        width=width,
    )


def _by_row(inside: Array) -> tuple[Array, Array, Array]:
    """Left and right border (H,) of a part (H, W), and its rows (R,); other rows take those of the nearest."""
    rows = np.flatnonzero(inside.any(axis=1))
    nearest = rows[np.abs(np.arange(len(inside))[:, None] - rows).argmin(axis=1)]
    left = inside.argmax(axis=1) - 0.5
    right = inside.shape[1] - inside[:, ::-1].argmax(axis=1) - 0.5
    return left[nearest], right[nearest], rows


def _over(values: Array) -> Array:
    """Values (H,) made smooth, nowhere under what they were: every mean is of maxima that take the row in."""
    most = ndimage.maximum_filter1d(values, SMOOTH, mode="nearest")
    smooth: Array = ndimage.uniform_filter1d(most, SMOOTH, mode="nearest")
    return smooth


def sources(chest: Chest, change: float) -> Array | None:
    """From which column each pixel of the warped picture is taken.

    Args:
        chest: see there.
        change: of the cardiothoracic ratio, above 0 for a wider heart.

    Returns:
        (H, W) pixels, rising along every row, so that nothing folds; None where the lung beside the heart would be
        pressed or drawn out by more than `SQUEEZE`, or there is none in a row.
    """
    scale = 1 + chest.share * change / chest.ctr
    moved = chest.middle + (chest.heart - chest.middle) * scale[:, None]
    before = np.column_stack([chest.walls[:, 0], chest.heart, chest.walls[:, 1]])
    after = np.column_stack([chest.walls[:, 0], moved, chest.walls[:, 1]])
    rows = np.flatnonzero(chest.share > 0)
    lung, left = (np.diff(each[rows], axis=1)[:, ::2] for each in (before, after))
    if (lung <= 0).any() or not ((left >= SQUEEZE * lung) & (left <= lung / SQUEEZE)).all():
        return None
    columns = np.tile(np.arange(chest.width, dtype=np.float64), (len(chest.share), 1))
    ends = (-1.0, float(chest.width))
    for row in rows:
        there, here = ([ends[0], *each[row], ends[1]] for each in (after, before))
        columns[row] = np.interp(columns[row], there, here)
    return columns


def warped(pictures: Array, columns: Array) -> Array:
    """Pictures or masks (..., H, W) taken from the columns (H, W) that `sources` gives, linearly between pixels."""
    places = np.stack([np.indices(columns.shape)[0], columns])
    planes = np.asarray(pictures, dtype=np.float64).reshape(-1, *columns.shape)
    taken = [ndimage.map_coordinates(plane, places, order=1, mode="nearest") for plane in planes]
    return np.reshape(taken, np.shape(pictures))
