"""The progression of one image as a film: GIF always, MP4 where ffmpeg is there (the extra `video`)."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from cfx.evaluation.explained import MARK, Explained, Picture, Reading
from cfx.evaluation.reading_words import written
from cfx.reporting.style import NIGHT, NIGHT_QUIET, NIGHT_TEXT, UP

LONGEST, SHORTEST = 512, 384
"""Pixels that the longer side of a frame's picture has at most and at least."""
NARROWEST = 272
"""Width of a frame that its captions need."""
MILLISECONDS, HOLD = 200, 1200
"""How long a step is shown, and the original and the ends of the scale."""
RATE = 10
"""Frames a second of the MP4."""
CAPTION = 72
UNFILLED = "#2a2f35"

Frame = Image.Image
Bytes = npt.NDArray[np.uint8]


def draw_gif(explained: Explained, path: Path) -> None:
    """Writes the film as an endless GIF.

    Args:
        explained: the record of the file.
        path: the GIF to write.

    """
    frames = list(film(explained))
    palette = _palette()
    pictures = [_indexed(frame, palette) for frame, _ in frames]
    pictures[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=[duration for _, duration in frames],
        loop=0,
        comment=MARK.encode(),
        optimize=False,
    )


def video_problem() -> str | None:
    """Why no MP4 can be written here, as a line for the user; None where it can."""
    try:
        module = importlib.import_module("imageio_ffmpeg")
    except ImportError:
        return "no MP4 is written: it needs ffmpeg; pip install 'cfx[video]'"
    try:
        module.get_ffmpeg_exe()
    except RuntimeError:
        return "no MP4 is written: no ffmpeg was found; name one by the variable IMAGEIO_FFMPEG_EXE"
    return None


def draw_mp4(explained: Explained, path: Path) -> None:
    """Writes the film as an H.264 MP4, by whatever H.264 encoder the ffmpeg has.

    Args:
        explained: the record of the file.
        path: the MP4 to write.

    Raises:
        OSError: ffmpeg failed.

    """
    module = importlib.import_module("imageio_ffmpeg")
    frames = list(film(explained))
    writer = module.write_frames(
        str(path),
        frames[0][0].size,
        fps=RATE,
        quality=7,
        macro_block_size=2,
        ffmpeg_timeout=60,
        ffmpeg_log_level="error",
        output_params=[
            *("-f", "mp4", "-threads", "1", "-movflags", "+faststart"),
            *("-metadata", f"title={MARK}", "-metadata", f"comment={MARK}"),
        ],
    )
    writer.send(None)
    try:
        for frame, duration in frames:
            pixels = frame.tobytes()
            for _ in range(round(duration * RATE / 1000)):
                writer.send(pixels)
    finally:
        writer.close()
    if not path.is_file() or path.stat().st_size == 0:
        raise OSError("ffmpeg wrote no film")


def film(explained: Explained) -> Iterator[tuple[Frame, int]]:
    """The frames, RGB of one even size, and how long each is shown in milliseconds.

    The original first, then the targets upwards and back, so that an endless film never jumps.
    """
    original, shown = explained.pictures()
    frame = _painter(original.shape, explained)
    yield frame(original, explained.before, None), HOLD
    count = len(explained.steps)
    upwards = list(range(count))
    for index in [*upwards, *upwards[-2:0:-1]]:
        step = explained.steps[index]
        end = index in (0, count - 1)
        yield frame(shown[index], step.reading, step.target), HOLD if end else MILLISECONDS


