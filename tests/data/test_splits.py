"""Patients never cross, whatever is asked for."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from cfx.data.splits import HELD, Splits, check_leaks, patient_hash
from cfx.errors import BadValue, UnknownChoice, WrongLayout

SHARES = {"blackbox": 4.0, "explainer": 4.0, "anatomy": 2.0}


def people(count: int, official: bool = False, seed: int = 0) -> pd.DataFrame:
    """One to twenty images a patient, a finding that goes with the patient."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        split = ("train", "train", "train", "valid", "test")[number % 5] if official else ""
        sick = float(random.random() < 0.1)
        rows += [
            {"image_id": f"{number}_{image}", "patient_id": f"p{number}", "split": split, "Edema": sick}
            for image in range(int(random.integers(1, 20)))
        ]
    return pd.DataFrame(rows)


def by_patient(frame: pd.DataFrame, parts: "pd.Series[str]") -> "pd.Series[int]":
    return parts.groupby(frame["patient_id"]).nunique()


@pytest.mark.parametrize("official", [True, False])
@pytest.mark.parametrize("fold", [None, 0, 4])
@pytest.mark.parametrize("apart", [True, False])
def test_no_patient_is_in_two_parts(official: bool, fold: int | None, apart: bool) -> None:
    frame = people(300, official)
    parts = Splits(apart=apart, shares=SHARES, fold=fold).assign(frame, "Edema")
    assert (by_patient(frame, parts) == 1).all()
    assert set(parts) == {"valid", "test", *(SHARES if apart else ["train"])}


def test_shares_are_met() -> None:
    frame = people(3000)
    parts = Splits(apart=True, shares=SHARES, valid=0.1, test=0.2).assign(frame)
    share = parts.groupby(frame["patient_id"]).first().value_counts(normalize=True)
    assert share["test"] == pytest.approx(0.2, abs=0.03)
    assert share["valid"] == pytest.approx(0.08, abs=0.02)
    assert share["blackbox"] == pytest.approx(0.72 * 0.4, abs=0.03)


def test_official_splits_are_kept() -> None:
    frame = people(100, official=True)
    parts = Splits(apart=True, shares=SHARES).assign(frame)
    assert (parts[frame["split"] == "test"] == "test").all()
    assert (parts[frame["split"] == "valid"] == "valid").all()
    assert parts[frame["split"] == "train"].isin(list(SHARES)).all()


def test_without_a_test_part_the_official_valid_is_it() -> None:
    frame = people(200, official=True)
    frame = frame[frame["split"] != "test"]
    parts = Splits(valid=0.2).assign(frame)
    assert (parts[frame["split"] == "valid"] == "test").all()
    assert set(parts[frame["split"] == "train"]) == {"train", "valid"}


def test_a_patient_keeps_the_part_when_rows_come_and_go() -> None:
    frame = people(100)
    splits = Splits(apart=True, shares=SHARES, seed=3)
    parts = splits.assign(frame)
    fewer = frame[::7].sample(frac=1.0, random_state=1)
    assert splits.assign(fewer).to_dict() == parts[fewer.index].to_dict()
    assert Splits(apart=True, shares=SHARES, seed=4).assign(frame).to_dict() != parts.to_dict()


def test_the_hash_is_the_same_in_every_process() -> None:
    code = "from cfx.data.splits import patient_hash; print(repr(patient_hash('patient00001', 7, 'part')))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(other.stdout) == patient_hash("patient00001", 7, "part")
    values = np.array([patient_hash(f"p{number}", 0) for number in range(2000)])
    assert values.min() >= 0 and values.max() < 1
    assert values.mean() == pytest.approx(0.5, abs=0.03)


def test_folds_partition_the_patients_and_spread_the_positives() -> None:
    frame = people(400)
    tested = []
    positives = []
    for fold in range(5):
        parts = Splits(fold=fold).assign(frame, "Edema")
        tested += sorted(set(frame.loc[parts == "test", "patient_id"]))
        positives.append(int(frame.loc[parts == "test", "Edema"].sum()))
    assert sorted(tested) == sorted(frame["patient_id"].unique())
    assert max(positives) - min(positives) <= 20  # one patient


def test_folds_within_the_training_part_hold_the_test_part_back() -> None:
    frame = people(100, official=True)
    parts = Splits(fold=1, over="train").assign(frame, "Edema")
    assert (parts[frame["split"] == "test"] == HELD).all()
    assert (parts == HELD).sum() == (frame["split"] == "test").sum()


def test_leaks_are_named() -> None:
    frame = pd.DataFrame({"patient_id": ["a", "a", "b"], "split": ["train", "test", "train"]})
    with pytest.raises(WrongLayout, match=r"'a'.*test and in train"):
        check_leaks(frame)
    with pytest.raises(WrongLayout):
        Splits().assign(frame)
    check_leaks(frame[1:])


@pytest.mark.parametrize("split", ["test", "valid"])
@pytest.mark.parametrize("over", [None, "train"])
def test_a_blank_row_follows_its_patient(split: str, over: str | None) -> None:
    """Of 60 patients half the rows are blank: none is decided by a hash while another is official."""
    patients = [f"p{number}" for number in range(60) for _ in range(2)]
    named = ["train", split, "test"] * 20
    frame = pd.DataFrame({"patient_id": patients, "split": [text for name in named for text in ("", name)]})
    splits = Splits(valid=0.5) if over is None else Splits(fold=0, over=over)
    parts = splits.assign(frame)
    assert (by_patient(frame, parts) == 1).all()
    tested = frame["patient_id"].isin(set(frame.loc[frame["split"] == "test", "patient_id"]))
    assert set(parts[tested]) == {"test" if over is None else HELD}


def test_names_and_values_are_checked() -> None:
    assert Splits(apart=False).names("anything") == "train"
    assert Splits(apart=True, shares=SHARES).names("anatomy") == "anatomy"
    with pytest.raises(UnknownChoice, match="explainer"):
        Splits(apart=True, shares=SHARES).names("explaner")
    wrong: list[dict[str, object]] = [
        {"shares": {"a": -1.0}},
        {"shares": {}},
        {"shares": {"test": 1.0}},
        {"valid": 1.0},
        {"test": -0.1},
        {"fold": 5},
        {"fold": 0, "folds": 1},
    ]
    for arguments in wrong:
        with pytest.raises(BadValue):
            Splits(**arguments)  # type: ignore[arg-type]
    with pytest.raises(UnknownChoice):
        Splits(over="trian")
