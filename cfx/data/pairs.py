"""Anyone's counterfactuals: a folder with `pairs.csv` and the pictures that it names.

<folder>/pairs.csv     image,counterfactual,target,patient_id[,label,split,view,sex,age,study_id]

There is a row for each counterfactual; paths are relative to the folder, or absolute. `target` is the posterior asked
for; a row whose target is what the black box says of the image already is the method's own redrawing of it, from which
net shifts are counted. `label` is 1, 0 or empty (-1 counts as unknown). Of a table with a `split` only the rows of the
evaluated split are read. `study_id` tells which images of a patient are of one study; without it no patient is looked
for among other studies.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from cfx.data import frames
from cfx.data.dataset import ChestXrayDataset
from cfx.data.reading import read_image, to_bytes, to_square
from cfx.errors import BadImage, BadValue, EmptySplit, MissingPath, WrongLayout

NAME: Final = "pairs.csv"
NEEDED: Final = ("image", "counterfactual", "target", "patient_id")
OPTIONAL: Final = ("label", "split", "view", "sex", "age", "study_id")
_LABELS: Final = {
    "": np.nan,
    "nan": np.nan,
    "-1": np.nan,
    "-1.0": np.nan,
    "0": 0.0,
    "0.0": 0.0,
    "1": 1.0,
    "1.0": 1.0,
}
_SAME_SHAPE = 0.02
_SNAP = 1e-6

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Pairs:
    """A folder of pairs, its table read and checked.

    Attributes:
        folder: where it lies.
        images: a row for each picture that is explained, in the order in which the table first names it: image_id,
            path, patient_id, study_id, label, split, view, sex, age.
        rows: a row for each counterfactual: image (position in `images`), target in [0, 1], path.
        left_out: rows of other splits.
    """

    folder: Path
    images: pd.DataFrame
    rows: pd.DataFrame
    left_out: int = 0

    def dataset(self, finding: str, size: int) -> ChestXrayDataset:
        """Return the pictures that are explained, decoded at a size as all pictures are.

        Raises:
            BadImage: one of them can not be read.
        """
        images = np.stack([read_bytes(path, size) for path in self.images["path"]])
        table = self.images.rename(columns={"label": finding})
        return ChestXrayDataset(table, images, [finding])


def read_pairs(folder: str | Path, split: str = "test") -> Pairs:
    """Read and check the table of a folder of pairs; no picture is decoded yet.

    Args:
        folder: with `pairs.csv` in it.
        split: which rows are read where the table has a column `split`.

    Raises:
        MissingPath: no such folder, or a picture that the table names is not there.
        WrongLayout: no table, no rows, a column is missing, or rows contradict each other.
        BadValue: a cell that can not be meant; its row is named, counted from 1 below the header.
        EmptySplit: no row is of that split.
    """
    root = frames.check_root(folder, "pairs")
    file = frames.require(root, [NAME], "folder of pairs", "pairs")
    table = frames.read_table(file, NEEDED, "pairs", dtype=str, keep_default_na=False)
    table = table.apply(lambda column: column.str.strip())
    table.insert(0, "line", np.arange(1, len(table) + 1))
    for name in NEEDED:
        _each(table, name, lambda text: text != "", "is empty", f"give every row its {name}")
    _each(table, "target", _is_posterior, "is no posterior", "give a number between 0 and 1")
    _optional(table)
    whole = len(table)
    if "split" in table and (table["split"] != "").any():
        table = table[frames.split_names(table["split"]) == split]
        if table.empty:
            raise EmptySplit("pairs", str(file), f"has no row of the split {split}", "see evaluation.split")
    table = table.assign(target=[float(text) for text in table["target"]])
    _check_rows(table, file)
    _check_files(table, root)
    return _paired(table, root, whole - len(table))


def _each(
    table: pd.DataFrame, column: str, allowed: Callable[[str], bool], problem: str, remedy: str
) -> None:
    """Refuse the first cell of a column that is not allowed, naming its row."""
    for line, text in zip(table["line"], table[column], strict=True):
        if not allowed(text):
            raise BadValue(f"pairs: row {line}, {column}", text, problem, remedy)


def _is_posterior(text: str) -> bool:
    return _is_number(text) and 0.0 <= float(text) <= 1.0


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _optional(table: pd.DataFrame) -> None:
    """Refuse cells of the optional columns that mean nothing here; those readers of data sets would pass over."""
    rules: dict[str, tuple[Callable[[str], bool], str]] = {
        "label": (lambda text: text.lower() in _LABELS, "give 1, 0, or nothing where it is not known"),
        "split": (_spells(frames.split_names), "give train, valid or test"),
        "view": (_spells(frames.views), f"give {', '.join(frames.VIEWS)} or nothing"),
        "sex": (_spells(frames.sexes), "give M, F or nothing"),
        "age": (
            lambda text: text == "" or bool(np.isfinite(frames.ages(pd.Series([text]))[0])),
            "give years",
        ),
    }
    for column, (allowed, remedy) in rules.items():
        if column in table:
            _each(table, column, allowed, f"is no {column}", remedy)


def _spells(read: Callable[[Any], Any]) -> Callable[[str], bool]:
    """Whether a text is empty or one that a reader of data sets understands."""
    return lambda text: text == "" or read(pd.Series([text]))[0] != ""


def _check_rows(table: pd.DataFrame, file: Path) -> None:
    """Refuse a target given twice for an image, and an image that belongs to two patients."""
    twice = table.duplicated(["image", "target"])
    if twice.any():
        row = table[twice].iloc[0]
        raise WrongLayout(
            "pairs",
            str(file),
            f"row {row['line']} asks {row['image']} for {row['target']:g} a second time",
            "leave one row for each image and target",
        )
    for column in ("patient_id", *(name for name in OPTIONAL if name in table)):
        several = table.groupby("image")[column].nunique()
        if (several > 1).any():
            name = several.index[several > 1][0]
            values = sorted(table.loc[table["image"] == name, column].unique())
            raise WrongLayout(
                "pairs",
                str(file),
                f"{name} has more than one {column} ({', '.join(map(repr, values[:3]))})",
                f"give every row of an image the same {column}",
            )


def _check_files(table: pd.DataFrame, root: Path) -> None:
    """Refuse a table that names pictures which are not there."""
    for column in ("image", "counterfactual"):
        missing = [name for name in table[column].unique() if not (root / name).is_file()]
        if missing:
            raise MissingPath(
                "pairs",
                str(root / missing[0]),
                f"the column {column} names this file, but it is not there "
                f"({len(missing)} of {table[column].nunique()} are missing)",
                "give paths relative to the folder of pairs.csv, or absolute ones",
            )


def _paired(table: pd.DataFrame, root: Path, left_out: int) -> Pairs:
    """Part a checked table into its images and its counterfactuals."""
    first = table.drop_duplicates("image").reset_index(drop=True)
    empty = pd.Series("", index=first.index)

    def column(name: str) -> "pd.Series[str]":
        return first.get(name, empty)

    images = pd.DataFrame(
        {
            "image_id": first["image"],
            "path": [str(root / name) for name in first["image"]],
            "patient_id": first["patient_id"],
            "study_id": column("study_id"),
            "label": [_LABELS[text.lower()] for text in column("label")],
            "split": frames.split_names(column("split")),
            "view": frames.views(column("view")),
            "sex": frames.sexes(column("sex")),
            "age": frames.ages(column("age")),
        }
    )
    place = {name: row for row, name in enumerate(first["image"])}
    rows = pd.DataFrame(
        {
            "image": [place[name] for name in table["image"]],
            "target": table["target"].to_numpy(dtype=np.float64),
            "path": [str(root / name) for name in table["counterfactual"]],
        }
    )
    return Pairs(root, images, rows, left_out)


def read_bytes(path: str, size: int) -> Bytes:
    """Decode one picture of a pair, uint8 (size, size), the way that every picture takes."""
    return to_bytes(to_square(read_image(path, "pairs"), size))


def shape_of(path: str) -> tuple[int, int] | None:
    """Height and width of a picture file without decoding it; None for DICOM and whatever Pillow does not open."""
    try:
        with Image.open(path) as opened:
            return opened.height, opened.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def check_shapes(image: str, counterfactual: str) -> None:
    """Refuse a counterfactual whose sides are in another proportion than those of the picture it belongs to.

    Any size will do, since both are brought to one; but a cropped or stretched picture would be measured against one
    that lies elsewhere.

    Raises:
        BadImage: naming both shapes.
    """
    own, other = shape_of(image), shape_of(counterfactual)
    if own is None or other is None:
        return
    (height, width), (other_height, other_width) = own, other
    if abs(height * other_width - width * other_height) > _SAME_SHAPE * width * other_height:
        raise BadImage(
            "pairs",
            counterfactual,
            f"is {other_width} x {other_height} pixels, its image {width} x {height}: not the same proportions",
            "give counterfactuals of the whole picture, neither cropped nor stretched",
        )


def snapped(targets: npt.NDArray[np.float64], grid: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Targets with those that differ from one of the grid by rounding alone (0.30000000000000004) put on it."""
    places = np.asarray(grid, dtype=np.float64)
    nearest = places[np.abs(targets[..., None] - places).argmin(axis=-1)]
    return np.where(np.abs(targets - nearest) <= _SNAP, nearest, targets)