def _painter(
    shape: tuple[int, ...], explained: Explained
) -> Callable[[Picture, Reading, float | None], Frame]:
    """What makes a frame of a picture (H, W), its reading and its target (None: the original)."""
    height, width = shape
    longer = max(height, width)
    factor = min(max(longer, SHORTEST), LONGEST) / longer
    wide, tall = (max(2, round(side * factor)) for side in (width, height))
    across, down = (2 * -(-side // 2) for side in (max(wide, NARROWEST), tall + CAPTION))
    left = (across - wide) // 2
    fonts = [ImageFont.load_default(size) for size in (16, 13, 11)]
    large, small = fonts[:2]
    finding = str(explained.about.get("finding", "the finding"))

    def paint(picture: Picture, reading: Reading, target: float | None) -> Frame:
        frame = Image.new("RGB", (across, down), NIGHT)
        grey = Image.fromarray(np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8), mode="L")
        frame.paste(grey.resize((wide, tall), Image.Resampling.BICUBIC), (left, 0))
        draw = ImageDraw.Draw(frame)
        if target is not None and explained.mark:
            _mark(draw, left + wide // 2, tall, wide)
        asked = "original" if target is None else f"asked for {target:g}"
        measured = written(explained.read_by, reading.measured(explained.read_by))
        draw.text((10, tall + 8), asked, fill=NIGHT_TEXT, font=large)
        room = across - 30 - draw.textlength(asked, font=large)
        font = next((font for font in fonts if draw.textlength(measured, font=font) <= room), fonts[-1])
        draw.text((across - 10, tall + 8), measured, fill=NIGHT_TEXT, font=font, anchor="ra")
        said = _fitting(draw, f"{finding}: posterior {reading.posterior:.2f}", small, across - 20)
        draw.text((10, tall + 31), said, fill=NIGHT_QUIET, font=small)
        _bar(draw, (10, tall + 54, across - 10, tall + 64), reading.posterior, target)
        return frame

    return paint


def _bar(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], posterior: float, target: float | None
) -> None:
    """A bar filled to the posterior, a tick where it was asked to be."""
    left, top, right, bottom = box
    draw.rectangle(box, fill=UNFILLED)
    if posterior > 0:
        draw.rectangle((left, top, left + round(posterior * (right - left)), bottom), fill=UP)
    if target is not None:
        x = left + round(target * (right - left - 2))
        draw.rectangle((x, top - 3, x + 2, bottom + 3), fill=NIGHT_TEXT)


def _mark(draw: ImageDraw.ImageDraw, middle: int, bottom: int, wide: int) -> None:
    """The synthetic mark along the lower edge of a picture, as wide as the picture at most."""
    font = ImageFont.load_default(13)
    size = min(13.0, 13.0 * 0.96 * wide / draw.textlength(MARK, font=font))
    font = ImageFont.load_default(size)
    box = draw.textbbox((middle, bottom - 4), MARK, font=font, anchor="mb")
    draw.rectangle((box[0] - 4, box[1] - 3, box[2] + 4, bottom - 1), fill=NIGHT)
    draw.text((middle, bottom - 4), MARK, fill=NIGHT_TEXT, font=font, anchor="mb")


def _fitting(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int
) -> str:
    """The text, its middle left out where it is wider than the room."""
    if draw.textlength(text, font=font) <= room:
        return text
    head, _, tail = text.rpartition(": ")
    while head and draw.textlength(f"{head}…: {tail}", font=font) > room:
        head = head[:-1]
    return f"{head}…: {tail}"


def _palette() -> Bytes:
    """The colours of a GIF, uint8 (128, 3): greys for the picture, and what the captions are drawn in.

    Steps of two in 255 are not seen, and the film is half as large as with all greys.
    """
    colours = [NIGHT, NIGHT_TEXT, NIGHT_QUIET, UP, UNFILLED]
    written = [[int(colour[place : place + 2], 16) for place in (1, 3, 5)] for colour in colours]
    greys = np.linspace(0, 255, 128 - len(written)).round().astype(np.uint8)
    return np.concatenate([np.repeat(greys[:, None], 3, axis=1), np.array(written, dtype=np.uint8)])


def _indexed(frame: Frame, palette: Bytes) -> Frame:
    """The frame in the nearest colours of a palette; Pillow's own search is coarser than the steps between greys."""
    pixels = np.asarray(frame)
    grey = (pixels[..., 0] == pixels[..., 1]) & (pixels[..., 1] == pixels[..., 2])
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    found = _nearest(levels, palette)[pixels[..., 0]]
    # Letters and bars: few pixels, and few colours among them.
    packed = pixels[~grey].astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
    known, where = np.unique(packed, return_inverse=True)
    colours = np.stack([known >> 16, (known >> 8) & 255, known & 255], axis=1).astype(np.uint8)
    found[~grey] = _nearest(colours, palette)[where]
    picture = Image.fromarray(found, mode="P")
    picture.putpalette(palette.tobytes())
    return picture


def _nearest(colours: Bytes, palette: Bytes) -> Bytes:
    """Index of the nearest of at most 256 palette colours for each of (N, 3) colours."""
    distance = ((colours[:, None].astype(np.int32) - palette[None].astype(np.int32)) ** 2).sum(axis=2)
    return np.asarray(distance.argmin(axis=1), dtype=np.uint8)
