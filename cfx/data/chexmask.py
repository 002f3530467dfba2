"""CheXmask's tables of heart and lung masks (Gaggion et al., Scientific Data 2024; PhysioNet).

    <root>/OriginalResolution/CheXpert.csv        Path, Dice RCA (Mean), Heart, Left Lung, Right Lung, ...
    <root>/OriginalResolution/MIMIC-CXR-JPG.csv   the same, with dicom_id instead of Path
    <root>/OriginalResolution/ChestX-Ray8.csv     the same, with Image Index (ChestX-ray14's pictures)

Masks are run lengths along rows, counted from 1, at the resolution that each row names (see `decode_rle`).
They are padded and shrunk like the pictures, so both versions of CheXpert fit. `Preprocessed` tables have
other margins and do not.
"""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from cfx.errors import BadValue, MissingPath, WrongLayout

QUALITY: Final = "Dice RCA (Mean)"
_KEYS: Final = ("Path", "dicom_id", "Image Index")
_TABLES: Final = ("CheXpert", "MIMIC-CXR-JPG", "ChestX-Ray8")
_COLUMNS: Final = {
    "Heart": "heart_rle",
    "Left Lung": "left_rle",
    "Right Lung": "right_rle",
    "Height": "mask_height",
    "Width": "mask_width",
}
_CHUNK: Final = 5000


class CheXmask:
    """Joins CheXmask's masks to a source's table.

    The runs of a picture at original resolution are about 40 KB; only those of pictures in the source's table
    are kept in memory.

    Args:
        root: PhysioNet's folder, or one of its tables (.csv or .csv.gz).
        min_quality: masks with a smaller estimated Dice (`Dice RCA (Mean)`) are left out; its authors advise
            0.7.

    Raises:
        MissingPath: no such folder, at `add`.
        WrongLayout: no table, a missing column, or no picture in common with the source, at `add`.

    """

    def __init__(self, root: str | Path, min_quality: float = 0.7) -> None:
        if not 0 <= min_quality <= 1:
            raise BadValue("anatomy.min_quality", min_quality, "not a Dice in [0, 1]", "0.7 is advised")
        self.root = Path(root).expanduser()
        self.min_quality = min_quality

    def tables(self) -> list[Path]:
        """Return the tables there are: the file itself, or those in the folder.

        Raises:
            MissingPath, WrongLayout: there are none.

        """
        if self.root.is_file():
            return [self.root]
        if not self.root.exists():
            raise MissingPath(
                "anatomy.root", str(self.root), "no such folder", "give CheXmask's folder or table"
            )
        folder = self.root / "OriginalResolution"
        folder = folder if folder.is_dir() else self.root
        found = [folder / f"{name}.csv{end}" for name in _TABLES for end in ("", ".gz")]
        found = [file for file in found if file.is_file()]
        if not found:
            raise WrongLayout(
                "anatomy.root",
                str(self.root),
                f"holds none of {', '.join(f'OriginalResolution/{name}.csv' for name in _TABLES)}",
                "give the folder from PhysioNet or the table itself",
            )
        return found

    def add(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return `frame` with heart_rle, left_rle, right_rle, mask_height and mask_width; rows and order
        stay.

        A picture without a mask, or with one below `min_quality`, has None and NaN there.
        """
        files = self.tables()
        for file in files:
            found = self._matching(frame, file)
            if found is not None:
                return found
        raise WrongLayout(
            "anatomy.root",
            ", ".join(file.name for file in files),
            "holds no mask for any picture of the data set",
            "give the table of the same data set",
        )

    def _matching(self, frame: pd.DataFrame, file: Path) -> pd.DataFrame | None:
        """Return the table joined to this file, or None where they have no picture in common."""
        key = self._key(file)
        wanted = pd.Index([_picture(str(name), key) for name in frame["image_id"]])
        kept = []
        common = False
        columns = [key, QUALITY, *_COLUMNS]
        for chunk in pd.read_csv(file, usecols=columns, chunksize=_CHUNK):
            chunk = chunk.assign(key=[_picture(str(name), key) for name in chunk[key]])
            chunk = chunk[chunk["key"].isin(wanted)]
            common |= len(chunk) > 0
            kept.append(chunk[chunk[QUALITY] >= self.min_quality])
        if not common:
            return None
        table = pd.concat(kept).drop_duplicates("key").set_index("key")[list(_COLUMNS)]
        table = table.rename(columns=_COLUMNS).dropna().reindex(wanted)
        result = frame.copy()
        for column in table.columns:
            if column.endswith("_rle"):
                result[column] = [text if isinstance(text, str) else None for text in table[column]]
            else:
                result[column] = table[column].to_numpy(dtype=np.float64)
        return result

    def _key(self, file: Path) -> str:
        """Return the column that names the pictures."""
        header = pd.read_csv(file, nrows=0)
        for key in _KEYS:
            if key in header.columns:
                for column in (QUALITY, *_COLUMNS):
                    if column not in header.columns:
                        raise WrongLayout(
                            "anatomy.root", str(file), f"has no column {column!r}", "give CheXmask's own"
                        )
                return key
        raise WrongLayout(
            "anatomy.root",
            str(file),
            f"has none of the columns {', '.join(_KEYS)}",
            "give CheXmask's own table",
        )


def _picture(name: str, key: str) -> str:
    """Return a picture's name in the form both tables share.

    CheXpert: the path from train/, valid/ or test/ on; elsewhere the file's name; both without its ending,
        which
    differs between releases.
    """
    pieces = name.replace("\\", "/").split("/")
    if key == "Path":
        begin = next((place for place, piece in enumerate(pieces) if piece in ("train", "valid", "test")), 0)
        return "/".join(pieces[begin:]).rsplit(".", 1)[0]
    last = pieces[-1]
    return last.rsplit(".", 1)[0] if last.lower().endswith((".png", ".jpg", ".jpeg", ".dcm")) else last
