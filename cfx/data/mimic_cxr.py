"""MIMIC-CXR-JPG 2.x (Johnson et al., 2019), as PhysioNet hands it out.

    <root>/mimic-cxr-2.0.0-metadata.csv.gz, mimic-cxr-2.0.0-chexpert.csv.gz, mimic-cxr-2.0.0-split.csv.gz
    <root>/files/p10/p10000032/s50414267/<dicom_id>.jpg

Unpacked .csv tables are read as well. Sex and age are not part of it; where MIMIC-IV's patients.csv.gz lies
in <root> they are taken from there.
"""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from cfx.data import frames
from cfx.data.labels import CHEXPERT_FINDINGS
from cfx.data.source import Oracle
from cfx.errors import UnknownChoice

_DATA_SET: Final = "MIMIC-CXR-JPG"


class MimicCxr:
    """Reads the MIMIC-CXR-JPG tables.

    Args:
        root: the folder that holds the three tables and files/.
        labels: `chexpert` or `negbio`, the labeller whose table is read.
        blank: `zeros` takes a finding that the report does not mention (an empty cell) for absent; `ignore`
            leaves it unknown. A study without a row in the label table is unknown in either case.

    Raises:
        MissingPath: no such root, at `frame`.
        WrongLayout: a table is missing or lacks a column, at `frame`.

    """

    name = "mimic_cxr"

    def __init__(self, root: str | Path, labels: str = "chexpert", blank: str = "zeros") -> None:
        if blank not in ("zeros", "ignore"):
            raise UnknownChoice("data.source.blank", blank, "no such policy", "use zeros or ignore")
        if labels not in ("chexpert", "negbio"):
            raise UnknownChoice("data.source.labels", labels, "no such labeller", "use chexpert or negbio")
        self.root = Path(root).expanduser()
        self.labels = labels
        self.blank = blank

    def prepare(self) -> None:
        """Do nothing: the files are there."""

    def oracle(self) -> Oracle | None:
        """Return None: nobody knows these patients."""
        return None

    def frame(self) -> pd.DataFrame:
        """Return the table of all pictures in the order of the metadata."""
        root = frames.check_root(self.root)
        keys = ["subject_id", "study_id"]
        metadata = self._table(root, "metadata", ["dicom_id", *keys, "ViewPosition"])
        found = self._table(root, self.labels, keys)
        split = self._table(root, "split", ["dicom_id", "split"])
        found = found.drop_duplicates(keys)
        findings = [finding for finding in CHEXPERT_FINDINGS if finding in found]
        values = frames.labels(found, findings)
        found[findings] = values.fillna(0.0) if self.blank == "zeros" else values
        table = metadata[["dicom_id", *keys, "ViewPosition"]]
        table = table.merge(
            split[["dicom_id", "split"]].drop_duplicates("dicom_id"), on="dicom_id", how="left"
        )
        table = table.merge(found[[*keys, *findings]], on=keys, how="left")

        names = [_relative(*row) for row in table[[*keys, "dicom_id"]].itertuples(index=False)]
        result = pd.DataFrame({"image_id": names})
        result["path"] = [str(root / name) for name in names]
        result["patient_id"] = "p" + table["subject_id"].astype(str)
        result["study_id"] = "s" + table["study_id"].astype(str)
        result["view"] = frames.views(table["ViewPosition"])
        people = self._people(root, table["subject_id"])
        result["sex"], result["age"] = people["sex"], people["age"]
        result["split"] = frames.split_names(table["split"])
        result[findings] = table[findings].astype(float)
        return result

    def _table(self, root: Path, kind: str, columns: list[str]) -> pd.DataFrame:
        """Return one of the tables, whichever 2.x it is of."""
        found = sorted([*root.glob(f"mimic-cxr-2.*-{kind}.csv.gz"), *root.glob(f"mimic-cxr-2.*-{kind}.csv")])
        name = found[-1].name if found else f"mimic-cxr-2.0.0-{kind}.csv.gz"
        return frames.read_table(frames.require(root, [name], _DATA_SET), columns)

    def _people(self, root: Path, subjects: "pd.Series[int]") -> pd.DataFrame:
        """Return sex and age (at the patient's anchor year) of each row, unknown without MIMIC-IV's table."""
        for name in ("patients.csv.gz", "patients.csv"):
            if (root / name).exists():
                people = frames.read_table(root / name, ["subject_id", "gender", "anchor_age"])
                people = people.drop_duplicates("subject_id").set_index("subject_id")
                sex = frames.sexes(subjects.map(people["gender"]))
                return pd.DataFrame({"sex": sex, "age": frames.ages(subjects.map(people["anchor_age"]))})
        return pd.DataFrame({"sex": "", "age": np.nan}, index=subjects.index)


def _relative(subject: int, study: int, dicom: str) -> str:
    """Return files/p10/p10000032/s50414267/<dicom_id>.jpg."""
    return f"files/p{str(subject)[:2]}/p{subject}/s{study}/{dicom}.jpg"
