"""The pictures of one explained file: headline, notes, aspect, marks, colours, outlines and the lines of the CTR."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import cfx.reporting.explained_figure
import cfx.reporting.outlines_figure
from cfx.evaluation.explained import MARK, Explained, Reading
from cfx.reporting.explained_figure import draw_difference, draw_explained, headline_of
from cfx.reporting.outlines_figure import HEART, LUNGS, draw_outlines, measured
from cfx.reporting.panels import Panel, panel_figure
from cfx.reporting.progression_widget import asset


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn, in order."""
    made: list[Figure] = []

    def keep(figure: Figure, dpi: int = 150) -> bytes:
        made.append(figure)
        return b"png"

    monkeypatch.setattr(cfx.reporting.explained_figure, "png_bytes", keep)
    monkeypatch.setattr(cfx.reporting.outlines_figure, "png_bytes", keep)
    return made


def texts(figure: Figure) -> list[str]:
    inside = [text.get_text() for axes in figure.axes for text in axes.texts]
    return inside + [text.get_text() for text in figure.texts]


def outside(figure: Figure) -> list[str]:
    """Texts that are cut off by the figure's border."""
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    boxes = [(text.get_text(), text.get_window_extent()) for text in figure.texts]
    return [t for t, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that run into each other."""
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in figure.texts]
    return [
        (one, other)
        for number, (one, box) in enumerate(boxes)
        for other, second in boxes[number + 1 :]
        if box.overlaps(second)
    ]


def test_the_headline_names_finding_verdict_target_and_reasons(explained: Explained) -> None:
    assert headline_of(explained) == "Cardiomegaly – interpret (judged at target 1)"
    refused = replace(explained, verdict="do not interpret", reasons=("target missed",), about={})
    assert headline_of(refused) == "do not interpret: target missed (judged at target 1)"


@pytest.mark.parametrize("draw", [draw_explained, draw_difference, draw_outlines])
def test_every_figure_is_a_png_with_its_drawn_pictures_marked(
    explained: Explained, tmp_path: Path, draw: Any
) -> None:
    draw(explained, tmp_path / "a.tmp")
    with Image.open(tmp_path / "a.tmp") as picture:
        assert picture.format == "PNG" and picture.width > 500


@pytest.mark.parametrize(("draw", "drawn"), [(draw_explained, 3), (draw_difference, 2), (draw_outlines, 2)])
def test_marks_and_notes(
    explained: Explained, tmp_path: Path, figures: list[Figure], draw: Any, drawn: int
) -> None:
    draw(replace(explained, notes=("something odd",)), tmp_path / "a.png")
    draw(replace(explained, mark=False), tmp_path / "b.png")
    assert texts(figures[0]).count(MARK) == drawn and "Note: something odd." in texts(figures[0])
    assert MARK not in texts(figures[1])


@pytest.mark.parametrize("draw", [draw_explained, draw_difference, draw_outlines])
@pytest.mark.parametrize("shape", [(80, 60), (40, 160), (160, 40)])
def test_no_text_is_cut_off_or_runs_into_another(
    tmp_path: Path,
    figures: list[Figure],
    film_of: Callable[..., Explained],
    draw: Any,
    shape: tuple[int, int],
) -> None:
    long = replace(
        film_of(*shape),
        name="a_film_with_a_very_long_name_and_no_space_at_all_in_it.dcm",
        verdict="do not interpret",
        reasons=("target missed", "input unlike the training data", "independent classifier disagrees"),
        notes=("CTR falls although more of the finding was asked for, see the outlines",),
    )
    draw(long, tmp_path / "a.png")
    assert outside(figures[0]) == [] and overlapping(figures[0]) == []


def test_pictures_keep_their_aspect(tmp_path: Path, figures: list[Figure], explained: Explained) -> None:
    draw_outlines(explained, tmp_path / "a.png")
    figure = figures[0]
    figure.draw_without_rendering()
    pictures = [axes for axes in figure.axes if axes.images and axes.images[0].get_array().shape[0] > 8]
    assert len(pictures) == 3
    for axes in pictures:
        box = axes.get_window_extent()
        x, y = axes.get_xlim(), axes.get_ylim()
        assert (x[1] - x[0], y[0] - y[1]) == (60, 80)
        across, down = axes.transData.transform([[1, 0], [0, 1]]) - axes.transData.transform([0, 0])
        assert abs(across[0]) == pytest.approx(abs(down[1]), rel=0.01) and box.width > 0


def test_the_outlines_lie_on_the_edges_that_the_ctr_was_measured_on(
    tmp_path: Path, figures: list[Figure], explained: Explained
) -> None:
    draw_outlines(explained, tmp_path / "a.png")
    last = [axes for axes in figures[0].axes if axes.images][2]
    lines = [line for line in last.lines if len(set(np.round(line.get_xdata(), 6))) == 2]
    spans = {line.get_color(): np.asarray(line.get_xdata(), dtype=float) for line in lines}
    # The picture is the middle 60 of 80 columns: a fraction f of the square lies at 80 f - 10 - 0.5.
    assert np.allclose(spans[LUNGS], [80 * 0.2 - 10.5, 80 * 0.8 - 10.5])
    assert np.allclose(spans[HEART], [80 * 0.32 - 10.5, 80 * 0.68 - 10.5])
    assert measured(explained.steps[2].reading) == "CTR 0.60 = heart 0.36 / thorax 0.60"


def test_readings_without_masks_or_measurement_are_drawn_without_outlines(
    tmp_path: Path, figures: list[Figure], explained: Explained
) -> None:
    bare = replace(explained.before, masks=None, ctr=None, heart_edges=None)
    steps = tuple(replace(step, reading=bare) for step in explained.steps)
    draw_outlines(replace(explained, before=bare, steps=steps), tmp_path / "a.png")
    assert texts(figures[0]).count("CTR not measurable") == 3


def test_one_target_gives_one_end(tmp_path: Path, figures: list[Figure], explained: Explained) -> None:
    draw_difference(replace(explained, steps=explained.steps[2:], end=0), tmp_path / "a.png")
    assert [text for text in texts(figures[0]) if text.startswith("what changed")] == ["what changed for 1"]


def test_a_panel_of_colours_and_one_of_grey_stand_beside_each_other() -> None:
    grey, colour = np.zeros((8, 8), dtype=np.float32), np.zeros((8, 8, 3), dtype=np.float32)
    figure = panel_figure([Panel(grey, ("one",)), Panel(colour, ("two",))], "headline", ())
    assert [axes.images[0].get_array().ndim for axes in figure.axes] == [2, 3]


def test_a_target_beyond_the_runs_limit_is_named_with_it(
    explained: Explained, figures: list[Figure], tmp_path: Path
) -> None:
    steps = tuple(replace(step, aimed=min(max(step.target, 0.1), 0.9)) for step in explained.steps)
    limited = replace(explained, steps=steps)
    draw_explained(limited, tmp_path / "a.png")
    draw_outlines(limited, tmp_path / "b.png")
    assert {"asked 0, limit 0.1", "asked 1, limit 0.9"} <= set(texts(figures[0]))
    assert not outside(figures[0]) and not overlapping(figures[0])
    assert {"target 0, limit 0.1", "target 1, limit 0.9"} <= set(texts(figures[1]))
    assert "limit" in headline_of(limited) and "limit" not in headline_of(explained)


def test_the_ratio_of_one_picture_has_as_many_digits_as_its_reading_bears() -> None:
    reading = Reading(0.5, ctr=0.51234, heart_width=0.41234, thorax_width=0.80481, transfer=None)
    assert measured(reading) == "CTR 0.51 = heart 0.41 / thorax 0.80"
    assert reading.numbers()["ctr"] == 0.51234
    assert "measured, 3" not in asset("progression.js")


def test_strip_and_difference_map_of_a_file_state_the_same_scale(
    tmp_path: Path, figures: list[Figure], explained: Explained
) -> None:
    draw_explained(explained, tmp_path / "progression.png")
    draw_difference(explained, tmp_path / "difference.png")
    strip, maps = (texts(figure) for figure in figures)
    (stated,) = [text.removeprefix("±") for text in strip if text.startswith("±")]
    assert f"darker −{stated}" in maps and f"brighter +{stated}" in maps


OTHER = {
    "scp": ("SCP 0.55", "SCP 0.55 (left 0.30, right 0.80)"),
    "haze": ("lung haze 0.61", "lung haze 0.61"),
}


@pytest.mark.parametrize("read_by", ["scp", "haze", None])
@pytest.mark.parametrize("draw", [draw_explained, draw_difference, draw_outlines])
@pytest.mark.parametrize("shape", [(80, 60), (160, 40)])
def test_a_task_read_by_something_else_shows_that_in_the_place_of_the_ctr(
    film_of: Callable[..., Explained],
    figures: list[Figure],
    tmp_path: Path,
    draw: Any,
    read_by: str | None,
    shape: tuple[int, int],
) -> None:
    film = film_of(*shape)
    more: dict[str, Any] = {"scp_left": 0.3, "scp_right": 0.8, "haze": 0.61}
    steps = tuple(replace(step, reading=replace(step.reading, **more)) for step in film.steps)
    about = {**film.about, "read_by": read_by, "reading_floor": 0.02}
    draw(replace(film, before=replace(film.before, **more), steps=steps, about=about), tmp_path / "a.png")
    said = texts(figures[0])
    assert not any("CTR" in text for text in said)
    short, full = OTHER[read_by] if read_by else ("posterior", "posterior")
    assert sum((full if draw is draw_outlines else short) in text for text in said) >= 3
    assert outside(figures[0]) == [] and overlapping(figures[0]) == []
    widths = [line for axes in figures[0].axes if axes.images for line in axes.lines]
    assert widths == []  # the lines that a ratio is read from
