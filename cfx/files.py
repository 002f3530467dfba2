"""Files written whole or not at all: text, JSON without NaN, and CSV that is only ever added to."""

import csv
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cfx.errors import MissingPath, WrongLayout


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    beside = Path(name)
    try:
        write(beside)
        mask = os.umask(0)
        os.umask(mask)
        beside.chmod(0o666 & ~mask)  # mkstemp makes files that only their owner reads
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make a folder with its parents; what of them was made here and is empty at the end goes again.

    Raises:
        OSError: it can not be made.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for place in made:  # the innermost first
            try:
                place.rmdir()
            except OSError:  # something is in it
                break


def write_text(path: Path, text: str) -> None:
    """Write a text file at once, in UTF-8."""
    write_atomic(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def jsonable(value: Any) -> Any:
    """Return plain Python for JSON: NaN and infinities become None, numpy and torch scalars and arrays plain."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return jsonable(value.tolist())
    raise TypeError(f"{type(value).__name__} can not be written as JSON")


def write_json(path: Path, value: Any) -> None:
    """Write JSON at once; there is no NaN in it (see `jsonable`)."""
    write_text(path, json.dumps(jsonable(value), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of a run.

    Raises:
        MissingPath, WrongLayout: it is not there, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingPath(
            "run", str(path.parent), f"has no {path.name}", "give a folder that cfx wrote"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise WrongLayout(
            "run", str(path), f"is not JSON ({error})", "restore the file or train again"
        ) from None


def append_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows to a CSV file that keeps its earlier rows, also across a resumed run.

    New columns widen the file: the old rows are written again with empty cells. NaN is an empty cell.
    """
    if not rows:
        return
    columns: list[str] = []
    old: list[dict[str, str]] = []
    if path.exists() and path.stat().st_size:
        with path.open(newline="", encoding="utf-8") as stream:
            columns = next(csv.reader(stream), [])
    new = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in columns]
    cells = [{key: _cell(value) for key, value in row.items()} for row in rows]
    if not new:
        with path.open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, columns, restval="").writerows(cells)
        return
    if columns:
        with path.open(newline="", encoding="utf-8") as stream:
            old = list(csv.DictReader(stream))

    def rewrite(beside: Path) -> None:
        with beside.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, [*columns, *new], restval="")
            writer.writeheader()
            writer.writerows([*old, *cells])

    write_atomic(path, rewrite)


def _cell(value: Any) -> Any:
    plain = jsonable(value)
    return "" if plain is None else plain
