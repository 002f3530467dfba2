"""From a segmenter to masks that can be measured: soft, at the size asked for, each structure in one piece."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfx.measurements import largest_part

MEASURED_SIZE = 256
"""Side in pixels at which masks are measured."""
# Each view: factor of the picture's scale and shift to the right in widths, undone on the mask.
VIEWS = ((0.94, 0.0), (1.06, 0.0), (1.0, -0.04), (1.0, 0.04))


@torch.no_grad()
def soft_masks(
    network: nn.Module,
    image: Tensor,
    size: int | None = MEASURED_SIZE,
    *,
    views: int = 0,
    native: int | None = None,
    single: bool = True,
) -> Tensor:
    """Masks of heart, left lung and right lung as probabilities.

    Args:
        network: a segmenter's network in eval mode, on the images' device.
        image: (B, 1, H, W) in [-1, 1].
        size: side of the masks; None keeps the picture's. Enlarging is bilinear, so that the outline at 0.5
            keeps its sub-pixel place; widths measured on it are the same at any size.
        views: average over this many slightly scaled and shifted views as well (0 to 4).
        native: side the network was trained at; other pictures are resized to it first. None: as they are,
            padded by resizing to the next multiple the network needs.
        single: keep only the largest part of each structure, with its soft rim.

    Returns:
        (B, 3, size, size) float32 in [0, 1].

    Raises:
        ValueError: more views than there are.

    """
    if not 0 <= views <= len(VIEWS):
        raise ValueError(f"views must be 0 to {len(VIEWS)}, got {views}")
    side = (image.shape[-2], image.shape[-1])
    multiple = int(getattr(network, "multiple", 1))
    inner = (native, native) if native else (_next(side[0], multiple), _next(side[1], multiple))
    if inner != side:
        image = F.interpolate(image, size=inner, mode="bilinear", align_corners=False, antialias=True)
    masks = network(image).float().sigmoid()
    for scale, shift in VIEWS[:views]:
        masks = masks + _view(network, image, scale, shift)
    masks = masks / (1 + views)
    target = side if size is None else (size, size)
    if masks.shape[-2:] != target:
        masks = F.interpolate(masks, size=target, mode="bilinear", align_corners=False)
    masks = masks.clamp(0, 1)
    return one_piece(masks) if single else masks


def one_piece(masks: Tensor) -> Tensor:
    """Masks (B, 3, H, W) in which only the largest part of each structure, at 0.5, and its soft rim remain.

    The rim is what lies within two pixels of the part, below 0.5: it carries the sub-pixel place of the edge.
    """
    flat = masks.flatten(0, 1)
    keep, _, _ = largest_part(flat.detach().cpu().numpy())
    kept = torch.from_numpy(np.ascontiguousarray(keep)).to(masks.device, masks.dtype)[:, None]
    near = F.max_pool2d(kept, 5, 1, 2)[:, 0] > 0
    inside = kept[:, 0] > 0
    rim = near & (flat < 0.5)
    return torch.where(inside | rim, flat, torch.zeros_like(flat)).view_as(masks)


def _view(network: nn.Module, image: Tensor, scale: float, shift: float) -> Tensor:
    """Masks of a scaled and shifted view of the picture, brought back to the picture's place."""
    there = image.new_tensor([[scale, 0.0, 2 * shift], [0.0, scale, 0.0]])
    back = image.new_tensor([[1 / scale, 0.0, -2 * shift / scale], [0.0, 1 / scale, 0.0]])
    shape = list(image.shape)
    grid = F.affine_grid(there.expand(shape[0], 2, 3), shape, align_corners=False)
    seen = F.grid_sample(image, grid, padding_mode="border", align_corners=False)
    masks = network(seen).float().sigmoid()
    grid = F.affine_grid(back.expand(shape[0], 2, 3), list(masks.shape), align_corners=False)
    return F.grid_sample(masks, grid, padding_mode="border", align_corners=False)


def _next(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple
