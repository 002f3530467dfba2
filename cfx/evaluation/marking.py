"""The mark on drawn pictures: letters in the picture and a note in the file. Knows no torch."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from cfx.evaluation.explained import MARK, Picture


def marked(image: Picture, text: str = MARK, share: float = 0.022) -> Image.Image:
    """The picture with the mark in its lower left corner, on a dark ground so that it always shows.

    Args:
        image: grey (H, W) in [0, 1].
        text: the mark.
        share: height of its letters as a share of the picture's longer side; more for one that is shown smaller.

    Returns:
        8-bit grey, H x W.
    """
    picture = unmarked(image)
    height, width = image.shape
    draw = ImageDraw.Draw(picture)
    size = max(11.0, share * max(height, width))
    box = draw.textbbox((0, 0), text, font=ImageFont.load_default(size))
    # A narrow picture gets smaller letters rather than a mark that runs out of it.
    size = min(size, size * 0.96 * width / max(box[2] + 2 * 0.35 * size + 2, 1))
    font = ImageFont.load_default(max(size, 4.0))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    margin = max(1, round(size * 0.35))
    x, y = margin - left, height - margin - bottom
    ground = (x + left - margin, y + top - margin, x + right + margin, y + bottom + margin)
    draw.rectangle(ground, fill=0)
    draw.text((x, y), text, fill=235, font=font)
    return picture


def unmarked(image: Picture) -> Image.Image:
    """The picture, grey (H, W) in [0, 1], as 8-bit grey."""
    return Image.fromarray(np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8), mode="L")


def png_info() -> PngInfo:
    """The note inside a PNG that it is synthetic, which stays where the visible mark is switched off."""
    info = PngInfo()
    info.add_text("Description", MARK)
    return info
