"""Validity against closed forms, and the class against the functions."""

import numpy as np
import pytest
import torch

from cfx.metrics import validity as v


def test_groups_end_where_the_definition_says() -> None:
    assert v.groups(np.array([0.0, 0.199, 0.2, 0.5, 0.8, 0.801, 1.0])).tolist() == [
        "up", "up", "middle", "middle", "middle", "down", "down",
    ]  # fmt: skip
    assert v.extreme_target("up") == 1.0
    assert v.extreme_target("down") == 0.0
    with pytest.raises(ValueError, match="middle"):
        v.extreme_target("middle")


def test_reach_includes_its_threshold_and_keeps_nan() -> None:
    assert v.reached(np.array([0.8, 0.79]), "up").tolist() == [1, 0]
    assert v.reached(np.array([0.2, 0.21]), "down").tolist() == [1, 0]
    assert np.isnan(v.reached(np.array([np.nan]), "down")).all()


def test_change_is_strict_and_bounded_by_its_ceiling() -> None:
    before, after = np.array([0.05, 0.15, 0.25]), np.array([0.96, 0.95, 0.99])
    assert v.changed(before, after).tolist() == [1, 0, 0]  # 0.15 -> 0.95 is no change above 0.8
    assert v.could_change(before, "up").tolist() == [1, 1, 0]
    assert (v.changed(before, after) <= v.could_change(before, "up")).all()


def test_what_a_method_does_not_aim_at_was_not_possible() -> None:
    before = np.array([0.05, 0.12, 0.95, 0.85, np.nan])
    assert v.could_change(before, "up", ends=(0.1, 0.9))[:2].tolist() == [1, 0]
    assert v.could_change(before, "down", ends=(0.1, 0.9))[2:4].tolist() == [1, 0]
    assert (
        v.could_change(before, "up", tau=0.0, ends=(0.1, 0.9))[2] == 0
    )  # beyond the end already: it stays there
    assert np.isnan(v.could_change(before, "up", ends=(0.1, 0.9))[4])


def test_a_slow_decline_is_no_less_a_fall_than_a_sudden_one() -> None:
    rising = np.linspace(0, 1, 11)
    sudden, slow, flat = rising.copy(), rising.copy(), np.full(11, 0.5)
    sudden[5] = sudden[4] - 0.05
    slow[4:8] = slow[3] - 0.011 * np.arange(1, 5)
    found = v.monotone(np.stack([rising, sudden, slow, flat]))
    assert found[:3].tolist() == [1, 0, 0]
    assert np.isnan(found[3])  # a flat line says nothing
    assert v.deepest_fall(slow[None])[0] == pytest.approx(0.044)
    assert v.spans(flat[None])[0] == 0


def test_bins_include_the_upper_end() -> None:
    assert v.source_bins(np.array([0.0, 0.2, 0.79, 0.8, 1.0])).tolist() == [0, 1, 3, 4, 4]


def test_class_equals_functions_however_batched() -> None:
    generator = np.random.default_rng(0)
    before = generator.random(40)
    targets = np.tile(np.linspace(0, 1, 5), (40, 1))
    after = np.clip(targets + generator.normal(0, 0.1, targets.shape), 0, 1)
    metric = v.Validity(5)
    for rows in (slice(0, 7), slice(7, 31), slice(31, 40)):
        metric.update(*(torch.from_numpy(value[rows]) for value in (before, after, targets)))
    found = {name: float(value) for name, value in metric.compute().items()}
    group = v.groups(before)
    up, down = (
        v.reached(after[group == "up", -1], "up").mean(),
        v.reached(after[group == "down", 0], "down").mean(),
    )
    assert found["reach_up"] == pytest.approx(up)
    assert found["reach"] == pytest.approx(min(up, down))
    assert found["target_mae"] == pytest.approx(np.abs(after - targets).mean())
    assert found["target_mae_worst"] == pytest.approx(np.abs(after - targets).mean(axis=0).max())
    assert found["monotone"] == pytest.approx(np.nanmean(v.monotone(after)))


def test_an_empty_group_is_nan() -> None:
    metric = v.Validity(2)
    metric.update(torch.tensor([0.1]), torch.tensor([[0.1, 0.9]]), torch.tensor([[0.0, 1.0]]))
    found = metric.compute()
    assert torch.isnan(found["reach_down"])
    assert found["reach"] == 1
