"""`make criteria` takes the worst seed and the worse direction, and a missing number never passes."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="module")
def criteria(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("cfx_criteria", repository / "experiments" / "criteria.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def metrics(up: float, down: float, **more: Any) -> dict[str, Any]:
    return {
        "validity": {"up": {"reach": up, "cv_0.8": 0.5}, "down": {"reach": down}},
        "ci": [0.7, 0.9],
        **more,
    }


def study(root: Path, bars: list[dict[str, Any]], seeds: list[dict[str, Any]], name: str = "a_study") -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "criteria.yaml").write_text(yaml.safe_dump(bars))
    for seed, values in enumerate(seeds):
        (folder / f"seed{seed}").mkdir()
        (folder / f"seed{seed}" / "metrics.json").write_text(json.dumps(values))
    return folder


REACH = {"key": "validity.{up,down}.reach", "op": ">=", "bound": 0.97}


def test_all_met_is_zero(criteria: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study(tmp_path, [REACH], [metrics(0.98, 0.97), metrics(0.99, 1.0)])
    assert criteria.main([], tmp_path) == 0
    out = capsys.readouterr().out
    assert "0.97" in out and "seed0 validity.down.reach" in out and "met" in out


@pytest.mark.parametrize(
    ("bar", "value", "met"),
    [
        ({"key": "x", "op": ">=", "bound": 0.97}, 0.97, True),
        ({"key": "x", "op": ">=", "bound": 0.97}, 0.9699, False),
        ({"key": "x", "op": "<=", "bound": 0.04}, 0.04, True),
        ({"key": "x", "op": "<=", "bound": 0.04}, 0.041, False),
        ({"key": "x", "op": "between", "bound": [0.8, 1.2]}, 1.2, True),
        ({"key": "x", "op": "between", "bound": [0.8, 1.2]}, 1.21, False),
        ({"key": "x", "op": "between", "bound": [0.8, 1.2]}, 0.79, False),
        ({"key": "x", "op": "<=", "bound": 0.25, "of": "y"}, 0.5, True),
        ({"key": "x", "op": "<=", "bound": 0.25, "of": "y"}, 0.51, False),
    ],
)
def test_a_bar(criteria: ModuleType, tmp_path: Path, bar: dict[str, Any], value: float, met: bool) -> None:
    study(tmp_path, [bar], [{"x": value, "y": 2.0}])
    assert criteria.main([], tmp_path) == int(not met)


def test_the_worst_seed_in_the_worse_direction_decides(
    criteria: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study(tmp_path, [REACH], [metrics(0.99, 0.99), metrics(0.99, 0.96), metrics(0.98, 0.99)])
    assert criteria.main([], tmp_path) == 1
    out = capsys.readouterr().out
    assert "seed1 validity.down.reach" in out and "FALLS SHORT" in out and "falls short: a_study" in out


def test_a_mean_may_be_asked_for(criteria: ModuleType, tmp_path: Path) -> None:
    study(tmp_path, [{**REACH, "reduce": "mean"}], [metrics(0.99, 0.99), metrics(0.99, 0.96)])
    assert criteria.main([], tmp_path) == 0


@pytest.mark.parametrize(
    "values",
    [
        {},
        metrics(0.99, float("nan")),
        {"validity": {"up": {"reach": 0.99}, "down": {"reach": None}}},
        {"validity": {"up": {"reach": 0.99}, "down": {"reach": True}}},
        {"validity": {"up": {"reach": 0.99}}},
        {"validity": None},
    ],
)
def test_a_number_that_was_not_measured_falls_short(
    criteria: ModuleType, tmp_path: Path, values: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    study(tmp_path, [REACH], [metrics(0.99, 0.99), values])
    assert criteria.main([], tmp_path) == 1
    assert "not measured" in capsys.readouterr().out


def test_a_study_without_frozen_numbers_falls_short(criteria: ModuleType, tmp_path: Path) -> None:
    study(tmp_path, [REACH], [])
    assert criteria.main([], tmp_path) == 1


def test_names_with_dots_list_places_and_other_files_are_found(criteria: ModuleType, tmp_path: Path) -> None:
    bars = [
        {"key": "validity.up.cv_0.8", "op": ">=", "bound": 0.5},
        {"key": "ci.0", "op": ">=", "bound": 0.7},
        {"key": "folds.dice", "op": ">=", "bound": 0.9, "file": "segmenter.json"},
    ]
    folder = study(tmp_path, bars, [metrics(1, 1)])
    (folder / "segmenter.json").write_text(json.dumps({"folds": {"dice": 0.95}}))
    assert criteria.main([], tmp_path) == 0
    assert criteria.main(["a_study"], tmp_path) == 0


def test_the_ratio_follows_the_direction(criteria: ModuleType, tmp_path: Path) -> None:
    bar = {"key": "{up,down}.mae", "op": "<=", "bound": 0.5, "of": "{up,down}.nothing"}
    study(tmp_path, [bar], [{"up": {"mae": 1, "nothing": 4}, "down": {"mae": 1, "nothing": 1}}])
    assert criteria.main([], tmp_path) == 1


@pytest.mark.parametrize(
    "bar",
    [
        {"key": "x", "op": ">", "bound": 1},
        {"key": "x", "op": ">="},
        {"key": "x", "op": "between", "bound": 1},
        {"key": "x", "op": ">=", "bound": [1, 2]},
        {"key": "x", "op": ">=", "bound": "high"},
        {"key": "x", "op": ">=", "bound": 1, "bund": 2},
        {"key": "x", "op": ">=", "bound": 1, "reduce": "best"},
        "x >= 1",
    ],
)
def test_a_bar_that_can_not_be_read_is_an_error(
    criteria: ModuleType, tmp_path: Path, bar: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    study(tmp_path, [bar], [{"x": 2}])
    assert criteria.main([], tmp_path) == 2
    assert "criteria.yaml" in capsys.readouterr().err


def test_frozen_numbers_without_bars_are_an_error(criteria: ModuleType, tmp_path: Path) -> None:
    folder = study(tmp_path, [REACH], [metrics(1, 1)])
    (folder / "criteria.yaml").unlink()
    assert criteria.main([], tmp_path) == 2
    assert criteria.main(["unknown"], tmp_path) == 2


def test_every_study_of_the_project_can_be_read(criteria: ModuleType, repository: Path) -> None:
    for folder in criteria.studies(repository / "experiments"):
        assert criteria.read_criteria(folder / "criteria.yaml")
