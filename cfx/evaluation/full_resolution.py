"""Carries an edit that was drawn on a small padded square back onto the picture it was made from.

The small picture is the original padded to a centred square and shrunk (`cfx.data.reading.to_square`). An
edit is a smooth field and a smooth residual on that square, so it is drawn again on the padded original and
the padding cut
off: the field is enlarged, the picture never is.
"""

import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.nn import functional as F

from cfx.data.reading import Float, to_bytes
from cfx.evaluation.explained import MARK
from cfx.explainers.gan.edit import apply_edit


def padding(height: int, width: int) -> tuple[int, int, int]:
    """Side of the centred square around a picture, and the picture's upper left corner in it: side, top,
    left.

    The same numbers as `cfx.data.reading.to_square` uses; an odd margin leaves its extra pixel below or
    right.
    """
    side = max(height, width)
    return side, (side - height) // 2, (side - width) // 2


def unpad(square: Float, height: int, width: int) -> Float:
    """The part of a (size, size) square that holds a picture of height x width, at the square's own scale.

    Returns:
        (h, w), at least one pixel; exactly the picture where size is its longer side.

    """
    size = square.shape[0]
    side, top, left = padding(height, width)
    first, first_column = round(top * size / side), round(left * size / side)
    rows, columns = max(1, round(height * size / side)), max(1, round(width * size / side))
    return square[first : first + rows, first_column : first_column + columns]


@torch.no_grad()
def edit_original(image: Float, field: Tensor, residual: Tensor) -> Float:
    """Draws an edit on the original.

    Args:
        image: grey (H, W) in [0, 1], any size and aspect.
        field: float (2, g, g), velocity in fractions of the padded square's width and height.
        residual: float (1, g, g), grey values of a [-1, 1] image.

    Returns:
        grey (H, W) in [0, 1], the size of `image`; a zero edit gives `image` up to rounding in float32.

    """
    height, width = image.shape
    side, top, left = padding(height, width)
    tensor = torch.from_numpy(image)[None, None] * 2.0 - 1.0
    # Padding is black, which is -1 here.
    square = F.pad(tensor, (left, side - width - left, top, side - height - top), value=-1.0)
    drawn = apply_edit(square, field[None].float().cpu(), residual[None].float().cpu())
    cut = drawn[0, 0, top : top + height, left : left + width]
    result: Float = ((cut + 1.0) / 2.0).clamp(0.0, 1.0).numpy()
    return result


def marked(image: Float, text: str = MARK) -> Image.Image:
    """The picture as 8-bit grey with the mark in its lower left corner, on a dark ground so that it always
    shows.
    """
    picture = Image.fromarray(to_bytes(image), mode="L")
    height, width = image.shape
    draw = ImageDraw.Draw(picture)
    size = max(8.0, 0.022 * max(height, width))
    box = draw.textbbox((0, 0), text, font=ImageFont.load_default(size))
    # A narrow picture gets smaller letters rather than a mark that runs out of it.
    size = min(size, size * 0.96 * width / max(box[2], 1))
    font = ImageFont.load_default(max(size, 4.0))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    margin = max(1, round(size * 0.35))
    x, y = margin - left, height - margin - bottom
    ground = (x + left - margin, y + top - margin, x + right + margin, y + bottom + margin)
    draw.rectangle(ground, fill=0)
    draw.text((x, y), text, fill=235, font=font)
    return picture


def png_info() -> PngInfo:
    """The note inside a drawn PNG that it is synthetic, which stays where the visible mark is switched off."""
    info = PngInfo()
    info.add_text("Description", MARK)
    return info
