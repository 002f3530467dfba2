"""The knob: a slider through a progression's pictures, shared by report.html and the viewer.

`progression.js` and `progression.css` know nothing of where they run: both are written into the page that uses them,
which names their hash in its content security policy, so that no other script runs there. Pictures are handed over
marked; what changed is handed over beside them, because a difference of marked pictures would show the letters.
"""

from base64 import b64encode
from hashlib import sha256
from importlib import resources
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from PIL import Image

from cfx.evaluation.explained import MARK
from cfx.evaluation.reading_words import MEASURES
from cfx.reporting.progressions import difference_scale
from cfx.reporting.run_files import GreyImage

CHANGE_SIDE = 96
"""Most pixels along a side of the difference pictures, which are smooth."""


def asset(name: str, package: str = "cfx.reporting") -> str:
    """The text of a file that ships beside the code."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def source_hash(text: str) -> str:
    """How a content security policy names an inline script or style: ``'sha256-...'``."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}'"


def jpeg_uri(picture: Image.Image, quality: int = 88, note: bool = False) -> str:
    """A picture as a data URI (JPEG, which is a third of a PNG for grey values with noise).

    Args:
        picture: grey or colour.
        quality: of the JPEG.
        note: whether the file itself says that it is synthetic.

    """
    buffer = BytesIO()
    comment = {"comment": MARK.encode()} if note else {}
    settings: dict[str, Any] = {"format": "JPEG", "quality": quality, "subsampling": 0, **comment}
    try:
        picture.save(buffer, optimize=True, **settings)
    except OSError:  # Pillow gives the optimiser a byte a pixel, and pure noise takes more
        buffer = BytesIO()
        picture.save(buffer, **settings)
    return "data:image/jpeg;base64," + b64encode(buffer.getvalue()).decode("ascii")


def measure_json(read_by: str | None, floor: float) -> dict[str, Any] | None:
    """What stands beside the knob of the measurement that a task is read by; None where it is read by nothing.

    Args:
        read_by: `ctr`, `scp` or `haze`.
        floor: least shift of it that is called a change; 0 where none is known.
    """
    if read_by is None:
        return None
    words = MEASURES[read_by]
    return {
        "label": words.label,
        "name": words.name,
        "meaning": words.meaning,
        "floor": float(f"{floor:.2g}") if floor > 0 else None,
        "floorMeaning": words.floor,
    }


def change_scale(original: GreyImage, ends: list[GreyImage]) -> float:
    """The difference that gets full colour: one for a whole progression, so that its steps compare.

    Args:
        original: grey (H, W) in [0, 1].
        ends: its pictures at both ends of the knob.

    """
    return difference_scale([(original, end) for end in ends])


def change_uri(original: GreyImage, changed: GreyImage, scale: float) -> str:
    """Where a picture became brighter or darker, as a small grey PNG: 128 is no change, 1 and 255 are `scale`."""
    change = np.clip((changed - original) / scale, -1.0, 1.0).astype(np.float32)
    factor = CHANGE_SIDE / max(change.shape)
    if factor < 1.0:
        size = (max(1, round(change.shape[1] * factor)), max(1, round(change.shape[0] * factor)))
        change = np.asarray(cv2.resize(change, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    buffer = BytesIO()
    Image.fromarray(np.rint(128.0 + 127.0 * change).astype(np.uint8)).save(buffer, format="PNG")
    return "data:image/png;base64," + b64encode(buffer.getvalue()).decode("ascii")
