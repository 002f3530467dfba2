"""Foreign objects preserved (fop): are the pacemakers, lines, tubes and wires of the input still in the counterfactual?

A device is kept if one of the same class is found with its centre within 5 % of the image width of where it was and
with at least 70 % of its contrast. The place is known in the input (a mask); in the counterfactual it is found by
normalised cross-correlation of its patch within a window, on pictures from which slow grey changes have been removed,
so that a heart that grows behind a wire does not count as the loss of the wire.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[Any]

CENTRE = 0.05
CONTRAST = 0.70
WINDOW = 0.10
ALIKE = 0.5
VISIBLE = 0.02
EDITED = 0.05


@dataclass(frozen=True)
class Device:
    """A device of an input picture: its class and its pixels, (H, W) bool."""

    name: str
    mask: Array


@dataclass(frozen=True)
class Found:
    """A device looked for in a counterfactual.

    Attributes:
        kept: same class, centre within 5 %, contrast at least 70 %.
        offset: (x, y) pixels from where it was.
        likeness: normalised cross-correlation at that place, -1..1.
        contrast: its contrast there over that in the input.
    """

    kept: bool
    offset: tuple[int, int]
    likeness: float
    contrast: float


def high_pass(image: Array, share: float = 0.11) -> Array:
    """Remove slow grey changes: the picture less its local mean.

    Args:
        image: (H, W) grey values.
        share: side of the averaging window as a share of the width (7 of 64 pixels).
    """
    window = max(3, 2 * round(image.shape[-1] * share / 2) + 1)
    smooth: Array = ndimage.uniform_filter(np.asarray(image, dtype=np.float64), size=window, mode="nearest")
    return np.asarray(image, dtype=np.float64) - smooth


def contrast(image: Array, mask: Array) -> float:
    """Mean grey value on the device less that of the pixels around it.

    Args:
        image: (H, W) in [0, 1].
        mask: (H, W) bool, the device.

    Returns:
        The difference, in grey values; NaN where the device or its surroundings are empty.
    """
    ring = ndimage.binary_dilation(mask, iterations=3) & ~ndimage.binary_dilation(mask, iterations=1)
    if not mask.any() or not ring.any():
        return float("nan")
    return float(image[mask].mean() - image[ring].mean())


def visible(image: Array, device: Device) -> bool:
    """Whether a device can be told from its surroundings in the input at all (2 % of the grey scale)."""
    return bool(abs(contrast(image, device.mask)) >= VISIBLE)


def locate(before: Array, after: Array, mask: Array, window: float = WINDOW) -> tuple[tuple[int, int], float]:
    """Find the patch of a device in another picture.

    Args:
        before: (H, W) the input.
        after: (H, W) the counterfactual.
        mask: (H, W) bool, the device in the input.
        window: largest offset looked at, as a share of the width.

    Returns:
        offset (x, y) in pixels of the best match and its normalised cross-correlation over the device's pixels and
        two pixels around it; (0, 0) and 0 where the patch is flat.
    """
    reach = max(1, round(window * mask.shape[1]))
    support = ndimage.binary_dilation(mask, iterations=2)
    y, x = np.nonzero(support)
    template = high_pass(before)[y, x]
    template = template - template.mean()
    energy = float(np.sqrt((template**2).sum()))
    padded = np.pad(high_pass(after), reach, mode="edge")
    steps = np.arange(2 * reach + 1)
    # (offsets y, offsets x, pixels): every place the patch may have gone to
    looked = padded[y[None, None] + steps[:, None, None], x[None, None] + steps[None, :, None]]
    looked = looked - looked.mean(axis=-1, keepdims=True)
    size = np.sqrt((looked**2).sum(axis=-1))
    flat = (size < 1e-9) | (energy < 1e-9)
    score = np.where(flat, 0.0, looked @ template / np.where(flat, 1.0, size * max(energy, 1e-12)))
    best = np.unravel_index(int(score.argmax()), score.shape)
    if score[reach, reach] >= score[best]:
        best = (np.intp(reach), np.intp(reach))
    return (int(best[1]) - reach, int(best[0]) - reach), float(score[best])


def find(before: Array, after: Array, device: Device) -> Found:
    """Look for a device of the input in its counterfactual, both (H, W) in [0, 1]."""
    (dx, dy), likeness = locate(before, after, device.mask)
    moved = np.zeros_like(device.mask, dtype=bool)
    y, x = np.nonzero(device.mask)
    inside = (y + dy >= 0) & (y + dy < moved.shape[0]) & (x + dx >= 0) & (x + dx < moved.shape[1])
    moved[y[inside] + dy, x[inside] + dx] = True
    there, here = contrast(after, moved), contrast(before, device.mask)
    share = there / here if here else float("nan")
    near = bool(np.hypot(dx, dy) <= CENTRE * device.mask.shape[1])
    kept = bool(likeness >= ALIKE and near and share >= CONTRAST)
    return Found(kept, (dx, dy), likeness, share)


def in_edit(before: Array, after: Array, mask: Array, least: float = 0.1) -> bool:
    """Whether a device overlaps the edited region: over 10 % of its pixels changed by more than 5 % of the scale.

    The change is averaged over 3 x 3 pixels, so that noise alone edits nothing.
    """
    change: Array = ndimage.uniform_filter(
        np.abs(np.asarray(after, dtype=np.float64) - before), size=3, mode="nearest"
    )
    return bool(mask.any() and (change[mask] > EDITED).mean() > least)


def fop(kept: Array, before: Array) -> float:
    """Share of devices kept over all pictures: sum of kept over sum of those there before; NaN where none were."""
    kept, before = np.asarray(kept, dtype=np.float64), np.asarray(before, dtype=np.float64)
    known = np.isfinite(kept) & np.isfinite(before)
    total = float(before[known].sum())
    return float(kept[known].sum()) / total if total > 0 else float("nan")
