"""Overlap of a map with the region that truly changes, known where a synthetic patient can be drawn again.

Maps are (B, 1, H, W) >= 0, the truth a mask of the pixels whose grey value differs between picture and oracle. A figure
is NaN for a picture in which nothing, or everything, changes.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from torch import Tensor
from torchmetrics.functional.classification import binary_average_precision

Array = npt.NDArray[Any]
THRESHOLD = 0.05


def difference(first: Tensor, second: Tensor) -> Tensor:
    """Absolute difference of two batches of pictures in [-1, 1] on the grey scale [0, 1], (B, 1, H, W)."""
    return (first - second).abs() / 2


def changed(oracle: Tensor, image: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """Pixels that truly change: bool (B, 1, H, W), where the oracle differs by more than `threshold` of the grey scale.

    0.05 is 13 of 256 grey values, several times what noise and rounding to a file make of a pixel that stays.
    """
    return difference(oracle, image) > threshold


def _defined(inside: Array) -> bool:
    """Whether a mask tells inside from outside."""
    return bool(inside.any() and not inside.all())


def _each(importance: Tensor, inside: Tensor) -> list[tuple[Array, Array]]:
    """Map and mask of each picture as (H * W,) float64 and bool."""
    maps = importance.detach().cpu().double().flatten(1).numpy()
    masks = inside.detach().cpu().bool().flatten(1).numpy()
    return list(zip(maps, masks, strict=True))


def average_precision(importance: Tensor, inside: Tensor) -> Array:
    """Area under the precision-recall curve of each map as a finder of the changed pixels, (B,) in [0, 1].

    A map that knows nothing gets the mask's share of the picture. Equal pixels stand at one threshold.
    """
    return np.array(
        [_precision(one, mask) if _defined(mask) else np.nan for one, mask in _each(importance, inside)]
    )


def _precision(one: Array, mask: Array) -> float:
    """Average precision of one map; by ranks, since torchmetrics takes values outside [0, 1] for logits."""
    ranks = torch.from_numpy(stats.rankdata(one) / len(one))
    return float(binary_average_precision(ranks, torch.from_numpy(mask).long()))


def pointing(importance: Tensor, inside: Tensor) -> Array:
    """Pointing game (Zhang et al., ECCV 2016) without a margin: 1 where the map's highest pixel changes, else 0; (B,).

    Where several pixels are highest, the share of them that changes.
    """
    return np.array(
        [
            mask[one == one.max()].mean() if _defined(mask) else np.nan
            for one, mask in _each(importance, inside)
        ]
    )


def mass_inside(importance: Tensor, inside: Tensor) -> Array:
    """Share of a map's sum that lies on changed pixels, (B,) in [0, 1]; NaN for an empty map."""
    return np.array(
        [
            one[mask].sum() / one.sum() if _defined(mask) and one.sum() > 0 else np.nan
            for one, mask in _each(importance, inside)
        ]
    )


def rank_correlation(importance: Tensor, amount: Tensor) -> Array:
    """Spearman's correlation over pixels of a map with how much each pixel truly changes, (B,) in [-1, 1].

    Args:
        importance: (B, 1, H, W).
        amount: (B, 1, H, W), see `difference`.

    Returns:
        NaN where either is the same everywhere.
    """
    maps = importance.detach().cpu().double().flatten(1).numpy()
    amounts = amount.detach().cpu().double().flatten(1).numpy()
    return np.array(
        [
            stats.spearmanr(one, two).statistic if np.ptp(one) > 0 and np.ptp(two) > 0 else np.nan
            for one, two in zip(maps, amounts, strict=True)
        ]
    )
