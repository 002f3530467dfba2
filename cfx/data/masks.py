"""Masks in every form in which they come, to soft channels of one size."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from cfx.data.reading import read_image, read_mask, to_bytes, to_square
from cfx.errors import BadValue

Bytes = npt.NDArray[np.uint8]

_BITS: Final = (1, 2, 4)
_RLE_COLUMNS: Final = ("heart_rle", "left_rle", "right_rle")


def lungs_beside_heart(bits: Bytes) -> Bytes:
    """Take what lies behind the heart out of both lungs of a bit field (H, W).

    Some hands outline the lung behind the heart too, most do not; a set that holds both has no one answer to learn.
    No width changes by it: the lungs' outer edges are never behind the heart.
    """
    beside = bits.copy()
    beside[(bits & 1) > 0] &= np.uint8(1)
    return beside


def bits_to_channels(bits: Bytes, size: int) -> Bytes:
    """Turn a bit field (H, W) into soft uint8 channels (3, size, size), 255 inside.

    Channels are heart, left lung and right lung.

    Each channel is padded and shrunk like the picture, so that its edge keeps sub-pixel places.
    """
    return np.stack([_soft(((bits & bit) > 0).astype(np.float32), size) for bit in _BITS])


def _soft(mask: npt.NDArray[np.float32], size: int) -> Bytes:
    return to_bytes(to_square(mask, size))


def decode_rle(text: str, height: int, width: int) -> Bytes:
    """Turn a run-length mask into uint8 (height, width) of 0 and 1.

    CheXmask's convention (Gaggion et al., Scientific Data 2024; `DataPostprocessing/utils.py` of its
    repository): pairs of start and length, starts counted from 1, along rows.

    Raises:
        BadValue: an odd count of numbers, or a run that leaves the picture.

    """
    numbers = np.array(text.split(), dtype=np.int64)
    if numbers.size % 2:
        raise BadValue(
            "run-length mask", text[:40], "an odd count of numbers", "give pairs of start and length"
        )
    starts, lengths = numbers[0::2] - 1, numbers[1::2]
    ends = starts + lengths
    if numbers.size and (starts.min() < 0 or lengths.min() < 0 or ends.max() > height * width):
        raise BadValue(
            "run-length mask",
            text[:40],
            f"a run outside a picture of {height} x {width} pixels",
            "check that height and width are those of the mask's own resolution",
        )
    # +1 where a run begins and -1 behind its end, then cumulated: no loop over runs
    steps = np.zeros(height * width + 1, dtype=np.int32)
    np.add.at(steps, starts, 1)
    np.add.at(steps, ends, -1)
    return (np.cumsum(steps[:-1]) > 0).astype(np.uint8).reshape(height, width)


def encode_rle(mask: npt.NDArray[Any]) -> str:
    """Return the run-length text of a mask (H, W); the inverse of `decode_rle`."""
    flat = np.concatenate([[0], (np.asarray(mask) > 0).ravel().astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(flat)) + 1
    edges[1::2] -= edges[::2]
    return " ".join(str(int(number)) for number in edges)


def has_masks(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return, for each row of a source's table, whether masks are known."""
    known = np.zeros(len(frame), dtype=bool)
    if "mask_path" in frame:
        known |= frame["mask_path"].fillna("").astype(str).str.len().to_numpy() > 0
    if all(column in frame for column in _RLE_COLUMNS):
        known |= frame[list(_RLE_COLUMNS)].notna().all(axis=1).to_numpy()
    return known


def row_masks(row: dict[str, Any], size: int) -> Bytes:
    """Return the masks of a row that has them, uint8 (3, size, size); a mask file comes before run lengths.

    Raises:
        MissingPath, BadImage, BadValue: the mask is not there or is none.

    """
    path = row.get("mask_path")
    if isinstance(path, str) and path:
        bits = read_mask(path)
        return bits_to_channels(lungs_beside_heart(bits) if row.get("lungs_beside_heart") else bits, size)
    height, width = int(row["mask_height"]), int(row["mask_width"])
    channels = [decode_rle(str(row[column]), height, width).astype(np.float32) for column in _RLE_COLUMNS]
    return np.stack([_soft(channel, size) for channel in channels])


def read_devices(path: str | Path, size: int) -> Bytes:
    """Return uint8 (size, size), 1 where any pixel of a device picture lies, however thin the wire."""
    with Image.open(path) as opened:
        grey = opened.mode in ("L", "P", "1")
        pixels = np.array(opened, dtype=np.uint8) if grey else np.rint(read_image(path) * 255)
    return (to_square((pixels > 0).astype(np.float32), size) > 0).astype(np.uint8)
