"""The chart of training and test posteriors: both together with what they tell, and in the report wherever they are."""

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from cfx.reporting.html import report_html
from cfx.reporting.posteriors import histogram_of, posterior_figure, seen_in_words
from cfx.reporting.report import write_report
from cfx.reporting.run_files import read_run
from cfx.runs import Run

HEADING = "What the classifier says of the explainer's training images"


def told(apart: bool | None = False) -> dict[str, Any]:
    """The section of a black box that is surer of its training images."""
    edges = [number / 20 for number in range(21)]
    train, test = [0] * 20, [0] * 20
    train[0], train[19], test[2], test[10] = 900, 100, 150, 50
    return {
        "edges": edges, "train": train, "test": test, "n_train": 1000, "n_test": 200, "n_patients_train": 800,
        "n_patients_test": 150, "positive_train": 0.1, "positive_test": 0.2, "distance": 0.9, "apart": apart,
    }  # fmt: skip


def with_histogram(metrics: dict[str, Any], found: Any) -> dict[str, Any]:
    return metrics | {"blackbox": metrics["blackbox"] | {"posterior_histogram": found}}


def words_of(figure: Figure | None) -> str:
    """All text of a figure in one line."""
    assert figure is not None
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        texts += [axes.get_title(loc="left"), *(text.get_text() for text in axes.texts)]
    return " ".join(" ".join(texts).split())


def test_both_histograms_stand_side_by_side_on_the_same_axes(metrics: dict[str, Any]) -> None:
    figure = posterior_figure(with_histogram(metrics, told()))
    words = words_of(figure)
    assert figure is not None and len(figure.axes) == 2
    assert "Explainer's training images (n=1,000)" in words and "Test images (n=200)" in words
    assert "800 patients; below 0.2: 90.0%, from 0.8 on: 10.0%" in words
    assert "150 patients; below 0.2: 75.0%, from 0.8 on: 0.0%" in words
    assert "saw the explainer's training patients too" in words and "distance of the two: 0.900" in words
    heights = [[bar.get_height() for bar in axes.patches[:20]] for axes in figure.axes]  # type: ignore[attr-defined]
    assert heights[0][0] == pytest.approx(0.9) and heights[1][10] == pytest.approx(0.25)
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


@pytest.mark.parametrize("sides", [["train"], ["test"], ["train", "test"]])
@pytest.mark.parametrize("split", ["test", "valid"])
def test_no_text_leaves_the_figure(metrics: dict[str, Any], sides: list[str], split: str) -> None:
    large = {"n_train": 223_414, "n_test": 25_596, "n_patients_train": 64_540, "n_patients_test": 12_345}
    figure = posterior_figure(with_histogram(metrics | {"split": split}, told() | large), sides)
    assert figure is not None
    figure.draw_without_rendering()
    whole = figure.bbox
    for text in [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]:
        box = text.get_window_extent()
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1
    titles = [axes._left_title.get_window_extent() for axes in figure.axes]  # type: ignore[attr-defined]
    assert all(title.x1 <= whole.x1 and title.y1 <= whole.y1 for title in titles)
    assert len(titles) == 1 or titles[0].x1 < titles[1].x0
    feet = [axes.xaxis.label.get_window_extent().y0 for axes in figure.axes]
    assert figure.texts[0].get_window_extent().y1 < min(feet)


@pytest.mark.parametrize(
    ("apart", "words"),
    [
        (True, "trained on other patients than the explainer"),
        (False, "The black box saw the explainer's training patients too"),
        (None, "too is not known"),
    ],
)
def test_the_words_say_whether_the_patients_are_shared(apart: bool | None, words: str) -> None:
    assert words in seen_in_words(told(apart))
    assert "10.0% and 20.0% carry the finding" in seen_in_words(told(apart))
    assert "carry the finding" not in seen_in_words(told(apart) | {"positive_test": None})


def test_nothing_is_drawn_of_an_evaluation_that_has_none(metrics: dict[str, Any]) -> None:
    for known in (metrics, with_histogram(metrics, None), metrics | {"blackbox": None}, {}):
        assert histogram_of(known) is None and posterior_figure(known) is None


@pytest.mark.parametrize("apart", [True, False])
def test_the_report_shows_it_wherever_it_is(run_folder: Path, metrics: dict[str, Any], apart: bool) -> None:
    assert HEADING not in report_html(read_run(Run(run_folder)))  # written before it was told
    place = run_folder / "evaluation" / "metrics.json"
    place.write_text(json.dumps(with_histogram(metrics, told(apart))))
    written = write_report(Run(run_folder))
    text = written.report.read_text(encoding="utf-8")
    assert written.charts[-1].name == "posteriors.png" and written.charts[-1].is_file()
    assert text.count('alt="Posteriors of images that') == 2
    assert (HEADING in text) and ("saw the explainer&#x27;s training patients too" in text) == (not apart)
