"""From soft masks to what is drawn over a picture: outlines of the organs and the two lines of the CTR."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cfx.evaluation.full_resolution import padding
from cfx.measurements import HEART, LEFT_LUNG, RIGHT_LUNG, largest_part, measure

Array = npt.NDArray[Any]

DRAWN_AT = 384
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
    large = np.stack([[_enlarged(part) for part in mask] for mask in masks])
    kept = np.stack([largest_part(large[:, channel])[0] for channel in range(3)], axis=1)
    found = []
    for index, parts in enumerate(kept):
        outlines = {name: _polygons(parts[channel], height, width) for name, channel in ORGANS}
        lines = {}
        lungs = parts[LEFT_LUNG] | parts[RIGHT_LUNG]
        if np.isfinite(measured.ctr[index]):
            for name, inside, edges in (
                ("heart", parts[HEART], measured.heart_edges[index]),
                ("thorax", lungs, measured.thorax_edges[index]),
            ):
                (x0, y), (x1, _) = (_unpadded((edge, _level(inside)), height, width) for edge in edges)
                lines[name] = (x0, x1, y)
        found.append(Overlay(outlines, lines))
    return found


def _enlarged(mask: Array) -> Array:
    """One soft mask at `DRAWN_AT`, bilinear: its crossing of 0.5 is the edge that `measure` finds."""
    return np.asarray(cv2.resize(mask, (DRAWN_AT, DRAWN_AT), interpolation=cv2.INTER_LINEAR))


def _level(inside: Array) -> float:
    """Height, as a fraction from the top, at which the line of an organ's width is drawn.

    The two extreme edges hardly ever lie on one row; the line stands half way between them.
    """
    columns = np.flatnonzero(inside.any(axis=0))
    ends = [np.flatnonzero(inside[:, column]).mean() for column in (columns[0], columns[-1])]
    return float((np.mean(ends) + 0.5) / inside.shape[0])


def _polygons(inside: Array, height: int, width: int) -> list[list[Point]]:
    """Closed outlines of a hard mask in fractions of the file's picture, straightened within the tolerance."""
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    side = inside.shape[0]
    polygons = []
    for contour in contours:
        if len(contour) < 8:
            continue
        points = cv2.approxPolyDP(contour, TOLERANCE, True)[:, 0].astype(np.float64)
        polygons.append([_unpadded(((x + 0.5) / side, (y + 0.5) / side), height, width) for x, y in points])
    return polygons


def _unpadded(point: Point, height: int, width: int) -> Point:
    """A point of the padded square as one of the picture in it."""
    side, top, left = padding(height, width)
    x, y = point
    return round(float((x * side - left) / width), 4), round(float((y * side - top) / height), 4)
