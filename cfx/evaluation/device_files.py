"""Devices of a picture from the file that a data set keeps of them."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cfx.data.phantom.devices import CLASSES
from cfx.data.reading import to_square
from cfx.metrics.devices import Device


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
