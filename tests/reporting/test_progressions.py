"""The figure of the progressions: which rows, which targets, marks, and the colours of the difference map."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cfx.evaluation.explained import MARK
from cfx.reporting.progressions import (
    Strip,
    choose_examples,
    difference_map,
    progression_figure,
    strip_of,
    thin_targets,
)
from cfx.reporting.run_files import read_run
from cfx.reporting.style import save_png
from cfx.runs import Run


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [
        t.get_text() for t in figure.texts
    ]


@pytest.fixture
def strips(run_folder: Path) -> list[Strip]:
    return [strip_of(example) for example in choose_examples(read_run(Run(run_folder)).examples)]


def test_rows_are_up_then_down_from_best_to_worst(run_folder: Path) -> None:
    rows = choose_examples(read_run(Run(run_folder)).examples)
    assert [(row.group, row.rank) for row in rows] == [
        (group, rank) for group in ("up", "down") for rank in ("best", "median", "worst")
    ]
    assert [row.rank for row in choose_examples(rows, each=1)] == ["median", "median"]


def test_thinned_targets_keep_both_ends() -> None:
    grid = [i / 10 for i in range(11)]
    assert thin_targets(grid, 6) == [0, 2, 4, 6, 8, 10]
    assert thin_targets(grid, 20) == list(range(11))


def test_each_drawn_picture_is_marked_and_the_original_is_not(strips: list[Strip]) -> None:
    found = texts(progression_figure(strips))
    assert found.count(MARK) == sum(len(strip.steps) for strip in strips)
    unmarked = progression_figure([replace(strip, mark=False) for strip in strips])
    assert MARK not in texts(unmarked)


def test_a_ctr_that_could_not_be_measured_is_said_so(strips: list[Strip]) -> None:
    found = texts(progression_figure(strips))
    assert found.count("CTR not measurable") == 1
    assert "posterior 0.06" in found
    assert "CTR 0.57 (+0.10)" in found


def test_difference_map_is_orange_where_brighter_and_blue_where_darker() -> None:
    original = np.full((1, 3), 0.5, dtype=np.float32)
    changed = np.array([[1.0, 0.5, 0.0]], dtype=np.float32)
    colours = difference_map(original, changed, 0.5)
    assert colours[0, 0, 0] > colours[0, 0, 2]
    assert colours[0, 2, 2] > colours[0, 2, 0]
    assert np.ptp(colours[0, 1]) == 0  # no change: grey


def test_strips_of_different_lengths_are_refused(strips: list[Strip]) -> None:
    short = replace(strips[0], steps=strips[0].steps[:2])
    with pytest.raises(ValueError, match="one length"):
        progression_figure([strips[0], short])


def test_the_png_has_the_size_asked_for_and_leaves_no_unfinished_file(
    strips: list[Strip], tmp_path: Path
) -> None:
    path = save_png(progression_figure(strips), tmp_path / "new" / "progressions.png", dpi=50)
    with Image.open(path) as picture:
        assert picture.width > 600
        assert picture.height > 500
        corner = picture.convert("L").getpixel((1, 1))
    assert isinstance(corner, int)
    assert corner < 30
    assert [entry.name for entry in path.parent.iterdir()] == ["progressions.png"]


def test_a_long_name_is_broken_before_it_runs_into_the_picture(strips: list[Strip]) -> None:
    name = "a_film_with_a_very_long_name_and_no_space_at_all.dcm"
    found = texts(progression_figure([replace(strips[0], title=(name, "9 x 9 px"))]))
    assert name not in found and "".join(text for text in found if text and text in name) == name
