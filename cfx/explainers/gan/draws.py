"""Random draws that depend on (seed, iteration, picture) alone.

Every picture has its own stream, so a resumed run draws what an uninterrupted one would have drawn, and two processes
with half a batch each draw what one process draws for the whole of it.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_MIX = 0x9E3779B97F4A7C15
_MASK = (1 << 63) - 1


class Views(NamedTuple):
    """Small changes of view for `look`, for one draw of a batch.

    placement: float (B, 3) in [-1, 1]: shift across, shift down, scale.
    grain: float (B,) in [0, 1], how much of the noise each picture gets.
    noise: float (B, 1, H, W), standard normal.
    hidden: float (B, 3) in [0, 1]: where across and down a square is hidden, and how large it is.
    """

    placement: Tensor
    grain: Tensor
    noise: Tensor
    hidden: Tensor


class Draws(NamedTuple):
    """All that one training iteration draws for its batch.

    target: float (B,) in [0, 1], uniform. natural: bool (B,), take that quantile of real pictures' posteriors instead.
    extreme: bool (B,), replace the target by the far end of the posterior; never together with `natural`.
    views: one `Views` for each look of the black box.
    """

    target: Tensor
    natural: Tensor
    extreme: Tensor
    views: list[Views]


def stream(seed: int, iteration: int, picture: int) -> torch.Generator:
    """A CPU generator for one picture in one iteration; other triples give other numbers."""
    mixed = seed
    for part in (iteration, picture):
        mixed = (((mixed ^ part) * _MIX) ^ (mixed >> 29)) & _MASK
        mixed ^= mixed >> 32
    return torch.Generator().manual_seed(mixed)


def draw(
    index: Tensor,
    size: tuple[int, int],
    *,
    seed: int,
    iteration: int,
    looks: int,
    extremes: float,
    natural: float = 0.0,
) -> Draws:
    """Draws for the pictures `index` (B,) of an iteration.

    Args:
        index: int64 (B,), rows of the pictures in their table.
        size: height and width of the pictures.
        seed, iteration: of the run.
        looks: number of views that the black box is averaged over.
        extremes: share of targets put at the far end.
        natural: share of targets drawn as the posteriors of real pictures are distributed.
    """
    uniform, noise = [], []
    for picture in index.tolist():
        source = stream(seed, iteration, int(picture))
        uniform.append(torch.rand(2 + 7 * looks, generator=source))
        noise.append(torch.randn(looks, 1, *size, generator=source))
    numbers = torch.stack(uniform).to(index.device)
    grains = torch.stack(noise).to(index.device)
    per_view = numbers[:, 2:].view(len(index), looks, 7)
    views = [
        Views(2 * per_view[:, i, :3] - 1, per_view[:, i, 3], grains[:, i], per_view[:, i, 4:])
        for i in range(looks)
    ]
    kind = numbers[:, 1]
    return Draws(numbers[:, 0], kind >= 1 - natural, kind < extremes, views)


def look(
    image: Tensor, view: Views, *, shift: float, scale: float, noise: float, hide: float = 0.0
) -> Tensor:
    """The picture as the black box might have met it: slightly moved, slightly larger or smaller, slightly noisier.

    What flips the posterior only at one alignment of pixels does not survive this; anatomy does.

    Args:
        image: float (B, 1, H, W).
        view: the draw.
        shift: largest shift along each axis as a share of the half-width.
        scale: largest relative change of size.
        noise: largest standard deviation of the noise, in grey values of the [-1, 1] image.
        hide: largest side of a square that is covered by the picture's mean grey, as a share of the width. A finding
            shows in several places; an edit of the one that moves the black box most does not survive this.
    """
    size = 1 + scale * view.placement[:, 2]
    zero = torch.zeros_like(size)
    rows = torch.stack(
        [
            torch.stack([size, zero, shift * view.placement[:, 0]], dim=1),
            torch.stack([zero, size, shift * view.placement[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(rows.to(image.dtype), list(image.shape), align_corners=False)
    moved = F.grid_sample(image, grid, "bilinear", "border", align_corners=False)
    seen = moved + noise * view.grain.view(-1, 1, 1, 1).to(image.dtype) * view.noise.to(image.dtype)
    return seen if hide <= 0 else _covered(seen, view.hidden.to(image.dtype), hide)


def _covered(image: Tensor, hidden: Tensor, hide: float) -> Tensor:
    """The pictures with one square of each covered by its mean grey."""
    height, width = image.shape[-2:]
    half = 0.5 * hide * hidden[:, 2].view(-1, 1, 1)
    across = (torch.arange(width, device=image.device, dtype=image.dtype) + 0.5) / width
    down = (torch.arange(height, device=image.device, dtype=image.dtype) + 0.5) / height
    inside_x = (across.view(1, 1, -1) - hidden[:, 0].view(-1, 1, 1)).abs() < half
    inside_y = (down.view(1, -1, 1) - hidden[:, 1].view(-1, 1, 1)).abs() < half
    grey = image.mean(dim=(1, 2, 3), keepdim=True).detach()
    return torch.where((inside_x & inside_y).unsqueeze(1), grey, image)
