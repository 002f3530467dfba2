"""The scripts that freeze, pool and ship what runs measured."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cfx.errors import BadValue
from cfx.files import write_json
from cfx.reporting.paired import Difference
from cfx.runs import Run, jobs_of
from experiments import several_runs


def script(repository: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, repository / "experiments" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def finished(path: Path, seed: int, rows: pd.DataFrame | None = None) -> Run:
    run = Run.create(path)
    config: dict[str, Any] = {
        "model": {"name": "classifier", "prior": 0.5},
        "data": {"root": "/somewhere/private/nih"},
    }
    run.write_config(config)
    run.write_environment({"seed": seed, "minutes": 1.0, "commit": "abc", "device": "cpu"})
    run.write_weights({"a": torch.zeros(2)})
    run.copy_part("blackbox", run)
    run.evaluation.write_metrics({"seed": seed})
    if rows is not None:
        run.evaluation.write_counterfactuals(rows)
    return run


def multirun(place: Path, runs: list[Run]) -> Path:
    for number, run in enumerate(runs):
        (place / str(number)).mkdir(parents=True)
        (place / str(number) / "run.json").write_text(json.dumps({"run": str(run.path)}))
    return place


def test_each_seed_of_a_multirun_is_frozen(repository: Path, tmp_path: Path) -> None:
    freeze = script(repository, "freeze")
    rows = pd.DataFrame(
        {
            "group": ["up", "up", "down", "up"],
            "target": [1.0, 1.0, 0.0, 0.5],  # the last is not what its group is asked for
            "verdict": ["interpret", "do not interpret: target missed", "interpret", "interpret"],
            "thorax_width_before": [0.6, 0.6, np.nan, 0.6],
            "thorax_width_after": [0.63, 0.6, np.nan, 0.9],
        }
    )
    runs = [finished(tmp_path / f"r{seed}", seed, rows) for seed in (0, 1, 2)]
    place = multirun(tmp_path / "multirun", runs)
    (tmp_path / "r0/evaluation/progressions.png").write_bytes(b"picture")
    for number, run in enumerate(jobs_of(place)):
        freeze.freeze(tmp_path / "study", run, number == 0)
    assert [
        json.loads((tmp_path / f"study/seed{s}/metrics.json").read_text())["seed"] for s in (0, 1, 2)
    ] == [0, 1, 2]
    assert (tmp_path / "study/progression.png").read_bytes() == b"picture"
    found = json.loads((tmp_path / "study/seed1/verdicts.json").read_text())
    assert found["up"]["verdicts"] == {"interpret": 1, "do not interpret: target missed": 1}
    assert found["up"]["thorax_changed"] == 0.5 and found["down"]["thorax_changed"] is None
    assert freeze.main([]) == 2
    assert freeze.main(["study", str(tmp_path / "nothing")]) == 2 and not (tmp_path / "nothing").exists()


def test_folds_are_pooled_once_an_image(repository: Path, tmp_path: Path) -> None:
    pool = script(repository, "pool_folds")
    generator = np.random.default_rng(0)
    tables = []
    for fold in range(2):
        label = np.arange(40) % 2
        posterior = np.clip(0.5 + 0.4 * (label - 0.5) + 0.1 * generator.standard_normal(40), 0, 1)
        names = [f"{fold}-{k}" for k in range(40)]
        tables.append(
            pd.DataFrame({"image_id": names, "patient_id": names, "label": label, "posterior": posterior})
        )
    runs = [finished(tmp_path / f"f{fold}", 0, table) for fold, table in enumerate(tables)]
    pooled = pool.pool(jobs_of(multirun(tmp_path / "folds", runs)))
    assert pooled["pooled"]["n_images"] == 80 and pooled["pooled"]["auroc"] > 0.9
    assert len(pooled["auroc_by_fold"]) == 2
    with pytest.raises(ValueError, match="two folds"):
        pool.pool([runs[0], runs[0]])


def test_a_shipped_run_names_no_folder_of_this_machine(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship = script(repository, "ship")
    package = tmp_path / "cfx"
    package.mkdir()
    monkeypatch.setattr(ship.cfx, "__file__", str(package / "__init__.py"))
    run = finished(tmp_path / "run", 0)
    folder = ship.ship(run, "demo")
    assert Run(folder).config["data"]["root"] == "nih"
    assert Run(folder).part_names() == ["blackbox"]
    assert not any("private" in file.read_text(errors="ignore") for file in folder.rglob("*.yaml"))


def test_explainers_of_different_black_boxes_are_not_set_side_by_side(
    repository: Path, tmp_path: Path
) -> None:
    stability = script(repository, "stability")
    runs = [finished(tmp_path / f"r{seed}", seed) for seed in (0, 1)]
    for run in runs:
        run.evaluation.write_metrics({"split": "test"})
    several_runs.same_question(runs)
    other = finished(tmp_path / "other", 2)
    other.evaluation.write_metrics({"split": "test"})
    other.part("blackbox").write_weights({"a": torch.ones(2)})
    with pytest.raises(BadValue, match="another black box"):
        several_runs.same_question([*runs, other])
    runs[1].evaluation.write_metrics({"split": "valid"})
    with pytest.raises(BadValue, match="measured on the valid patients"):
        several_runs.same_question(runs)
    runs[0].evaluation.write_metrics({"split": None})
    with pytest.raises(BadValue, match="measured on the None patients"):
        several_runs.same_question(runs)
    with pytest.raises(BadValue, match="fewer than two runs"):
        several_runs.same_question(runs[:1])
    assert stability.main(["stability"]) == 2


def evaluated(names: list[str]) -> pd.DataFrame:
    rows = pd.DataFrame({"image_id": names, "group": "up", "target": 1.0, "ctr_after": range(len(names))})
    return pd.concat([rows, rows.assign(target=0.5)], ignore_index=True)


def test_explainers_are_held_against_each_other_picture_by_picture() -> None:
    found = several_runs.shared_rows([evaluated(["a", "b", "c"]), evaluated(["c", "d", "b"])], "up")
    assert [rows.index.tolist() for rows in found] == [["b", "c"], ["b", "c"]]
    assert [rows["ctr_after"].tolist() for rows in found] == [[1, 2], [2, 0]]
    with pytest.raises(BadValue, match="share no picture"):
        several_runs.shared_rows([evaluated(["a"]), evaluated(["b"])], "up")
    table = pd.DataFrame({"image_id": ["c", "b"]})
    assert several_runs.places_of(table, ["b", "c"]) == [1, 0]
    with pytest.raises(BadValue, match="image_id='d'"):
        several_runs.places_of(table, ["b", "d"])


def test_shifts_are_of_patients_and_of_pictures_that_all_explainers_left_measurable(repository: Path) -> None:
    stability = script(repository, "stability")
    patients = np.array(["p", "p", "q", "r"])
    shifts = np.array([[0.1, 0.1, 0.4, 9.0], [0.3, 0.3, 0.2, np.nan]])
    found = stability.shift_section(shifts, patients)
    assert found["shift_net"] == pytest.approx([0.25, 0.25])  # by picture 0.2 and 0.27, with the last one 2.4
    assert found["spread_of_shift"] == pytest.approx(np.sqrt(0.02))
    assert found["sign_agreement"] == 1.0 and found["n_measured"] == 3
    assert found["not_measurable"] == pytest.approx(1 / 3)
    (low, high), _ = found["ci95"]["shift_net"]
    assert low == pytest.approx(0.1) and high == pytest.approx(0.4)


@pytest.mark.parametrize(("against", "code"), [(0, 0), (1, 1), (6, 1)])
def test_explainers_must_agree_in_both_directions_and_at_the_pessimistic_end(
    repository: Path, tmp_path: Path, against: int, code: int
) -> None:
    """One of 25 patients against leaves 0.96, which is over the bar, and an interval that is not."""
    stability, criteria = script(repository, "stability"), script(repository, "criteria")
    shifts = np.full((2, 25), 0.1)
    patients = np.arange(25).astype(str)
    up = stability.shift_section(shifts, patients)
    shifts[1, :against] = -0.1
    (tmp_path / "stability").mkdir()
    shutil.copy(repository / "experiments/stability/criteria.yaml", tmp_path / "stability")
    found = {"up": up, "down": stability.shift_section(shifts, patients)}
    write_json(tmp_path / "stability/metrics.json", found)
    assert criteria.main(["stability"], tmp_path) == code


def test_small_effusions_are_held_against_sides_without_fluid(repository: Path) -> None:
    recess = script(repository, "recess")
    severity = [0.6, 0.6, 0.1, 0.1, 1.4, 0.3]  # a large effusion and an unclear one are neither
    names = [f"i{k}" for k in range(6)]
    truth = pd.DataFrame(
        {
            "image_id": names,
            "severity_pleural_effusion": severity,
            "fluid_left": [1, 0, 1, 0, 1, 1],
            "fluid_right": 1,
        }
    )
    rows = pd.DataFrame(
        {
            "image_id": names,
            "patient_id": names,
            "scp_left_before": [0.2, 0.9, 0.8, 0.9, 0.1, 0.5],
            "target": 0.0,
        }
    )
    table = recess.cases(pd.concat([rows, rows.assign(target=1.0)]), truth, "left")
    assert table["fluid"].to_dict() == {"i0": 1.0, "i2": 0.0, "i3": 0.0}  # fluid on the other side is no case
    assert recess.figures(table)["auroc"] == 1.0
    lost = recess.figures(table.assign(score=[np.nan, 0.8, 0.9]))
    assert lost["not_measurable_small"] == 1 and np.isnan(lost["auroc"])


def test_the_margin_is_the_least_favourable_one_over_rivals_that_got_there(repository: Path) -> None:
    rivals = script(repository, "rivals")

    def ahead(figure: str, other: str, better: int, low: float, high: float) -> Difference:
        return Difference(figure, "up", other, better, 0.0, 0.0, (low + high) / 2, low, high)

    found = [
        ahead("reach", "xgem", 1, 0.02, 0.1), ahead("reach", "cyclegan", 1, -0.01, 0.1),
        ahead("KID", "xgem", -1, -0.5, -0.1), ahead("KID", "pixel", -1, -0.5, 0.3),
    ]  # fmt: skip
    assert rivals.margins(found, {"xgem", "cyclegan"}) == {
        "reach": -0.01,
        "KID": None,
    }  # no KID of cyclegan: no lead
    assert rivals.margins(found, {"xgem"}) == {"reach": 0.02, "KID": 0.1}
    assert rivals.margins(found, {"pixel"}) == {"reach": None, "KID": -0.3}
    assert rivals.margins(found, set()) == {"reach": None, "KID": None}
    assert rivals.main(["rivals", "one"]) == 2


def test_intervals_are_drawn_from_what_is_frozen_alone(repository: Path, tmp_path: Path) -> None:
    figures = script(repository, "interval_figure")
    known = {"value": 0.5, "low": 0.25, "high": 0.75}
    missing = {"value": None, "low": None, "high": None}
    found = {
        "methods": {"ours": {"reach": known, "KID": missing}, "oracle": {"reach": missing}},
        "beside": {"ours": {}},
    }
    (panel,) = figures.of_rivals(found)  # nobody's KID was measured
    assert panel.title == "reach" and panel.line == 0.9
    assert [row[:4] for row in panel.rows] == [("ours", 0.5, 0.25, 0.75), ("oracle", None, None, None)]
    assert panel.rows[0].colour != panel.rows[1].colour
    (tmp_path / "metrics.json").write_text(json.dumps(found))
    assert figures.draw_study(tmp_path).stat().st_size > 5000
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(BadValue, match="no figure of intervals"):
        figures.draw_study(tmp_path)
