"""DICOM files, for which pydicom must be installed (the extra `dicom`): pixels as they are meant to be shown."""

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from cfx.errors import BadImage

Float = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

MOST_PIXELS = 100_000_000
"""Pixels of a picture above which it is not decoded: the largest detectors have under a fifth of that."""
_FAR = 1e9  # beyond every window: where a windowing function ends


def is_dicom(path: Path) -> bool:
    """Tell by the name's end, or by the letters DICM after the 128-byte preamble."""
    if path.suffix.lower() in (".dcm", ".dicom"):
        return True
    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        return False  # spares a second opening of every picture of a large data set
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def open_dicom(
    path: Path | BinaryIO, argument: str = "image", name: str | None = None, *, pixels: bool = True
) -> Any:
    """Read a file's data set (`pydicom.Dataset`), without its pixels where `pixels` is not set.

    Args:
        path: the file, or its content opened for reading.
        argument: name of the user's argument, for the error's text.
        name: what the file is called in the error's text; its path by default.
        pixels: whether the pixels are read too.

    Raises:
        BadImage: pydicom is missing, or the file is no DICOM file.

    """
    name = str(path) if name is None else name
    try:
        pydicom = importlib.import_module("pydicom")
    except ImportError as error:
        raise BadImage(argument, name, "reading DICOM needs pydicom", "pip install 'cfx[dicom]'") from error
    try:
        with quiet():
            return pydicom.dcmread(path, stop_before_pixels=not pixels)
    except Exception as error:  # pydicom raises many kinds for a broken file
        raise _unreadable(name, argument, error) from error


def read_dicom(path: Path | BinaryIO, argument: str = "image", name: str | None = None) -> Float:
    """Read a single-frame DICOM picture as grey float32 (H, W) in [0, 1], bone white; see `displayed`.

    Args:
        path: the file, or its content opened for reading.
        argument: name of the user's argument, for the error's text.
        name: what the file is called in the error's text; its path by default.

    Raises:
        BadImage: pydicom is missing, or the file can not be decoded or holds no single grey picture.

    """
    name = str(path) if name is None else name
    dataset = open_dicom(path, argument, name)
    if "PixelData" not in dataset:
        raise BadImage(
            argument, name, "not a readable DICOM picture (it holds no pixels)", "give another file"
        )
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    try:
        claimed = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
        if claimed > MOST_PIXELS:
            raise ValueError(f"{claimed:,} pixels are more than {MOST_PIXELS:,}")
        with quiet():
            stored = np.asarray(dataset.pixel_array)
    except Exception as error:  # pydicom's decoders raise many kinds too
        raise _unreadable(name, argument, error) from error
    if stored.ndim != 2 or not photometric.startswith("MONOCHROME"):
        raise BadImage(
            argument,
            name,
            f"is DICOM of shape {stored.shape} and kind {photometric or 'unknown'}",
            "give a single grey radiograph",
        )
    try:
        with quiet():
            picture = displayed(stored, dataset)
    except Exception as error:  # a table or window that pydicom can not make sense of
        raise _unreadable(name, argument, error) from error
    if picture is None:
        raise BadImage(argument, name, "has the same value in every pixel", "give another file")
    return picture


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leaves out what pydicom warns of: a file is read or told in one line, and odd values are common in archives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _unreadable(name: str, argument: str, error: Exception) -> BadImage:
    told = " ".join(str(error).split()).partition(" Use force=True")[0]  # an option of pydicom, not of cfx
    missing = "plugin" in told or "dependencies" in told
    remedy = "pip install 'cfx[dicom]'" if missing else "give another file"
    return BadImage(argument, name, f"not a readable DICOM picture ({told})", remedy)


