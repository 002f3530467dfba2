"""The validity curve and the CTR chart compute what they draw by patient, and draw nothing where nothing is."""

import numpy as np
import pandas as pd
import pytest

from cfx.reporting.charts import before_after, ctr_figure, source_bins, validity_curve, validity_figure


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


def test_before_after_takes_the_groups_question_and_skips_the_unmeasured(table: pd.DataFrame) -> None:
    rows = before_after(table)
    up, down = rows[rows["group"] == "up"], rows[rows["group"] == "down"]
    assert (up["after"] > up["before"]).all()
    assert (down["after"] < down["before"]).all()
    assert set(rows["group"]) == {"up", "down"}
    assert len(down) == 19  # one of the twenty patients' images has no CTR


def test_every_word_of_the_ctr_chart_lies_within_it(table: pd.DataFrame) -> None:
    for sides in (["up"], ["up", "down"]):
        figure = ctr_figure(table, sides)
        assert figure is not None
        frame = figure.bbox
        for text in figure.texts:
            box = text.get_window_extent()
            assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0, text.get_text()
        assert figure.texts


def test_figures_are_drawn_and_nothing_is_drawn_from_nothing(table: pd.DataFrame) -> None:
    assert validity_figure(table) is not None
    assert ctr_figure(table) is not None
    assert validity_figure(pd.DataFrame()) is None
    assert ctr_figure(pd.DataFrame()) is None
    assert validity_figure(table[table["target"] == 1.0]) is None
    assert ctr_figure(table.assign(ctr_after=np.nan)) is None


def test_one_direction_alone_makes_one_panel(table: pd.DataFrame) -> None:
    single = ctr_figure(table, ["down"])
    assert single is not None and len(single.axes) == 1
    figure = ctr_figure(table[table["group"] == "up"])
    assert figure is not None
    assert len(figure.axes) == 1
