"""Boxes drawn by hand, from COCO or Pascal VOC files, by the pictures of a data set.

Files give pixels of the picture as it was when somebody drew on it. Here they become shares of the padded square, so
that they fit the picture at any size it is read at (see `cfx.data.reading.to_square`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from cfx.data.box_files import Drawn, read_coco, read_voc
from cfx.data.source import Source
from cfx.errors import BadValue, MissingPath, UnknownChoice, WrongLayout, nearest
from cfx.metrics.boxes import CLASSES, DEVICES, BoxSet, labels_of

Boxes = dict[str, BoxSet]
"""Boxes by image_id. A picture that was looked at and has none is in it with an empty set; others are not in it."""


class BoxTable(Protocol):
    """Where boxes of a data set's pictures come from."""

    def boxes(self, frame: pd.DataFrame) -> Boxes:
        """Return the boxes of those pictures of a source's table that were looked at."""
        ...


def to_shares(drawn: Drawn, names: Mapping[str, str | None], argument: str) -> BoxSet:
    """Turn the boxes of one picture from its pixels into shares of its padded square.

    Args:
        drawn: boxes as the file has them.
        names: class of `CLASSES` by the file's own name; None leaves boxes of that name out; names of `CLASSES`
            need no entry.
        argument: name of the user's argument, for the error's text.

    Raises:
        UnknownChoice: a name that stands for no class.
    """
    height, width = drawn.height, drawn.width
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    rows: list[tuple[str, float, float, float, float]] = []
    for name, x0, y0, x1, y1 in drawn.boxes:
        known = names.get(name, name)
        if known is None:
            continue
        if known not in CLASSES:
            near = nearest(str(known), CLASSES)
            key = f"{argument.rpartition('.')[0]}.names"
            remedy = f"give {key}={{{name}: {near or CLASSES[0]}}}, or null to leave it out"
            raise UnknownChoice(argument, name, f"is none of {', '.join(CLASSES)}", remedy)
        edges = np.clip([x0, y0, x1, y1], 0, [width, height, width, height])
        if edges[2] > edges[0] and edges[3] > edges[1]:
            x0, y0, x1, y1 = ((edges + np.array([left, top, left, top])) / side).tolist()
            rows.append((known, x0, y0, x1, y1))
    return BoxSet.of(rows)


@dataclass(frozen=True)
class BoxFiles:
    """The boxes of a data set's pictures, from one COCO file or a folder of Pascal VOC files.

    A picture is recognised by its image_id, of which the files may know the end alone, or more than it tells.

    Attributes:
        path: a COCO `.json`, or a folder of VOC `.xml` files.
        names: class by the file's own name, such as {costophrenic: blunted_recess, normal: healthy_recess}; null
            leaves a name out.
        argument: name of the user's argument, for messages.
    """

    path: str
    names: Mapping[str, str | None] | None = None
    argument: str = "detector.boxes.path"

    def drawn(self) -> list[Drawn]:
        """Read the file or folder.

        Raises:
            MissingPath, WrongLayout: it is not there, or not of either format.
        """
        place = Path(self.path).expanduser()
        if place.is_dir():
            return read_voc(place, self.argument)
        if not place.is_file():
            remedy = "give a COCO .json file or a folder of Pascal VOC .xml files"
            raise MissingPath(self.argument, self.path, "there is no such file or folder", remedy)
        return read_coco(place, self.argument)

    def shares(self, drawn: Drawn) -> BoxSet:
        """Return one picture's boxes as shares of its padded square."""
        return to_shares(drawn, self.names or {}, self.argument)

    def boxes(self, frame: pd.DataFrame) -> Boxes:
        """Return the boxes of those pictures of the table that the files name.

        Raises:
            WrongLayout: the files name one picture twice.
        """
        names = _Names([str(name) for name in frame["image_id"]])
        found: Boxes = {}
        for each in self.drawn():
            name = names.find(each.name)
            if name is None:
                continue
            if name in found:
                raise WrongLayout(self.argument, self.path, f"names the picture {name} twice", "leave one")
            found[name] = self.shares(each)
        return found


def known_boxes(source: Source, table: BoxTable | None, frame: pd.DataFrame) -> Boxes:
    """Return the boxes of the pictures of a table, from files beside the data set or from its source.

    Raises:
        BadValue: nobody knows any, or the files know none of these pictures.

    """
    origin = table if table is not None else source
    if not hasattr(origin, "boxes"):
        raise BadValue(
            "data",
            source.name,
            "has no boxes to train a detector on",
            "give detector=boxes detector.boxes.path=FILE",
        )
    found: Boxes = origin.boxes(frame)
    if not found:
        example = frame["image_id"].iloc[0] if len(frame) else "none"
        where = getattr(origin, "path", source.name)
        raise BadValue(
            "detector.boxes", where, f"names no picture of the data, such as {example}", "give their boxes"
        )
    return found


def carry_devices(sets: Sequence[BoxSet]) -> npt.NDArray[np.int64]:
    """Return 1 for each picture with the box of a device, else 0."""
    return np.array([np.isin(each.label, labels_of(DEVICES)).any() for each in sets], dtype=np.int64)


class _Names:
    """Finds the picture that a path of a box file stands for.

    Tables and box files may begin their paths at different folders, and a file may have been converted: one path must
    be the end of the other, but for the suffix. Folders that differ are another picture, whatever its file is called.

    Args:
        image_ids: of the data set.
    """

    def __init__(self, image_ids: list[str]) -> None:
        self.exact = set(image_ids)
        self.whole: dict[tuple[str, ...], str | None] = {}
        self.ends: dict[tuple[str, ...], str | None] = {}
        for name in image_ids:
            parts = _parts(name)
            self.whole[parts] = name if self.whole.get(parts, name) == name else None
            for start in range(len(parts)):
                end = parts[start:]
                self.ends[end] = name if self.ends.get(end, name) == name else None

    def find(self, name: str) -> str | None:
        """Return the image_id; None where there is none, or where several are meant."""
        if name in self.exact:
            return name
        parts = _parts(name)
        if parts in self.ends:
            return self.ends[parts]
        return next((self.whole[parts[at:]] for at in range(len(parts)) if parts[at:] in self.whole), None)


def _parts(name: str) -> tuple[str, ...]:
    """Return the folders and the name of a path without its suffix; roots and dots are none."""
    path = PurePosixPath(name.replace("\\", "/"))
    return (*(part for part in path.parts[:-1] if part not in ("/", ".")), path.stem)
