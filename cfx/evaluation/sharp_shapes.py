"""The large shapes of a sharp picture, with the borders of organs as sharp and as rounded as they are.

An edit deforms the large shapes and leaves all other detail where it is (`cfx.explainers.gan.edit`). The median that
tells the two apart rounds off corners and steepens soft borders: at 64 px by less than a pixel, at a thousand by a pale
outline that would stay behind where the heart has left (`cfx.evaluation.ghosts` measures it). Along strong borders a
narrower median takes its place here, so that the border goes with its shape. Thin wires are narrower than half of that
window too and stay unbent; the price is that ribs, letters and thick tubes within `REACH` of a border go along with it.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from cfx.data.reading import Float
from cfx.explainers.gan.edit import STRUCTURE, median_of

BORDER_WINDOW = 0.035
"""Window of the narrower median as a share of the width."""
SLOPES = (1.0, 4.0)
"""Change of grey, [0, 1], over a whole width from which a border begins to count, and from which it counts in full."""
BLUR, REACH, SOFT = 0.008, 0.025, 0.006
"""As shares of the width: blur before slopes are taken, how far around a border it counts, how softly that ends."""

FOUND_AT = 512
"""Pixels of the square on which borders are looked for."""


def sharp_structure(image: Tensor) -> Tensor:
    """The large shapes of pictures, as `cfx.explainers.gan.edit.structure`, with their borders kept as they are.

    Args:
        image: float (B, 1, H, W) in [-1, 1].

    Returns:
        float (B, 1, H, W) in [-1, 1], without gradient.
    """
    shapes, fine = median_of(image, STRUCTURE), median_of(image, BORDER_WINDOW)
    weight = np.stack([_near_borders((each + 1) / 2) for each in shapes[:, 0].cpu().numpy()])
    return shapes + torch.from_numpy(weight).to(shapes)[:, None] * (fine - shapes)


def _near_borders(shapes: Float) -> Float:
    """Weight in [0, 1] of each pixel of large shapes (H, H) in [0, 1]: 1 along strong borders, 0 away from any.

    The weight is smooth, so that it is found on a smaller picture: large discs of large pictures take minutes.
    """
    size, width = shapes.shape[-1], min(shapes.shape[-1], FOUND_AT)
    smaller = shapes if size == width else cv2.resize(shapes, (width, width), interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(smaller, (0, 0), BLUR * width)
    across, down = (
        cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3, scale=width / 8) for order in ((1, 0), (0, 1))
    )
    side = 2 * round(REACH * width) + 1
    near = cv2.dilate(np.hypot(across, down), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    low, high = SLOPES
    weight = (cv2.GaussianBlur(near, (0, 0), SOFT * width) - low) / (high - low)
    weight = np.asarray(np.clip(weight, 0.0, 1.0), dtype=np.float32)
    return (
        weight
        if size == width
        else np.asarray(cv2.resize(weight, (size, size), interpolation=cv2.INTER_LINEAR))
    )
