"""One run against others by patient: closed-form differences, an independent test, and what must not be compared."""

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cfx.metrics.validity import DOWN, UP
from cfx.reporting.methods import Entry
from cfx.reporting.paired import (
    Comparison,
    Difference,
    compare,
    paired_table,
    read_tables,
    write_paired,
)


def rows(seed: int, reach: float, l1: float, count: int = 60) -> pd.DataFrame:
    """A table of two images a patient, at both ends of the grid."""
    random = np.random.default_rng(seed)
    tables = []
    for group, goal, start in ((UP, 1.0, 0.1), (DOWN, 0.0, 0.9)):
        hit = random.random(count) < reach
        after = np.where(hit, goal, start)
        image = [f"{group}{i}" for i in range(count)]
        patient = [f"{group}{i // 2}" for i in range(count)]
        tables.append(
            pd.DataFrame(
                {
                    "image_id": image, "patient_id": patient, "group": group, "target": goal, "p_before": start,
                    "p_after": after,
                    "p_transfer_before": start, "p_transfer_after": after, "l1_oracle": l1 * (1 + random.random(count)),
                    "l1_nothing": 1.0, "ctr_after": 0.5 + 0.01 * random.random(count), "ctr_oracle": 0.5,
                    "devices_before": 2.0, "devices_kept": np.where(random.random(count) < 0.8, 2.0, 1.0),
                }
            )
        )  # fmt: skip
    middle = tables[0].assign(
        target=0.5, p_after=0.5
    )  # another target of the grid, which no figure here is about
    return pd.concat([*tables, middle], ignore_index=True)


def entry(name: str, **more: Any) -> Entry:
    """An evaluation of one black box, with kernel distances."""
    kid = {
        "kid": 0.02 if name == "ours" else 0.05,
        "n_images": 58 if name == "ours" else 57,
        "n_patients": 30,
    }
    bounds = {"ci95": {"kid": [kid["kid"] - 0.003, kid["kid"] + 0.004]}}
    metrics = {
        "method": name, "task": "cardiomegaly", "data": "phantom", "transfer": {"threshold": 0.5},
        "realism": {UP: kid | bounds, DOWN: kid | bounds},
    }  # fmt: skip
    return Entry(name, metrics | more)


@pytest.fixture
def found() -> dict[tuple[str, str], Difference]:
    """Differences of a good and a bad method, by figure and direction."""
    made = compare([entry("ours"), entry("rival")], [rows(0, 1.0, 0.3), rows(1, 0.5, 0.9)], resamples=300)
    assert made.left_out == ()
    return {(each.figure, each.group): each for each in made.differences}


def test_each_figure_is_made_once_a_direction(found: dict[tuple[str, str], Difference]) -> None:
    names = {"reach", "transfer flip", "l1_ratio", "ctr_mae", "fop", "KID"}
    assert set(found) == {(name, group) for name in names for group in (UP, DOWN)}
    assert found["reach", UP].n_images == 60 and found["reach", UP].n_patients == 30
    assert found["KID", UP].n_images == 57  # the fewer of what either distance is of


def test_the_difference_and_its_test_agree_with_scipy(found: dict[tuple[str, str], Difference]) -> None:
    rival = rows(1, 0.5, 0.9)
    rival = rival[(rival["group"] == UP) & (rival["target"] == 1.0)]
    reach = (rival["p_after"] >= 0.8).astype(float).groupby(rival["patient_id"]).mean()
    one = found["reach", UP]
    assert one.first == 1.0 and one.second == pytest.approx(reach.mean())
    assert one.difference == pytest.approx(1.0 - reach.mean())
    assert one.p == pytest.approx(float(stats.wilcoxon(1.0 - reach).pvalue))
    assert one.p_holm is not None and one.p is not None and one.p_holm >= one.p
    assert one.low is not None and one.high is not None and one.low < one.difference < one.high
    assert one.effect == pytest.approx((1 - reach).mean() / (1 - reach).std(ddof=1))
    assert one.ahead is True


def test_what_the_corrected_test_does_not_show_is_not_claimed(
    found: dict[tuple[str, str], Difference],
) -> None:
    one = replace(found["reach", UP], p_holm=0.049)
    assert one.ahead is True
    assert replace(one, p_holm=0.273).ahead is None and replace(one, p_holm=None).ahead is True


def test_less_is_better_where_it_is_an_error(found: dict[tuple[str, str], Difference]) -> None:
    ratio = found["l1_ratio", DOWN]
    assert ratio.difference is not None and ratio.difference < 0 and ratio.ahead is True
    # a ratio of means has no value a patient to test: by the bootstrap, never 0
    assert ratio.effect is None and ratio.p == pytest.approx(2 / 301) and ratio.p_holm is not None


def test_the_kernel_distances_interval_is_both_runs(found: dict[tuple[str, str], Difference]) -> None:
    distance = found["KID", UP]
    assert distance.difference == pytest.approx(-0.03)
    assert distance.low == pytest.approx(-0.03 - math.hypot(0.003, 0.004))
    assert distance.high == pytest.approx(-0.03 + math.hypot(0.004, 0.003))
    assert distance.ahead is True


