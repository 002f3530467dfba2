"""From soft masks to what is drawn over a picture: outlines of the organs and the two lines of the CTR."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cfx.evaluation.full_resolution import padding
from cfx.measurements import HEART, LEFT_LUNG, LEVEL, RIGHT_LUNG, measure

Array = npt.NDArray[Any]

DRAWN_AT = 320
"""Side that masks are enlarged to before their outline is taken: a step of it is under a pixel of any screen."""
TOLERANCE = 0.4
"""Pixels at that side by which an outline may be straightened."""
ORGANS = (("heart", HEART), ("left_lung", LEFT_LUNG), ("right_lung", RIGHT_LUNG))

Point = tuple[float, float]


@dataclass(frozen=True)
class Overlay:
    """What is drawn over one picture, in fractions of its width and height, from its upper left corner.

    Attributes:
        outlines: closed polygons by organ: heart, left_lung, right_lung (the patient's left); empty where not found.
        lines: `heart` and `thorax`, each (x0, x1, y), the widths whose ratio is the CTR; absent where not measurable.

    """

    outlines: dict[str, list[list[Point]]]
    lines: dict[str, tuple[float, float, float]]

    def numbers(self) -> dict[str, Any]:
        """The overlay as JSON."""
        return {"outlines": self.outlines, "lines": self.lines}


def overlays(masks: Array, height: int, width: int) -> list[Overlay]:
    """Outlines and lines of several pictures of one file.

    Args:
        masks: soft (B, 3, h, w) of the padded squares, channels heart, left lung, right lung.
        height, width: of the file's picture; what was padding is outside of 0 to 1.

    """
    masks = np.asarray(masks, dtype=np.float32)
    measured = measure(masks)
    found = []
    for index, mask in enumerate(masks):
        parts = {name: _contour(mask[channel]) for name, channel in ORGANS}
        outlines = {
            name: [] if contour is None else [_polygon(contour, height, width)]
            for name, contour in parts.items()
        }
        lines = {}
        heart, left, right = (parts[name] for name, _ in ORGANS)
        if np.isfinite(measured.ctr[index]) and heart is not None and left is not None and right is not None:
            for name, contour, edges in (
                ("heart", heart, measured.heart_edges[index]),
                ("thorax", np.concatenate([left, right]), measured.thorax_edges[index]),
            ):
                (x0, y), (x1, _) = (_unpadded((edge, _level(contour)), height, width) for edge in edges)
                lines[name] = (x0, x1, y)
        found.append(Overlay(outlines, lines))
    return found


def _contour(mask: Array) -> Array | None:
    """The outline (N, 2) of the largest part of one soft mask, x and y in pixels of `DRAWN_AT`; None without one.

    Enlarged bilinearly the mask crosses 0.5 where `measure` finds its edge.
    """
    large = cv2.resize(mask, (DRAWN_AT, DRAWN_AT), interpolation=cv2.INTER_LINEAR)
    inside = (large >= LEVEL).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea, default=None)
    return None if largest is None or len(largest) < 8 else np.asarray(largest[:, 0])


def _level(contour: Array) -> float:
    """Height, as a fraction from the top, at which the line of an organ's width is drawn.

    The two extreme edges hardly ever lie on one row; the line stands half way between them.
    """
    across, down = contour[:, 0], contour[:, 1]
    ends = [down[across == edge].mean() for edge in (across.min(), across.max())]
    return float((np.mean(ends) + 0.5) / DRAWN_AT)


def _polygon(contour: Array, height: int, width: int) -> list[Point]:
    """A closed outline in fractions of the file's picture, straightened within the tolerance."""
    points = cv2.approxPolyDP(contour[:, None], TOLERANCE, True)[:, 0].astype(np.float64)
    return [_unpadded(((x + 0.5) / DRAWN_AT, (y + 0.5) / DRAWN_AT), height, width) for x, y in points]


def _unpadded(point: Point, height: int, width: int) -> Point:
    """A point of the padded square as one of the picture in it."""
    side, top, left = padding(height, width)
    x, y = point
    return round(float((x * side - left) / width), 4), round(float((y * side - top) / height), 4)
