"""The scripts of the shortcut's studies: groups, the gap that a shift is divided by, and bars over seeds."""

import shutil
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
from experiments import collect_shortcuts, criteria, shortcut_runs
from experiments.shortcut_bars import FREE, PROTECTED, bars


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


def row(seed: int, strength: float, over: float | None, shift: float = 0.05, **other: Any) -> dict[str, Any]:
    """A run's figures; `over` downwards is `over_down`, every interval 0.5 (of the shift 0.01) to either side."""

    def direction(sign: float, over: float | None) -> dict[str, Any]:
        return {
            "share_over_area": {"mean": over, "ci95": None if over is None else [over - 0.5, over + 0.5]},
            "ctr_shift_net": {"mean": sign * shift, "ci95": [sign * shift - 0.01, sign * shift + 0.02]},
            "reach": {"mean": 1.0, "ci95": [0.9, 1.0]},
            "gap_closed": {"mean": 0.4, "ci95": [0.3, 0.5]},
        }

    down = direction(-1.0, other.pop("over_down", over))
    case = {"by": "marker", "loss": FREE, "strength": strength, "seed": seed, "groups": "posterior"}
    return {**case, "shuffled": False, "up": direction(1.0, over), "down": down, **other}


def arm(rows: list[dict[str, Any]], loss: str = FREE) -> dict[str, Any]:
    found: dict[str, Any] = bars(rows)["marker"][loss]
    return found


def test_bars_are_the_extremes_over_seeds_and_null_where_one_is_missing() -> None:
    rows = [row(0, 1.0, 9.0), row(1, 1.0, 7.0, shift=-0.01), row(0, 0.0, 1.0), row(1, 0.0, None)]
    found = arm(rows)
    assert found["100"]["up"]["share_over_area"] == {"least": 7.0, "mean": 8.0, "most": 9.0, "n": 2}
    assert found["0"]["up"]["share_over_area"] == {"least": None, "mean": None, "most": None, "n": 1}
    assert found["0"]["up"]["share_over_area_ci95"] == {"least": None, "most": None, "n": 1}
    assert found["0"]["up"]["gap_closed_ci95"]["most"] == 0.5
    assert found["100"]["seed"]["least"] == 0 and found["100"]["seed"]["most"] == 1
    assert len(collect_shortcuts.draw(rows).axes) == 4


def test_two_runs_of_one_case_and_seed_are_refused() -> None:
    bars([row(0, 1.0, 9.0), row(0, 1.0, 9.0, loss=PROTECTED), row(0, 1.0, 9.0, by="pacemaker")])
    with pytest.raises(BadValue, match="marker devices_free 100 seed 0': is there twice"):
        bars([row(0, 1.0, 9.0), row(1, 1.0, 9.0), row(0, 1.0, 8.0)])


def test_the_pessimistic_end_and_the_lesser_direction_stand_beside_the_means() -> None:
    found = arm([row(0, 1.0, 9.0, over_down=3.4), row(1, 1.0, 4.0, over_down=8.0)])["100"]
    assert found["up"]["share_over_area_ci95"] == {"least": 3.5, "most": 9.5, "n": 2}
    assert found["up"]["reach_ci95"]["least"] == 0.9
    assert found["lesser"]["share_over_area"] == {"least": 3.4, "mean": 3.7, "most": 4.0, "n": 2}
    assert found["lesser"]["share_over_area_ci95"] == pytest.approx({"least": 2.9, "most": 4.5, "n": 2})
    one = arm([row(0, 1.0, 9.0, over_down=None)])["100"]["lesser"]
    assert one["share_over_area"]["least"] is None and one["share_over_area_ci95"]["n"] == 0


def test_the_shift_is_signed_in_the_direction_asked_for() -> None:
    found = arm([row(0, 1.0, 9.0, shift=0.05), row(1, 1.0, 9.0, shift=-0.03)])["100"]
    for group, low, high in (("up", -0.04, 0.07), ("down", -0.05, 0.06)):
        assert found[group]["ctr_shift_net"]["least"] == pytest.approx(-0.03)
        assert found[group]["ctr_shift_net"]["most"] == pytest.approx(0.05)
        assert found[group]["ctr_shift_net_ci95"] == pytest.approx({"least": low, "most": high, "n": 2})


def test_tenths_count_where_labels_were_shuffled_and_nowhere_else() -> None:
    shuffled = arm([row(0, 1.0, 9.0, groups="tenths", shuffled=True)])["100"]["up"]
    assert shuffled["gap_closed_ci95"] == {"least": 0.3, "most": 0.5, "n": 1}
    void = arm([row(0, 1.0, 9.0, groups="tenths")])["100"]
    assert void["up"]["gap_closed_ci95"]["n"] == void["lesser"]["share_over_area"]["n"] == 0


def test_a_rise_is_from_no_strength_to_full_strength_on_each_seed() -> None:
    rows = [row(0, 0.0, 0.2), row(0, 1.0, 0.7), row(1, 0.0, 1.0), row(1, 1.0, 0.4), row(1, 0.5, 50.0)]
    rise = arm(rows)["rise"]["down"]["share_over_area"]
    assert rise == {
        "least": pytest.approx(-0.6),
        "mean": pytest.approx(-0.05),
        "most": pytest.approx(0.5),
        "n": 2,
    }
    assert arm([*rows, row(2, 1.0, 0.4)])["rise"]["down"]["share_over_area"]["most"] is None


