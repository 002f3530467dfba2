"""Examples: chosen by rank and call, and written so that a report can draw them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from PIL import Image

from cfx.evaluation.examples import call_of, choose, write_examples


def test_calls_by_posterior_and_label() -> None:
    assert [call_of(p, y) for p in (0.9, 0.1) for y in (1.0, 0.0)] == ["TP", "FP", "FN", "TN"]
    assert call_of(0.9, float("nan")) is None


def test_best_median_and_worst_of_each_direction_and_call(evaluated: Any) -> None:
    rows, _ = evaluated
    rows = rows.copy()
    down = rows[(rows["group"] == "down") & (rows["label"] == 1)]
    worst = down["image_id"].iloc[0]
    rows.loc[rows["image_id"] == worst, "p_after"] = np.nan  # failed: the worst there is
    found = choose(rows)
    assert len({example.image_id for example in found}) == len(found)
    by_call = {(e.group, e.call, e.rank): e.image_id for e in found}
    assert by_call["down", "TP", "worst"] == worst
    assert {(group, call) for group, call, _ in by_call} >= {("up", "TN"), ("down", "TP")}
    error = (rows["p_after"] - rows["target"]).abs().groupby(rows["image_id"]).mean()
    tn = rows[(rows["group"] == "up") & (rows["label"] == 0)]["image_id"].unique()
    assert error[by_call["up", "TN", "best"]] == pytest.approx(error[tn].min())
    assert error[by_call["up", "TN", "worst"]] == pytest.approx(error[tn].max())


def test_unknown_labels_still_give_examples(evaluated: Any) -> None:
    rows = evaluated[0].assign(label=np.nan)
    found = choose(rows)
    assert {example.call for example in found} == {None}
    assert len(found) == 6


def test_files_hold_what_the_index_says(evaluated: Any, toy_world: Any, tmp_path: Path) -> None:
    rows, _ = evaluated
    table, dataset, _ = toy_world
    index = write_examples(tmp_path, toy.Faithful(toy.ToyBox()), dataset, table, rows)
    assert json.loads((tmp_path / "index.json").read_text()) == index
    assert {entry["rank"] for entry in index} == {"best", "median", "worst"}
    for entry in index:
        assert entry["targets"] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        assert len(entry["files"]["steps"]) == len(entry["posterior"]) == len(entry["ctr"]) == 6
        with Image.open(tmp_path / entry["files"]["original"]) as picture:
            grey = np.asarray(picture)
        row = table.index[table["image_id"] == entry["image_id"]][0]
        assert np.abs(grey / 127.5 - 1 - dataset.image[row, 0].numpy()).max() < 0.005
        with Image.open(tmp_path / entry["files"]["steps"][-1]) as picture:
            assert picture.info.get("Description")
            assert picture.size == (toy.SIZE, toy.SIZE)


def test_the_report_can_read_them(evaluated: Any, toy_world: Any, tmp_path: Path) -> None:
    from cfx.reporting.run_files import parse_example

    table, dataset, _ = toy_world
    index = write_examples(tmp_path, toy.Faithful(toy.ToyBox()), dataset, table, evaluated[0])
    for entry in index:
        assert parse_example(entry, tmp_path) is not None
