"""Carries an edit that was drawn on a small padded square back onto the picture it was made from.

The small picture is the original padded to a centred square and shrunk (`cfx.data.reading.to_square`). An
edit is a smooth field and a smooth residual on that square, so it is drawn again on the padded original and
the padding cut off: the field is enlarged, the picture never is.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cfx.data.reading import Float
from cfx.evaluation.sharp_shapes import sharp_structure
from cfx.explainers.gan.edit import apply_edit, structure

SHOWN = 512
"""Longer side in pixels of the pictures that figures and films show; smaller originals keep their own."""


def padding(height: int, width: int) -> tuple[int, int, int]:
    """Side of the centred square around a picture, and the picture's upper left corner in it: side, top,
    left.

    The same numbers as `cfx.data.reading.to_square` uses; an odd margin leaves its extra pixel below or
    right.
    """
    side = max(height, width)
    return side, (side - height) // 2, (side - width) // 2


@torch.no_grad()
def edits_on(image: Float, fields: Tensor, residuals: Tensor, known: int) -> Iterator[Float]:
    """Draws several edits on the original, one after the other, so that one picture lies in memory at a time.

    Args:
        image: grey (H, W) in [0, 1], any size and aspect.
        fields: float (T, 2, g, g), velocity in fractions of the padded square's width and height.
        residuals: float (T, 1, g, g), grey values of a [-1, 1] image.
        known: side of the square that the edits were drawn on. A picture no larger than that is drawn just as it was
            there; on a larger one the borders of organs are kept as sharp as they are (`sharp_structure`).

    Yields:
        T pictures, grey (H, W) in [0, 1], the size of `image`; a zero edit gives `image` up to rounding in float32.

    """
    height, width = image.shape
    side, top, left = padding(height, width)
    tensor = torch.from_numpy(np.ascontiguousarray(image))[None, None] * 2.0 - 1.0
    # The padding goes on as the border does: an edit that pulls the border inwards would else bring black wedges
    # into the picture. What the black box sees of the result is padded with black again.
    square = F.pad(tensor, (left, side - width - left, top, side - height - top), mode="replicate")
    shapes = sharp_structure(square) if side > known else structure(square)
    for field, residual in zip(fields.float().cpu(), residuals.float().cpu(), strict=True):
        picture = apply_edit(square, field[None], residual[None], shapes)[0, 0]
        cut = picture[top : top + height, left : left + width]
        yield ((cut + 1.0) / 2.0).clamp(0.0, 1.0).numpy()


def edit_series(image: Float, fields: Tensor, residuals: Tensor, known: int) -> list[Float]:
    """All pictures of `edits_on` at once."""
    return list(edits_on(image, fields, residuals, known))


def shrunk(image: Float, side: int = SHOWN) -> Float:
    """A picture (H, W) whose longer side is at most `side` pixels, its aspect kept, areas averaged."""
    height, width = image.shape
    factor = side / max(height, width)
    if factor >= 1.0:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
