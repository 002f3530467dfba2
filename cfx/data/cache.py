"""Decode every file once: pictures of a fixed size as one uint8 array, in memory or as a memory-mapped .npy.

The name of the file on disk is a hash of the paths, their times of change, their lengths and the size asked
for, so that a changed file is decoded again. One process decodes, others wait and then map the same pages.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from cfx.errors import BadImage, UserError

Bytes = npt.NDArray[np.uint8]
Reader = Callable[[int], Bytes]

_VERSION: Final = 1  # raise it when `cfx.data.reading` or `cfx.data.masks` changes what it returns
_CHUNK: Final = 256


def fingerprint(kind: str, size: int, parts: Iterable[str]) -> str:
    """Return a file name's stem for an array of `kind` made from files or texts.

    Args:
        kind: `images`, `masks` or `devices`.
        size: side in pixels.
        parts: for each row a path, whose time and length enter the hash, or any text.

    """
    digest = blake2b(f"{_VERSION}|{kind}|{size}".encode(), digest_size=12)
    for part in parts:
        digest.update(part.encode() + b"\0")
        try:
            status = os.stat(part)
            digest.update(f"{status.st_mtime_ns}:{status.st_size}".encode())
        except (OSError, ValueError):  # a text that is no path, such as a run-length mask
            digest.update(b"-")
    return f"{kind}-{size}-{digest.hexdigest()}"


def build_array(
    reader: Reader,
    count: int,
    shape: Sequence[int],
    *,
    stop: bool,
    stem: str = "",
    folder: Path | None = None,
    threads: int = 1,
) -> tuple[Bytes, dict[int, str]]:
    """Return uint8 (count, *shape) filled by `reader`, and the rows that failed with the reason.

    Args:
        reader: gives the pixels of a row; its `UserError`s are failures.
        count: number of rows.
        shape: of one row.
        stop: raise the first failure instead of recording it (failed rows are zero).
        stem: file name from `fingerprint`; with `folder` alone.
        folder: where to keep the array; None keeps it in memory.
        threads: decoders at work at once (Pillow and OpenCV let go of the interpreter while they decode).

    Raises:
        UserError: the first failure, where `stop` is set.

    """
    if folder is None:
        array = np.zeros((count, *shape), dtype=np.uint8)
        return array, _fill(array, reader, stop, threads)
    folder.mkdir(parents=True, exist_ok=True)
    target, notes = folder / f"{stem}.npy", folder / f"{stem}.json"
    with FileLock(folder / f"{stem}.lock"):
        if not target.exists():
            unfinished = folder / f"{stem}.tmp"
            mapped = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=(count, *shape))
            failures = _fill(mapped, reader, stop, threads)
            mapped.flush()
            del mapped
            notes.write_text(json.dumps(failures), encoding="utf-8")
            os.replace(unfinished, target)
        failures = {int(row): reason for row, reason in json.loads(notes.read_text(encoding="utf-8")).items()}
        if failures and stop:
            raise BadImage(
                "data", target.name, next(iter(failures.values())), "mend the file or data.on_error=skip"
            )
        array = np.load(target, mmap_mode="r")
    return array, failures


def _fill(array: Bytes, reader: Reader, stop: bool, threads: int) -> dict[int, str]:
    """Fill the rows in order; return the failures."""
    failures: dict[int, str] = {}

    def one(row: int) -> None:
        try:
            array[row] = reader(row)
        except UserError as error:
            if stop:
                raise
            failures[row] = str(error)

    if threads <= 1:
        for row in range(len(array)):
            one(row)
        return failures
    with ThreadPoolExecutor(threads) as pool:
        for begin in range(0, len(array), _CHUNK):  # in chunks, so that a failure stops soon
            list(pool.map(one, range(begin, min(begin + _CHUNK, len(array)))))
    return dict(sorted(failures.items()))
