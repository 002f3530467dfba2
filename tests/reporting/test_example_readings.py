"""The progressions of an evaluation carry what its task is read by: from the table, with the floor of that."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cfx.reporting.example_readings import floor_of, read_by_of, readings_of
from cfx.reporting.progressions import choose_examples, progression_figure, strip_of
from cfx.reporting.run_files import read_run
from cfx.reporting.strips_html import strip_html
from cfx.runs import Run

TABLE = pd.DataFrame(
    {
        "image_id": ["a", "a", "b"],
        "target": [0.0, 1.0, 1.0],
        "scp_left_before": [0.8, 0.8, 0.1],
        "scp_right_before": [0.6, 0.6, 0.1],
        "scp_left_after": [0.8, 0.2, 0.1],
        "scp_right_after": [0.6, float("nan"), 0.1],
    }
)


def read_as(run_folder: Path, clinical: dict[str, Any]) -> None:
    """Make the toy evaluation one of a task that is read by lung haze, or by what `clinical` says."""
    place = run_folder / "evaluation"
    metrics = json.loads((place / "metrics.json").read_text())
    (place / "metrics.json").write_text(json.dumps({**metrics, "clinical": clinical}))
    index = json.loads((place / "examples" / "index.json").read_text())
    rows = [
        {"image_id": e["image_id"], "target": c, "haze_before": 0.5, "haze_after": 0.5 + 0.1 * c}
        for e in index
        for c in e["targets"]
    ]
    pd.DataFrame(rows).drop_duplicates(["image_id", "target"]).to_parquet(place / "counterfactuals.parquet")


def test_both_sides_of_the_recess_count() -> None:
    before, after = readings_of(TABLE, "a", (0.0, 1.0, 0.5), "scp")
    assert before == pytest.approx(0.7) and after[0] == pytest.approx(0.7) and after[1:] == (None, None)
    assert readings_of(TABLE, "c", (0.0,), "scp") == (None, (None,))
    assert readings_of(TABLE, "a", (0.0,), "haze") == (None, (None,))


def test_the_floor_of_lung_haze_is_the_evaluations_own_repeat_error() -> None:
    assert floor_of({"clinical": {"haze": {"repeat_error": 0.031}}}, "haze") == 0.031
    assert floor_of({"clinical": {"haze": {"repeat_error": None}}}, "haze") == 0.0
    assert floor_of({}, "ctr") == floor_of({}, "scp") == 0.027
    assert floor_of({"clinical": {"scp": {"repeat_error": 0.09}, "ctr": {}}}, "scp") == 0.09


def test_an_evaluation_says_what_stands_under_its_pictures() -> None:
    assert read_by_of({}) == "ctr" and read_by_of({"clinical": {"ctr": {"up": 1}, "scp": None}}) == "ctr"
    assert read_by_of({"clinical": {"ctr": {"up": 1}, "read_by": "scp"}}) == "scp"
    assert read_by_of({"clinical": {"ctr": {"up": 1}, "read_by": None}}) is None
    assert read_by_of({"clinical": {"ctr": None, "scp": None}}) is None


def test_progressions_show_lung_haze_where_the_task_is_read_by_it(run_folder: Path) -> None:
    read_as(run_folder, {"ctr": {}, "haze": {"repeat_error": 0.03}, "read_by": "haze"})
    examples = read_run(Run(run_folder)).examples
    figure = progression_figure([strip_of(example) for example in choose_examples(examples)])
    said = [text.get_text() for text in figure.texts]
    assert "lung haze 0.50" in said and "lung haze 0.60 (+0.10)" in said and not any("CTR" in t for t in said)
    assert "dimmed below 0.03" in " ".join(said)
    page = strip_html(examples[0])
    assert "lung haze 0.60" in page and "CTR" not in page and "data-measure=" in page


def test_progressions_of_a_task_without_a_measurement_show_the_posterior_alone(run_folder: Path) -> None:
    read_as(run_folder, {"ctr": None, "scp": None})
    examples = read_run(Run(run_folder)).examples
    figure = progression_figure([strip_of(example) for example in choose_examples(examples)])
    said = [text.get_text() for text in figure.texts]
    assert any(text.startswith("posterior ") for text in said)
    page = strip_html(examples[0])
    for text in (" ".join(said), page):
        assert "CTR" not in text and "measurable" not in text and "data-measure" not in text
