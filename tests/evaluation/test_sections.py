"""Validity and clinical sections on tables whose figures are known."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cfx.evaluation.rows import finish
from cfx.evaluation.sections import clinical_section, validity_section
from cfx.metrics.statistics import PatientBootstrap, interval

COUNT = 60


def measured(up: Any, down: Any, repeat_error: float = 0.01) -> dict[str, Any]:
    """The clinical section of 60 patients, half at CTR .44 (p .1), half at .56 (p .9), moved by `up` and by `down`."""
    low = np.arange(COUNT) < COUNT // 2
    ctr = np.where(low, 0.44, 0.56)
    table: dict[str, Any] = {
        "image_id": [f"v{i}" for i in range(COUNT)],
        "patient_id": [f"p{i}" for i in range(COUNT)],
        "group": np.where(low, "up", "down"),
        "p_before": np.where(low, 0.1, 0.9),
        "p_after": np.where(low, 0.9, 0.1),
        "target": np.where(low, 1.0, 0.0),
        "ctr_before": ctr,
        "ctr_net_before": ctr,
        "ctr_after": ctr + np.where(low, up, down),
    }
    rows: pd.DataFrame = finish(table)
    return clinical_section(
        rows, rows, direction=1, repeat_error=repeat_error, oracle=None, resamples=300, seed=0
    )


def test_shifts_the_wrong_way_close_no_gap() -> None:
    section = measured(up=-0.06, down=0.03)
    assert section["up"]["gap_closed"] == pytest.approx(-0.5)
    assert section["down"]["gap_closed"] == pytest.approx(-0.25)


def test_shifts_without_a_direction_have_an_interval_around_zero() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, COUNT)
    for group in ("up", "down"):
        low, high = measured(noise, noise)[group]["ci95"]["gap_closed"]
        assert low < 0 < high


def test_nothing_is_beyond_a_noise_that_nobody_knows() -> None:
    known, unknown = (measured(0.05, -0.05, error)["up"] for error in (0.01, float("nan")))
    assert known["moved_beyond_noise"] == known["moved_right"] == unknown["moved_right"] == 1
    assert np.isnan([unknown["moved_beyond_noise"], *unknown["ci95"]["moved_beyond_noise"]]).all()


def test_each_resample_has_its_own_worst_target() -> None:
    targets = np.array([0.0, 0.5, 1.0])
    error = np.abs(np.random.default_rng(0).normal(0, 0.1, (COUNT, 3)))
    names = np.array([f"p{i}" for i in range(COUNT)])
    table = {
        "image_id": np.repeat(names, 3), "patient_id": np.repeat(names, 3), "group": np.full(3 * COUNT, "middle"),
        "p_before": np.full(3 * COUNT, 0.5), "target": np.tile(targets, COUNT),
        "p_after": (targets + error * [1, 1, -1]).reshape(-1),
    }  # fmt: skip
    section = validity_section(finish(table), targets, 400, 0)
    assert section["target_mae_worst"] == pytest.approx(error.mean(axis=0).max())
    boot = PatientBootstrap(names, 400, 0)
    samples = np.stack([boot.mean(error[:, k])[1] for k in range(3)])
    low, high = section["ci95"]["target_mae_worst"]
    assert (low, high) == pytest.approx(interval(samples.max(axis=0)))
    assert low > interval(samples[error.mean(axis=0).argmax()])[0]
