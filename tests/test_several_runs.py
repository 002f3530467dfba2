"""The studies that set finished runs side by side: the ladder, the loss on and off, the progression over findings."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from cfx.errors import BadValue
from cfx.files import write_json
from cfx.metrics.validity import DOWN, UP
from cfx.runs import Evaluation, Run
from experiments import context_aware, ladder, progression, where


def table(p_after: dict[float, float], p_before: float = 0.1, pictures: int = 3) -> pd.DataFrame:
    """Pictures of one group; the CTR rises with the target, the score of a recess falls."""
    rows = [
        {
            "scp_left_before": 0.9, "scp_right_before": 0.3,
            "image_id": f"i{k}", "patient_id": f"p{k}", "group": UP, "p_before": p_before, "target": target,
            "p_after": reached, "ctr_after": 0.4 + 0.1 * target + 0.01 * k, "scp_left_after": 1 - target,
            "scp_right_after": 1 - target if k else np.nan,
        }
        for k in range(pictures)
        for target, reached in p_after.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def both_groups(p_after: dict[float, float], p_before: float = 0.1) -> pd.DataFrame:
    """The same with as many pictures called positive, which are asked for alike and reach the same."""
    rows = table(p_after, p_before)
    others = {"group": DOWN, "image_id": "d" + rows["image_id"], "patient_id": "d" + rows["patient_id"]}
    return pd.concat([rows, rows.assign(**others)], ignore_index=True)


def side(p: float | None) -> dict[str, Any]:
    return {
        "reach": 1.0, "shift_net": 0.1, "moved_right": 1.0, "effect": 1.0, "n_patients": 30, "p": p,
        "ci95": {"shift_net": [0.05, 0.15]},
    }  # fmt: skip


def evaluated(
    path: Path, rows: pd.DataFrame, task: str = "cardiomegaly", read_by: str = "ctr", p: float = 0.01
) -> Path:
    """A folder as `cfx.evaluate output=` writes it, as far as these studies read it."""
    both = {UP: side(p), DOWN: side(None)}
    evaluation = Evaluation(path)
    path.mkdir(parents=True)
    rows.to_parquet(path / "counterfactuals.parquet", index=False)
    evaluation.write_metrics(
        {
            "task": task, "split": "test", "n_patients": 3, "run": {"commit": "abc", "device": "cpu", "seed": 0},
            "validity": both | {"target_mae": 0.1, "target_mae_worst": 0.2, "monotone": 1.0, "spans": 1.0},
            "clinical": {read_by: both, "angle": None, "read_by": read_by}, "identity": {"fop": 0.9},
        }
    )  # fmt: skip
    return path


def test_a_figure_over_seeds_has_a_t_interval_and_is_null_where_a_seed_has_none() -> None:
    found = ladder.over_seeds([0.1, 0.2, 0.3])
    assert found["mean"] == pytest.approx(0.2)
    half = 4.302653 * 0.1 / np.sqrt(3)  # Student's t of 2 degrees of freedom
    assert found["ci95"] == pytest.approx([0.2 - half, 0.2 + half], abs=1e-5)
    assert ladder.over_seeds([0.1, None])["mean"] is None
    assert ladder.over_seeds([0.1])["ci95"] is None


def test_a_step_is_read_from_runs_or_evaluations_of_the_same_pictures(tmp_path: Path) -> None:
    first = evaluated(tmp_path / "a", both_groups({0.0: 0.1, 1.0: 0.6}))
    second = evaluated(tmp_path / "b", both_groups({0.0: 0.1, 1.0: 0.8}))
    other = evaluated(tmp_path / "c", both_groups({0.0: 0.1, 1.0: 0.8}, p_before=0.15))
    steps = ladder.steps_of([f"published={first},{second}", f"ours={second}"])
    assert [(name, len(them)) for name, them in steps] == [("published", 2), ("ours", 1)]
    curve = ladder.curve(steps[0][1][0].counterfactuals(), UP)
    assert curve == [(0.0, pytest.approx(0.1)), (1.0, pytest.approx(0.6))]
    found = ladder.figures(steps[0], [0.0, 1.0])
    assert found["n"] == 2 and found[UP]["p_after"]["mean"] == pytest.approx(0.7)
    assert found["target_mae"]["seeds"] == pytest.approx([0.25, 0.15])
    assert ladder.figures(steps[0], [1.0])["target_mae"]["seeds"] == pytest.approx([0.4, 0.2])
    third = evaluated(tmp_path / "third", both_groups({0.0: 0.1, 0.5: 0.5, 1.0: 0.8}, p_before=0.1 + 1e-6))
    assert ladder.shared_targets(ladder.steps_of([f"one={first}", f"more={third}"])) == [0.0, 1.0]
    with pytest.raises(BadValue, match="other pictures or black boxes"):
        ladder.steps_of([f"published={first}", f"ours={other}"])
    with pytest.raises(BadValue, match="NAME=RUN"):
        ladder.steps_of([str(first)])


def test_a_measurement_that_moves_with_every_step_follows() -> None:
    rows = table({0.0: 0.1, 0.5: 0.5, 1.0: 0.9})
    assert progression.follows(rows, progression.measured(rows, "ctr"), 1)["mean"] == 1.0
    assert progression.follows(rows, progression.measured(rows, "ctr"), -1)["mean"] == -1.0
    recess = progression.follows(rows, progression.measured(rows, "scp"), -1)
    assert recess["mean"] == 1.0
    assert recess["read"] == pytest.approx(2 / 3)  # a picture whose right recess was not found is not read
    some = progression.measured(rows, "ctr").copy()
    some[::3] = np.nan  # one target of three is not measurable
    assert progression.follows(rows, some, 1)["read"] == 0.0
    assert progression.follows(rows, some, 1, fewest=2)["mean"] == pytest.approx(1.0)
    sides = progression.by_side(rows)
    assert sides["left"]["healthy"]["mean"] == sides["right"]["blunted"]["mean"] == pytest.approx(1.0)
    assert sides["left"]["blunted"] is None and sides["right"]["healthy"] is None
    still = progression.follows(rows, np.full(len(rows), 0.4), 1)
    assert np.isnan(still["mean"]) and still["read"] == 0.0


def test_p_is_corrected_over_all_tasks_and_directions(tmp_path: Path) -> None:
    rows = table({0.0: 0.1, 1.0: 0.9})
    evaluations = [
        Evaluation(evaluated(tmp_path / "a", rows, p=0.01)),
        Evaluation(evaluated(tmp_path / "b", rows, "pleural_effusion", "scp", p=0.04)),
    ]
    found = progression.shifts(evaluations)
    assert [(row["task"], row["measurement"], row["direction"]) for row in found] == [
        ("cardiomegaly", "ctr", UP), ("cardiomegaly", "ctr", DOWN),
        ("pleural_effusion", "scp", UP), ("pleural_effusion", "scp", DOWN),
    ]  # fmt: skip
    assert [row["p_holm"] for row in found] == [pytest.approx(0.02), None, pytest.approx(0.04), None]
    assert all(row["own"] for row in found)
    metrics = evaluations[0].metrics()
    both = {"clinical": {"scp": metrics["clinical"]["ctr"], **metrics["clinical"]}}
    evaluations[0].write_metrics(metrics | both)
    assert [row["own"] for row in progression.shifts(evaluations[:1])] == [False, False, True, True]


def test_only_the_test_patients_are_reported(tmp_path: Path) -> None:
    rows = table({0.0: 0.1, 1.0: 0.9})
    place = Evaluation(evaluated(tmp_path / "a", pd.concat([rows, rows.assign(group=DOWN)])))
    found = progression.task_figures(place)
    assert found[UP]["n_images"] == 3 and found[UP]["measurement"][1]["mean"] == pytest.approx(0.51)
    place.write_metrics(place.metrics() | {"split": "valid"})
    with pytest.raises(BadValue, match="measured on the valid patients"):
        progression.task_figures(place)


def paired(path: Path, kind: str, **loss: float) -> Run:
    run = Run.create(path)
    run.write_config(
        {"model": {"name": "singla2021", "seed": 0}, "loss": {"kind": kind, "cycle": 100.0, **loss}}
    )
    return run


def test_runs_are_paired_where_they_differ_in_the_kind_of_their_loss_alone(tmp_path: Path) -> None:
    aware, plain = paired(tmp_path / "a", "context_aware"), paired(tmp_path / "b", "plain")
    (pair,) = context_aware.pairs_of([plain, aware])
    assert (pair.aware.name, pair.plain.name) == ("a", "b")
    with pytest.raises(BadValue, match="no counterpart"):
        context_aware.pairs_of([aware])
    with pytest.raises(BadValue, match=r"more than loss\.kind"):
        context_aware.pairs_of([aware, paired(tmp_path / "c", "plain", cycle=1.0)])
    with pytest.raises(BadValue, match="the second of its model"):
        context_aware.pairs_of([aware, plain, paired(tmp_path / "d", "plain")])


def test_a_device_counts_for_both_losses_where_either_edited_it(tmp_path: Path) -> None:
    before = np.full((64, 64), 0.4) + 0.01 * np.random.default_rng(0).normal(size=(64, 64))
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[20:28, 20:28] = 255
    bright = np.where(mask > 0, before + 0.3, before)
    cv2.imwrite(str(tmp_path / "devices.png"), mask)
    half = np.where(mask > 0, before + 0.15, before)
    (row,) = context_aware.device_rows(bright, bright, half, tmp_path / "devices.png")
    assert row["contrast_aware"] == pytest.approx(1.0)
    assert row["contrast_plain"] == pytest.approx(0.5, abs=0.05)
    assert row["difference"] == pytest.approx(row["contrast_aware"] - row["contrast_plain"])
    assert (row["kept_aware"], row["kept_plain"]) == (1.0, 0.0)
    (row,) = context_aware.device_rows(bright, half, bright, tmp_path / "devices.png")
    assert row["contrast_aware"] == pytest.approx(0.5, abs=0.05) and row["contrast_plain"] == pytest.approx(
        1.0
    )
    assert context_aware.device_rows(bright, bright, bright, tmp_path / "devices.png") == []


def test_several_seeds_of_one_patient_count_as_one() -> None:
    rows = pd.DataFrame(
        {"patient_id": ["p", "p", "q"], "contrast_aware": [1.0, 0.0, 0.9], "contrast_plain": 0.25}
    )
    rows = rows.assign(difference=rows["contrast_aware"] - 0.25, kept_aware=1.0, kept_plain=0.0)
    found = context_aware.figures(rows)
    assert found["n_patients"] == 2 and found["difference"]["mean"] == pytest.approx(0.45)  # by row 0.38
    assert found["p"] is None  # under twenty patients
    empty = context_aware.figures(rows[:0])
    assert empty["difference"] == {"mean": None, "ci95": None} and empty["n_patients"] == 0


def test_run_folders_of_a_multirun_are_printed_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (10, 9):
        run = Run.create(tmp_path / f"r{number}")
        run.mark_finished()
        (tmp_path / "many" / str(number)).mkdir(parents=True)
        write_json(tmp_path / "many" / str(number) / "run.json", {"run": str(run.path)})
    assert where.main([str(tmp_path / "many")]) == 0
    assert [line.rsplit("/", 1)[1] for line in capsys.readouterr().out.split()] == ["r9", "r10"]
    assert where.main([str(tmp_path / "nothing")]) == where.main([]) == 2


def test_each_study_says_how_it_is_called() -> None:
    assert ladder.main(["singla2021"]) == progression.main(["progression"]) == 2
    assert context_aware.main(["context_aware", "/nowhere"]) == 2
