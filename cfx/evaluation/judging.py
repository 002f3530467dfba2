"""Clinical measurement of pictures by the evaluation segmenter, which is not the one in the loss."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cfx.measurements import Measured, lung_haze, measure

Array = npt.NDArray[Any]
Judge = Callable[[Tensor], Tensor]
"""Pictures (B, 1, H, W) in [-1, 1] -> soft masks (B, 3, h, w) in [0, 1]."""


def in_batches(function: Callable[[Tensor], Tensor], images: Tensor, batch_size: int) -> Tensor:
    """Apply a function to pictures (N, 1, H, W) a batch at a time, without gradients; results on the CPU."""
    with torch.inference_mode():
        return torch.cat([function(chunk).float().cpu() for chunk in torch.split(images, batch_size)])


def judge_images(judge: Judge, images: Tensor, batch_size: int = 256) -> Measured:
    """Measure pictures.

    Args:
        judge: the evaluation segmenter.
        images: (N, 1, H, W) in [-1, 1].
        batch_size: pictures at a time.

    Returns:
        `Measured` of N pictures: edges where the bilinearly enlarged soft masks cross 0.5, NaN = not measurable.
    """
    return judge_all(judge, images, batch_size, haze=False)[0]


def judge_all(judge: Judge, images: Tensor, batch_size: int = 256, *, haze: bool) -> tuple[Measured, Array]:
    """Measure pictures, and with `haze` their lung haze (N,) on the same masks; NaN without."""
    found, hazes = [], [np.zeros(0)]
    for chunk in torch.split(images, batch_size):
        with torch.inference_mode():
            masks = judge(chunk).float().cpu()
        found.append(measure(masks.numpy()))
        hazes.append(haze_by(masks, chunk) if haze else np.full(len(chunk), np.nan))
    if not found:
        found.append(measure(np.zeros((0, 3, 4, 4))))
    names = ("ctr", "heart_width", "thorax_width", "heart_edges", "thorax_edges")
    return Measured(
        *(np.concatenate([getattr(each, name) for each in found]) for name in names)
    ), np.concatenate(hazes)


def haze_by(masks: Tensor, images: Tensor) -> Array:
    """Lung haze (N,) of pictures (N, 1, H, W) in [-1, 1] by soft masks (N, 3, h, w); see `lung_haze`."""
    grey = ((images[:, 0].float().cpu() + 1) / 2).clamp(0, 1)
    if masks.shape[-2:] != grey.shape[-2:]:
        masks = F.interpolate(masks, size=grey.shape[-2:], mode="bilinear", align_corners=False)
    return lung_haze(grey.numpy(), masks.cpu().numpy())


def dice(predicted: Array, truth: Array) -> Array:
    """Dice overlap of hard masks by structure.

    Args:
        predicted: (B, 3, H, W) probabilities, cut at 0.5.
        truth: (B, 3, H, W) masks, cut at 0.5.

    Returns:
        (B, 3) in [0, 1]; NaN where the structure is in neither.
    """
    one, two = np.asarray(predicted) >= 0.5, np.asarray(truth) >= 0.5
    both = (one & two).sum(axis=(2, 3))
    size = one.sum(axis=(2, 3)) + two.sum(axis=(2, 3))
    overlap: Array = np.divide(2.0 * both, size, out=np.full(both.shape, np.nan), where=size > 0)
    return overlap


def jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """The same pictures seen again: shifted by up to 2 %, brightness and contrast within 5 %, a little noise.

    Nothing in the chest changes its width, so what a measurement changes by is its repeat error.

    Args:
        images: (B, 1, H, W) in [-1, 1].
        generator: on the CPU.
    """
    count = len(images)
    draws = torch.rand(4, count, generator=generator) * 2 - 1
    affine = torch.zeros(count, 2, 3)
    affine[:, 0, 0] = affine[:, 1, 1] = 1
    affine[:, 0, 2], affine[:, 1, 2] = 0.04 * draws[0], 0.04 * draws[1]  # the grid spans 2
    grid = F.affine_grid(affine.to(images.device), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    noise = 0.02 * torch.randn(images.shape, generator=generator)
    gain, offset = (1 + 0.05 * draws[2]).view(-1, 1, 1, 1), (0.05 * draws[3]).view(-1, 1, 1, 1)
    seen: Tensor = moved * gain.to(images.device) + offset.to(images.device) + noise.to(images.device)
    return seen.clamp(-1, 1)


def repeat_error(judge: Judge, images: Tensor, batch_size: int = 256, seed: int = 0) -> float:
    """95 % repeat error of the CTR: the 95 % quantile of its change when the same picture is seen again.

    Args:
        judge: the evaluation segmenter.
        images: (N, 1, H, W), a sample of real pictures.
        batch_size: pictures at a time.
        seed: of the jitter.

    Returns:
        In units of CTR; NaN where nothing was measurable twice.
    """
    generator = torch.Generator().manual_seed(seed)
    again = jitter(images, generator)
    change = np.abs(judge_images(judge, again, batch_size).ctr - judge_images(judge, images, batch_size).ctr)
    change = change[np.isfinite(change)]
    return float(np.quantile(change, 0.95)) if len(change) else float("nan")
