"""Uncertain labels and findings that are not there."""

import numpy as np
import pandas as pd
import pytest

from cfx.data.labels import apply_policy, check_findings, check_positives, label_columns
from cfx.errors import BadValue, TooFewPositives, UnknownChoice

FRAME = pd.DataFrame(
    {
        "image_id": list("abcd"),
        "age": [1.0, 0.0, 1.0, 0.0],
        "ctr": [0.1, 0.5, 0.5, 0.4],
        "Cardiomegaly": [1.0, 0.0, -1.0, np.nan],
        "Edema": [0.0, 0.0, -1.0, 0.0],
    }
)


def test_label_columns_are_told_from_others() -> None:
    assert label_columns(FRAME) == ["Cardiomegaly", "Edema"]


def test_policies_hold_a_finding_at_a_time() -> None:
    ones_zeros = apply_policy(FRAME, ["Cardiomegaly", "Edema"], {"Cardiomegaly": "ones", "Edema": "zeros"})
    assert ones_zeros["Cardiomegaly"].tolist()[:3] == [1.0, 0.0, 1.0]
    assert ones_zeros["Edema"].tolist() == [0.0, 0.0, 0.0, 0.0]
    ignored = apply_policy(FRAME, ["Cardiomegaly"], "ignore")
    assert ignored["Cardiomegaly"].isna().tolist() == [False, False, True, True]
    default = apply_policy(FRAME, ["Cardiomegaly", "Edema"], {"default": "zeros", "Cardiomegaly": "ignore"})
    assert np.isnan(default["Cardiomegaly"][2])
    assert default["Edema"][2] == 0.0
    assert FRAME["Cardiomegaly"][2] == -1.0  # the table given is left alone


def test_a_missing_column_is_unknown() -> None:
    assert apply_policy(FRAME[["image_id"]], ["Cardiomegaly"])["Cardiomegaly"].isna().all()


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownChoice, match="Cardiomegaly"):
        check_findings(FRAME, ["Cardiomegally"])
    with pytest.raises(UnknownChoice, match="ones"):
        apply_policy(FRAME, ["Edema"], "one")
    with pytest.raises(UnknownChoice, match="did you mean 'Edema'"):
        apply_policy(FRAME, ["Edema"], {"Edma": "ones"})
    apply_policy(FRAME, ["Edema"], {"Cardiomegaly": "ones"})  # not asked for, but the data set has it
    with pytest.raises(BadValue, match="1, 0, -1"):
        apply_policy(FRAME.assign(Edema=[0.0, 2.0, 0.0, 0.0]), ["Edema"])
    check_findings(
        FRAME[["image_id", "age"]], ["Anything"]
    )  # no labels at all: only a black box is explained


def test_a_finding_nobody_has_is_refused() -> None:
    clean = apply_policy(FRAME, ["Edema", "Cardiomegaly"], "ignore")
    with pytest.raises(TooFewPositives, match="Edema"):
        check_positives(clean, ["Cardiomegaly", "Edema"], "the training part")
    check_positives(clean.assign(Edema=np.nan), ["Edema"], "the training part")
