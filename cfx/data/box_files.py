"""Readers of the two formats that annotation tools write boxes in: COCO's JSON and Pascal VOC's XML.

Either gives a list of pictures with their size and their boxes in that picture's pixels, edges: a box that covers the
first pixel alone runs from 0 to 1. COCO writes x, y, width and height from 0; VOC counts pixels from 1 and means the
last one too.
"""

import json
import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cfx.errors import WrongLayout

Row = tuple[str, float, float, float, float]


@dataclass
class Drawn:
    """One picture of a box file.

    Attributes:
        name: the picture's file name as the file gives it.
        height, width: of the picture in pixels.
        boxes: rows of the class's own name and x0, y0, x1, y1 in pixels.
    """

    name: str
    height: int
    width: int
    boxes: list[Row] = field(default_factory=list)


def read_coco(path: Path, argument: str = "boxes") -> list[Drawn]:
    """Read a COCO detection file: `images` (id, file_name, width, height), `annotations` (image_id, category_id,
    bbox [x, y, width, height]) and `categories` (id, name). Crowds (`iscrowd`) are left out.

    Raises:
        WrongLayout: not such a file; what is missing is named with its place in the file.
    """

    def wrong(problem: str, remedy: str = "give a COCO detection file") -> WrongLayout:
        return WrongLayout(argument, str(path), problem, remedy)

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise wrong(f"is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise wrong("is JSON, but not an object with images, annotations and categories")
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            raise wrong(f"has no list {key!r}")
    names = {_key(each, "id", "categories", wrong): str(each.get("name")) for each in content["categories"]}
    pictures: dict[Any, Drawn] = {}
    for number, each in enumerate(content["images"]):
        place = f"images[{number}]"
        key = _key(each, "id", place, wrong)
        size = [_number(each.get(side)) for side in ("height", "width")]
        if not isinstance(each.get("file_name"), str) or any(value is None or value < 1 for value in size):
            raise wrong(f"{place} lacks file_name, width or height", "write these three for each picture")
        if key in pictures:
            raise wrong(f"has two images of id {key}", "give each picture an id of its own")
        pictures[key] = Drawn(each["file_name"], int(size[0] or 0), int(size[1] or 0))
    for number, each in enumerate(content["annotations"]):
        place = f"annotations[{number}]"
        image, category = (_key(each, name, place, wrong) for name in ("image_id", "category_id"))
        if image not in pictures or category not in names:
            missing = f"image {image}" if image not in pictures else f"category {category}"
            raise wrong(f"{place} is of {missing}, which the file does not list", "add it, or remove the box")
        if each.get("iscrowd"):
            continue
        box = each.get("bbox")
        values = [_number(value) for value in box] if isinstance(box, list) and len(box) == 4 else [None]
        x, y, width, height = values if len(values) == 4 else (None,) * 4
        if x is None or y is None or width is None or height is None or width <= 0 or height <= 0:
            raise wrong(
                f"{place}.bbox={box} is not a box",
                "write [x, y, width, height] in pixels, both sides above 0",
            )
        pictures[image].boxes.append((names[category], x, y, x + width, y + height))
    return list(pictures.values())


def read_voc(folder: Path, argument: str = "boxes") -> list[Drawn]:
    """Read a folder of Pascal VOC files (subfolders too), one a picture: filename, size and object/name/bndbox.

    Raises:
        WrongLayout: there is none, or one is broken; the file and what it lacks are named.
    """
    files = sorted(folder.rglob("*.xml"))
    if not files:
        raise WrongLayout(
            argument, str(folder), "holds no .xml file", "give a folder of Pascal VOC files, or a COCO .json"
        )
    return [_voc_file(file, argument) for file in files]


def _voc_file(path: Path, argument: str) -> Drawn:
    """Read one VOC file; a picture without a `filename` is called like the file."""

    def wrong(problem: str, remedy: str = "give Pascal VOC files") -> WrongLayout:
        return WrongLayout(argument, str(path), problem, remedy)

    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise wrong(f"is not XML ({error})") from None
    if root.tag != "annotation":
        raise wrong(f"begins with <{root.tag}>, not with <annotation>")
    size = [_number(root.findtext(f"size/{side}")) for side in ("height", "width")]
    if size[0] is None or size[1] is None or min(size[0], size[1]) < 1:
        raise wrong("has no size/width and size/height", "write the picture's size in pixels")
    drawn = Drawn((root.findtext("filename") or "").strip() or path.stem, int(size[0]), int(size[1]))
    for number, each in enumerate(root.findall("object")):
        name = (each.findtext("name") or "").strip()
        edges = [_number(each.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")]
        x0, y0, x1, y1 = edges
        if not name or x0 is None or y0 is None or x1 is None or y1 is None or x1 < x0 or y1 < y0:
            raise wrong(
                f"its object {number + 1} has no name or no box",
                "write name and bndbox with xmin <= xmax and ymin <= ymax",
            )
        drawn.boxes.append((name, x0 - 1, y0 - 1, x1, y1))
    return drawn


def _number(value: Any) -> float | None:
    """Return a finite number, or None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _key(node: Any, name: str, place: str, wrong: Any) -> Any:
    """Return an id of a COCO entry, which must be there and be a number or a text."""
    value = node.get(name) if isinstance(node, dict) else None
    if not isinstance(value, int | str):
        raise wrong(f"{place} lacks {name!r}")
    return value
