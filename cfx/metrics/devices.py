"""Foreign objects preserved (fop): are the pacemakers, lines, tubes and wires of the input still in the counterfactual?

A device is kept if one of the same class is found with its centre within 5 % of the image width of where it was and
with at least 70 % of its contrast. The place is known in the input (a mask); in the counterfactual it is found by
normalised cross-correlation within a window, on pictures from which slow grey changes have been removed, so that a
heart that grows behind a wire is no loss of the wire. Devices bend with what they lie on: each is looked for in pieces
of an eighth of the width, and its centre, likeness and contrast are those of the pieces by their pixels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[Any]

CENTRE = 0.05
CONTRAST = 0.70
WINDOW = 0.08
PIECE = 0.125
SMALLEST = 4
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
        offset: (x, y) pixels of its centre from where it was.
        likeness: normalised cross-correlation there, -1..1.
        contrast: its contrast there over that in the input.
    """

    kept: bool
    offset: tuple[float, float]
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


def contrast(image: Array, piece: Array, device: Array) -> float:
    """Mean grey value on a piece of a device less that of the pixels around it.

    Args:
        image: (H, W), slow changes removed.
        piece: (H, W) bool.
        device: (H, W) bool, the whole device, none of whose pixels count as surroundings.

    Returns:
        The difference, in grey values; NaN where the piece or its surroundings are empty.
    """
    ring = ndimage.binary_dilation(piece, iterations=3) & ~ndimage.binary_dilation(device, iterations=1)
    if not piece.any() or not ring.any():
        return float("nan")
    return float(image[piece].mean() - image[ring].mean())


def pieces(mask: Array) -> list[Array]:
    """Split a device into pieces of at most an eighth of the width, each in one part; tiny ones are left out.

    Args:
        mask: (H, W) bool, not empty.

    Returns:
        (H, W) bool masks of at least four pixels, or the device itself where all its pieces are smaller.
    """
    side = max(3, round(PIECE * mask.shape[1]))
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    found = []
    for label in range(1, count + 1):
        y, x = np.nonzero(labels == label)
        tile = (y - y.min()) // side * mask.shape[1] + (x - x.min()) // side
        for number in np.unique(tile):
            chosen = tile == number
            if chosen.sum() >= SMALLEST:
                piece = np.zeros_like(mask, dtype=bool)
                piece[y[chosen], x[chosen]] = True
                found.append(piece)
    return found or [np.asarray(mask, dtype=bool)]


def visible(image: Array, device: Device) -> bool:
    """Whether a device can be told from its surroundings in the input at all (2 % of the grey scale)."""
    return bool(abs(contrast(high_pass(image), device.mask, device.mask)) >= VISIBLE)


def locate(before: Array, after: Array, mask: Array, window: float = WINDOW) -> tuple[tuple[int, int], float]:
    """Find the patch of a device, or of a piece of it, in another picture.

    Args:
        before: (H, W) the input, slow changes removed.
        after: (H, W) the counterfactual, likewise.
        mask: (H, W) bool, where the patch is in the input.
        window: largest offset looked at, as a share of the width.

    Returns:
        offset (x, y) in pixels of the best match and its normalised cross-correlation over the patch's pixels and
        two pixels around it; (0, 0) and 0 where the patch is flat.
    """
    reach = max(1, round(window * mask.shape[1]))
    y, x = np.nonzero(ndimage.binary_dilation(mask, iterations=2))
    template = before[y, x] - before[y, x].mean()
    energy = float(np.sqrt((template**2).sum()))
    padded = np.pad(after, reach, mode="edge")
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


def _moved(mask: Array, dx: int, dy: int) -> Array:
    """A mask shifted by whole pixels; what leaves the picture is gone."""
    shifted = np.zeros_like(mask, dtype=bool)
    y, x = np.nonzero(mask)
    inside = (y + dy >= 0) & (y + dy < mask.shape[0]) & (x + dx >= 0) & (x + dx < mask.shape[1])
    shifted[y[inside] + dy, x[inside] + dx] = True
    return shifted


def find(before: Array, after: Array, device: Device) -> Found:
    """Look for a device of the input in its counterfactual, both (H, W) in [0, 1]."""
    first, second = high_pass(before), high_pass(after)
    rows = []
    for piece in pieces(device.mask):
        (dx, dy), likeness = locate(first, second, piece)
        here = contrast(first, piece, device.mask)
        there = contrast(second, _moved(piece, dx, dy), _moved(device.mask, dx, dy))
        rows.append((float(piece.sum()), float(dx), float(dy), likeness, here, there))
    weight, x, y, alike, here_all, there_all = np.array(rows).T
    known = np.isfinite(here_all) & np.isfinite(there_all)
    total = float((weight * here_all)[known].sum())
    share = float((weight * there_all)[known].sum()) / total if total else float("nan")
    offset = (float(np.average(x, weights=weight)), float(np.average(y, weights=weight)))
    likeness = float(np.average(alike, weights=weight))
    near = bool(np.hypot(*offset) <= CENTRE * device.mask.shape[1])
    return Found(bool(likeness >= ALIKE and near and share >= CONTRAST), offset, likeness, share)


def kept_contrast(before: Array, after: Array, mask: Array) -> float:
    """Share of a device's contrast that is left where the device stood; nothing is looked for elsewhere.

    Args:
        before: (H, W) the input in [0, 1].
        after: (H, W) the counterfactual in [0, 1].
        mask: (H, W) bool, the device's pixels in the input.

    Returns:
        In [0, 1]: its pieces' contrast after over before, by their pixels. A contrast that grew is wholly kept, one
        that turned round is lost. NaN where the device has no contrast in the input or no surroundings.
    """
    first, second = high_pass(before), high_pass(after)
    parts = pieces(mask)
    weight = np.array([float(part.sum()) for part in parts])
    here = np.array([contrast(first, part, mask) for part in parts])
    there = np.array([contrast(second, part, mask) for part in parts])
    known = np.isfinite(here) & np.isfinite(there)
    total = float((weight * here)[known].sum())
    return float(np.clip((weight * there)[known].sum() / total, 0.0, 1.0)) if total else float("nan")


def in_edit(before: Array, after: Array, mask: Array, least: float = 0.1) -> bool:
    """Whether a device overlaps the edited region: over 10 % of its pixels changed by more than 5 % of the scale.

    The change is averaged over 3 x 3 pixels, so that noise alone edits nothing.
    """
    change: Array = ndimage.uniform_filter(
        np.abs(np.asarray(after, dtype=np.float64) - before), size=3, mode="nearest"
    )
    return bool(mask.any() and (change[mask] > EDITED).mean() > least)


def fop(kept: Array, before: Array, patients: Array) -> Array:
    """Share of each patient's devices that are kept.

    Args:
        kept: (N,) devices kept in each picture, NaN where nobody looked.
        before: (N,) devices there before.
        patients: (N,) patient of each picture.

    Returns:
        (N,) the share of the picture's patient, over all its pictures: the mean over patients is the mean of this by
        patient. NaN for a patient without a device.
    """
    kept, before = np.asarray(kept, dtype=np.float64), np.asarray(before, dtype=np.float64)
    _, code = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    known = np.isfinite(kept) & np.isfinite(before)
    total = np.bincount(code, weights=np.where(known, before, 0.0))
    held = np.bincount(code, weights=np.where(known, kept, 0.0))
    share = np.divide(held, total, out=np.full(len(total), np.nan), where=total > 0)
    each: Array = share[code]
    return each
