"""NIH ChestX-ray14 (Wang et al., CVPR 2017), as the NIH hands it out.

<root>/Data_Entry_2017_v2020.csv (or Data_Entry_2017.csv), BBox_List_2017.csv
<root>/train_val_list.txt, test_list.txt
<root>/images/00000001_000.png, or <root>/images_001/images/..., images_002/images/... as in the archives
"""

import os
from pathlib import Path
from typing import Final

import pandas as pd

from cfx.data import frames
from cfx.data.source import Oracle
from cfx.errors import WrongLayout

NIH_FINDINGS: Final = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "No Finding",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
"""The labels as the NIH spells them."""

_COMMON_NAME: Final = {"Effusion": "Pleural Effusion", "Pleural_Thickening": "Pleural Thickening"}
_BOX_NAME: Final = {"Infiltrate": "Infiltration", **_COMMON_NAME}
_BOX_UNITS: Final = 1024.0
_TABLES: Final = ["Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv"]


class NihCxr14:
    """Reads ChestX-ray14; the two lists give the official training and test patients.

    Labels are mined from reports: a label that is not listed is taken for absent. `Effusion` is called
    `Pleural Effusion` and `Pleural_Thickening` `Pleural Thickening`, as elsewhere.

    Args:
        root: the folder that holds Data_Entry_2017_v2020.csv.

    Raises:
        MissingPath: no such root, at `frame`.
        WrongLayout: a table, list or picture folder is missing or names a label that is not the NIH's, at
            `frame`.

    """

    name = "nih_cxr14"

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser()

    def prepare(self) -> None:
        """Do nothing: the files are there."""

    def oracle(self) -> Oracle | None:
        """Return None: nobody knows these patients."""
        return None

    def frame(self) -> pd.DataFrame:
        """Return the table of all pictures in the order of Data_Entry."""
        root = frames.check_root(self.root)
        file = frames.require(root, _TABLES, "NIH ChestX-ray14")
        table = frames.read_table(file, ["Image Index", "Finding Labels", "Patient ID", "View Position"])
        names = table["Image Index"].astype(str)
        folders = _picture_folders(root)
        result = pd.DataFrame({"image_id": names})
        result["path"] = [str(folders.get(name, root / "images" / name)) for name in names]
        result["patient_id"] = table["Patient ID"].astype(str)
        result["view"] = frames.views(table["View Position"])
        unknown = pd.Series("", index=table.index)
        result["sex"] = frames.sexes(table.get("Patient Gender", unknown))
        result["age"] = frames.ages(table.get("Patient Age", unknown))
        result["split"] = self._splits(root, names)
        for finding, values in _labels(table["Finding Labels"], file).items():
            result[finding] = values
        return result

    def _splits(self, root: Path, names: "pd.Series[str]") -> "pd.Series[str]":
        """Return train or test for each picture; one in neither list has no split."""
        splits = pd.Series("", index=names.index)
        for list_name, split in (("train_val_list.txt", "train"), ("test_list.txt", "test")):
            file = frames.require(root, [list_name], "NIH ChestX-ray14")
            listed = set(file.read_text(encoding="utf-8").split())
            splits = splits.where(~names.isin(listed), split)
        return splits

    def boxes(self) -> pd.DataFrame:
        """Return the radiologists' boxes.

        Columns: `image_id`, `finding`, and `x0`, `y0`, `x1`, `y1` as shares of the picture's width and height
        (the file's units are 1/1024), with the origin at the upper left.

        Raises:
            WrongLayout: no BBox_List_2017.csv.

        """
        root = frames.check_root(self.root)
        file = frames.require(root, ["BBox_List_2017.csv"], "NIH ChestX-ray14 with boxes")
        # its header is `Bbox [x,y,w,h]`, torn apart by its own commas, so columns are taken by place
        table = frames.read_table(file, ["Image Index", "Finding Label"])
        numbers = table.iloc[:, 2:6].astype(float) / _BOX_UNITS
        numbers.columns = pd.Index(["x0", "y0", "width", "height"])
        result = pd.DataFrame({"image_id": table["Image Index"].astype(str)})
        result["finding"] = table["Finding Label"].map(lambda label: _BOX_NAME.get(label, label))
        result["x0"], result["y0"] = numbers["x0"], numbers["y0"]
        result["x1"] = numbers["x0"] + numbers["width"]
        result["y1"] = numbers["y0"] + numbers["height"]
        return result


def _picture_folders(root: Path) -> dict[str, Path]:
    """Return the path of every picture by its name, from images/ or images_0xx/images/ (one listing a folder)."""
    folders = [root / "images"] + [folder / "images" for folder in sorted(root.glob("images_*"))]
    folders = [folder for folder in folders if folder.is_dir()]
    if not folders:
        frames.require(root, ["images", "images_001/images"], "NIH ChestX-ray14")
    found: dict[str, Path] = {}
    for folder in folders:
        for name in os.listdir(folder):
            found.setdefault(name, folder / name)
    return found


def _labels(column: "pd.Series[str]", file: Path) -> dict[str, "pd.Series[float]"]:
    """Return a 0/1 column for each finding from `Cardiomegaly|Effusion`."""
    listed = [frozenset(text.split("|")) for text in column.astype(str)]
    strange = sorted(frozenset().union(*listed) - set(NIH_FINDINGS))
    if strange:
        raise WrongLayout(
            "data.root", str(file), f"names the unknown finding {strange[0]!r}", "give the NIH's own table"
        )
    return {
        _COMMON_NAME.get(finding, finding): pd.Series(
            [float(finding in names) for names in listed], index=column.index
        )
        for finding in NIH_FINDINGS
    }