@pytest.mark.parametrize(
    ("case", "change"),
    [
        ({"strength": 1.0, "loss": FREE}, {"over": 3.2}),  # its mean is over the rule, its interval is not
        ({"strength": 0.0, "loss": FREE}, {"over": 2.8}),
        ({"strength": 1.0, "loss": PROTECTED}, {"over_down": 1.5}),  # under the rule, and risen
        ({"strength": 1.0, "loss": FREE}, {"groups": "tenths"}),
        ({"strength": 1.0, "loss": FREE}, {"shift": -0.02}),  # fallen, and beyond none
    ],
)
def test_one_run_that_misses_its_bar_is_seen(
    repository: Path, tmp_path: Path, case: dict[str, Any], change: dict[str, Any]
) -> None:
    assert verdict(repository, tmp_path, full()) == 0
    rows = full()
    place = next(k for k, each in enumerate(rows) if case.items() <= each.items())
    old = rows[place]
    known = {key: old[key] for key in ("by", "loss")} | {"over": old["up"]["share_over_area"]["mean"]}
    rows[place] = row(old["seed"], old["strength"], **(known | {"shift": 0.02} | change))
    assert verdict(repository, tmp_path / "again", rows) == 1


def test_runs_of_shuffled_labels_do_not_fill_in_for_others() -> None:
    with pytest.raises(BadValue, match="shuffled"):
        bars([row(0, 1.0, 9.0), row(1, 1.0, 9.0, shuffled=True)])


def full() -> list[dict[str, Any]]:
    """Every run of the planted shortcut, as predicted."""
    strengths = {0.0: (0.2, 0.08), 0.5: (4.0, 0.06), 0.75: (6.0, 0.04), 1.0: (9.0, 0.02)}
    return [
        row(seed, strength, over if loss == FREE else 0.2, shift, by=by, loss=loss)
        for by in ("marker", "pacemaker")
        for loss in (FREE, PROTECTED)
        for strength, (over, shift) in strengths.items()
        for seed in range(5)
    ]


def verdict(repository: Path, place: Path, rows: list[dict[str, Any]]) -> int:
    """Exit code of the study's own bars on these runs."""
    study = place / "planted_shortcut"
    study.mkdir(parents=True)
    shutil.copy(repository / "experiments/planted_shortcut/criteria.yaml", study)
    write_json(study / "metrics.json", {"bars": bars(rows)})
    return criteria.main(["planted_shortcut"], place)


@pytest.mark.parametrize(
    "without",
    [
        {"seed": 4, "strength": 0.5, "by": "pacemaker", "loss": PROTECTED},
        {"seed": 0, "strength": 0.0, "by": "marker", "loss": FREE},
        {"strength": 0.75},
        {"seed": 2},
        {"loss": PROTECTED},
        {"by": "pacemaker"},
    ],
)
def test_a_study_that_leaves_runs_out_falls_short(
    repository: Path, tmp_path: Path, without: dict[str, Any]
) -> None:
    rows = [each for each in full() if not without.items() <= each.items()]
    assert len(rows) < len(full()) and verdict(repository, tmp_path, rows) == 1
    other = [{**each, "seed": 100} if each["seed"] == 4 else each for each in full()]  # which set the bound
    assert verdict(repository, tmp_path / "other", other) == 1


def test_a_run_named_twice_counts_once(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", {})
    (tmp_path / "multirun" / "0").mkdir(parents=True)
    write_json(tmp_path / "multirun" / "0" / "run.json", {"run": str(run.path)})
    (tmp_path / "again").symlink_to(run.path)
    places = [tmp_path / "multirun", run.path, tmp_path / "again", tmp_path / "multirun" / ".." / "run"]
    assert [each.path for each in shortcut_runs.runs_of(places)] == [run.path.resolve()]


def test_steps_are_between_neighbouring_strengths_of_the_same_seeds() -> None:
    rows = [
        row(0, s, over, shift)
        for s, over, shift in ((1.0, 9, 0.01), (0.0, 1, 0.08), (0.75, 2, 0.04), (0.5, 3, 0.06))
    ]
    steps = arm(rows)["steps"]
    assert steps["up"]["share_over_area"] == {"least": -1, "most": 7, "n": 4}
    assert steps["down"]["ctr_shift_net"]["most"] == pytest.approx(-0.02)
    assert arm(rows[:1])["steps"]["up"]["share_over_area"]["least"] is None
    other = [*rows, row(1, 1.0, 99.0)]  # a seed that only one strength has moves its mean alone
    assert arm(other)["steps"]["up"]["share_over_area"] == {"least": None, "most": None, "n": 0}


@pytest.mark.parametrize("loss", ["no_devices", "context_aware"])
def test_the_study_says_itself_over_what_it_runs_and_shares_its_parts(loss: str) -> None:
    made = compose("train", ["experiment=planted_shortcut", f"loss={loss}", "seed=3"])
    assert made.loss.device_weight == (0.0 if loss == "no_devices" else 1.0)
    assert made.anatomy.data.source.seed == 1000 and made.data.source.seed == 3
    assert made.anatomy.data.source.shortcut.strength == 0
    randomised = compose("train", ["experiment=randomisation"])
    assert randomised.data.source.shuffle_labels and randomised.data.source.shortcut is None


def test_a_case_measured_again_takes_the_place_of_the_frozen_one_and_others_stay() -> None:
    frozen = [
        {"by": "marker", "loss": FREE, "strength": strength, "shuffled": False, "seed": seed, "commit": "old"}
        for strength, seed in ((0.0, 0), (0.0, 1), (1.0, 0))
    ]
    new = [{**frozen[1], "commit": "new"}, {**frozen[0], "seed": 2, "commit": "new"}]
    assert collect_shortcuts.frozen_beside(new, frozen) == [frozen[0], frozen[2]]
    assert collect_shortcuts.frozen_beside([], frozen) == frozen
