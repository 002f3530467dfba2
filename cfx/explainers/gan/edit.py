"""The edit of the default explainer: a smooth deformation of the picture plus a low-frequency residual.

Both live on a small g x g control grid and are spread over the picture by cubic B-splines (free-form deformation,
Rueckert et al. 1999), so an edit drawn on a 64-px copy is the same edit on the original at full resolution: the grid
is evaluated at more pixels, the picture itself is resampled once and never resized.

The deformation is the flow of a stationary velocity field, integrated by scaling and squaring (Arsigny et al. 2006):
anatomy can be pushed and squeezed, never folded, torn or duplicated, and the flow of the negated velocity undoes it.
A control grid can not draw a grid of dots, which is the adversarial noise that an unrestricted residual ends in.
"""

import functools

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SQUARINGS = 4
"""Squarings of the flow; the first step moves a pixel by at most 1/16 of the whole displacement."""
STRUCTURE = 0.075
"""Window of the median that separates shapes from detail, as a share of the width: 5 of 64 pixels."""
LARGEST_KEPT = 2**20
"""Pixels up to which a grid of positions, eight bytes each, is kept for the next edit."""
FLOW_NODES = 4
"""Nodes of the integrated flow for each cell of the control grid."""


def spline_basis(
    size: int, grid: int, *, odd: bool, corners: bool = False, like: Tensor | None = None
) -> Tensor:
    """Cubic B-spline weights that spread `grid` control values over `size` positions of one axis.

    The first and the last control value sit on the image border. Beyond it the values are mirrored: evenly, or with
    the sign turned (`odd`), which makes the spline exactly zero on the border once the outer control values are zero.

    Args:
        size: positions on the axis, at pixel centres, or from border to border where `corners` is set.
        grid: control values on the axis, at least 4.
        odd: mirror with the sign turned.
        corners: positions are nodes of which the first and last lie on the border.
        like: gives dtype and device.

    Returns:
        float (size, grid); rows sum to 1 where `odd` is not set, and no weight is negative beyond the mirroring.
    """
    dtype = torch.float32 if like is None else like.dtype
    device = None if like is None else like.device
    if corners:
        position = torch.linspace(0, grid - 1, size, dtype=torch.float64, device=device)
    else:
        position = (torch.arange(size, dtype=torch.float64, device=device) + 0.5) / size * (grid - 1)
    knots = torch.arange(-1, grid + 1, dtype=torch.float64, device=device)
    distance = (position[:, None] - knots[None, :]).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    weights = torch.where(distance < 1, near, far)
    basis = weights[:, 1:-1].clone()
    sign = -1.0 if odd else 1.0
    basis[:, 1] += sign * weights[:, 0]
    basis[:, -2] += sign * weights[:, -1]
    return basis.to(dtype)


def spread(values: Tensor, height: int, width: int, *, odd: bool, corners: bool = False) -> Tensor:
    """Control values (B, C, g, g) as a smooth map (B, C, height, width); see `spline_basis`."""
    rows = spline_basis(height, values.shape[-2], odd=odd, corners=corners, like=values)
    columns = spline_basis(width, values.shape[-1], odd=odd, corners=corners, like=values)
    return rows @ values @ columns.T


def still_border(field: Tensor) -> Tensor:
    """The field (B, 2, g, g) with its outermost control values set to zero: the image border does not move."""
    return F.pad(field[..., 1:-1, 1:-1], (1, 1, 1, 1))


def _identity_grid(height: int, width: int, corners: bool, like: Tensor) -> Tensor:
    """Sampling positions (1, H, W, 2) of the picture itself, in grid_sample's [-1, 1] coordinates (x, y).

    They are kept, up to a million pixels: making them anew for each edit takes a quarter of the time of drawing it.
    """
    make = _kept_grid if height * width <= LARGEST_KEPT else _kept_grid.__wrapped__
    return make(height, width, corners, like.dtype, like.device)


