"""Reading a run's evaluation: what may be missing, what may not, and numbers by dotted keys."""

import json
from pathlib import Path

import pytest

from cfx.errors import BadValue, MissingPath
from cfx.reporting.run_files import interval_at, number_at, read_run
from cfx.runs import Run


def test_reads_all_that_a_run_left(run_folder: Path) -> None:
    files = read_run(Run(run_folder))
    assert len(files.examples) == 6
    assert len(files.table) == 660
    assert files.value("validity.up.cv_0.8") == 0.9  # a key with a dot in it
    assert files.config["task"]["finding"] == "Cardiomegaly"
    assert files.environment["device"] == "cpu"
    assert files.history is not None
    assert len(files.history) == 24
    assert files.examples[0].note == "F, 63 y, PA"


def test_readings_of_examples_are_of_the_table_alone(run_folder: Path) -> None:
    files = read_run(Run(run_folder))
    first = files.examples[0]
    rows = files.table[files.table["image_id"] == first.image_id].set_index("target")
    assert first.measured == tuple(rows["ctr_after"][list(first.targets)])
    assert (first.measured_before, first.read_by, first.floor) == (rows["ctr_before"].iloc[0], "ctr", 0.027)
    (run_folder / "evaluation" / "counterfactuals.parquet").unlink()
    bare = read_run(Run(run_folder)).examples[0]
    assert bare.read_by is None and bare.measured_before is None and set(bare.measured) == {None}


def test_up_ends_at_the_highest_target_and_down_at_the_lowest(run_folder: Path) -> None:
    ends = {example.group: example.end for example in read_run(Run(run_folder)).examples}
    assert ends == {"up": 5, "down": 0}


def test_only_the_metrics_are_indispensable(run_folder: Path) -> None:
    for name in ("counterfactuals.parquet", "examples/index.json"):
        (run_folder / "evaluation" / name).unlink()
    for name in ("environment.json", "config.yaml", "metrics.csv"):
        (run_folder / name).unlink()
    files = read_run(Run(run_folder))
    assert files.table.empty
    assert files.examples == ()
    assert files.config == {}
    assert files.history is None
    (run_folder / "evaluation" / "metrics.json").unlink()
    with pytest.raises(MissingPath, match=r"cfx\.evaluate"):
        read_run(Run(run_folder))


def test_an_example_without_its_picture_is_left_out(run_folder: Path) -> None:
    (run_folder / "evaluation" / "examples" / "up_best_00_c040.png").unlink()
    assert len(read_run(Run(run_folder)).examples) == 5


@pytest.mark.parametrize("break_it", ["missing key", "uneven"])
def test_a_broken_index_is_named(run_folder: Path, break_it: str) -> None:
    path = run_folder / "evaluation" / "examples" / "index.json"
    index = json.loads(path.read_text())
    if break_it == "uneven":
        index[0]["posterior"].pop()
    else:
        del index[0]["p_before"]
    path.write_text(json.dumps(index))
    with pytest.raises(BadValue, match=r"index\.json"):
        read_run(Run(run_folder))


def test_numbers_and_intervals_are_none_where_they_were_not_made() -> None:
    tree = {
        "a": {"b": 1, "flag": True, "nan": float("nan"), "null": None},
        "ci": [0.1, 0.2],
        "of": {"x": [0, 1]},
    }
    assert number_at(tree, "a.b") == 1.0
    assert [number_at(tree, key) for key in ("a.flag", "a.nan", "a.null", "a.c", "b.c")] == [None] * 5
    assert interval_at(tree, "ci", "shift_net") == (0.1, 0.2) and interval_at(tree, "ci", "x") is None
    assert interval_at(tree, "of", "x") == (0.0, 1.0)
    assert interval_at(tree, "of", "y") is None
    assert interval_at(tree, "a.b", "x") is None
