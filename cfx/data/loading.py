"""From a table to arrays: which rows are usable, and their decoded pictures, masks and devices."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cfx.data import cache
from cfx.data.masks import has_masks, read_devices, row_masks
from cfx.data.reading import read_image, to_bytes, to_square
from cfx.errors import BadImage, MissingPath, WrongLayout

Bytes = npt.NDArray[np.uint8]
Skip = Callable[[str, Exception], None]
"""Called with a row's name and its error: raises it, or notes it."""


@dataclass(frozen=True)
class Loaded:
    """A split's rows that could be read, N of them, and what was read at one size.

    Attributes:
        table: the rows, index 0..N-1.
        images: uint8 (N, size, size).
        masks: uint8 (N, 3, size, size), or None.
        has_masks: bool (N,), or None.
        devices: uint8 (N, size, size), 1 on a device, or None.

    """

    table: pd.DataFrame
    images: Bytes
    masks: Bytes | None
    has_masks: npt.NDArray[np.bool_] | None
    devices: Bytes | None


def drop_repeats(frame: pd.DataFrame, skip: Skip) -> pd.DataFrame:
    """Return the table with the first row of each picture.

    Raises:
        WrongLayout: by way of `skip`, for each picture that has more than one row.

    """
    repeated = frame["image_id"].duplicated()
    for name in frame.loc[repeated, "image_id"].astype(str).unique():
        count = int((frame["image_id"] == name).sum())
        skip(
            name,
            WrongLayout(
                "data",
                name,
                f"the table has {count} rows for this picture",
                "leave one, or data.on_error=skip",
            ),
        )
    return frame[~repeated]


def drop_missing(frame: pd.DataFrame, skip: Skip) -> pd.DataFrame:
    """Return the rows whose file is there.

    Raises:
        MissingPath: by way of `skip`, for each file that is not.

    """
    there = np.array([os.path.isfile(path) for path in frame["path"]], dtype=bool)
    missing = int((~there).sum())
    for name, path in frame.loc[~there, ["image_id", "path"]].itertuples(index=False):
        skip(
            str(name),
            MissingPath(
                "data",
                str(path),
                f"the table names this file, but it is not there ({missing} of {len(frame)} are missing)",
                "complete the data set, or data.on_error=skip",
            ),
        )
    return frame[there]


def load(
    table: pd.DataFrame,
    size: int,
    *,
    extras: Sequence[str],
    skip: Skip,
    stop: bool,
    folder: Path | None = None,
    threads: int = 1,
) -> Loaded:
    """Decode what the rows name.

    A picture that can not be read takes its row with it; a mask or device picture that can not be read leaves
    the picture without one.

    Args:
        table: rows of a split.
        size: side in pixels.
        extras: which of `masks` and `devices` to read where the table has them.
        skip: told of each failure.
        stop: raise the first failure.
        folder: cache on disk, or None.
        threads: decoders at work at once.

    """

    def build(
        kind: str, reader: cache.Reader, keys: list[str], shape: tuple[int, ...]
    ) -> tuple[Bytes, dict[int, str]]:
        stem = cache.fingerprint(kind, size, keys) if folder is not None else ""
        return cache.build_array(
            reader, len(keys), shape, stop=stop, stem=stem, folder=folder, threads=threads
        )

    paths = [str(path) for path in table["path"]]

    def picture(row: int) -> Bytes:
        try:
            return to_bytes(to_square(read_image(paths[row], "data"), size))
        except BadImage as error:
            raise BadImage(
                "data", paths[row], error.problem, "mend the file, or data.on_error=skip"
            ) from error

    images, failures = build("images", picture, paths, (size, size))
    for row, reason in failures.items():
        skip(str(table["image_id"].iloc[row]), BadImage(reason))
    if failures:
        good = np.setdiff1d(np.arange(len(table)), list(failures))
        table, images = table.iloc[good].reset_index(drop=True), images[good]

    masks, known, devices = None, None, None
    if "masks" in extras and has_masks(table).any():
        known = has_masks(table)
        rows = _rows(table)
        have = known.copy()

        def masks_of(row: int) -> Bytes:
            return row_masks(rows[row], size) if have[row] else np.zeros((3, size, size), dtype=np.uint8)

        masks, failures = build("masks", masks_of, [_mask_key(row) for row in rows], (3, size, size))
        for row, reason in failures.items():
            known[row] = False
            skip(f"masks of {table['image_id'].iloc[row]}", BadImage(reason))
    if "devices" in extras and "device_path" in table:
        files = [path if isinstance(path, str) else "" for path in table["device_path"]]

        def devices_of(row: int) -> Bytes:
            return read_devices(files[row], size) if files[row] else np.zeros((size, size), dtype=np.uint8)

        devices, failures = build("devices", devices_of, files, (size, size))
        for row, reason in failures.items():
            skip(f"devices of {table['image_id'].iloc[row]}", BadImage(reason))
    return Loaded(table, images, masks, known, devices)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the mask columns of each row."""
    wanted = [
        column
        for column in ("mask_path", "heart_rle", "left_rle", "right_rle", "mask_height", "mask_width")
        if column in table
    ]
    return [dict(zip(wanted, values, strict=True)) for values in table[wanted].itertuples(index=False)]


def _mask_key(row: dict[str, Any]) -> str:
    """Return what a row's masks depend on: the file, or the runs themselves."""
    path = row.get("mask_path")
    if isinstance(path, str) and path:
        return path
    return "|".join(str(value) for value in row.values())