@functools.lru_cache(maxsize=8)
def _kept_grid(height: int, width: int, corners: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What `_identity_grid` returns; never changed in place by those who get it."""
    with torch.inference_mode(False):  # one made while validating must serve a training too
        theta = torch.eye(2, 3, dtype=dtype, device=device)[None]
        return F.affine_grid(theta, [1, 1, height, width], align_corners=corners)


def flow(velocity: Tensor, squarings: int = SQUARINGS) -> Tensor:
    """Integrates a velocity for unit time.

    Args:
        velocity: float (B, 2, g, g), (x, y) in fractions of the image width and height.
        squarings: number of times that the flow is composed with itself.

    Returns:
        float (B, 2, n, n) displacement in the same fractions on n = 4 (g - 1) + 1 nodes from border to border. The
        nodes do not depend on the picture, so that every resolution gets the same deformation.
    """
    nodes = FLOW_NODES * (velocity.shape[-1] - 1) + 1
    moved = spread(velocity / 2**squarings, nodes, nodes, odd=True, corners=True)
    here = _identity_grid(nodes, nodes, True, velocity)
    for _ in range(squarings):
        there = here + 2 * moved.permute(0, 2, 3, 1)
        moved = moved + F.grid_sample(moved, there, "bilinear", "border", align_corners=True)
    return moved


def displacement(velocity: Tensor, height: int, width: int) -> Tensor:
    """The deformation of `velocity` (B, 2, g, g) at the pixel centres of a picture.

    Returns:
        float (B, 2, height, width), (x, y) in fractions of width and height: pixel u of the drawn picture is read at
        u + displacement(u) of the source. Smaller in norm than the largest velocity; zero on the border.
    """
    nodes = flow(velocity)
    centres = _identity_grid(height, width, False, velocity).expand(len(velocity), -1, -1, -1)
    return F.grid_sample(nodes, centres, "bilinear", "border", align_corners=True)


def warp(image: Tensor, velocity: Tensor) -> Tensor:
    """Deforms pictures or masks.

    Args:
        image: float (B, C, H, W) of any size and range.
        velocity: float (B, 2, g, g) in fractions of width and height.

    Returns:
        float (B, C, H, W), resampled once (bicubic). Exactly the input where the velocity is zero.
    """
    height, width = image.shape[-2:]
    offset = displacement(velocity, height, width).permute(0, 2, 3, 1)
    grid = _identity_grid(height, width, False, image) + 2 * offset
    moved = F.grid_sample(image, grid, "bicubic", "border", align_corners=False)
    # Where nothing moves the value is the image's, bit for bit, and the gradient is still the deformation's: training
    # starts at a zero edit.
    still = (offset == 0).all(dim=-1)[:, None]
    return torch.where(still, image + (moved - moved.detach()), moved)


def structure(image: Tensor) -> Tensor:
    """The large shapes of pictures: a median filter over a thirteenth of the width.

    Organs keep their sharp borders; ribs, vessels, wires, tubes, letters and grain, narrower than half the window,
    vanish. A radiograph is a projection: what grows in it does not drag along the ribs before and behind it.

    Args:
        image: float (B, 1, H, W) in [-1, 1].

    Returns:
        float (B, 1, H, W) in steps of 1/127.5, without gradient.
    """
    return median_of(image, STRUCTURE)


def median_of(image: Tensor, share: float) -> Tensor:
    """Pictures (B, 1, H, W) in [-1, 1] through a median filter, its window a share of the width, at least 3 pixels."""
    window = max(3, 2 * round((share * image.shape[-1] - 1) / 2) + 1)
    grey = ((image.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
    shapes = np.stack([cv2.medianBlur(np.ascontiguousarray(picture), window) for picture in grey[:, 0]])
    return (torch.from_numpy(shapes).to(image.device, image.dtype) / 127.5 - 1).unsqueeze(1)


def apply_edit(image: Tensor, field: Tensor, residual: Tensor, shapes: Tensor | None = None) -> Tensor:
    """Draws an edit on pictures of any resolution: the large shapes are deformed, fine detail stays where it is.

    Args:
        image: float (B, 1, H, W) in [-1, 1].
        field: float (B, 2, g, g), velocity in fractions of width and height.
        residual: float (B, 1, g, g) in grey values of the [-1, 1] image, added after the deformation.
        shapes: float (B, 1, H, W), the `structure` of the pictures, where it is known already.

    Returns:
        float (B, 1, H, W) in [-1, 1]: the image plus what deforming its shapes changes. A zero edit gives the input,
        bit for bit.
    """
    height, width = image.shape[-2:]
    shapes = structure(image) if shapes is None else shapes
    added = spread(residual, height, width, odd=False)
    return (image + (warp(shapes, field) - shapes) + added).clamp(-1, 1)
