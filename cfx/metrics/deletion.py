"""Deletion and insertion curves: how fast a black box changes its mind when pixels go or come, most important first.

After Petsiuk, Das and Saenko, "RISE" (BMVC 2018): deletion replaces the pixels of the picture by its mean grey,
insertion replaces those of the blurred picture by the picture's. A good map makes the score fall early in the first
and rise early in the second. Both leave the range of real pictures, so they tell about the black box more than about
chests; a random map and the picture's own edges must go through the same code.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

STEPS = 20
BLUR = 0.1


def blurred(image: Tensor, share: float = BLUR) -> Tensor:
    """Pictures (B, 1, H, W) blurred by a Gaussian whose standard deviation is `share` of the side.

    At 0.1 of the side the outline of a heart is gone. The kernel is cut off at three standard deviations.
    """
    sigma = share * min(image.shape[-2:])
    kernel = 2 * math.ceil(3 * sigma) + 1
    smooth: Tensor = gaussian_blur(image, [kernel, kernel], [sigma, sigma])
    return smooth


def mean_grey(image: Tensor) -> Tensor:
    """Pictures of one grey value, each its own mean, in the shape of `image` (B, 1, H, W)."""
    return image.mean(dim=(1, 2, 3), keepdim=True).expand_as(image)


def ranking(importance: Tensor, seed: int = 0) -> Tensor:
    """Pixels of each map, the most important first.

    Args:
        importance: float (B, 1, H, W).
        seed: of the order among equals: without one, the zeros of a map would be taken from the upper left on.

    Returns:
        int64 (B, H * W).
    """
    flat = importance.flatten(1)
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(flat.shape[1], generator=generator).to(flat.device)
    return shuffled[flat[:, shuffled].argsort(dim=1, descending=True, stable=True)]


@torch.no_grad()
def replacement_curve(
    score: Callable[[Tensor], Tensor],
    start: Tensor,
    end: Tensor,
    importance: Tensor,
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> Tensor:
    """Score while the pixels of one picture take the place of another's, the most important first.

    Deletion: from the picture to its mean grey; insertion: from the blurred picture to the picture.

    Args:
        score: (B, 1, H, W) -> (B,).
        start: float (B, 1, H, W), where the curve begins.
        end: float (B, 1, H, W), where it ends.
        importance: float (B, 1, H, W), which pixels are replaced first.
        steps: equal steps from none to all pixels.
        seed: see `ranking`.

    Returns:
        (B, steps + 1) scores at 0, 1/steps, ..., 1 of the pixels.
    """
    order = ranking(importance, seed)
    pixels = order.shape[1]
    place = torch.empty_like(order)
    place.scatter_(1, order, torch.arange(pixels, device=order.device).expand_as(order))
    place = place.view_as(start)
    points = [
        score(torch.where(place < round(pixels * step / steps), end, start)) for step in range(steps + 1)
    ]
    return torch.stack(points, dim=1)


def area(curve: Tensor) -> Tensor:
    """Area (B,) under curves (B, S) over [0, 1], by trapezia: the mean height of each."""
    return torch.trapezoid(curve, dx=1 / (curve.shape[1] - 1), dim=1)
