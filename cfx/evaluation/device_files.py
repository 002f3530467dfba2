"""Devices of a picture from the file that a data set keeps of them, and how many of them drawn pictures keep."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from cfx.data.phantom.devices import CLASSES
from cfx.data.reading import to_square
from cfx.metrics.devices import Device, find, in_edit, visible

DEVICE_COUNTS = ("devices_before", "devices_kept", "devices_in_edit", "devices_in_edit_kept")


def read_devices(path: Any, size: int) -> list[Device]:
    """Read the devices of one picture.

    Args:
        path: 8-bit picture whose bits are the classes of the phantom (1 pacemaker, 2 central line, 4 tube, 8 ECG
            wires, 16 text marker); a mask of 0 and 255 is one device without a class. Empty or NaN: no file.
        size: side of the evaluated picture; the mask takes the picture's way there (padding, then resizing).

    Returns:
        One device a class that is there; text markers are none.
    """
    if not isinstance(path, str | Path) or not str(path) or not Path(path).is_file():
        return []
    with Image.open(path) as opened:
        bits = np.asarray(opened.convert("L"))
    if bits.max(initial=0) == 255:
        named = {"device": bits > 0}
    else:
        named = {name: (bits & bit) > 0 for bit, name in CLASSES.items() if name != "text_marker"}
    found = []
    for name, mask in named.items():
        if mask.any():
            small = to_square(mask.astype(np.float32), size) >= 0.25
            if small.any():
                found.append(Device(name, small))
    return found


def count_devices(
    paths: Sequence[Any] | npt.NDArray[Any], image: Tensor, drawn: Tensor, asked: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[np.float64]]:
    """Count the visible devices of pictures, and those that drawn pictures keep.

    Args:
        paths: (B,) what `read_devices` takes.
        image: float (B, 1, H, W) in [-1, 1].
        drawn: float (B, T, 1, H, W) in [-1, 1].
        asked: (B, T) which of the drawn pictures count.

    Returns:
        By `DEVICE_COUNTS` (B, T): there before, kept, in the edited region, kept of those; NaN where not asked.
    """
    counts = {name: np.full(asked.shape, np.nan) for name in DEVICE_COUNTS}
    grey = (image[:, 0].cpu().numpy().astype(np.float64) + 1) / 2
    for row, column in zip(*np.nonzero(asked), strict=True):
        before = grey[row]
        after = (drawn[row, column, 0].cpu().numpy().astype(np.float64) + 1) / 2
        shown = [each for each in read_devices(paths[row], before.shape[-1]) if visible(before, each)]
        kept = [find(before, after, each).kept for each in shown]
        edited = [in_edit(before, after, each.mask) for each in shown]
        both = [one and other for one, other in zip(kept, edited, strict=True)]
        tallies = (len(shown), sum(kept), sum(edited), sum(both))
        for name, tally in zip(DEVICE_COUNTS, tallies, strict=True):
            counts[name][row, column] = tally
    return counts
