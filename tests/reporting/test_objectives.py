"""What a search steers by: the worse direction of both figures, never a gap, and a part's best monitor."""

import copy
from pathlib import Path
from typing import Any

import pytest

from cfx.files import read_json
from cfx.reporting.objectives import WORST_KID, monitored, not_made, objectives
from cfx.runs import Run

SHIPPED = Path(__file__).parents[2] / "experiments/phantom_cardiomegaly/seed0/metrics.json"


def test_both_figures_are_those_of_the_worse_direction() -> None:
    metrics = read_json(SHIPPED)
    sides = [metrics["validity"][side]["reach"] for side in ("up", "down")]
    distances = [metrics["realism"][side]["kid"] for side in ("up", "down")]
    assert objectives(metrics) == (min(sides), max(distances)) and not_made(metrics) == []


@pytest.mark.parametrize(
    ("section", "key", "wanted", "words"),
    [
        ("validity", "reach", (0.0, 0.3), "reach was not measured (up, down): it counts as 0"),
        ("realism", "kid", (0.8, WORST_KID), "KID was not measured (up, down): it counts as 10"),
    ],
)
def test_a_null_counts_as_the_worst_and_is_said(
    section: str, key: str, wanted: tuple[float, float], words: str
) -> None:
    metrics: dict[str, Any] = {
        "validity": {"up": {"reach": 0.9}, "down": {"reach": 0.8}},
        "realism": {"kid": 0.3, "up": {"kid": 0.3}, "down": {"kid": 0.1}},
    }
    assert objectives(metrics) == (0.8, 0.3)
    broken = copy.deepcopy(metrics)
    broken[section] = {"kid": None, "up": {key: None}, "down": {key: None}}
    assert objectives(broken) == wanted and not_made(broken)[0].startswith(words)


@pytest.mark.parametrize("gone", ["up", "down"])
def test_a_direction_that_was_not_made_is_the_worse_one(gone: str) -> None:
    there = "down" if gone == "up" else "up"
    metrics: dict[str, Any] = {
        "validity": {there: {"reach": 1.0}, gone: {"reach": None}},
        "realism": {"kid": 0.01, there: {"kid": 0.01}, gone: None},
    }
    assert objectives(metrics) == (0.0, WORST_KID)
    told = not_made(metrics)
    assert told == [
        f"reach was not measured ({gone}): it counts as 0 in the search",
        f"KID was not measured ({gone}): it counts as 10 in the search",
    ]
    metrics["validity"][gone]["reach"] = 0.5
    assert objectives(metrics) == (0.5, WORST_KID) and not_made(metrics) == told[1:]


def test_no_measured_distance_is_worse_than_none_at_all() -> None:
    far = {"up": {"kid": 99.0}, "down": {"kid": 0.1}}
    metrics = {"realism": far, "validity": {"up": {"reach": 1.0}, "down": {"reach": 1.0}}}
    assert objectives(metrics) == (1.0, WORST_KID)


@pytest.mark.parametrize(("mode", "best"), [("max", 0.75), ("min", 0.5)])
def test_a_part_gives_the_best_value_of_its_monitor(mode: str, best: float, tmp_path: Path) -> None:
    run = Run.create(tmp_path)
    run.write_config({"model": {"fit": {"monitor": "valid/auroc", "mode": mode}}})
    assert monitored(run) is None
    run.append_metrics([{"step": 1, "train/loss": 2.0}])
    assert monitored(run) is None
    rows = [{"step": step, "valid/auroc": value} for step, value in ((2, 0.5), (3, 0.75), (4, float("nan")))]
    run.append_metrics(rows)
    assert monitored(run) == best
    run.write_config({"model": {"fit": {"monitor": None}}})
    assert monitored(run) is None
