"""A folder with a table of anybody's own columns."""

from pathlib import Path

import pandas as pd
import pytest

from cfx.data.labels import label_columns
from cfx.data.table import Table
from cfx.errors import MissingPath, WrongLayout


def test_columns_named_and_found(table_root: Path) -> None:
    frame = Table(table_root, patient="who", labels={"big heart": "Cardiomegaly"}).frame()
    assert frame["image_id"][1] == "png/1.png"
    assert all(Path(path).is_file() for path in frame["path"])
    assert frame["patient_id"].tolist()[:3] == ["000", "000", "001"]  # texts, with their zeros
    assert set(frame["view"]) == {"PA"}
    assert set(frame["sex"]) == {"F"}
    assert frame["age"].isna().all()
    assert set(frame["split"]) == {""}
    assert frame["Cardiomegaly"].tolist()[:2] == [1.0, 0.0]


def test_without_labels_and_patients(table_root: Path) -> None:
    frame = Table(table_root).frame()
    assert label_columns(frame) == []
    assert frame["patient_id"].tolist() == frame["image_id"].tolist()


def test_studies_are_found_named_or_not_known(table_root: Path) -> None:
    assert set(Table(table_root, patient="who").frame()["study_id"]) == {""}
    table = pd.read_csv(table_root / "table.csv", dtype=str)
    accession = [f"00{number // 3}" for number in range(11)] + [None]
    for name in ("study_id", "Study", "Accession"):
        table.assign(**{name: accession}).to_csv(table_root / "more.csv", index=False)
        found = Table(table_root, table="more.csv", study=name).frame()["study_id"].tolist()
        assert found == [*accession[:11], ""]  # texts, with their zeros
        assert Table(table_root, table="more.csv").frame()["study_id"].nunique() == 5
    with pytest.raises(WrongLayout, match=r"data\.source\.study"):
        Table(table_root, study="visit").frame()


@pytest.mark.parametrize("name", ["t.csv.gz", "t.tsv", "t.parquet"])
def test_other_formats_and_known_findings(table_root: Path, name: str) -> None:
    table = pd.read_csv(table_root / "table.csv").assign(Edema=1, subset="validation")
    table["Pleural Effusion"] = 0
    if name.endswith("parquet"):
        table.to_parquet(table_root / name)
    else:
        table.to_csv(table_root / name, index=False, sep="\t" if ".tsv" in name else ",")
    frame = Table(table_root, table=name).frame()
    assert sorted(label_columns(frame)) == ["Edema", "Pleural Effusion"]
    assert set(frame["split"]) == {"valid"}
    assert label_columns(Table(table_root, table=name, labels=[]).frame()) == []


def test_mistakes(table_root: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingPath):
        Table(tmp_path / "gone").frame()
    with pytest.raises(WrongLayout, match=r"nothing\.csv"):
        Table(table_root, table="nothing.csv").frame()
    with pytest.raises(WrongLayout, match="did you mean 'big heart'"):
        Table(table_root, labels=["big hart"]).frame()
    with pytest.raises(WrongLayout, match=r"data\.source\.patient"):
        Table(table_root, patient="whom").frame()
    pd.DataFrame({"x": [1]}).to_csv(table_root / "no_path.csv", index=False)
    with pytest.raises(WrongLayout, match=r"data\.source\.path"):
        Table(table_root, table="no_path.csv").frame()
