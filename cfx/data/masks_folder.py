"""A folder of pictures and masks with a table: the layout of hand-contoured sets.

<root>/ctr.csv       image,mask,patient_id,split,...  paths relative to <root>
<root>/images/*.png  <root>/masks/*.png               masks are bit fields, see `cfx.data.reading.read_mask`
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cfx.data import frames
from cfx.data.source import Oracle
from cfx.errors import BadValue


class MasksFolder:
    """Reads pictures with masks for training and judging a segmenter.

    Where the table's `split` knows no test part, its validation part is the test part (see `Splits`). Every
    further numeric column, such as a reference ratio, is kept as it is.

    Args:
        root: the folder.
        table: the table's name inside it.
        image: column of the picture's path, relative to `root`.
        mask: column of the mask's path; empty cells are pictures without a mask.
        patient: column of the patient; without such a column each picture is a patient of its own.
        split: column of the split; without it a hash of the patient decides.
        view: column of the view; without it the view is unknown.
        beside_heart: lungs end at the heart, whether or not their outline goes on behind it; for sets in which
            some masks do and some do not.
        exclude: pictures left out, by the path in the table: those whose masks are known to be wrong.

    """

    name = "masks_folder"

    def __init__(
        self,
        root: str | Path,
        table: str = "ctr.csv",
        image: str = "image",
        mask: str = "mask",
        patient: str = "patient_id",
        split: str = "split",
        view: str = "view",
        beside_heart: bool = False,
        exclude: Sequence[str] = (),
    ) -> None:
        self.root = Path(root).expanduser()
        self.table, self.image, self.mask = table, image, mask
        self.patient, self.split, self.view = patient, split, view
        self.beside_heart, self.exclude = beside_heart, list(exclude)

    def prepare(self) -> None:
        """Do nothing: the files are there."""

    def oracle(self) -> Oracle | None:
        """Return None: nobody knows these patients."""
        return None

    def frame(self) -> pd.DataFrame:
        """Return the table of all pictures in the order of the file."""
        root = frames.check_root(self.root)
        file = frames.require(root, [self.table], "folder of masks")
        table = frames.read_table(file, [self.image, self.mask])
        unknown_names = sorted(set(self.exclude) - set(table[self.image].astype(str)))
        if unknown_names:
            raise BadValue(
                "data.source.exclude",
                unknown_names[0],
                f"is not in {self.table}",
                "give paths as the table has them",
            )
        table = table[~table[self.image].astype(str).isin(self.exclude)].reset_index(drop=True)
        unknown = pd.Series("", index=table.index)
        names = table[self.image].astype(str)
        result = pd.DataFrame({"image_id": names})
        result["path"] = [str(root / name) for name in names]
        has_patient = self.patient in table
        result["patient_id"] = table[self.patient].astype(str) if has_patient else names
        result["view"] = frames.views(table.get(self.view, unknown))
        result["sex"] = frames.sexes(table.get("sex", unknown))
        result["age"] = frames.ages(table.get("age", unknown))
        result["split"] = frames.split_names(table.get(self.split, unknown))
        mask = table[self.mask]
        result["mask_path"] = [str(root / name) if isinstance(name, str) and name else "" for name in mask]
        result["lungs_beside_heart"] = self.beside_heart
        used = {self.image, self.mask, self.patient, self.split, self.view, "sex", "age"}
        for column in table.columns:
            if column not in used and pd.api.types.is_numeric_dtype(table[column]):
                result[str(column)] = table[column].astype(np.float64)
        return result
