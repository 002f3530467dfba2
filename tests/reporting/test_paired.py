"""One run against others by patient: closed-form differences, an independent test, and what must not be compared."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cfx.metrics.validity import DOWN, UP
from cfx.reporting.methods import Entry
from cfx.reporting.paired import Difference, differences, paired_table, read_tables, write_paired


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
                    "image_id": image, "patient_id": patient, "group": group, "target": goal, "p_after": after,
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
    kid = {"kid": 0.02 if name == "ours" else 0.05}
    bounds = {"ci95": {"kid": [kid["kid"] - 0.003, kid["kid"] + 0.004]}}
    side = {"n_images": 60, "n_patients": 30}
    metrics = {
        "method": name, "task": "cardiomegaly", "data": "phantom", "transfer": {"threshold": 0.5},
        "realism": {UP: kid | bounds, DOWN: kid | bounds}, "validity": {UP: side, DOWN: side},
    }  # fmt: skip
    return Entry(name, metrics | more)


@pytest.fixture
def found() -> dict[tuple[str, str], Difference]:
    """Differences of a good and a bad method, by figure and direction."""
    made = differences([entry("ours"), entry("rival")], [rows(0, 1.0, 0.3), rows(1, 0.5, 0.9)], resamples=300)
    return {(each.figure, each.group): each for each in made}


def test_each_figure_is_made_once_a_direction(found: dict[tuple[str, str], Difference]) -> None:
    names = {"reach", "transfer", "l1_ratio", "ctr_mae", "fop", "KID"}
    assert set(found) == {(name, group) for name in names for group in (UP, DOWN)}
    assert found["reach", UP].n_images == 60 and found["reach", UP].n_patients == 30


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


def test_less_is_better_where_it_is_an_error(found: dict[tuple[str, str], Difference]) -> None:
    ratio = found["l1_ratio", DOWN]
    assert ratio.difference is not None and ratio.difference < 0 and ratio.ahead is True
    assert ratio.p is None  # a ratio of means has no value a patient to test


def test_the_kernel_distances_interval_is_both_runs(found: dict[tuple[str, str], Difference]) -> None:
    distance = found["KID", UP]
    assert distance.difference == pytest.approx(-0.03)
    assert distance.low == pytest.approx(-0.03 - math.hypot(0.003, 0.004))
    assert distance.high == pytest.approx(-0.03 + math.hypot(0.004, 0.003))
    assert distance.ahead is True


def test_a_run_against_itself_shows_no_difference() -> None:
    table = rows(3, 0.7, 0.5)
    made = differences([entry("ours"), entry("ours")], [table, table], resamples=100)
    assert made and all(each.difference == 0.0 and each.ahead is None for each in made)
    assert all(each.p in (None, 1.0) for each in made)


def test_only_pictures_that_both_have_are_compared() -> None:
    whole = rows(4, 1.0, 0.3)
    part = whole[whole["patient_id"].isin([f"{UP}{i}" for i in range(12)])]
    made = differences([entry("ours"), entry("rival")], [whole, part], resamples=50)
    reach = next(each for each in made if each.figure == "reach")
    assert (reach.n_images, reach.n_patients) == (24, 12)
    assert reach.p is None  # no test of under 20 patients
    assert {each.group for each in made if each.figure != "KID"} == {UP}


def test_another_black_box_is_never_compared() -> None:
    tables = [rows(0, 1.0, 0.3), rows(1, 0.5, 0.9)]
    other = entry("rival", blackbox={"auroc": 0.7, "prior": 0.5})
    assert differences([entry("ours"), other], tables, resamples=10) == []
    assert differences([entry("ours"), entry("rival")], [tables[0], None], resamples=10) == []
    assert read_tables([entry("ours")]) == [None]


def test_table_and_file_say_who_is_ahead(found: dict[tuple[str, str], Difference], tmp_path: Path) -> None:
    made = list(found.values())
    text = paired_table(made, "ours").text()
    assert "rival, up" in text and "better" in text and "<0.001" in text
    with write_paired(tmp_path, made).open() as stream:
        written = list(csv.DictReader(stream))
    assert len(written) == len(made) and float(written[0]["difference"]) == made[0].difference
    assert next(row for row in written if row["figure"] == "l1_ratio")["p"] == ""