def test_a_run_against_itself_shows_no_difference() -> None:
    table = rows(3, 0.7, 0.5)
    made = compare([entry("ours"), entry("ours")], [table, table], resamples=100).differences
    assert made and all(each.difference == 0.0 and each.ahead is None for each in made)
    assert all(each.p in (None, 1.0) for each in made)


def test_only_pictures_that_both_have_are_compared() -> None:
    whole = rows(4, 1.0, 0.3)
    part = whole[whole["patient_id"].isin([f"{UP}{i}" for i in range(12)])]
    made = compare([entry("ours"), entry("rival")], [whole, part], resamples=50).differences
    reach = next(each for each in made if each.figure == "reach")
    assert (reach.n_images, reach.n_patients) == (24, 12)
    assert reach.p is None  # no test of under 20 patients
    assert {each.group for each in made if each.figure != "KID"} == {UP}


def test_another_black_box_is_never_compared() -> None:
    tables = [rows(0, 1.0, 0.3), rows(1, 0.5, 0.9)]
    other = entry("rival", blackbox={"auroc": 0.7, "prior": 0.5})
    made = compare([entry("ours"), other], tables, resamples=10)
    assert made.differences == () and "does not explain the same black box" in made.left_out[0]
    made = compare([entry("ours"), entry("rival")], [tables[0], None], resamples=10)
    assert made.differences == () and "by its numbers alone" in made.left_out[0]
    assert read_tables([entry("ours")]) == [None]


def named(made: Comparison) -> set[str]:
    return {each.figure for each in made.differences}


@pytest.mark.parametrize(("off", "compared"), [(0.9e-4, True), (2e-4, False)])
def test_a_black_box_that_says_something_else_of_one_picture_is_another(off: float, compared: bool) -> None:
    first, second = rows(0, 1.0, 0.3), rows(1, 0.5, 0.9)
    second.loc[second["image_id"] == f"{DOWN}7", "p_before"] += off
    made = compare([entry("ours"), entry("rival")], [first, second], resamples=10)
    assert bool(made.differences) is compared
    if not compared:
        (why,) = made.left_out
        assert "rival is left out: the black box says something else" in why
        assert why in paired_table(made, "ours").text()  # though it has no row


def test_runs_that_share_no_picture_are_not_compared() -> None:
    first, second = rows(0, 1.0, 0.3), rows(1, 0.5, 0.9)
    second["image_id"] = "other " + second["image_id"]
    made = compare([entry("ours"), entry("rival")], [first, second], resamples=10)
    assert made.differences == () and "share no picture" in made.left_out[0]


def test_transfer_needs_the_same_independent_classifier() -> None:
    first, second = rows(0, 1.0, 0.3), rows(1, 0.5, 0.9)
    another = second.assign(p_transfer_before=second["p_transfer_before"] + 0.01)
    ours = entry("ours")
    for rival, table in (
        (entry("rival", transfer={"threshold": 0.4}), second),
        (entry("rival", transfer=None), second),
        (entry("rival"), another),
    ):
        made = compare([ours, rival], [first, table], resamples=10)
        assert named(made) == {"reach", "l1_ratio", "ctr_mae", "fop", "KID"}
        assert made.left_out == (
            "rival: transfer flip is left out, it was not told by the same independent classifier.",
        )
    without = [entry(name, transfer=None) for name in ("ours", "rival")]
    made = compare(without, [first, second], resamples=10)
    assert "transfer flip" not in named(made) and made.left_out == ()


def test_fop_is_of_pictures_whose_devices_both_runs_looked_for() -> None:
    first, second = rows(0, 1.0, 0.3), rows(1, 0.5, 0.9)
    for table in (first, second):
        table.loc[table["image_id"].isin([f"{UP}1", f"{UP}2"]), ["devices_before", "devices_kept"]] = 0.0
        table.loc[table["image_id"].isin([f"{UP}0", f"{UP}3"]), "devices_kept"] = 2.0
    second.loc[second["image_id"] == f"{UP}4", "devices_kept"] = np.nan
    first.loc[first["image_id"] == f"{UP}4", "devices_kept"] = (
        0.0  # of a patient whose other picture both looked at
    )
    made = compare([entry("ours"), entry("rival")], [first, second], resamples=10).differences
    up = next(each for each in made if each.figure == "fop" and each.group == UP)
    assert up.n_images == 57 and up.n_patients == 30
    some = first[(first["group"] == UP) & (first["target"] == 1.0) & (first["devices_before"] > 0)]
    some = some[some["image_id"] != f"{UP}4"]
    sums = some.groupby("patient_id")[["devices_kept", "devices_before"]].sum()
    assert up.first == pytest.approx((sums["devices_kept"] / sums["devices_before"]).mean())


def test_table_and_file_say_who_is_ahead(found: dict[tuple[str, str], Difference], tmp_path: Path) -> None:
    made = list(found.values())
    text = paired_table(Comparison(tuple(made), ("third is left out: why.",)), "ours").text()
    assert "third is left out: why." in text
    assert "rival, up" in text and "better" in text and "<0.001" in text
    with write_paired(tmp_path, made).open() as stream:
        written = list(csv.DictReader(stream))
    assert len(written) == len(made) and float(written[0]["difference"]) == made[0].difference
    assert next(row for row in written if row["figure"] == "l1_ratio")["effect"] == ""
