"""Patients to pictures: the one way in which files and oracle alike are drawn."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfx.data.phantom import devices, geometry, noise, projection
from cfx.data.phantom.geometry import Values

CHUNK = 8
"""Patients drawn at once: small enough for the planes of one step to stay in the processor's cache."""

MASK_SIDE = 256
"""Least side of the mask files in pixels: a mask is finer than a small picture, so that its edges are sub-pixel."""


@dataclass(frozen=True)
class Drawn:
    """Patients drawn.

    Attributes:
        grey: float32 (B, S, S) in [0, 1], before the 8-bit file.
        masks: bool (B, 3, M, M): heart, left lung, right lung, M = mask_side(S).
        devices: bool (B, 6, S, S) by class, or None where not asked for.
        ctr: float64 (B,).
    """

    grey: Tensor
    masks: Tensor
    devices: Tensor | None
    ctr: Tensor


def mask_side(size: int) -> int:
    """Side of the mask files of pictures of `size`: the least multiple of it that is at least MASK_SIDE."""
    return size * max(1, -(-MASK_SIDE // size))


def tensors(frame: pd.DataFrame) -> dict[str, Tensor]:
    """Number columns of the patient table as float64 tensors (B,)."""
    numbers = frame.select_dtypes("number")
    return {str(name): torch.from_numpy(numbers[name].to_numpy(np.float64, copy=True)) for name in numbers}


def render(values: Values, seed: int, size: int, with_devices: bool = True) -> Drawn:
    """Draw the patients.

    Args:
        values: columns of the patient table, (B,) each; severities in them may have been changed.
        seed: seed of the phantom, for the patients' own texture and grain.
        size: side of the pictures in pixels.
        with_devices: whether the devices' classes are returned (they are drawn in any case).
    """
    count = len(values["patient"])
    starts = range(0, count, CHUNK)
    some = [{name: column[start : start + CHUNK] for name, column in values.items()} for start in starts]
    parts = _on_all_threads(lambda portion: _render(portion, seed, size), some)
    return Drawn(
        torch.cat([part.grey for part in parts]),
        torch.cat([part.masks for part in parts]),
        torch.cat([part.devices for part in parts if part.devices is not None]) if with_devices else None,
        torch.cat([part.ctr for part in parts]),
    )


def _on_all_threads(draw: Callable[[Values], Drawn], portions: list[dict[str, Tensor]]) -> list[Drawn]:
    """Draw the portions on as many threads as torch may use, each of them whole on one.

    A picture is hundreds of small steps: threads that meet after each of them mostly wait for one another, many
    times over where the cores are shared, and how torch cuts a step among threads would show in the last bit.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return [draw(portion) for portion in portions]
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(draw, portions))
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def _render(values: Values, seed: int, size: int) -> Drawn:
    patients: NDArray[np.int64] = values["patient"].numpy().astype(np.int64)
    own = noise.fields(seed, patients, size)
    shape = geometry.heart(values)
    fine = geometry.grid(values, 2 * size)
    lines = geometry.outlines(values, shape, fine)
    path = projection.path(values, shape, lines, fine, noise.texture(own, 2 * size))
    equipment = devices.draw(values, fine)
    path += equipment.path
    side = mask_side(size)
    mask_grid = geometry.grid(values, side)
    masks = geometry.masks(geometry.outlines(values, shape, mask_grid), mask_grid)
    cover = equipment.cover
    cover = cover[..., ::2, :] | cover[..., 1::2, :]
    cover = cover[..., ::2] | cover[..., 1::2]
    return Drawn(noise.expose(values, path, own), masks, cover, geometry.ratio(values, shape))
