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
    assert curve["half"].iloc[0] == pytest.approx(1.96 * np.std([0.6, 1.0], ddof=1) / np.sqrt(2))


def test_a_curve_is_drawn_and_nothing_is_drawn_from_nothing(table: pd.DataFrame) -> None:
    assert validity_figure(table) is not None
    assert validity_figure(pd.DataFrame()) is None
    assert validity_figure(table[table["target"] == 1.0]) is None
