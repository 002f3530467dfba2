"""Validity and clinical sections on tables whose figures are known."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cfx.evaluation.rows import finish
from cfx.evaluation.sections import clinical_section

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
