"""The chart before against after: of what the task is read by, by side where it has sides, and the CTR beside it."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cfx.reporting.before_after import before_after, before_after_figure, charted


def texts(figure: Figure) -> list[str]:
    """Every word of a figure, those of its panels too."""
    inside = [text for axes in figure.axes for text in axes.texts]
    return [text.get_text() for text in [*figure.texts, *inside]]


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_it_takes_the_groups_question_and_skips_the_unmeasured(table: pd.DataFrame) -> None:
    rows = before_after(table)
    up, down = rows[rows["group"] == "up"], rows[rows["group"] == "down"]
    assert (up["after"] > up["before"]).all()
    assert (down["after"] < down["before"]).all()
    assert set(rows["group"]) == {"up", "down"}
    assert len(down) == 19  # one of the twenty patients' images has no CTR


def test_pictures_of_one_patient_count_once() -> None:
    table = pd.DataFrame({"patient_id": ["a", "a", "b"], "group": "up", "target": 1.0})
    table = table.assign(haze_before=[0.4, 0.6, 0.5], haze_after=[0.5, 0.7, 0.9])
    assert before_after(table, "haze")["after"].tolist() == pytest.approx([0.6, 0.9])


def test_the_interval_is_of_the_change_over_patients_and_one_patient_has_none() -> None:
    change = np.random.default_rng(0).normal(0.2, 0.1, 60)
    table = pd.DataFrame(
        {"patient_id": np.arange(60).astype(str), "group": "up", "target": 1.0, "ctr_before": 0.4}
    )
    figure = before_after_figure(table.assign(ctr_after=0.4 + change), "ctr", 0.027)
    assert figure is not None
    said = next(text for text in texts(figure) if text.startswith("mean"))
    low, high = (float(each) for each in said.partition("[")[2].partition("]")[0].split(","))
    half = 1.96 * change.std(ddof=1) / np.sqrt(60)
    assert (low, high) == pytest.approx((change.mean() - half, change.mean() + half), abs=0.004)
    alone = before_after_figure(table.head(1).assign(ctr_after=0.5), "ctr", 0.027)
    assert alone is not None and "by +0.100\n" in next(
        text for text in texts(alone) if text.startswith("mean")
    )


@pytest.mark.parametrize("sides", [["up"], ["up", "down"]])
@pytest.mark.parametrize(("name", "floor"), [("ctr", 0.027), ("scp", 0.09), ("haze", 0.0)])
def test_every_word_lies_within_the_chart(
    recess: pd.DataFrame, name: str, floor: float, sides: list[str]
) -> None:
    figure = before_after_figure(recess, name, floor, sides)
    assert figure is not None and figure.texts
    frame = figure.bbox
    for axes in figure.axes:
        for text in (*figure.texts, *axes.texts, axes.title, axes._left_title):  # type: ignore[attr-defined]
            box = text.get_window_extent()
            assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0, text.get_text()
            assert box.y1 <= frame.y1, text.get_text()


def test_the_recess_is_charted_by_side_with_what_could_not_be_measured(recess: pd.DataFrame) -> None:
    figure = before_after_figure(recess, "scp", 0.09)
    assert figure is not None
    assert titles(figure) == [
        "asked for 1.0, patient's right  (n=18 patients)",
        "asked for 0.0, patient's right  (n=20 patients)",
        "asked for 1.0, patient's left  (n=20 patients)",
        "asked for 0.0, patient's left  (n=20 patients)",
    ]
    said = texts(figure)
    right, left = (
        next(text for text in said if text.startswith(start)) for start in ("mean 0.8", "mean 0.7")
    )
    assert (
        "mean 0.800 → 0.300, by -0.500\n" in right  # of under 20 patients no interval
        and "not measured: 2 of 20" in right
        and "smaller 100%" in right
    )
    assert "[+0.000, +0.000]" in left and "larger 0%, smaller 0%" in left and "measured" not in left
    assert any("±0.09" in text for text in said)
    assert {axes.get_xlabel() for axes in figure.axes} == {"SCP of the original"}
    alone = before_after_figure(recess, "scp", 0.09, ["up"], ["scp_left"])
    assert alone is not None and titles(alone) == [titles(figure)[2]]
    assert alone.axes[0].get_xlim() == figure.axes[0].get_xlim()  # panels drawn apart can be compared


def test_without_a_floor_there_is_no_band(recess: pd.DataFrame) -> None:
    bare, banded = before_after_figure(recess, "haze", 0.0), before_after_figure(recess, "haze", 0.02)
    assert bare is not None and banded is not None
    assert len(banded.axes[0].collections) == len(bare.axes[0].collections) + 1
    assert not any("band" in text for text in texts(bare)) and any(
        "band: larger" in text for text in texts(banded)
    )


def test_nothing_is_drawn_from_nothing(table: pd.DataFrame) -> None:
    assert before_after_figure(table, "ctr", 0.027) is not None
    assert before_after_figure(pd.DataFrame(), "ctr", 0.027) is None
    assert before_after_figure(table.assign(ctr_after=np.nan), "ctr", 0.027) is None
    assert before_after_figure(table, "scp", 0.027) is None
    assert before_after_figure(table, "angle", 0.0) is None


def test_one_direction_alone_makes_one_panel(table: pd.DataFrame) -> None:
    single = before_after_figure(table, "ctr", 0.027, ["down"])
    assert single is not None and len(single.axes) == 1
    figure = before_after_figure(table[table["group"] == "up"], "ctr", 0.027)
    assert figure is not None and len(figure.axes) == 1


def test_what_the_task_is_read_by_comes_first_and_the_ctr_beside_it() -> None:
    made = {"ctr": {"up": {}}, "scp": {"up": {}}}
    assert charted({"clinical": {**made, "read_by": "scp"}}) == ["scp", "ctr"]
    assert charted({"clinical": {**made, "read_by": "ctr"}}) == charted({}) == ["ctr"]
    assert charted({"clinical": {"ctr": {"up": 1}, "scp": None, "read_by": None}}) == ["ctr"]
    assert charted({"clinical": dict.fromkeys(("ctr", "scp", "haze", "read_by"))}) == []
