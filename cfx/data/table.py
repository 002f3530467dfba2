"""Any folder with a table: a row for each picture, whatever the columns are called.

<root>/table.csv     path,patient,view,split,Cardiomegaly,...    paths relative to <root> or absolute
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from cfx.data import frames
from cfx.data.labels import CHEXPERT_FINDINGS
from cfx.data.nih_cxr14 import NIH_FINDINGS
from cfx.data.source import Oracle
from cfx.errors import WrongLayout, nearest

_USUAL: Final[dict[str, tuple[str, ...]]] = {
    "path": ("path", "image", "image_path", "file", "filename"),
    "patient": ("patient_id", "patient", "subject_id", "subject"),
    "study": ("study_id", "study", "accession", "accession_number"),
    "view": ("view", "view_position", "viewposition", "projection"),
    "sex": ("sex", "gender"),
    "age": ("age", "patient_age"),
    "split": ("split", "subset"),
    "mask": ("mask_path", "mask"),
    "device": ("device_path", "device"),
}
_KNOWN_FINDINGS: Final = (*CHEXPERT_FINDINGS, *NIH_FINDINGS, "Pleural Thickening")


class Table:
    """Reads a table of pictures; labels may be missing, which is enough to explain a black box.

    A column that is not named is looked for under its usual names (`path`, `image`, `patient_id`, ...), and
    left unknown where there is none: without patients each picture is a patient of its own, without splits a
    hash of the patient decides, and without studies nobody knows which pictures of a patient are of one, so
    that recognising a patient by other studies is not measured (`study_id` is empty).

    Args:
        root: the folder.
        table: its name inside the folder: csv, tsv or parquet, compressed or not.
        path: column of the pictures.
        patient, study, view, sex, age, split, mask, device: further columns.
        labels: label columns, or a mapping from column to finding; None takes those that are called like a
            finding of CheXpert or of ChestX-ray14; an empty list takes none.

    Raises:
        MissingPath: no such root, at `frame`.
        WrongLayout: no table, or a column that was named is not in it, at `frame`.

    """

    name = "table"

    def __init__(
        self,
        root: str | Path,
        table: str = "table.csv",
        path: str | None = None,
        patient: str | None = None,
        study: str | None = None,
        view: str | None = None,
        sex: str | None = None,
        age: str | None = None,
        split: str | None = None,
        mask: str | None = None,
        device: str | None = None,
        labels: Sequence[str] | Mapping[str, str] | None = None,
    ) -> None:
        self.root = Path(root).expanduser()
        self.table = table
        self.columns = {
            "path": path,
            "patient": patient,
            "study": study,
            "view": view,
            "sex": sex,
            "age": age,
            "split": split,
            "mask": mask,
            "device": device,
        }
        self.labels = labels

    def prepare(self) -> None:
        """Do nothing: the files are there."""

    def oracle(self) -> Oracle | None:
        """Return None: nobody knows these patients."""
        return None

    def frame(self) -> pd.DataFrame:
        """Return the table of all pictures in the order of the file."""
        root = frames.check_root(self.root)
        file = frames.require(root, [self.table], "data set with a table")
        table = frames.read_table(file, dtype={name: str for name in self.columns.values() if name})
        found = {kind: self._column(table, kind, file) for kind in self.columns}
        if found["path"] is None:
            raise WrongLayout(
                "data.root",
                str(file),
                f"has none of the columns {', '.join(_USUAL['path'])}",
                "name the column of the pictures by data.source.path",
            )
        unknown = pd.Series("", index=table.index)

        def column(kind: str) -> "pd.Series[str]":
            name = found[kind]
            return unknown if name is None else table[name]

        names = table[found["path"]].astype(str)
        result = pd.DataFrame({"image_id": names})
        result["path"] = [str(root / name) for name in names]
        result["patient_id"] = names if found["patient"] is None else column("patient").astype(str)
        result["study_id"] = column("study").astype(object).where(column("study").notna(), "").astype(str)
        result["view"] = frames.views(column("view"))
        result["sex"] = frames.sexes(column("sex"))
        result["age"] = frames.ages(column("age"))
        result["split"] = frames.split_names(column("split"))
        for kind in ("mask", "device"):
            if found[kind] is not None:
                values = column(kind)
                result[f"{kind}_path"] = [
                    str(root / value) if isinstance(value, str) and value else "" for value in values
                ]
        for label, finding in self._labels(table, file).items():
            result[finding] = frames.labels(table, [label])[label]
        return result

    def _column(self, table: pd.DataFrame, kind: str, file: Path) -> str | None:
        """Return the column's name in the table, or None where there is none and none was named."""
        named = self.columns[kind]
        if named is not None:
            _check(table, named, file, f"data.source.{kind}")
            return named
        by_folded = {str(name).lower().replace(" ", "_"): str(name) for name in table.columns}
        return next((by_folded[name] for name in _USUAL[kind] if name in by_folded), None)

    def _labels(self, table: pd.DataFrame, file: Path) -> dict[str, str]:
        """Return the label columns and the findings they stand for."""
        if self.labels is None:
            return {str(name): str(name) for name in table.columns if name in _KNOWN_FINDINGS}
        named = (
            dict(self.labels) if isinstance(self.labels, Mapping) else {name: name for name in self.labels}
        )
        for name in named:
            _check(table, name, file, "data.source.labels")
        return named


def _check(table: pd.DataFrame, name: str, file: Path, argument: str) -> None:
    """Refuse a column that is not there, naming the nearest."""
    if name not in table.columns:
        columns = [str(column) for column in table.columns]
        near = nearest(name, columns)
        hint = f"did you mean {near!r}" if near else f"it has {', '.join(columns)}"
        raise WrongLayout(argument, name, f"{file.name} has no such column", hint)
