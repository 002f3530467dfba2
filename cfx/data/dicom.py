"""DICOM files, for which pydicom must be installed (the extra `dicom`)."""

import importlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from cfx.errors import BadImage

Float = npt.NDArray[np.float32]

MOST_PIXELS = 100_000_000
"""Pixels of a picture above which it is not decoded: the largest detectors have under a fifth of that."""


def is_dicom(path: Path) -> bool:
    """Tell by the name's end, or by the letters DICM after the 128-byte preamble."""
    if path.suffix.lower() in (".dcm", ".dicom"):
        return True
    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        return False  # spares a second opening of every picture of a large data set
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def read_dicom(path: Path | BinaryIO, argument: str = "image", name: str | None = None) -> Float:
    """Read a single-frame DICOM picture as grey float32 (H, W) in [0, 1], bone white.

    The stored rescaling and the first window of the file are applied (DICOM PS3.3 C.11.1 and C.11.2); without
    a window the range of the pixels is taken. MONOCHROME1 is inverted.

    Args:
        path: the file, or its content opened for reading.
        argument: name of the user's argument, for the error's text.
        name: what the file is called in the error's text; its path by default.

    Raises:
        BadImage: pydicom is missing, or the file can not be decoded or holds no single grey picture.

    """
    name = str(path) if name is None else name
    try:
        pydicom = importlib.import_module("pydicom")
        pixels_module = importlib.import_module("pydicom.pixels")
    except ImportError as error:
        raise BadImage(argument, name, "reading DICOM needs pydicom", "pip install 'cfx[dicom]'") from error
    try:
        dataset = pydicom.dcmread(path)
        claimed = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
        if claimed > MOST_PIXELS:
            raise ValueError(f"{claimed:,} pixels are more than {MOST_PIXELS:,}")
        stored: Any = dataset.pixel_array
        pixels = np.asarray(pixels_module.apply_modality_lut(stored, dataset))
        pixels = np.asarray(pixels_module.apply_voi_lut(pixels, dataset), dtype=np.float64)
        photometric = str(dataset.get("PhotometricInterpretation", ""))
    except Exception as error:  # pydicom and its decoders raise many kinds for a broken file
        raise BadImage(
            argument, name, f"not a readable DICOM picture ({error})", "give another file"
        ) from error
    if pixels.ndim != 2 or not photometric.startswith("MONOCHROME"):
        raise BadImage(
            argument,
            name,
            f"is DICOM of shape {pixels.shape} and kind {photometric or 'unknown'}",
            "give a single grey radiograph",
        )
    low, high = float(pixels.min()), float(pixels.max())
    if not high > low:
        raise BadImage(argument, name, "has the same value in every pixel", "give another file")
    scaled = (pixels - low) / (high - low)
    if photometric == "MONOCHROME1":
        scaled = 1.0 - scaled
    return scaled.astype(np.float32)
