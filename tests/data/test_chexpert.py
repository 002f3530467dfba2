"""CheXpert's tables, as they are handed out and as they are found in practice."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cfx.data.chexpert import CheXpert
from cfx.errors import MissingPath, UnknownChoice, WrongLayout


def test_the_common_table(chexpert_root: Path) -> None:
    frame = CheXpert(chexpert_root).frame()
    assert len(frame) == 24 * 3
    assert frame["image_id"].is_unique
    assert frame["image_id"][0] == "train/patient00001/study1/view1_frontal.jpg"
    assert all(Path(path).is_file() for path in frame["path"])
    assert frame["patient_id"].nunique() == 24
    assert frame["view"].tolist()[:3] == ["AP", "PA", "LATERAL"]
    assert set(frame["sex"]) == {"M", "F"}
    assert frame["age"][0] == 41.0
    assert frame["split"].value_counts().to_dict() == {"train": 48, "valid": 12, "test": 12}
    assert CheXpert(chexpert_root).oracle() is None


def test_blanks_are_absent_unless_told_otherwise(chexpert_root: Path) -> None:
    absent = CheXpert(chexpert_root).frame()["Cardiomegaly"]
    unknown = CheXpert(chexpert_root, blank="ignore").frame()["Cardiomegaly"]
    assert absent.notna().all()
    assert (absent[unknown.isna()] == 0.0).all()
    assert unknown.isna().mean() == pytest.approx(0.25)
    assert (absent == -1.0).sum() == (unknown == -1.0).sum() == 18
    with pytest.raises(UnknownChoice):
        CheXpert(chexpert_root, blank="ones")


def test_the_folder_may_be_renamed_and_its_parent_given(chexpert_root: Path, tmp_path: Path) -> None:
    expected = CheXpert(chexpert_root).frame()["image_id"].tolist()
    assert CheXpert(chexpert_root.parent).frame()["image_id"].tolist() == expected
    renamed = chexpert_root.rename(tmp_path / "a copy")
    frame = CheXpert(str(renamed)).frame()
    assert frame["image_id"].tolist() == expected
    assert all(Path(path).is_file() for path in frame["path"])


def test_without_test_csv_and_with_its_official_form(
    tmp_path: Path, chexpert_writer: Callable[[Path, dict[str, int]], Path]
) -> None:
    root = chexpert_writer(tmp_path / "c", {"train": 4, "valid": 2})
    assert set(CheXpert(root).frame()["split"]) == {"train", "valid"}
    # the radiologists' test set came later, without the columns on the patient and without the folder's name
    table = pd.DataFrame({"Path": ["test/patient64741/study1/view1_frontal.jpg"], "Cardiomegaly": [1.0]})
    table.to_csv(root / "test.csv", index=False)
    row = CheXpert(root).frame().iloc[-1]
    assert (row["split"], row["patient_id"], row["view"], row["sex"]) == ("test", "patient64741", "", "")
    assert pd.isna(row["age"])
    assert pd.isna(row["Edema"])


def test_wrong_layouts_name_the_missing_file(tmp_path: Path, chexpert_root: Path) -> None:
    with pytest.raises(MissingPath, match=r"data\.root"):
        CheXpert(tmp_path / "gone").frame()
    (tmp_path / "a file").write_text("")
    with pytest.raises(MissingPath, match="not a folder"):
        CheXpert(tmp_path / "a file").frame()
    (tmp_path / "empty").mkdir()
    with pytest.raises(WrongLayout, match=r"train\.csv"):
        CheXpert(tmp_path / "empty").frame()
    for name in ("valid.csv", "test.csv"):
        (chexpert_root / name).unlink()
    with pytest.raises(WrongLayout, match=r"valid\.csv"):
        CheXpert(chexpert_root).frame()
    (chexpert_root / "valid.csv").write_text("path,Sex\na,Male\n")
    with pytest.raises(WrongLayout, match="is 'path' meant"):
        CheXpert(chexpert_root).frame()
    (chexpert_root / "valid.csv").write_text("Path,Sex\nelsewhere/a.jpg,Male\n")
    with pytest.raises(WrongLayout, match="elsewhere"):
        CheXpert(chexpert_root).frame()
    (chexpert_root / "valid.csv").write_bytes(b"")
    with pytest.raises(WrongLayout, match="can not be read as a table"):
        CheXpert(chexpert_root).frame()
    (chexpert_root / "valid.csv").write_text("Path,Sex\n")
    with pytest.raises(WrongLayout, match="no rows"):
        CheXpert(chexpert_root).frame()
