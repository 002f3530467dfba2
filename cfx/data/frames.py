"""What the readers share: checked folders and tables, one spelling of view, sex and split."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from cfx.errors import MissingPath, WrongLayout, nearest

VIEWS: Final = ("PA", "AP", "LATERAL")

_VIEW_OF: Final = {
    "PA": "PA",
    "POSTEROANTERIOR": "PA",
    "AP": "AP",
    "ANTEROPOSTERIOR": "AP",
    "LATERAL": "LATERAL",
    "LAT": "LATERAL",
    "L": "LATERAL",
    "LL": "LATERAL",
    "RL": "LATERAL",
}
_SEX_OF: Final = {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F"}
_SPLIT_OF: Final = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validate": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}


def check_root(root: str | Path, argument: str = "data.root") -> Path:
    """Return the folder as an absolute path.

    Raises:
        MissingPath: it is not there or is a file.

    """
    path = Path(root).expanduser()
    if not path.exists():
        raise MissingPath(argument, str(root), "no such folder", "check the path of the data set")
    if not path.is_dir():
        raise MissingPath(argument, str(root), "is a file, not a folder", "give the folder that holds it")
    return path.absolute()


def require(root: Path, names: Sequence[str], data_set: str, argument: str = "data.root") -> Path:
    """Return the first of `names` that exists under `root`.

    Raises:
        WrongLayout: none does; the missing file is named.

    """
    for name in names:
        if (root / name).exists():
            return root / name
    wanted = " or ".join(names)
    raise WrongLayout(
        argument,
        str(root),
        f"holds no {wanted}, so it is no {data_set}",
        f"give the folder that holds {wanted}",
    )


def read_table(
    path: Path, columns: Iterable[str] = (), argument: str = "data.root", **options: Any
) -> pd.DataFrame:
    """Read a table: .csv, .tsv or .parquet, compressed or not.

    Args:
        path: the table.
        columns: those that must be there.
        argument: name of the user's argument, for the error's text.
        options: handed to pandas' reader.

    Raises:
        MissingPath: no such file.
        WrongLayout: not a table, no rows, or a column is missing (the nearest one is named).

    """
    if not path.is_file():
        raise MissingPath(argument, str(path), "no such table", "check the path")
    try:
        if path.name.endswith((".parquet", ".pq")):
            table = pd.read_parquet(path)
        else:
            separator = "\t" if ".tsv" in path.name else ","
            table = pd.read_csv(path, sep=separator, low_memory=False, **options)
    except (ValueError, OSError, EOFError) as error:  # pandas' and pyarrow's parse errors are ValueErrors
        raise WrongLayout(
            argument, str(path), f"can not be read as a table ({error})", "give a csv, tsv or parquet file"
        ) from error
    for column in columns:
        if column not in table.columns:
            near = nearest(column, [str(name) for name in table.columns])
            hint = f"is {near!r} meant?" if near else f"it has {', '.join(map(str, table.columns))}"
            raise WrongLayout(argument, str(path), f"has no column {column!r}", hint)
    if table.empty:
        raise WrongLayout(argument, str(path), "has no rows", "give a table with a row for each image")
    return table


def views(values: "pd.Series[Any]") -> "pd.Series[str]":
    """Return PA, AP, LATERAL or an empty text for each value; unknown spellings become empty."""
    return _spell(values, _VIEW_OF, upper=True)


def sexes(values: "pd.Series[Any]") -> "pd.Series[str]":
    """Return M, F or an empty text for each value."""
    return _spell(values, _SEX_OF, upper=True)


def split_names(values: "pd.Series[Any]") -> "pd.Series[str]":
    """Return train, valid, test or an empty text for each value."""
    return _spell(values, _SPLIT_OF, upper=False)


def _spell(values: "pd.Series[Any]", spelling: dict[str, str], *, upper: bool) -> "pd.Series[str]":
    text = values.astype("object").where(values.notna(), "").astype(str).str.strip()
    folded = text.str.upper() if upper else text.str.lower()
    return folded.map(lambda value: spelling.get(value, "")).astype(str)


def ages(values: "pd.Series[Any]") -> "pd.Series[float]":
    """Return ages in years; `058Y`, months (`010M`) and days are understood, ages above 120 become NaN."""
    text = values.astype("object").where(values.notna(), "").astype(str).str.strip()
    parts = text.str.extract(r"^(\d+(?:\.\d+)?)\s*([YMDymd]?)$")
    scale = parts[1].str.upper().map({"M": 1 / 12, "D": 1 / 365.25}).fillna(1.0)
    years = pd.to_numeric(parts[0], errors="coerce").astype(float) * scale
    return years.where(years <= 120.0, np.nan)


def labels(table: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """Return the columns as floats; an empty cell stays NaN."""
    return pd.DataFrame(
        {column: pd.to_numeric(table[column], errors="coerce").astype(float) for column in columns},
        index=table.index,
    )
