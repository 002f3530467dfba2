"""MIMIC-CXR-JPG: three packed tables joined."""

from pathlib import Path

import pandas as pd
import pytest

from cfx.data.mimic_cxr import MimicCxr
from cfx.errors import MissingPath, UnknownChoice, WrongLayout


def test_the_common_table(mimic_root: Path) -> None:
    frame = MimicCxr(mimic_root).frame()
    assert len(frame) == 24
    assert frame["image_id"].is_unique
    assert frame["image_id"][0].startswith("files/p10/p10000032/s50414267/")
    assert all(Path(path).is_file() for path in frame["path"])
    assert frame["patient_id"][0] == "p10000032"
    assert frame["view"].tolist()[:4] == ["AP", "", "PA", "LATERAL"]
    assert frame["split"].value_counts().to_dict() == {"train": 16, "valid": 4, "test": 4}
    assert (frame["sex"] == "").all()
    assert frame["age"].isna().all()


def test_blank_labels_and_studies_without_labels(mimic_root: Path) -> None:
    frame = MimicCxr(mimic_root).frame()
    assert frame.loc[frame["patient_id"] == "p10000037", "Cardiomegaly"].isna().all()  # its study has no row
    others = frame[frame["patient_id"] != "p10000037"]["Cardiomegaly"]
    assert set(others) == {1.0, 0.0, -1.0}
    unknown = MimicCxr(mimic_root, blank="ignore").frame()["Cardiomegaly"]
    assert unknown.isna().sum() == (frame["Cardiomegaly"] == 0.0).sum() + 2


def test_people_are_taken_from_mimic_iv_where_it_lies_there(mimic_root: Path) -> None:
    people = pd.DataFrame({"subject_id": [10000032], "gender": ["F"], "anchor_age": [52]})
    people.to_csv(mimic_root / "patients.csv.gz", index=False)
    frame = MimicCxr(mimic_root).frame()
    assert (frame["sex"][0], frame["age"][0]) == ("F", 52.0)
    assert frame["sex"].tolist()[2:] == [""] * 22


@pytest.mark.parametrize("kind", ["metadata", "chexpert", "split"])
def test_missing_tables_are_named(mimic_root: Path, kind: str) -> None:
    packed = mimic_root / f"mimic-cxr-2.0.0-{kind}.csv.gz"
    pd.read_csv(packed).to_csv(packed.with_suffix(""), index=False)  # an unpacked one does as well
    packed.unlink()
    assert len(MimicCxr(mimic_root).frame()) == 24
    packed.with_suffix("").unlink()
    with pytest.raises(WrongLayout, match=f"mimic-cxr-2.0.0-{kind}.csv.gz"):
        MimicCxr(mimic_root).frame()


def test_other_mistakes(mimic_root: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingPath):
        MimicCxr(tmp_path / "gone").frame()
    with pytest.raises(UnknownChoice):
        MimicCxr(mimic_root, labels="chexbert")
    (mimic_root / "mimic-cxr-2.0.0-split.csv.gz").write_bytes(b"\x1f\x8b broken")
    with pytest.raises(WrongLayout, match="can not be read"):
        MimicCxr(mimic_root).frame()
