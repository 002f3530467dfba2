"""Comparison with the oracle: the same patient and noise rendered again with only the finding changed.

Only synthetic data have one. Images are (B, 1, H, W) in [-1, 1]; L1 distances are on the grey scale [0, 1].
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Array = npt.NDArray[Any]


def l1(first: Tensor, second: Tensor) -> Tensor:
    """Mean absolute difference of two batches of pictures on the grey scale [0, 1], (B,)."""
    return (first - second).abs().flatten(1).mean(dim=1) / 2


def gradient(image: Tensor) -> Tensor:
    """Grey value change a pixel, across and down, by Sobel's filter: (B, 2, H, W) of (B, 1, H, W)."""
    row = torch.tensor([-1.0, 0.0, 1.0], device=image.device, dtype=image.dtype) / 2
    column = torch.tensor([1.0, 2.0, 1.0], device=image.device, dtype=image.dtype) / 4
    across = torch.outer(column, row)
    kernel = torch.stack([across, across.T]).unsqueeze(1)
    return F.conv2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), kernel)


def edge_energy(image: Tensor, old: Tensor) -> Tensor:
    """Squared grey value change across the border of a mask, (B, 1, H, W) >= 0.

    Only edges that run along the border count: a rib that crosses it changes along the border, not across.

    Args:
        image: (B, 1, H, W).
        old: (B, 1, H, W) the mask whose border it is; its direction is that of the smoothed mask's slope.
    """
    smooth = F.avg_pool2d(F.pad(old, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    slope = gradient(smooth)
    normal = slope / slope.norm(dim=1, keepdim=True).clamp(min=1e-6)
    energy: Tensor = (gradient(image) * normal).sum(dim=1, keepdim=True).square()
    return energy


def old_border(old: Tensor, new: Tensor, margin: int | None = None) -> Tensor:
    """Pixels along the border of the old heart that lie outside the new one.

    Args:
        old: (B, 1, H, W) mask of the heart before, hard or soft.
        new: (B, 1, H, W) mask of the heart that should be there now.
        margin: pixels around the new heart that are left out as well, since its own soft edge lies there; by default
            3 of 64.

    Returns:
        (B, 1, H, W) bool: a band of one pixel on both sides of the old border, less the new heart and its margin.
    """
    old, new = (old >= 0.5).float(), (new >= 0.5).float()
    margin = max(1, round(old.shape[-1] * 3 / 64)) if margin is None else margin
    grown = F.max_pool2d(old, 3, stride=1, padding=1)
    shrunk = 1 - F.max_pool2d(1 - old, 3, stride=1, padding=1)
    kept_out = F.max_pool2d(new, 2 * margin + 1, stride=1, padding=margin)
    return (grown - shrunk > 0) & (kept_out == 0)


def ghost_energies(
    image: Tensor, oracle: Tensor, old: Tensor, new: Tensor, least: int = 8
) -> tuple[Tensor, Tensor]:
    """Mean edge energy on the forsaken part of the old heart border, in the counterfactual and in the oracle.

    Args:
        image: (B, 1, H, W) counterfactuals.
        oracle: (B, 1, H, W) oracles for the same targets.
        old: (B, 1, H, W) heart masks of the sources.
        new: (B, 1, H, W) heart masks of the oracles.
        least: fewest pixels of border that make a figure.

    Returns:
        two (B,) tensors; NaN where fewer pixels are left (a heart that only grew leaves no border behind).
    """
    pixels = old_border(old, new)
    count = pixels.flatten(1).sum(dim=1)
    nan = torch.full_like(count, float("nan"), dtype=image.dtype)

    def mean(picture: Tensor) -> Tensor:
        total = (edge_energy(picture, old) * pixels).flatten(1).sum(dim=1)
        return torch.where(count >= least, total / count.clamp(min=1), nan)

    return mean(image), mean(oracle)


def ratio_of_means(numerator: Array, denominator: Array) -> float:
    """Mean over mean of the pairs in which both are known; NaN where the denominator's mean is not above 0."""
    numerator, denominator = (
        np.asarray(numerator, dtype=np.float64),
        np.asarray(denominator, dtype=np.float64),
    )
    both = np.isfinite(numerator) & np.isfinite(denominator)
    if not both.any() or denominator[both].mean() <= 0:
        return float("nan")
    return float(numerator[both].mean() / denominator[both].mean())
