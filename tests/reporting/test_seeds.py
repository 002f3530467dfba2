"""Means over the seeds of a multirun: right by hand on the frozen study, of jobs that differ in nothing else."""

import copy
import csv
import json
import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cfx.files import read_json
from cfx.reporting.methods import COLUMNS, Entry, Figure, read_multirun, write_methods
from cfx.reporting.seeds import seed_groups, seeds_table, t_interval, write_seeds

STUDY = Path(__file__).parents[2] / "experiments/phantom_cardiomegaly"
T_975 = {1: 12.706, 2: 4.303, 3: 3.182}  # printed tables of Student's t


@pytest.fixture
def multirun(tmp_path: Path) -> Path:
    """The frozen study as a multirun's folder, and one job of another loss beside it."""
    jobs = [(seed, "context_aware", read_json(STUDY / f"seed{seed}/metrics.json")) for seed in (0, 1, 2)]
    for number, (seed, loss, metrics) in enumerate([*jobs, (0, "plain", jobs[0][2])]):
        run = tmp_path / f"run{number}"
        (run / "evaluation").mkdir(parents=True)
        (run / "evaluation/metrics.json").write_text(json.dumps(metrics))
        job = tmp_path / "study" / str(number)
        job.mkdir(parents=True)
        overrides = [f"seed={seed}", f"loss={loss}", "name=study"]
        (job / "run.json").write_text(json.dumps({"run": str(run), "overrides": overrides}))
    return tmp_path / "study"


def by_hand(values: list[float]) -> tuple[float, float, float]:
    """Mean and interval by the standard library and a printed table."""
    mean = statistics.mean(values)
    reach = T_975[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - reach, mean + reach


def of_side(metrics: dict[str, Any], path: str, key: str, side: str) -> float:
    """A figure of one direction, read without the code under test."""
    node = metrics
    for part in path.format(d=side).split("."):
        node = node[part]
    return float(node[key])


def test_the_frozen_study_by_hand(multirun: Path) -> None:
    (group,) = seed_groups(read_multirun(str(multirun)))  # the job of another loss is alone, so no group
    assert group.name == "explainer (loss=context_aware)" and group.seeds == ("0", "1", "2")
    seeds = [read_json(STUDY / f"seed{seed}/metrics.json") for seed in (0, 1, 2)]
    for name, path, key, pick in (
        ("reach", "validity.{d}", "reach", min),
        ("transfer", "transfer.{d}", "share", min),
        ("l1_ratio", "oracle.{d}", "l1_ratio", max),
        ("KID", "realism.{d}", "kid", max),
        (
            "gap_closed",
            "clinical.ctr.{d}",
            "gap_closed",
            lambda means: max(means, key=lambda each: abs(each[0] - 1)),
        ),
        ("fop", "identity.{d}", "fop", min),
    ):
        mean, low, high = pick(
            [by_hand([of_side(metrics, path, key, side) for metrics in seeds]) for side in ("up", "down")]
        )
        found = group.figures[name]
        assert found.count == 3
        assert found.figure.value == pytest.approx(mean, rel=1e-9), name
        assert (found.figure.low, found.figure.high) == pytest.approx(
            (low, high), abs=2e-4 * abs(high - low) + 1e-9
        )


def test_seeds_whose_worse_directions_differ_do_not_cancel(multirun: Path) -> None:
    for number, (up, down) in enumerate(((0.93, 1.15), (0.83, 1.21), (0.67, 1.11))):  # worse down, down, up
        file = Path(read_json(multirun / f"{number}/run.json")["run"]) / "evaluation/metrics.json"
        metrics = read_json(file)
        metrics["clinical"]["ctr"]["up"]["gap_closed"] = up
        metrics["clinical"]["ctr"]["down"]["gap_closed"] = down
        file.write_text(json.dumps(metrics))
    (group,) = seed_groups(read_multirun(str(multirun)))
    assert group.figures["gap_closed"].figure.value == pytest.approx(0.81)  # upwards, not 1.01


def test_a_figure_stored_for_both_directions_at_once_is_averaged_as_it_is() -> None:
    entries = [
        Entry(str(seed), {"identity": {"fop": value}}, overrides=(f"seed={seed}",))
        for seed, value in enumerate((0.8, 0.9))
    ]
    (group,) = seed_groups(entries)
    assert group.figures["fop"].figure.value == pytest.approx(0.85) and group.figures["fop"].count == 2
    assert group.figures["reach"].figure.value is None and group.figures["reach"].count == 0


@pytest.mark.parametrize(
    ("values", "figure"),
    [
        ([], Figure()),
        ([0.9], Figure(0.9)),
        ([0.5, 0.5], Figure(0.5, 0.5, 0.5)),
        ([0.0, 1.0], Figure(0.5, 0.5 - 6.353, 0.5 + 6.353)),
    ],
)
def test_the_interval_of_few_values(values: list[float], figure: Figure) -> None:
    found = t_interval(values)
    for now, wanted in zip(
        (found.value, found.low, found.high), (figure.value, figure.low, figure.high), strict=True
    ):
        assert now == (wanted if wanted is None else pytest.approx(wanted, abs=1e-3))


def test_a_figure_that_some_seeds_lack_says_of_how_many_it_is(multirun: Path, tmp_path: Path) -> None:
    entries = read_multirun(str(multirun))[:3]
    broken = copy.deepcopy(dict(entries[0].metrics))
    for side in ("up", "down"):
        broken["validity"][side]["reach"] = None
    entries[0] = replace(entries[0], metrics=broken)
    (group,) = seed_groups(entries)
    assert group.figures["reach"].count == 2 and group.figures["fop"].count == 3
    table = seeds_table([group])
    (row,) = table.rows
    assert row[1] == "3" and row[2].endswith("(n = 2)") and "(n =" not in row[-1]
    with write_seeds(tmp_path, [group]).open(newline="") as stream:
        (sheet,) = csv.DictReader(stream)
    assert sheet["seeds"] == "0 1 2" and sheet["reach_n"] == "2"
    assert float(sheet["fop"]) == group.figures["fop"].figure.value
    _, page = write_methods(tmp_path, entries, [table])
    assert "Over seeds" in page.read_text(encoding="utf-8")
    assert len(COLUMNS) * 4 + 2 == len(sheet)


def test_runs_without_a_seed_of_their_own_make_no_group(multirun: Path) -> None:
    entries = [Entry(each.name, each.metrics, each.detail) for each in read_multirun(str(multirun))]
    assert seed_groups(entries) == []
    twice = [Entry(name, {}, overrides=("seed=1",)) for name in "ab"]
    assert seed_groups(twice) == []
