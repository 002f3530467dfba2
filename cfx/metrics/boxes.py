"""Boxes on a picture, drawn by hand or found by a detector: their classes, their unit, how two overlap.

Coordinates are shares of the padded square's side, from 0 to 1, edges (so x1 - x0 is the width): they mean the same
at any size of the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DEVICES = ("pacemaker", "line", "tube")
HEALTHY, BLUNTED = "healthy_recess", "blunted_recess"
RECESSES = (HEALTHY, BLUNTED)
CLASSES = (*DEVICES, *RECESSES)
"""What boxes are of; a box's label is its place here. The side of a recess follows from where it lies."""


@dataclass(frozen=True)
class BoxSet:
    """The boxes of one picture, N of them.

    Attributes:
        box: float64 (N, 4), x0, y0, x1, y1 as shares of the side.
        label: int64 (N,), places in `CLASSES`.
        score: float64 (N,) in [0, 1]; 1 for boxes drawn by hand.
    """

    box: Array
    label: npt.NDArray[np.int64]
    score: Array

    @classmethod
    def of(cls, rows: Sequence[tuple[str, float, float, float, float]]) -> "BoxSet":
        """Make a set from rows of class and edges, each with a score of 1.

        Raises:
            ValueError: a class that does not exist.
        """
        label = np.array(labels_of([row[0] for row in rows]), dtype=np.int64)
        box = np.array([row[1:] for row in rows], dtype=np.float64).reshape(len(rows), 4)
        return cls(box, label, np.ones(len(rows)))

    def __len__(self) -> int:
        return len(self.box)

    def __getitem__(self, chosen: Array) -> "BoxSet":
        return BoxSet(self.box[chosen], self.label[chosen], self.score[chosen])

    @property
    def centre(self) -> Array:
        """(N, 2), x and y."""
        middle: Array = (self.box[:, :2] + self.box[:, 2:]) / 2
        return middle


def labels_of(names: Sequence[str]) -> list[int]:
    """Return the labels of classes.

    Raises:
        ValueError: a class that does not exist.
    """
    strangers = [name for name in names if name not in CLASSES]
    if strangers:
        raise ValueError(f"{strangers[0]!r} is none of {', '.join(CLASSES)}")
    return [CLASSES.index(name) for name in names]


def area(box: Array) -> Array:
    """Area (N,) of boxes (N, 4); 0 where edges are crossed."""
    sides = np.clip(box[:, 2:] - box[:, :2], 0, None)
    surface: Array = sides[:, 0] * sides[:, 1]
    return surface


def overlap(one: Array, other: Array) -> Array:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4); 0 where both are empty."""
    start = np.maximum(one[:, None, :2], other[None, :, :2])
    sides = np.clip(np.minimum(one[:, None, 2:], other[None, :, 2:]) - start, 0, None)
    both = sides[..., 0] * sides[..., 1]
    union = area(one)[:, None] + area(other)[None] - both
    share: Array = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return share
