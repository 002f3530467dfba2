"""Clinical measurements by heart and lung masks: widths, cardiothoracic ratio, costophrenic angles, lung haze.

Pure numpy functions over a batch of masks (B, 3, H, W) with channels heart, left lung, right lung (the patient's
left, so the left lung lies on the right of the picture). Hard masks (0/1) and soft masks (probabilities) go through
the same code: the edge of a structure is where the surface that interpolates the pixel values linearly crosses 0.5.
On a hard mask that is half a pixel outside its extreme pixels, so a width is `max - min + 1`; on a soft mask it is the
sub-pixel edge one finds after enlarging the mask bilinearly to any size, without paying for the enlargement.

Widths are fractions of the picture's width, so that they compare between sizes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[Any]

HEART, LEFT_LUNG, RIGHT_LUNG = 0, 1, 2
LEVEL = 0.5
# What a chest can look like. The extremes in brackets are those of 222 expert contours of frontal X-rays; each bound
# leaves room beyond them for other patients and fields of view, and tells a segmenter's mistake from a reading.
HEART_AREA = (0.01, 0.30)  # share of the picture [0.050, 0.182]
LUNG_AREA = (0.01, 0.35)  # of one lung [0.049, 0.211]
# The smaller lung over the larger [0.49]. A lung under a fifth of the other is white or not found, and the side of the
# thorax that it should span is unknown.
LUNG_BALANCE = 0.20
# Share of the picture's width [0.613]: a narrower thorax is no chest X-ray, or a part of one.
THORAX_WIDTH = 0.35
# CTR [0.350, 0.837]: slim and emphysematous chests go down to about 0.35 and the largest hearts, with effusion around
# them, nearly fill the chest; a heart that leaves less than a tenth of the width to both lungs together is a mistake.
CTR = (0.25, 0.85)
# Two readers of one image differ by this much in CTR: no smaller shift of one picture is a change.
READING_FLOOR = 0.027
# How far the heart may reach beyond the lungs on one side, as a share of the thoracic width [0.020]; the rest is what a
# large heart hides of the lung beside it.
OVERHANG = 0.10
# A second heart part of this share of the largest means that the contour fell apart.
SECOND_PART = 0.5
# What is taken off all round before grey values are read, as a share of the picture's width: an outline that is a pixel
# of 64 off must not count its neighbour's grey. At least one pixel.
RIM = 1 / 64


@dataclass(frozen=True)
class Measured:
    """What was measured on a batch of masks; NaN where it was not measurable.

    Attributes:
        ctr: (B,) cardiothoracic ratio.
        heart_width: (B,) widest extent of the heart, as a fraction of the picture's width.
        thorax_width: (B,) inner thoracic width, as a fraction of the picture's width.
        heart_edges: (B, 2) left and right edge of the heart in the picture, fractions of the width.
        thorax_edges: (B, 2) the same of the two lungs together.
    """

    ctr: Array
    heart_width: Array
    thorax_width: Array
    heart_edges: Array
    thorax_edges: Array


def largest_part(mask: Array) -> tuple[Array, Array, Array]:
    """Find the largest connected part of each mask of a batch.

    Args:
        mask: (B, H, W), values in [0, 1]; pixels of at least 0.5 belong to the structure.

    Returns:
        keep (B, H, W) bool, the pixels of the largest part (sides touch, corners do not connect); area (B,) int, its
        pixels; second (B,) int, pixels of the next largest part.
    """
    inside = np.asarray(mask) >= LEVEL
    batch = inside.shape[0]
    structure = np.zeros((3, 3, 3), dtype=bool)
    structure[1] = ndimage.generate_binary_structure(2, 1)  # nothing connects two pictures of the batch
    labels, count = ndimage.label(inside, structure=structure)
    flat = labels.reshape(batch, inside.shape[1] * inside.shape[2])
    sizes = np.bincount(flat.ravel(), minlength=count + 1)
    sizes[0] = 0
    owner = np.zeros(count + 1, dtype=np.int64)
    owner[flat] = np.arange(batch)[:, None]
    best = np.zeros(batch, dtype=np.int64)
    ascending = np.argsort(sizes[1:], kind="stable") + 1
    best[owner[ascending]] = ascending  # the last one written is the largest
    area = sizes[best]
    sizes[best] = 0
    second = np.zeros(batch, dtype=np.int64)
    np.maximum.at(second, owner[1:], sizes[1:])
    keep = inside & (labels == best[:, None, None])
    return keep, area, second


def extent(mask: Array, keep: Array | None = None) -> tuple[Array, Array]:
    """Left and right edge of each mask, in pixels, where the interpolated surface crosses 0.5.

    Args:
        mask: (B, H, W), values in [0, 1].
        keep: (B, H, W) bool, the connected part that counts; all pixels of at least 0.5 by default.

    Returns:
        left and right, (B,) float64: -0.5 is the picture's left side, W - 0.5 its right side; NaN for an empty part.
        The largest value along a column of a bilinear surface lies on a row of pixels, so the extreme crossing of
        the rows is that of the whole surface, however far it is enlarged.
    """
    values = np.asarray(mask)
    part = values >= LEVEL if keep is None else keep
    columns: Array = np.any(part, axis=1)
    empty = ~columns.any(axis=1)
    width = values.shape[2]
    first = columns.argmax(axis=1)
    last = width - 1 - columns[:, ::-1].argmax(axis=1)
    left = first - _overhang(values, part, first, first - 1)
    right = last + _overhang(values, part, last, last + 1)
    left[empty] = np.nan
    right[empty] = np.nan
    return left, right


def _overhang(values: Array, part: Array, edge: Array, outside: Array) -> Array:
    """How far beyond the centre of its extreme column each part reaches, (B,) in (0, 1] pixels."""
    index = np.arange(values.shape[0])
    width = values.shape[2]
    inner = values[index, :, edge].astype(np.float64)
    outer = values[index, :, np.clip(outside, 0, width - 1)].astype(np.float64)
    here = part[index, :, edge]
    drop = np.where(here, inner - outer, 1.0)
    reach = np.where(here & (drop > 0), (inner - LEVEL) / np.where(drop > 0, drop, 1.0), 0.0)
    at_border = (outside < 0) | (outside >= width)
    return np.where(at_border, 0.5, reach.max(axis=1))


def measure(masks: Array) -> Measured:
    """Measure heart width, inner thoracic width and cardiothoracic ratio.

    The heart is its largest connected part; the thorax runs from the outermost edge of one lung to that of the other,
    each lung by its largest part. Convention: the transverse cardiac diameter over the widest inner diameter of the
    rib cage, both by extreme edges (Danzer 1919), the lungs standing for the inner rib cage.

    Args:
        masks: (B, 3, H, W) hard (0/1) or soft (0..1); heart, left lung, right lung.

    Returns:
        `Measured`, NaN where a figure is not measurable. The heart: missing, too small or too large for one, or in
        pieces. The thorax: a lung missing, too small or too large, much smaller than the other or on its wrong side, or
        the two together too narrow. The ratio: either of these, the heart not between the lungs (the middle of each
        lies on its own side of the heart's), reaching far beyond them, or a value that no chest has.

    Raises:
        ValueError: masks are not (B, 3, H, W).
    """
    masks = np.asarray(masks)
    if masks.ndim != 4 or masks.shape[1] != 3:
        raise ValueError(f"masks must be (B, 3, H, W), got {masks.shape}")
    size, width = masks.shape[2] * masks.shape[3], masks.shape[3]
    heart, area, second = largest_part(masks[:, HEART])
    heart_left, heart_right = extent(masks[:, HEART], heart)
    heart_bad = ~_between(area / size, HEART_AREA) | (second > SECOND_PART * area)
    lungs, areas = [], []
    for channel in (RIGHT_LUNG, LEFT_LUNG):  # the right lung is on the left of the picture
        lung, lung_area, _ = largest_part(masks[:, channel])
        lungs.append(extent(masks[:, channel], lung))
        areas.append(lung_area / size)
    (right_start, right_end), (left_start, left_end) = lungs
    lungs_bad = ~(_between(areas[0], LUNG_AREA) & _between(areas[1], LUNG_AREA))
    lungs_bad |= np.minimum(*areas) < LUNG_BALANCE * np.maximum(*areas)
    with np.errstate(invalid="ignore"):
        lungs_bad |= ~(right_start + right_end < left_start + left_end)
        thorax_left = np.minimum(right_start, left_start)
        thorax_right = np.maximum(right_end, left_end)
        span = thorax_right - thorax_left
        lungs_bad |= ~(span >= THORAX_WIDTH * width)
        middle = heart_left + heart_right
        misplaced = ~((right_start + right_end < middle) & (middle < left_start + left_end))
        misplaced |= ~(np.maximum(thorax_left - heart_left, heart_right - thorax_right) <= OVERHANG * span)
    heart_edges = (np.stack([heart_left, heart_right], axis=1) + 0.5) / width
    thorax_edges = (np.stack([thorax_left, thorax_right], axis=1) + 0.5) / width
    heart_edges[heart_bad] = np.nan
    thorax_edges[lungs_bad] = np.nan
    heart_width = heart_edges[:, 1] - heart_edges[:, 0]
    thorax_width = thorax_edges[:, 1] - thorax_edges[:, 0]
    ctr = heart_width / thorax_width
    with np.errstate(invalid="ignore"):
        ctr[misplaced | ~_between(ctr, CTR)] = np.nan
    return Measured(ctr, heart_width, thorax_width, heart_edges, thorax_edges)


def _between(values: Array, bounds: tuple[float, float]) -> Array:
    """Where values lie within both bounds; NaN lies nowhere."""
    inside: Array = (values >= bounds[0]) & (values <= bounds[1])
    return inside


def cardiothoracic_ratio(masks: Array) -> Array:
    """Cardiothoracic ratio of each picture.

    Args:
        masks: (B, 3, H, W) hard or soft masks, see `measure`.

    Returns:
        (B,) float64, NaN where not measurable.
    """
    return measure(masks).ctr


def _slope(across: Array, along: Array, weights: Array) -> Array:
    """Least-squares slope (B,) of `across` (B, N) over `along` (N,) with 0/1 weights; NaN under three points."""
    count = weights.sum(axis=1)
    safe = np.maximum(count, 1)
    middle = (weights * along).sum(axis=1) / safe
    level = (weights * across).sum(axis=1) / safe
    away = weights * (along - middle[:, None])
    spread = (away * away).sum(axis=1)
    slope: Array = np.divide(
        (away * (across - level[:, None])).sum(axis=1),
        spread,
        out=np.full(len(count), np.nan),
        where=(count >= 3) & (spread > 0),
    )
    return slope


def costophrenic_angles(masks: Array) -> Array:
    """Angle between chest wall and diaphragm in the lateral recess of each lung.

    The tip of the recess is the pixel of the lung farthest down and outwards. A straight line is fitted to the outer
    border above it (5 to 30 % of the lung's height) and one to the lower border on its inner side (5 to 45 % of its
    width). A healthy recess is sharp, well under 90 degrees; fluid blunts it.

    Args:
        masks: (B, 3, H, W) hard or soft, see `measure`; cut at 0.5.

    Returns:
        (B, 2) degrees in (0, 180), left lung then right; NaN where the lung is missing or under 1 % of the picture,
        or where the tip lies on the picture's border, so that the recess may be cut off.
    """
    masks = np.asarray(masks)
    height, width = masks.shape[2:]
    rows, columns = np.arange(height), np.arange(width)
    angles = np.full((len(masks), 2), np.nan)
    for place, channel in enumerate((LEFT_LUNG, RIGHT_LUNG)):
        lung, area, _ = largest_part(masks[:, channel])
        if channel == RIGHT_LUNG:
            lung = lung[:, :, ::-1]  # now the outer side is on the right for both
        in_row, in_column = np.any(lung, axis=2), np.any(lung, axis=1)
        tall, wide = in_row.sum(axis=1)[:, None], in_column.sum(axis=1)[:, None]
        outer = width - 1 - lung[:, :, ::-1].argmax(axis=2)
        lower = height - 1 - lung[:, ::-1].argmax(axis=1)
        corner = np.where(in_row, outer + rows, -1)
        tip_y = corner.argmax(axis=1)[:, None]
        tip_x = np.take_along_axis(outer, tip_y, axis=1)
        wall = in_row & (rows <= tip_y - 0.05 * tall) & (rows >= tip_y - 0.30 * tall)
        base = in_column & (columns <= tip_x - 0.05 * wide) & (columns >= tip_x - 0.45 * wide)
        lean, fall = _slope(outer, rows, wall), _slope(lower, columns, base)
        cosine = (lean + fall) / np.sqrt((1 + lean**2) * (1 + fall**2))
        angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        cut = (tip_y[:, 0] >= height - 1) | (tip_x[:, 0] >= width - 1)
        angle[cut | (area < LUNG_AREA[0] * height * width)] = np.nan
        angles[:, place] = angle
    return angles


def lung_haze(image: Array, masks: Array) -> Array:
    """Brightness of the lungs against the heart: mean grey of both lungs over mean grey of the heart.

    Fluid or consolidated tissue absorbs as the heart does, so that hazy lungs come nearer to the heart's grey. A ratio,
    since exposure and display scale all grey values of a picture alike, and such a factor cancels; an offset, or a
    curve, does not: adding grey to the whole picture moves the ratio towards 1. Means are over the pixels of each
    structure's largest part, without a rim of `RIM`, weighted by the soft mask; lung that the heart covers is left out.

    This is the project's own definition, not a clinical score: no patients have validated it, it grades no edema, and
    whatever else brightens or darkens the lungs (effusion, inspiration, a device, breast tissue) moves it too. It
    compares a picture with its counterfactual; between patients it is only as good as their exposures are alike.

    Args:
        image: (B, H, W) grey values in [0, 1], black 0, bright where more is absorbed.
        masks: (B, 3, H, W) hard or soft, see `measure`.

    Returns:
        (B,) float64 in [0, inf), without unit: 0 for black lungs, 1 for lungs as bright as the heart. NaN where the CTR
        is not measurable either, so that heart and lungs were not found as a chest has them, or the heart is black.

    Raises:
        ValueError: image and masks do not fit.
    """
    image, masks = np.asarray(image, dtype=np.float64), np.asarray(masks)
    ctr = cardiothoracic_ratio(masks)
    if image.shape != (len(masks), *masks.shape[2:]):
        raise ValueError(f"image must be (B, H, W) of the masks {masks.shape}, got {image.shape}")
    heart = _core(masks[:, HEART])
    lungs = np.maximum(_core(masks[:, LEFT_LUNG]), _core(masks[:, RIGHT_LUNG])) * (masks[:, HEART] < LEVEL)
    above, below = _weighted_mean(image, lungs), _weighted_mean(image, heart)
    measurable = np.isfinite(ctr) & (below > 0)
    ratio: Array = np.divide(above, below, out=np.full(len(masks), np.nan), where=measurable)
    return ratio


def _core(mask: Array) -> Array:
    """Weights (B, H, W) of a structure: its soft mask on the largest part without its rim, 0 elsewhere."""
    keep, _, _ = largest_part(mask)
    disc = ndimage.generate_binary_structure(2, 1)[None]  # within a picture alone
    inner = ndimage.binary_erosion(keep, disc, iterations=max(1, round(RIM * mask.shape[2])))
    weights: Array = np.where(inner, mask, 0).astype(np.float64)
    return weights


def _weighted_mean(values: Array, weights: Array) -> Array:
    """Mean (B,) of pictures (B, H, W) by weights of the same shape; NaN where all are 0."""
    total = weights.sum(axis=(1, 2))
    mean: Array = np.divide(
        (values * weights).sum(axis=(1, 2)), total, out=np.full(len(values), np.nan), where=total > 0
    )
    return mean
