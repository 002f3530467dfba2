"""The film of a progression: order and timing of its frames, captions, marks, GIF and MP4."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageSequence

from cfx.evaluation.explained import MARK, Explained
from cfx.reporting.film import CAPTION, HOLD, MILLISECONDS, draw_gif, draw_mp4, film, video_problem


def test_frames_go_up_and_back_and_hold_at_the_ends(explained: Explained) -> None:
    frames = list(film(explained))
    assert [duration for _, duration in frames] == [HOLD, HOLD, MILLISECONDS, HOLD, MILLISECONDS]
    assert len({frame.size for frame, _ in frames}) == 1
    up, back = np.asarray(frames[2][0]), np.asarray(frames[4][0])
    assert np.array_equal(up, back) and not np.array_equal(up, np.asarray(frames[3][0]))


@pytest.mark.parametrize("shape", [(80, 60), (60, 80), (160, 40), (700, 900)])
def test_frames_are_even_and_keep_the_aspect(
    film_of: Callable[..., Explained], shape: tuple[int, int]
) -> None:
    frame, _ = next(film(film_of(*shape)))
    assert frame.width % 2 == 0 and frame.height % 2 == 0
    # The picture is brighter than the night around it: its columns tell its width.
    tall = frame.height - CAPTION
    grey = np.asarray(frame.convert("L"))[: tall - 2]
    wide = int((grey.max(axis=0) > 60).sum())
    assert wide / tall == pytest.approx(shape[1] / shape[0], rel=0.03)
    assert 384 <= max(wide, tall) + 2 <= 514


def test_the_mark_is_on_drawn_frames_alone(explained: Explained) -> None:
    marked, bare = list(film(explained)), list(film(replace(explained, mark=False)))
    same = [
        np.array_equal(np.asarray(one), np.asarray(other))
        for (one, _), (other, _) in zip(marked, bare, strict=True)
    ]
    assert same == [True, False, False, False, False]


def test_the_gif_loops_with_the_frames_times_and_says_what_it_is(
    explained: Explained, tmp_path: Path
) -> None:
    draw_gif(explained, tmp_path / "film.tmp")
    with Image.open(tmp_path / "film.tmp") as gif:
        assert gif.format == "GIF" and gif.info["loop"] == 0 and gif.info["comment"] == MARK.encode()
        frames = [
            (frame.info["duration"], np.asarray(frame.convert("RGB")))
            for frame in ImageSequence.Iterator(gif)
        ]
    wanted = list(film(explained))
    assert [duration for duration, _ in frames] == [duration for _, duration in wanted]
    for (_, drawn), (frame, _) in zip(frames, wanted, strict=True):
        # Greys are kept to one in 255 or so; only the smoothed rims of coloured letters may differ more.
        assert np.abs(drawn.astype(int) - np.asarray(frame).astype(int)).mean() < 1.0


def test_the_mp4_plays_as_long_as_the_film(explained: Explained, tmp_path: Path) -> None:
    module = pytest.importorskip("imageio_ffmpeg")
    assert video_problem() is None
    draw_mp4(explained, tmp_path / "film.tmp")
    frames, seconds = module.count_frames_and_secs(str(tmp_path / "film.tmp"))
    assert seconds == pytest.approx(sum(duration for _, duration in film(explained)) / 1000, abs=0.15)
    reader = module.read_frames(str(tmp_path / "film.tmp"))
    facts = next(reader)
    first = np.frombuffer(next(reader), dtype=np.uint8)
    reader.close()
    assert frames > 0 and facts["codec"].startswith("h264")
    wanted, _ = next(film(explained))
    assert facts["size"] == wanted.size
    drawn = first.reshape(wanted.height, wanted.width, 3).astype(int)
    assert np.abs(drawn - np.asarray(wanted).astype(int)).mean() < 6


def test_what_is_missing_for_an_mp4_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert video_problem() == "no MP4 is written: it needs ffmpeg; pip install 'cfx[video]'"


@pytest.mark.parametrize(("read_by", "said"), [("ctr", "CTR 0.60"), ("haze", "lung haze 0.61"), (None, "")])
def test_captions_tell_what_the_task_is_read_by(
    explained: Explained, monkeypatch: pytest.MonkeyPatch, read_by: str | None, said: str
) -> None:
    written: list[str] = []
    draw = ImageDraw.ImageDraw.text

    def keep(self: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, **more: object) -> None:
        written.append(text)
        draw(self, xy, text, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", keep)
    steps = tuple(replace(step, reading=replace(step.reading, haze=0.61)) for step in explained.steps)
    list(film(replace(explained, steps=steps, about={**explained.about, "read_by": read_by})))
    assert said in written
    assert read_by == "ctr" or not any("CTR" in text for text in written)
