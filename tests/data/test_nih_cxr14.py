"""ChestX-ray14: both layouts, its spelling, its boxes."""

from pathlib import Path

import pytest

from cfx.data.labels import label_columns
from cfx.data.nih_cxr14 import NihCxr14
from cfx.data.splits import Splits
from cfx.errors import MissingPath, WrongLayout


@pytest.mark.parametrize("fixture", ["nih_root", "nih_archives_root"])
def test_the_common_table(fixture: str, request: pytest.FixtureRequest) -> None:
    frame = NihCxr14(request.getfixturevalue(fixture)).frame()
    assert len(frame) == 18
    assert all(Path(path).is_file() for path in frame["path"])
    assert frame["split"].value_counts().to_dict() == {"train": 14, "test": 4}
    assert len(label_columns(frame)) == 15
    row = frame[frame["image_id"] == "00000002_000.png"].iloc[0]
    assert (row["Cardiomegaly"], row["Pleural Effusion"], row["No Finding"]) == (1.0, 1.0, 0.0)
    assert (row["patient_id"], row["sex"], row["age"], row["view"]) == ("2", "M", 32.0, "PA")


def test_ages_of_the_first_release(nih_root: Path) -> None:
    table = nih_root / "Data_Entry_2017_v2020.csv"
    lines = table.read_text().splitlines()
    cells = lines[1].split(",")
    old = [[*cells[:4], age, *cells[5:]] for age in ("058Y", "006M", "414Y")]
    old = [[f"{number}.png", *line[1:]] for number, line in enumerate(old)]
    (nih_root / "Data_Entry_2017.csv").write_text("\n".join([lines[0], *(",".join(line) for line in old)]))
    table.unlink()
    ages = NihCxr14(nih_root).frame()["age"]
    assert ages[0] == 58.0
    assert ages[1] == 0.5
    assert ages.isna().tolist() == [False, False, True]  # the release has typing errors such as 414 years


def test_boxes_are_shares_of_the_picture(nih_root: Path) -> None:
    boxes = NihCxr14(nih_root).boxes()
    assert boxes.iloc[0].tolist() == ["00000001_000.png", "Cardiomegaly", 0.25, 0.5, 0.75, 0.75]
    assert boxes.iloc[1]["finding"] == "Infiltration"
    assert boxes.iloc[1]["x1"] == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["Data_Entry_2017_v2020.csv", "train_val_list.txt", "test_list.txt"])
def test_missing_files_are_named(nih_root: Path, name: str) -> None:
    (nih_root / name).unlink()
    with pytest.raises(WrongLayout, match=name.split(".")[0]):
        NihCxr14(nih_root).frame()


def test_other_mistakes(nih_root: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingPath):
        NihCxr14(tmp_path / "gone").frame()
    (nih_root / "BBox_List_2017.csv").unlink()
    with pytest.raises(WrongLayout, match="BBox_List_2017"):
        NihCxr14(nih_root).boxes()
    table = nih_root / "Data_Entry_2017_v2020.csv"
    table.write_text(table.read_text().replace("Infiltration", "Cardiomegally"))
    with pytest.raises(WrongLayout, match="Cardiomegally"):
        NihCxr14(nih_root).frame()
    for picture in (nih_root / "images").iterdir():
        picture.unlink()
    (nih_root / "images").rmdir()
    with pytest.raises(WrongLayout, match="images"):
        NihCxr14(nih_root).frame()


@pytest.mark.real
def test_the_real_set(real_data: Path) -> None:
    source = NihCxr14(real_data / "nih_cxr14")
    frame = source.frame()
    assert (len(frame), frame["patient_id"].nunique()) == (8438, 2180)
    assert frame["Cardiomegaly"].sum() == 172
    assert frame["Pleural Effusion"].sum() == 748
    assert (frame["split"] == "test").sum() == 1457
    parts = Splits(valid=0.1).assign(frame)
    assert (parts.groupby(frame["patient_id"]).nunique() == 1).all()
    boxes = source.boxes()
    assert (boxes["finding"] == "Cardiomegaly").sum() == 9
    assert boxes[["x0", "y0", "x1", "y1"]].to_numpy().min() >= 0
    assert boxes[["x0", "y0", "x1", "y1"]].to_numpy().max() <= 1
