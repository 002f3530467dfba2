"""Box files as annotation tools write them, COCO and Pascal VOC, their mistakes in one line, and the way to pixels."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cfx.data.box_files import read_coco, read_voc
from cfx.data.boxes import BoxFiles
from cfx.data.boxes_folder import BoxesFolder
from cfx.data.datamodule import ChestXrayDataModule
from cfx.data.splits import Splits
from cfx.data.transforms import build_transform
from cfx.errors import BadValue, MissingPath, UnknownChoice, UserError, WrongLayout
from cfx.metrics.boxes import BLUNTED, CLASSES, HEALTHY, BoxSet

NAMES = {"costophrenic": BLUNTED, "normal": HEALTHY, "pacer": "pacemaker", "letter": None}


def coco() -> dict[str, Any]:
    """Two pictures of 40 x 20 (width x height), one of them without a box."""
    return {
        "images": [
            {"id": 1, "file_name": "png/1.png", "width": 40, "height": 20},
            {"id": 2, "file_name": "png/2.png", "width": 40, "height": 20},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [4, 2, 8, 6], "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 9, "bbox": [30, 10, 20, 20]},
            {"id": 3, "image_id": 1, "category_id": 9, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        ],
        "categories": [{"id": 7, "name": "pacer"}, {"id": 9, "name": "normal"}],
    }


def write_coco(folder: Path, change: Callable[[dict[str, Any]], Any] = lambda content: None) -> Path:
    content = coco()
    change(content)
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path


VOC = """<annotation><folder>png</folder><filename>{name}</filename>
<size><width>40</width><height>20</height><depth>1</depth></size>
<object><name>{label}</name><difficult>0</difficult>
<bndbox><xmin>{xmin}</xmin><ymin>3</ymin><xmax>12</xmax><ymax>8</ymax></bndbox></object></annotation>
"""


def write_voc(folder: Path, name: str = "1.png", label: str = "pacer", xmin: str = "5") -> Path:
    place = folder / "boxes"
    place.mkdir(exist_ok=True)
    (place / f"{Path(name).stem}.xml").write_text(VOC.format(name=name, label=label, xmin=xmin))
    return place


def frame(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"image_id": names})


def test_coco_becomes_shares_of_the_padded_square(tmp_path: Path) -> None:
    found = BoxFiles(str(write_coco(tmp_path)), NAMES).boxes(frame("png/1.png", "png/2.png", "png/3.png"))
    assert set(found) == {"png/1.png", "png/2.png"} and len(found["png/2.png"]) == 0
    boxes = found["png/1.png"]
    # padded by 10 pixels above and below to 40 x 40; what leaves the picture is cut
    assert boxes.box == pytest.approx(np.array([[4, 12, 12, 18], [30, 20, 40, 30]]) / 40)
    assert [CLASSES[label] for label in boxes.label] == ["pacemaker", HEALTHY]
    assert (boxes.score == 1).all()


def test_voc_counts_pixels_from_one_and_means_the_last(tmp_path: Path) -> None:
    boxes = BoxFiles(str(write_voc(tmp_path)), NAMES).boxes(frame("png/1.png"))["png/1.png"]
    # pixels 5 to 12 and 3 to 8 are edges 4 to 12 and 2 to 8
    assert boxes.box == pytest.approx(np.array([[4, 12, 12, 18]]) / 40)


def test_both_formats_agree(tmp_path: Path) -> None:
    one = read_coco(write_coco(tmp_path))[0].boxes[0]
    other = read_voc(write_voc(tmp_path))[0].boxes[0]
    assert one == other == ("pacer", 4.0, 2.0, 12.0, 8.0)


@pytest.mark.parametrize(
    ("image_id", "known"),
    [
        ("png/1.png", True),
        ("/data/train/png/1.png", True),
        ("1.jpg", True),
        ("png/1.dcm", True),
        ("other/1.png", False),  # another folder, another picture
        ("png/11.png", False),
    ],
)
def test_pictures_are_recognised_by_path_or_name(tmp_path: Path, image_id: str, known: bool) -> None:
    assert (image_id in BoxFiles(str(write_coco(tmp_path)), NAMES).boxes(frame(image_id))) == known


def test_a_name_that_two_pictures_share_stands_for_none(tmp_path: Path) -> None:
    path = write_coco(tmp_path, lambda c: c["images"][0].update(file_name="1.png"))
    assert BoxFiles(str(path), NAMES).boxes(frame("a/1.png", "b/1.png")) == {}
    assert set(BoxFiles(str(path), NAMES).boxes(frame("a/1.png", "b/3.png"))) == {"a/1.png"}
    both = BoxFiles(str(write_coco(tmp_path)), NAMES).boxes(frame("png/1.png", "png/1.jpg"))
    assert set(both) == {"png/1.png"}


def test_paths_may_begin_at_different_folders(tmp_path: Path) -> None:
    """CheXpert calls every file alike: only the folders above tell the pictures apart."""
    path = write_coco(
        tmp_path,
        lambda c: [
            each.update(file_name=f"train/p{each['id']}/study1/view1_frontal.jpg") for each in c["images"]
        ],
    )
    ids = [f"/data/CheXpert/train/p{number}/study1/view1_frontal.jpg" for number in (1, 2, 3)]
    found = BoxFiles(str(path), NAMES).boxes(frame(*ids))
    assert set(found) == set(ids[:2]) and len(found[ids[0]]) == 2
    short = "p1/study1/view1_frontal.jpg"
    assert set(BoxFiles(str(path), NAMES).boxes(frame(short))) == {short}
    assert BoxFiles(str(path), NAMES).boxes(frame("p7/study1/view1_frontal.jpg")) == {}


def test_names_may_be_left_out(tmp_path: Path) -> None:
    path = write_coco(tmp_path, lambda c: c["categories"][0].update(name="letter"))
    boxes = BoxFiles(str(path), NAMES).boxes(frame("png/1.png"))["png/1.png"]
    assert boxes.label.tolist() == [CLASSES.index(HEALTHY)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("images"), "no list 'images'"),
        (lambda c: c["images"][1].pop("width"), r"images\[1\] lacks file_name, width or height"),
        (lambda c: c["images"][1].update(id=1), "two images of id 1"),
        (lambda c: c["annotations"][0].update(image_id=5), r"annotations\[0\] is of image 5"),
        (lambda c: c["annotations"][1].update(category_id=5), r"annotations\[1\] is of category 5"),
        (
            lambda c: c["annotations"][0].update(bbox=[1, 2, 3]),
            r"annotations\[0\].bbox=\[1, 2, 3\] is not a box",
        ),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 0, 3]), "is not a box"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, "x", 3]), "is not a box"),
        (lambda c: c["annotations"][0].pop("category_id"), "lacks 'category_id'"),
    ],
)
def test_a_broken_coco_file_is_told_in_one_line(tmp_path: Path, change: Any, said: str) -> None:
    path = write_coco(tmp_path, change)
    with pytest.raises(WrongLayout, match=said) as told:
        BoxFiles(str(path), NAMES).boxes(frame("png/1.png"))
    assert "\n" not in str(told.value) and str(told.value).startswith("detector.boxes.path=")


def test_what_is_no_coco_file_at_all(tmp_path: Path) -> None:
    for text in ("not json", "[1, 2]"):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(WrongLayout, match="JSON"):
            read_coco(tmp_path / "a.json")
    with pytest.raises(MissingPath, match="no such file"):
        BoxFiles(str(tmp_path / "none.json")).drawn()


def test_a_broken_voc_file_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(WrongLayout, match=r"holds no \.xml"):
        read_voc(tmp_path)
    for xmin, said in (("20", "object 1 has no name or no box"), ("", "object 1 has no name or no box")):
        with pytest.raises(WrongLayout, match=said):
            read_voc(write_voc(tmp_path, xmin=xmin))
    for text, said in (("<annotation>", "is not XML"), ("<x/>", "<x>"), ("<annotation/>", "size/width")):
        (tmp_path / "boxes/1.xml").write_text(text)
        with pytest.raises(WrongLayout, match=said):
            read_voc(tmp_path / "boxes")


def test_an_unknown_class_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownChoice, match=r"detector\.boxes\.names=\{pacemakers: pacemaker\}"):
        BoxFiles(str(write_voc(tmp_path, label="pacemakers"))).boxes(frame("1.png"))


def test_a_picture_named_twice(tmp_path: Path) -> None:
    path = write_coco(tmp_path, lambda c: c["images"][1].update(file_name="png/1.png"))
    with pytest.raises(WrongLayout, match="twice"):
        BoxFiles(str(path), NAMES).boxes(frame("png/1.png"))


def pictures(root: Path, count: int = 40) -> Path:
    """A folder of pictures with a bright square each, and its COCO file."""
    random = np.random.default_rng(0)
    content: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 0, "name": "pacemaker"}],
    }
    (root / "images").mkdir(parents=True)
    for number in range(count):
        pixels = np.full((64, 64), 60, dtype=np.uint8)
        x, y = (int(v) for v in random.integers(4, 40, 2))
        pixels[y : y + 16, x : x + 16] = 220
        Image.fromarray(pixels).save(root / "images" / f"{number:03d}.png")
        content["images"].append({"id": number, "file_name": f"{number:03d}.png", "width": 64, "height": 64})
        content["annotations"].append({"image_id": number, "category_id": 0, "bbox": [x, y, 16, 16]})
    (root / "annotations.json").write_text(json.dumps(content))
    return root


def module(root: Path, **more: Any) -> ChestXrayDataModule:
    given: dict[str, Any] = {
        "size": 32, "findings": [], "views": ["PA"], "extras": ["boxes"], "part": "anatomy", "batch_size": 8,
        "splits": Splits(apart=True, shares={"anatomy": 1, "judge": 1}),
    }  # fmt: skip
    return ChestXrayDataModule(BoxesFolder(root, images="images"), **{**given, **more})


def square(image: np.ndarray[Any, Any]) -> list[float]:
    """Edges of what is bright, in pixels."""
    rows, columns = np.nonzero(image > 140)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_boxes_travel_with_their_pictures(tmp_path: Path) -> None:
    data = module(pictures(tmp_path))
    batch = data.dataset("train").batch([0, 1, 2])
    assert [box.dtype for box in batch["boxes"]] == [np.dtype("float32")] * 3 or batch["boxes"][0].shape == (
        1,
        4,
    )
    for image, box, label in zip(batch["image"], batch["boxes"], batch["box_labels"], strict=True):
        grey = (image[0].numpy() + 1) * 127.5
        assert box[0].tolist() == pytest.approx(square(grey), abs=1.01)
        assert label.tolist() == [CLASSES.index("pacemaker")]
    both = {
        name
        for part in ("anatomy", "judge")
        for name in module(tmp_path, part=part).table("train")["image_id"]
    }
    assert len(both) + len(data.table("valid")) + len(data.table("test")) == 40


def test_boxes_move_with_the_augmented_picture(tmp_path: Path) -> None:
    pictures(tmp_path)
    steps = build_transform(affine={"shift": 0.15, "scale": 0.2}, brightness=0.05)
    data = module(tmp_path, size=64, transform=steps)
    dataset = data.dataset("train", steps)
    still = data.dataset("train").batch(list(range(12)))
    moved, again = dataset.batch(list(range(12))), dataset.batch(list(range(12)))
    changed = 0
    for row in range(12):
        assert moved["boxes"][row].equal(again["boxes"][row])  # a function of the seed
        if not len(moved["boxes"][row]):
            continue
        grey = (moved["image"][row, 0].numpy() + 1) * 127.5
        assert moved["boxes"][row][0].tolist() == pytest.approx(square(grey), abs=1.6)
        changed += not moved["boxes"][row].equal(still["boxes"][row])
    assert changed > 8


def test_mirrored_boxes_and_boxes_that_leave() -> None:
    image = np.zeros((32, 32), dtype=np.uint8)
    boxes = BoxSet.of([("line", 0.125, 0.25, 0.5, 0.75)])
    _, flipped = build_transform(flip=1.0).with_boxes(image, boxes, 0)
    assert flipped.box == pytest.approx(np.array([[0.5, 0.25, 0.875, 0.75]]))
    _, none = build_transform(affine={"scale": 0.1}).with_boxes(image, BoxSet.of([]), 0)
    assert len(none) == 0 and none.box.shape == (0, 4)


def test_pictures_with_devices_are_drawn_more_often(tmp_path: Path) -> None:
    root = pictures(tmp_path)
    content = json.loads((root / "annotations.json").read_text())
    content["annotations"] = content["annotations"][::4]
    (root / "annotations.json").write_text(json.dumps(content))
    data = module(root, balance="devices", splits=Splits(shares={"anatomy": 1}))
    dataset = data.dataset("train")
    carries = np.array([len(each) > 0 for each in dataset.boxes or []])
    drawn = carries[data.sampler(dataset, training=True).order(0)]
    assert carries.mean() < 0.35 and abs(drawn.mean() - 0.5) < 0.05


def test_data_without_boxes_say_so(masks_root: Path, tmp_path: Path) -> None:
    from cfx.data.masks_folder import MasksFolder

    given = {"size": 32, "findings": [], "extras": ["boxes"]}
    with pytest.raises(BadValue, match="has no boxes"):
        ChestXrayDataModule(MasksFolder(masks_root), **given).table("train")  # type: ignore[arg-type]
    foreign = BoxFiles(str(write_coco(tmp_path)), NAMES)
    with pytest.raises(UserError, match="names no picture of the data"):
        ChestXrayDataModule(MasksFolder(masks_root), boxes_from=foreign, **given).table("train")  # type: ignore[arg-type]
