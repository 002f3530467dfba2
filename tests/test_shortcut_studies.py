"""The scripts of the shortcut's studies: groups, the gap that a shift is divided by, and bars over seeds."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cfx.cli import compose
from cfx.errors import BadValue
from cfx.files import write_json
from cfx.metrics.statistics import PatientBootstrap
from cfx.runs import Run
from experiments import collect_shortcuts, shortcut_runs


def test_groups_are_by_posterior_where_it_is_sure_and_tenths_where_it_is_not() -> None:
    sure = np.concatenate([np.full(30, 0.05), np.full(40, 0.5), np.full(30, 0.95)])
    found, rule = shortcut_runs.groups_of(sure)
    assert rule == "posterior" and (found == "up").sum() == 30 and (found == "down").sum() == 30
    flat = 0.5 + np.linspace(-0.01, 0.01, 100)
    found, rule = shortcut_runs.groups_of(flat)
    assert rule == "tenths" and (found[:10] == "up").all() and (found[-10:] == "down").all()
    assert (found == "middle").sum() == 80


@pytest.mark.parametrize(("group", "shift"), [("up", 0.06), ("down", -0.06)])
def test_a_shift_half_as_large_as_the_finding_closes_half_its_gap(group: str, shift: float) -> None:
    label = np.repeat([0.0, 1.0], 50)
    everyone = shortcut_runs.Everyone(0.45 + 0.12 * label, label, np.arange(100).astype(str))
    rows = np.arange(20, 60)
    found = shortcut_runs.closed(group, np.full(40, shift), rows, everyone)
    assert found["gap"] == pytest.approx(0.12)
    assert found["mean"] == pytest.approx(0.5) and found["ci95"] == pytest.approx([0.5, 0.5])
    against = shortcut_runs.closed(group, np.full(40, -shift), rows, everyone)
    assert against["mean"] == pytest.approx(-0.5)


def test_patients_are_counted_and_not_their_pictures() -> None:
    boot = PatientBootstrap(np.array(["a", "a", "b", "c"]), 50)
    assert shortcut_runs.with_interval(np.array([1.0, 2.0, 3.0, np.nan]), boot)["n_patients"] == 2


def finished(path: Path, parts: dict[str, float]) -> Run:
    """A run that holds segmenters of these weights."""
    run = Run.create(path)
    run.write_config({"model": {"name": "explainer"}})
    for name, value in parts.items():
        run.part(name).write_weights({"a": torch.full((2,), value)})
    return run


def loaded(run: Run, judge: Any) -> Any:
    return SimpleNamespace(run=run, judge=judge, segmenter=object())


def test_no_run_is_measured_by_the_segmenter_of_its_loss(tmp_path: Path) -> None:
    judge = object()
    fair = finished(tmp_path / "fair", {"segmenter": 1.0, "judge": 2.0})
    assert shortcut_runs.judge_of(loaded(fair, judge)) is judge
    with pytest.raises(BadValue, match="has no evaluation segmenter"):
        shortcut_runs.judge_of(loaded(finished(tmp_path / "none", {"segmenter": 1.0}), None))
    with pytest.raises(BadValue, match="segmenter of its own loss"):
        shortcut_runs.judge_of(loaded(finished(tmp_path / "same", {"segmenter": 1.0, "judge": 1.0}), judge))


def test_figures_that_do_not_say_who_measured_are_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished(tmp_path / "run", {"segmenter": 1.0, "judge": 2.0})
    write_json(shortcut_runs.shortcut_file(run.path), {"up": "old"})
    monkeypatch.setattr(shortcut_runs, "measure", lambda run: {"measured_by": "judge", "up": "new"})
    assert shortcut_runs.measured(run)["up"] == "new"
    monkeypatch.setattr(shortcut_runs, "measure", lambda run: pytest.fail("measured twice"))
    assert shortcut_runs.measured(run)["measured_by"] == "judge"


def test_the_black_box_has_intervals_over_patients() -> None:
    table = pd.DataFrame({"patient_id": [str(k // 2) for k in range(40)]})
    label = np.tile([0.0, 1.0], 20)
    posterior = np.where(label == 1, 0.6, 0.4) + np.linspace(-0.2, 0.2, 40)
    source: Any = SimpleNamespace(oracle=lambda: None)
    found = shortcut_runs.blackbox_section(loaded(Run(Path()), None), source, table, label, posterior)
    low, high = found["ci95"]["auroc"]
    assert low < found["auroc"] < high <= 1


def row(seed: int, strength: float, over: float | None, shift: float = 0.05) -> dict[str, Any]:
    def direction(sign: float) -> dict[str, Any]:
        return {
            "share_over_area": {"mean": over},
            "ctr_shift_net": {"mean": sign * shift},
            "reach": {"mean": 1.0},
            "gap_closed": {"mean": 0.4, "ci95": [0.3, 0.5]},
        }

    case = {"by": "marker", "loss": collect_shortcuts.FREE, "strength": strength, "seed": seed}
    return {**case, "up": direction(1.0), "down": direction(-1.0)}


def test_bars_are_the_extremes_over_seeds_and_null_where_one_is_missing() -> None:
    rows = [row(0, 1.0, 9.0), row(1, 1.0, 7.0, shift=-0.01), row(0, 0.0, 1.0), row(1, 0.0, None)]
    found = collect_shortcuts.bars(rows)["marker"][collect_shortcuts.FREE]
    assert found["100"]["up"]["share_over_area"] == {"least": 7.0, "mean": 8.0, "most": 9.0, "n": 2}
    assert found["100"]["down"]["ctr_shift_net"]["least"] == pytest.approx(
        -0.01
    )  # against what was asked for
    assert found["0"]["up"]["share_over_area"] == {"least": None, "mean": None, "most": None, "n": 1}
    assert found["0"]["up"]["gap_closed_ci95"]["most"] == 0.5
    assert len(collect_shortcuts.draw(rows).axes) == 4


def test_steps_are_between_neighbouring_strengths() -> None:
    rows = [
        row(0, s, over, shift)
        for s, over, shift in ((1.0, 9, 0.01), (0.0, 1, 0.08), (0.75, 2, 0.04), (0.5, 3, 0.06))
    ]
    steps = collect_shortcuts.bars(rows)["marker"][collect_shortcuts.FREE]["steps"]
    assert steps["up"]["share_over_area"] == {"least": -1, "most": 7, "n": 4}
    assert steps["down"]["ctr_shift_net"]["most"] == pytest.approx(-0.02)
    assert (
        collect_shortcuts.bars(rows[:1])["marker"][collect_shortcuts.FREE]["steps"]["up"]["share_over_area"][
            "least"
        ]
        is None
    )


@pytest.mark.parametrize("loss", ["no_devices", "context_aware"])
def test_the_study_says_itself_over_what_it_runs_and_shares_its_parts(loss: str) -> None:
    made = compose("train", ["experiment=planted_shortcut", f"loss={loss}", "seed=3"])
    assert made.loss.device_weight == (0.0 if loss == "no_devices" else 1.0)
    assert made.anatomy.data.source.seed == 1000 and made.data.source.seed == 3
    assert made.anatomy.data.source.shortcut.strength == 0
    randomised = compose("train", ["experiment=randomisation"])
    assert randomised.data.source.shuffle_labels and randomised.data.source.shortcut is None
