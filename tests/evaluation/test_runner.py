"""A whole evaluation of a toy world: rows, resuming, refusals, and the truth that the figures must tell."""

import ast
import inspect
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import toy
from toy_settings import SETTINGS, thumbnails

from cfx.evaluation.rows import COLUMNS, extremes
from cfx.evaluation.runner import evaluate
from cfx.evaluation.verdict import UNMEASURED
from cfx.explainers.base import Counterfactual

QUICK = replace(
    SETTINGS, control_images=4, descent_images=2, oracle_grid_images=2, repeat_images=4, resamples=20
)


def run(world: Any, explainer: Any = None, **more: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A quick evaluation without controls, unless told."""
    table, dataset, _ = world
    box = toy.ToyBox()
    given = {"judge": toy.judge, "task": toy.TASK, "settings": QUICK, "controls": ()} | more
    return evaluate(explainer or toy.Faithful(box), box, table, dataset, **given)


def test_a_row_for_each_picture_and_target_in_fixed_columns(evaluated: Any, toy_world: Any) -> None:
    rows, _ = evaluated
    assert tuple(rows.columns) == COLUMNS
    assert len(rows) == 120 * 11
    assert not rows.duplicated(["image_id", "target"]).any()
    assert rows["image_id"].drop_duplicates().tolist() == toy_world[0]["image_id"].tolist()
    assert rows["target"].to_numpy().reshape(120, 11) == pytest.approx(np.tile(np.arange(11) / 10, (120, 1)))
    assert {"up", "down", "middle"} == set(rows["group"])


def test_the_faithful_explainer_gets_what_it_deserves(evaluated: Any) -> None:
    _, metrics = evaluated
    for group in ("up", "down"):
        assert metrics["validity"][group]["reach"] == 1
        assert metrics["clinical"]["ctr"][group]["moved_right"] == 1
        assert metrics["clinical"]["ctr"][group]["of_oracle"] == pytest.approx(1, abs=0.02)
        assert metrics["clinical"]["ctr"][group]["gap_closed"] == pytest.approx(1, abs=0.2)
        assert metrics["transfer"][group]["share"] == pytest.approx(1, abs=0.05)
        assert metrics["clinical"]["ctr"][group]["p"] < 1e-3
    assert metrics["validity"]["target_mae"] < 0.01
    assert metrics["validity"]["target_mae_worst"] == pytest.approx(
        0.02, abs=0.002
    )  # 0 and 1 are asked for up to 0.02
    assert metrics["validity"]["monotone"] == 1
    assert metrics["oracle"]["l1_ratio"] < 0.05
    assert metrics["oracle"]["ctr_mae_of_nothing"] < 0.1
    assert metrics["oracle"]["ghost"] < 1.3
    assert metrics["identity"]["fop"] == 1
    assert metrics["null_test"]["l1"] < 0.001
    assert metrics["null_test"]["l1_return"] < 0.002
    assert metrics["anatomy"]["dice_heart"] > 0.95
    assert metrics["blackbox"]["auroc_latent"] is not None


def test_ctr_truth_comes_from_the_masks(evaluated: Any, toy_world: Any) -> None:
    rows, _ = evaluated
    first = rows.drop_duplicates("image_id")
    severity = torch.tensor([toy_world[2].severities[name] for name in first["image_id"]])
    true = (2 * toy.half_width(severity) / toy.THORAX).numpy()
    assert np.abs(first["ctr_true_before"].to_numpy() - true).max() < 0.008  # of two edges
    up = extremes(rows, "up")
    wanted = np.log(0.98 / 0.02) / toy.SLOPE + 0.5
    assert up["ctr_oracle"].mean() == pytest.approx(2 * (4.5 + 4 * wanted) / toy.THORAX, abs=0.01)


def test_an_interrupted_evaluation_goes_on_where_it_stopped(toy_world: Any) -> None:
    parts: dict[int, pd.DataFrame] = {}
    rows, metrics = run(toy_world, write_part=parts.__setitem__, features=thumbnails)
    assert sorted(parts) == [0, 1, 2, 3]
    pd.testing.assert_frame_equal(pd.concat(parts.values(), ignore_index=True), rows)
    half = {0: parts[0], 2: parts[2]}
    written: list[int] = []
    again, second = run(
        toy_world, write_part=lambda number, _: written.append(number), finished=half, features=thumbnails
    )
    assert written == [1, 3]
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), rows.drop(columns="seconds"))
    assert second["realism"] == metrics["realism"]
    assert second["validity"] == metrics["validity"]


def test_a_part_of_other_pictures_is_drawn_again(toy_world: Any) -> None:
    parts: dict[int, pd.DataFrame] = {}
    run(toy_world, write_part=parts.__setitem__)
    written: list[int] = []
    run(toy_world, write_part=lambda number, _: written.append(number), finished={0: parts[1]})
    assert written == [0, 1, 2, 3]


def test_parts_survive_parquet(toy_world: Any, tmp_path: Any) -> None:
    parts: dict[int, pd.DataFrame] = {}
    run(toy_world, write_part=parts.__setitem__)
    parts[0].to_parquet(tmp_path / "0.parquet", index=False)
    written: list[int] = []
    run(
        toy_world, write_part=lambda number, _: written.append(number),
        finished={0: pd.read_parquet(tmp_path / "0.parquet")},
    )  # fmt: skip
    assert written == [1, 2, 3]


def test_what_is_not_given_is_null(toy_world: Any) -> None:
    table, dataset, _ = toy_world
    rows, metrics = run((table[["image_id", "patient_id"]], dataset, None))
    assert metrics["oracle"] is metrics["transfer"] is metrics["drift"] is None
    assert metrics["realism"]["kid"] is metrics["identity"]["fop"] is None
    assert metrics["controls"] == dict.fromkeys(("nothing", "nearest_real", "pixel_descent", "oracle"))
    assert rows["ctr_oracle"].isna().all()
    assert (rows["view"] == "").all()


def test_a_failed_picture_is_counted_and_has_not_reached(toy_world: Any) -> None:
    class Failing(toy.Faithful):
        def explain(self, image: torch.Tensor, targets: torch.Tensor) -> Counterfactual:
            drawn = super().explain(image, targets)
            drawn.images[:1] = float("nan")
            return drawn

    _, metrics = run(toy_world, Failing(toy.ToyBox()))
    up, down = metrics["validity"]["up"], metrics["validity"]["down"]
    assert up["failures"] + down["failures"] > 0
    assert min(up["reach"], down["reach"]) < 1
    assert metrics["validity"]["grid"]["failures"] > 0
    assert metrics["clinical"]["ctr"]["up"]["failures"] == up["failures"]


def test_a_measurement_that_falls_with_the_finding_turns_right_around(toy_world: Any) -> None:
    task = SimpleNamespace(name="x", finding="Cardiomegaly", measurement="ctr", direction="down")
    _, metrics = run(toy_world, task=task)
    assert metrics["clinical"]["ctr"]["up"]["moved_right"] == 0
    assert metrics["validity"]["up"]["reach"] == 1


def test_a_task_that_is_not_read_by_the_ctr_has_no_right_way_of_it(toy_world: Any) -> None:
    task = SimpleNamespace(name="x", finding="Cardiomegaly", measurement="recess", direction="down")
    table, dataset, _ = toy_world
    world = (table.assign(sex="F"), dataset, None)
    rows, metrics = run(world, task=task, judge=lambda image: 0 * toy.judge(image))
    assert rows["ctr_after"].isna().all() and rows["verdict"].str.contains(UNMEASURED).all()
    _, metrics = run(world, task=task)
    by_ctr = run(world)[1]["clinical"]["ctr"]
    for group in ("up", "down"):
        found = metrics["clinical"]["ctr"][group]
        for name in ("moved_right", "moved_beyond_noise", "gap_closed"):
            assert found[name] is None and found["ci95"][name] == [None, None], name
        assert found["shift_net"] == by_ctr[group]["shift_net"] and found["gap"] == by_ctr[group]["gap"]
        assert found.keys() == by_ctr[group].keys()
        assert metrics["subgroups"]["sex"]["F"][group]["moved_right"] is None
        assert all(call["moved_right"] is None for call in found["calls"].values())


def test_the_ceiling_of_change_is_by_what_the_explainer_aims_at(toy_world: Any) -> None:
    explainer = toy.Faithful(toy.ToyBox())
    rows, metrics = run(toy_world, explainer)
    assert metrics["validity"]["up"]["cv_ceiling"] == 1
    explainer.ends = (0.12, 0.88)
    metrics = run(toy_world, explainer)[1]
    for group, room in (("up", lambda p: 0.88 - p), ("down", lambda p: p - 0.12)):
        asked = extremes(rows, group)
        wanted = (room(asked["p_before"]) > 0.8).groupby(asked["patient_id"]).mean().mean()
        assert 0 < wanted < 1
        assert metrics["validity"][group]["cv_ceiling"] == pytest.approx(wanted)


def test_device_masks_are_the_phantoms_only_where_the_data_are(evaluated: Any, toy_world: Any) -> None:
    assert evaluated[1]["identity"]["fop_by"] == "the phantom's device masks"
    assert run(toy_world)[1]["identity"]["fop_by"] == "the data's device masks"


def test_bad_arguments_are_refused(toy_world: Any) -> None:
    table, dataset, _ = toy_world
    with pytest.raises(ValueError, match="119 rows"):
        run((table.iloc[1:], dataset, None))
    with pytest.raises(ValueError, match="rise from 0 to 1"):
        run(toy_world, settings=replace(QUICK, targets=(0.0, 0.5)))


def test_the_evaluation_reads_as_a_table_of_contents() -> None:
    (function,) = ast.parse(inspect.getsource(evaluate)).body
    assert isinstance(function, ast.FunctionDef) and function.end_lineno is not None
    docstring = function.body[0]
    assert docstring.end_lineno is not None and function.end_lineno - docstring.end_lineno <= 20


def test_the_controls_that_are_wanted_come_in_one_order_and_the_oracle_only_where_there_is_one(
    toy_world: Any,
) -> None:
    _, metrics = run(toy_world, controls=("oracle", "nearest_real", "nothing"))
    drawn = [name for name, section in metrics["controls"].items() if section is not None]
    assert drawn == ["nothing", "nearest_real"]