def displayed(stored: npt.NDArray[Any], dataset: Any) -> Float | None:
    """Turn stored values into what a viewer shows first (DICOM PS3.3 C.11.1, C.11.2, C.7.6.3.1.2).

    The rescaling, then the first VOI table or else the first window, whose own ends become black and white; without
    either, 8-bit values stay as they are, as those of a PNG do, and deeper ones are spread over the range they use.
    MONOCHROME1 is inverted. Padding (C.7.5.1.1.2) is black and sets no range.

    Args:
        stored: (H, W) values as decoded.
        dataset: the `pydicom.Dataset` they are from.

    Returns:
        float32 (H, W) in [0, 1]; None where all pixels are alike.
    """
    processing = importlib.import_module("pydicom.pixels")
    padding = _padding(stored, dataset)
    values = np.asarray(processing.apply_modality_lut(stored, dataset))
    seen = values if padding is None else values[~padding]
    if seen.size == 0 or float(seen.min()) == float(seen.max()):
        return None
    grey = _by_table(values, dataset) if dataset.get("VOILUTSequence") else _by_window(values, dataset)
    shown = grey if grey is None or padding is None else grey[~padding]
    if shown is None or float(shown.min()) == float(shown.max()):
        # No window, or one beside all values, such as one that was meant for values before the rescaling.
        low, high = _range(seen, dataset)
        grey = np.clip((values.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    assert grey is not None
    if str(dataset.get("PhotometricInterpretation", "")) == "MONOCHROME1":
        grey = 1.0 - grey
    if padding is not None:
        grey[padding] = 0.0
    return grey.astype(np.float32)


def _range(seen: npt.NDArray[Any], dataset: Any) -> tuple[float, float]:
    """Black and white of values that come without a window."""
    plain = dataset.get("RescaleSlope") in (None, 1) and dataset.get("RescaleIntercept") in (None, 0)
    eight = int(dataset.get("BitsStored", 16)) == 8 and int(dataset.get("PixelRepresentation", 0)) == 0
    if plain and eight and not dataset.get("ModalityLUTSequence"):
        return 0.0, 255.0
    return float(seen.min()), float(seen.max())


def _by_table(values: npt.NDArray[Any], dataset: Any) -> npt.NDArray[np.float64] | None:
    """Values by the first VOI table, the table's own ends being 0 and 1; None where it is flat."""
    apply = importlib.import_module("pydicom.pixels").apply_voi
    entries, first = (int(value) for value in dataset.VOILUTSequence[0].LUTDescriptor[:2])
    whole = apply(np.arange(first, first + (entries or 65536)), dataset)
    low, high = float(whole.min()), float(whole.max())
    if not high > low:
        return None
    # Rescaled values may have become floats; the table counts whole ones.
    grey: npt.NDArray[np.float64] = (apply(np.rint(values).astype(np.int64), dataset) - low) / (high - low)
    return grey


def _by_window(values: npt.NDArray[Any], dataset: Any) -> npt.NDArray[np.float64] | None:
    """Values by the first window, its own ends being 0 and 1; None where there is none that makes sense."""
    if dataset.get("WindowCenter") is None or dataset.get("WindowWidth") is None:
        return None
    apply = importlib.import_module("pydicom.pixels").apply_windowing
    try:
        with np.errstate(over="ignore"):
            low, high = (float(value) for value in apply(np.array([-_FAR, _FAR]), dataset))
            shown = apply(values, dataset)
    except (ValueError, TypeError):  # a width of zero, or no number
        return None
    grey: npt.NDArray[np.float64] = (shown - low) / (high - low)
    return grey


def _padding(stored: npt.NDArray[Any], dataset: Any) -> Bools | None:
    """Which pixels are padding, bool (H, W); None where the file names no padding value or has none."""
    value, limit = dataset.get("PixelPaddingValue"), dataset.get("PixelPaddingRangeLimit")
    if not isinstance(value, int):
        return None
    ends = sorted((value, limit if isinstance(limit, int) else value))
    found: Bools = (stored >= ends[0]) & (stored <= ends[1])
    return found if found.any() and not found.all() else None
