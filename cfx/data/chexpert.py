"""CheXpert-v1.0 and CheXpert-v1.0-small (Irvin et al., AAAI 2019), and whatever is written in its layout.

    <root>/train.csv, valid.csv and, where it is there, test.csv
    <root>/train/patient00001/study1/view1_frontal.jpg

The tables' `Path` starts with the data set's own folder name (`CheXpert-v1.0-small/train/...`), which is not
looked at, so that the folder may be renamed.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from cfx.data import frames
from cfx.data.labels import CHEXPERT_FINDINGS
from cfx.data.source import Oracle
from cfx.errors import UnknownChoice, WrongLayout

_PARTS: Final = ("train", "valid", "test")


class CheXpert:
    """Reads the CheXpert tables.

    Args:
        root: the folder that holds train.csv, or its parent where it is the only such folder in it.
        blank: `zeros` takes a finding that the report does not mention (an empty cell) for absent, as in the
            CheXpert paper; `ignore` leaves it unknown. Columns that a table lacks are unknown in either case.

    Raises:
        MissingPath: no such root, at `frame`.
        WrongLayout: a table is missing or has no `Path`, at `frame`.

    """

    name = "chexpert"

    def __init__(self, root: str | Path, blank: str = "zeros") -> None:
        if blank not in ("zeros", "ignore"):
            raise UnknownChoice("data.source.blank", blank, "no such policy", "use zeros or ignore")
        self.root = Path(root).expanduser()
        self.blank = blank

    def prepare(self) -> None:
        """Do nothing: the files are there."""

    def oracle(self) -> Oracle | None:
        """Return None: nobody knows these patients."""
        return None

    def folder(self) -> Path:
        """Return the absolute folder that holds train.csv."""
        root = frames.check_root(self.root)
        if not (root / "train.csv").exists():
            inner = sorted(found.parent for found in root.glob("*/train.csv"))
            if len(inner) == 1:
                return inner[0]
        frames.require(root, ["train.csv"], "CheXpert data set")
        return root

    def frame(self) -> pd.DataFrame:
        """Return the table of all pictures, training first, in the order of the files."""
        root = self.folder()
        there = [part for part in _PARTS if part == "train" or (root / f"{part}.csv").exists()]
        tables = [self._read(root, part) for part in there]
        if len(tables) == 1:
            frames.require(root, ["valid.csv", "test.csv"], "CheXpert data set")
        return pd.concat(tables, ignore_index=True)

    def _read(self, root: Path, part: str) -> pd.DataFrame:
        """Return one of the tables in the common columns."""
        file = root / f"{part}.csv"
        table = frames.read_table(file, ["Path"])
        relative = [_relative(str(path), file) for path in table["Path"]]
        result = pd.DataFrame({"image_id": relative})
        result["path"] = [str(root / name) for name in relative]
        result["patient_id"] = [_patient(name) for name in relative]
        result["study_id"] = [name.rpartition("/")[0] for name in relative]
        result["view"] = _views(table, relative)
        blank = pd.Series(np.nan, index=table.index)
        result["sex"] = frames.sexes(table.get("Sex", blank))
        result["age"] = frames.ages(table.get("Age", blank))
        result["split"] = part
        for finding in CHEXPERT_FINDINGS:
            if finding in table:
                values = frames.labels(table, [finding])[finding]
                result[finding] = values.fillna(0.0) if self.blank == "zeros" else values
        return result


def _relative(path: str, table: Path) -> str:
    """Drop what comes before train/, valid/ or test/."""
    pieces = [piece for piece in path.replace("\\", "/").split("/") if piece not in ("", ".")]
    for place, piece in enumerate(pieces[:-1]):
        if piece in _PARTS:
            return "/".join(pieces[place:])
    raise WrongLayout(
        "data.root",
        str(table),
        f"the Path {path!r} has no train/, valid/ or test/ in it",
        "give CheXpert's own tables",
    )


def _patient(relative: str) -> str:
    """Return `patient00001`, the folder below the split."""
    return relative.split("/")[1]


def _views(table: pd.DataFrame, relative: list[str]) -> "pd.Series[str]":
    """Return PA, AP or LATERAL from the columns, or from the file's name where a table has no columns."""
    unknown = pd.Series("", index=table.index)
    projection = frames.views(table["AP/PA"]) if "AP/PA" in table else unknown
    side: Any = (
        table["Frontal/Lateral"] if "Frontal/Lateral" in table else pd.Series(relative, index=table.index)
    )
    lateral = side.astype(str).str.lower().str.contains("lateral")
    return projection.where(~lateral, "LATERAL").where(lateral | projection.isin(["PA", "AP"]), "")
