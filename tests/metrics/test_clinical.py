"""Shifts, gaps and who moved right, in closed form."""

import numpy as np
import pytest
import torch

from cfx.metrics import clinical as c


def test_the_right_way_depends_on_group_and_measurement() -> None:
    assert [c.wanted_sign(group, sign) for group in ("up", "down") for sign in (1, -1)] == [1, -1, -1, 1]
    before, after = np.array([0.5, 0.5, 0.5, np.nan]), np.array([0.56, 0.5, 0.49, 0.6])
    assert c.moved_right(before, after, "up")[:3].tolist() == [1, 0, 0]
    assert c.moved_right(before, after, "down")[:3].tolist() == [0, 0, 1]
    assert c.moved_right(before, after, "down", -1)[:3].tolist() == [1, 0, 0]
    assert np.isnan(c.moved_right(before, after, "up")[3])


def test_without_a_direction_no_way_is_the_right_one() -> None:
    assert np.isnan(c.moved_right(np.zeros(2), np.array([0.1, -0.1]), "up", None)).all()
    metric = c.MeasurementShift(None)
    metric.update(*(torch.tensor(value) for value in ([0.1, 0.9], [0.4, 0.6], [0.4, 0.4], [0.6, 0.6])))
    found = metric.compute()
    assert found["shift_up"] == pytest.approx(0.2) and found["gap"] == pytest.approx(0.2)
    for name in ("gap_closed_up", "gap_closed_down", "moved_right_up", "moved_right_down"):
        assert torch.isnan(found[name])


def test_a_move_within_the_noise_does_not_count() -> None:
    before, after = np.zeros(3), np.array([0.01, 0.02, 0.03])
    assert c.moved_right(before, after, "up", noise=0.02).tolist() == [0, 0, 1]


def test_gap_is_of_the_black_boxes_own_groups() -> None:
    posterior = np.array([0.1, 0.1, 0.5, 0.9, 0.9])
    values = np.array([0.44, np.nan, 0.9, 0.55, 0.57])
    assert c.gap(values, posterior) == pytest.approx(0.12)
    assert np.isnan(c.gap(values[:3], posterior[:3]))


def test_gap_closed_is_one_where_the_groups_are_met_and_nan_without_a_gap() -> None:
    assert c.gap_closed(0.12, 0.12, "up") == c.gap_closed(-0.12, 0.12, "down") == pytest.approx(1)
    # of a measurement that falls with the finding
    assert c.gap_closed(-0.24, -0.12, "up") == pytest.approx(2)
    assert np.isnan(c.gap_closed(0.1, 0.0, "up"))


def test_a_shift_the_wrong_way_closes_no_gap() -> None:
    assert c.gap_closed(-0.06, 0.12, "up") == c.gap_closed(0.06, 0.12, "down") == pytest.approx(-0.5)
    samples = c.gap_closed(np.array([-0.03, 0.03]), np.array([0.12, 0.12]), "up")
    assert samples.tolist() == pytest.approx([-0.25, 0.25])
    metric = c.MeasurementShift()
    metric.update(*(torch.tensor(value) for value in ([0.1, 0.9], [0.4, 0.6], [0.4, 0.7], [0.3, 0.6])))
    found = metric.compute()
    assert [float(found[f"gap_closed_{group}"]) for group in ("up", "down")] == pytest.approx([-0.5, -0.5])


def test_thorax_change_is_relative_and_unsigned() -> None:
    found = c.relative_change(np.array([0.8, 0.8, np.nan, 0.0]), np.array([0.84, 0.76, 0.8, 0.8]))
    assert found[:2] == pytest.approx([0.05, 0.05])
    assert np.isnan(found[2:]).all()


def test_class_equals_functions_however_batched() -> None:
    generator = np.random.default_rng(0)
    p = generator.random(60)
    before = 0.45 + 0.1 * p + generator.normal(0, 0.01, 60)
    low, high = before - 0.1 * p, before + 0.1 * (1 - p)
    high[:3] = np.nan
    metric = c.MeasurementShift()
    for rows in (slice(0, 11), slice(11, 60)):
        metric.update(*(torch.from_numpy(value[rows]) for value in (p, before, low, high)))
    found = {name: float(value) for name, value in metric.compute().items()}
    up, down = p < 0.2, p > 0.8
    assert found["shift_up"] == pytest.approx(np.nanmean(high[up] - before[up]))
    assert found["shift_down"] == pytest.approx((low[down] - before[down]).mean())
    assert found["gap"] == pytest.approx(c.gap(before, p))
    assert found["gap_closed_down"] == pytest.approx(abs(found["shift_down"]) / found["gap"])
    assert found["moved_right_up"] == found["moved_right_down"] == 1
    assert found["not_measurable"] == pytest.approx(np.isnan(high[up]).sum() / (60 + up.sum() + down.sum()))
