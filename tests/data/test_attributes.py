"""View, sex and age as labels beside the findings."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cfx.data.attributes import ATTRIBUTES, OLDER_THAN, attribute_labels, with_attributes
from cfx.data.chexpert import CheXpert
from cfx.data.datamodule import ChestXrayDataModule
from cfx.errors import UnknownChoice


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "view": ["AP", "PA", "LATERAL", ""],
            "sex": ["F", "", "M", None],
            "age": [OLDER_THAN, OLDER_THAN + 1, np.nan, 20],
        }
    )


@pytest.mark.parametrize(
    ("column", "wanted"),
    [("view", [1, 0, None, None]), ("sex", [1, None, 0, None]), ("age", [0, 1, None, 0])],
)
def test_what_is_not_known_stays_unknown(column: str, wanted: list[float | None]) -> None:
    found = attribute_labels(table(), ATTRIBUTES[column])
    assert [None if np.isnan(value) else value for value in found] == wanted
    assert np.isnan(attribute_labels(table().drop(columns=column), ATTRIBUTES[column])).all()


def test_only_the_attributes_that_are_wanted_are_added() -> None:
    made = with_attributes(table(), ["Cardiomegaly", ATTRIBUTES["sex"]])
    assert set(made) - set(table()) == {ATTRIBUTES["sex"]}
    assert with_attributes(table(), ["Cardiomegaly"]).equals(table())


def test_the_data_module_gives_them_as_labels_behind_the_findings(chexpert_root: Path) -> None:
    findings = ["Cardiomegaly", *ATTRIBUTES.values()]
    source = CheXpert(chexpert_root)
    module = ChestXrayDataModule(source, size=16, findings=findings, finding="Cardiomegaly", batch_size=8)
    rows = module.table("train")
    labels = module.dataset("train").batch(range(len(rows)))["label"].numpy()
    for place, name in enumerate(ATTRIBUTES.values(), start=1):
        np.testing.assert_array_equal(labels[:, place], attribute_labels(rows, name))
    assert {0.0, 1.0} == set(labels[:, 1])
    plain = ChestXrayDataModule(source, size=16, findings=["Cardiomegaly"], batch_size=8)
    assert plain.dataset("train").batch([0])["label"].shape == (1, 1)
    assert not set(ATTRIBUTES.values()) & set(plain.table("train"))


def test_a_finding_that_is_none_is_still_refused_beside_attributes(chexpert_root: Path) -> None:
    with pytest.raises(UnknownChoice, match="Cardiomegally"):
        ChestXrayDataModule(
            CheXpert(chexpert_root), size=16, findings=["Cardiomegally", ATTRIBUTES["view"]], batch_size=8
        ).setup()
