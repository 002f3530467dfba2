"""The one way from a file to a tensor: read, pad to a square, resize, scale.

Every picture takes this path, in training, in evaluation and when one file is explained, so that a black box
never sees the same file in two versions. No contrast is stretched and nothing is cropped.
"""

import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from cfx.data.dicom import is_dicom, read_dicom
from cfx.errors import BadImage, MissingPath

Float = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

cv2.setNumThreads(0)  # workers and data-parallel ranks already use the cores; OpenCV's pool would fight them

_SIXTEEN_BIT = {"I;16", "I;16B", "I;16L", "I;16N"}
_FULL = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
"""Greatest values of 8, 10, 12, 14 and 16 bits: detectors give 10 to 14, and files of 16 hold them as they are."""


def read_image(path: str | Path, argument: str = "image") -> Float:
    """Read a picture as grey float32 (H, W) in [0, 1].

    PNG, JPEG and whatever else Pillow reads: 8 bits are divided by 255; 16 by the greatest value of the fewest of
    8, 10, 12, 14 or 16 bits that hold the picture, since a detector's 12 bits are black on a scale of 16. Colour by
    its luma, transparency dropped, a rotation in the EXIF tags applied; DICOM where pydicom is installed.

    Args:
        path: the file.
        argument: name of the user's argument, for the error's text.

    Raises:
        MissingPath: no such file.
        BadImage: the file is no picture, is cut off, or is empty.

    """
    path = Path(path)
    if not path.is_file():
        raise MissingPath(argument, str(path), "no such file", "check the path")
    if is_dicom(path):
        return read_dicom(path, argument)
    return _decode(path, str(path), argument)


def read_content(content: bytes, name: str, argument: str = "image") -> Float:
    """Read the content of a PNG, JPEG or DICOM file that lies in memory alone, exactly as `read_image` does a file.

    Args:
        content: the file's bytes; what it is is told by them, never by its name.
        name: what it is called in the error's text.
        argument: name of the user's argument, for the error's text.

    Raises:
        BadImage: as `read_image`; other formats are not tried.

    """
    if content[128:132] == b"DICM":
        return read_dicom(BytesIO(content), argument, name)
    return _decode(BytesIO(content), name, argument, ("PNG", "JPEG"))


def _decode(file: Path | BytesIO, name: str, argument: str, formats: tuple[str, ...] | None = None) -> Float:
    """Return the pixels of whatever Pillow reads of the given formats (None: all) as float32 (H, W) in [0, 1]."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=formats) as opened:
                picture = ImageOps.exif_transpose(opened) if "exif" in opened.info else opened
                pixels = _grey(picture)
    except UnidentifiedImageError as error:
        raise BadImage(argument, name, "not an image", "give a PNG, JPEG or DICOM file") from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        Image.DecompressionBombWarning,
        Image.DecompressionBombError,
    ) as error:
        # Pillow tells of truncated files by OSError and of broken PNG chunks by SyntaxError
        raise BadImage(
            argument, name, f"can not be decoded ({error})", "copy or download the file again"
        ) from error
    if pixels.size == 0 or not np.isfinite(pixels).all():
        raise BadImage(argument, name, "holds no finite pixel values", "give another file")
    return pixels


def _spread(values: npt.NDArray[Any], full: Sequence[float]) -> Float:
    """Return values over the least of rising full values that holds them all, cut at the last: float32 in [0, 1]."""
    top = values.max(initial=0)
    scale = next((each for each in full if top <= each), full[-1])
    return np.clip(values.astype(np.float64) / scale, 0.0, 1.0).astype(np.float32)


def _grey(picture: Image.Image) -> Float:
    """Return the pixels of an opened picture as float32 (H, W) in [0, 1]."""
    mode = picture.mode
    if mode in _SIXTEEN_BIT:
        return _spread(np.asarray(picture), _FULL)
    if mode in ("I", "F"):
        return _spread(np.asarray(picture), (1.0, *_FULL))
    if mode != "L":
        picture = picture.convert("L")
    return np.asarray(picture, dtype=np.uint8).astype(np.float32) / np.float32(255)


def read_mask(path: str | Path, argument: str = "mask") -> Bytes:
    """Read a mask as uint8 bit field (H, W): 1 heart, 2 left lung, 4 right lung (the patient's left).

    Structures may overlap, which is why the values add up instead of being class numbers.

    Raises:
        MissingPath: no such file.
        BadImage: the file is no picture or its values are not in 0..7.

    """
    path = Path(path)
    if not path.is_file():
        raise MissingPath(argument, str(path), "no such file", "check the path")
    try:
        with Image.open(path) as opened:
            if opened.mode not in ("L", "P", "1"):
                raise BadImage(
                    argument,
                    str(path),
                    f"is a mask of mode {opened.mode}",
                    "write masks as 8-bit grey PNG with 1 heart + 2 left lung + 4 right lung",
                )
            bits = np.array(opened, dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise BadImage(
            argument, str(path), f"can not be decoded ({error})", "write the mask again"
        ) from error
    if bits.max(initial=0) > 7:
        raise BadImage(
            argument,
            str(path),
            f"has the value {int(bits.max())} in a mask",
            "use 1 heart + 2 left lung + 4 right lung, no 0/255 masks",
        )
    return bits


def to_square(image: Float, size: int) -> Float:
    """Pad with black to a centred square, then resize to (size, size).

    Shrinking averages areas (no aliasing); enlarging is bilinear. Angles and ratios of lengths stay, so that
    a cardiothoracic ratio is the same before and after.

    Args:
        image: float32 (H, W), any range.
        size: side of the result in pixels.

    """
    height, width = image.shape
    side = max(height, width)
    if height != width:
        top, left = (side - height) // 2, (side - width) // 2
        padded = np.zeros((side, side), dtype=np.float32)
        padded[top : top + height, left : left + width] = image
        image = padded
    if side == size:
        return image
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size, size), interpolation=how), dtype=np.float32)


def to_tensor(image: Float) -> Tensor:
    """Turn float32 (H, W) in [0, 1] into a tensor (1, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)).unsqueeze(0) * 2.0 - 1.0


def to_bytes(image: Float) -> Bytes:
    """Round float32 in [0, 1] to uint8; exact for pictures that were 8-bit and already had this size."""
    return np.asarray(np.rint(np.clip(image, 0.0, 1.0) * 255.0), dtype=np.uint8)


def bytes_to_tensor(pixels: Bytes) -> Tensor:
    """Turn uint8 (..., H, W) into float32 of the same shape in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).to(torch.float32).mul_(2.0 / 255.0).sub_(1.0)


def load_tensor(path: str | Path, size: int, argument: str = "image") -> Tensor:
    """Read one file exactly as the data module does, by way of 8 bits: float32 (1, size, size) in [-1, 1].

    Raises:
        MissingPath, BadImage: as `read_image`.

    """
    return as_seen(read_image(path, argument), size)


def as_seen(image: Float, size: int) -> Tensor:
    """Turn a picture (H, W) in [0, 1] into what networks see of it, by way of 8 bits: (1, size, size) in [-1, 1]."""
    return bytes_to_tensor(to_bytes(to_square(image, size))).unsqueeze(0)
