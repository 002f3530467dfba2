"""The validity curve computes what it draws by patient, and draws nothing where nothing is."""

import numpy as np
import pandas as pd
import pytest

from cfx.reporting.charts import source_bins, validity_curve, validity_figure


def test_source_bins_close_at_one() -> None:
    assert source_bins(pd.Series([0.0, 0.19, 0.2, 0.5, 0.8, 1.0])).tolist() == [0, 0, 1, 2, 4, 4]


def test_curve_averages_within_patients_first() -> None:
    table = pd.DataFrame(
        {
            "patient_id": ["a", "a", "a", "b"],
            "p_before": [0.1] * 4,
            "target": [1.0] * 4,
            "p_after": [0.6, 0.6, 0.6, 1.0],
        }
    )
    curve = validity_curve(table)
    # By image the mean would be 0.7.
    assert curve["mean"].tolist() == pytest.approx([0.8])
    assert curve["n_patients"].tolist() == [2]
    assert np.isnan(curve[["low", "high"]].to_numpy()).all()  # two patients have no interval


def test_the_interval_is_that_of_the_mean_over_patients() -> None:
    values = np.random.default_rng(0).uniform(0.5, 0.9, 100)
    twice = pd.DataFrame(
        {
            "patient_id": np.repeat([f"p{k}" for k in range(100)], 2),
            "p_before": 0.1,
            "target": 1.0,
            "p_after": np.repeat(values, 2),
        }
    )
    curve = validity_curve(twice)
    half = 1.96 * np.std(values, ddof=1) / 10  # of 100 patients, not of 200 pictures
    assert curve["n_patients"].tolist() == [100]
    assert float(curve["high"].iloc[0] - curve["mean"].iloc[0]) == pytest.approx(half, rel=0.1)
    assert float(curve["mean"].iloc[0] - curve["low"].iloc[0]) == pytest.approx(half, rel=0.1)


def test_a_curve_is_drawn_and_nothing_is_drawn_from_nothing(table: pd.DataFrame) -> None:
    assert validity_figure(table) is not None
    assert validity_figure(pd.DataFrame()) is None
    assert validity_figure(table[table["target"] == 1.0]) is None
