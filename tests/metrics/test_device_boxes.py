"""Devices kept by boxes: class, place, contrast and the edited region on pictures drawn by hand."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cfx.metrics.boxes import CLASSES, BoxSet
from cfx.metrics.device_boxes import box_contrast, box_pixels, devices_of, kept_devices

HALF = np.full(len(CLASSES), 0.5)
BOX = (0.25, 0.25, 0.5, 0.375)


def picture(contrast: float = 0.4, shift: int = 0) -> npt.NDArray[Any]:
    """64 px, grey .4, with a bright bar in the upper half of the box."""
    made = np.full((64, 64), 0.4)
    made[16 + shift : 18 + shift, 16:32] += contrast
    return made


def boxes(name: str = "pacemaker", score: float = 0.9, dy: float = 0.0) -> BoxSet:
    made = BoxSet.of([(name, BOX[0], BOX[1] + dy, BOX[2], BOX[3] + dy)])
    return BoxSet(made.box, made.label, np.array([score]))


def test_pixels_of_a_box() -> None:
    inside = box_pixels(np.array(BOX), 64)
    assert inside.sum() == 16 * 8 and inside[16:24, 16:32].all()
    assert box_pixels(np.array([0.5, 0.5, 0.505, 0.505]), 64).sum() == 1  # thinner than a pixel


def test_contrast_on_a_closed_form() -> None:
    image = np.zeros((64, 64))
    image[16:24, 16:32][:2] = 1.0  # a quarter of the box; its brightest fifth is all bright
    bright = round(0.2 * 128)
    assert box_contrast(image, np.array(BOX)) == pytest.approx(1 - (32 - bright) / (128 - bright))
    assert box_contrast(image * 0, np.array(BOX)) == 0


def test_devices_that_count() -> None:
    both = BoxSet.of([("line", *BOX), ("healthy_recess", *BOX), ("tube", *BOX)])
    low = BoxSet(both.box, both.label, np.array([0.5, 0.9, 0.4]))
    assert devices_of(low, HALF).label.tolist() == [CLASSES.index("line")]


@pytest.mark.parametrize(
    ("after", "again", "kept"),
    [
        (picture(), boxes(), True),
        (picture(), boxes(score=0.3), True),  # half its threshold will do the second time
        (picture(), boxes(score=0.2), False),
        (picture(), boxes("line"), False),
        (picture(0.3), boxes(), True),
        (picture(0.26), boxes(), False),  # 65 % of the contrast
        (picture(shift=2), boxes(dy=2 / 64), True),
        (picture(shift=4), boxes(dy=4 / 64), False),  # 6 % of the width
        (picture(), BoxSet.of([]), False),
    ],
)
def test_a_device_is_kept_by_class_place_and_contrast(after: Any, again: BoxSet, kept: bool) -> None:
    found, _ = kept_devices(picture(), after, boxes(), again, HALF)
    assert found.tolist() == [kept]


def test_one_box_stands_for_one_device() -> None:
    two = BoxSet.of([("line", *BOX), ("line", BOX[0], BOX[1] + 0.01, BOX[2], BOX[3] + 0.01)])
    kept, _ = kept_devices(picture(), picture(), two, boxes("line"), HALF)
    assert kept.sum() == 1


def test_the_edited_region_is_where_the_picture_changed() -> None:
    after = picture()
    after[16:24, 16:32] += 0.2
    assert kept_devices(picture(), after, boxes(), boxes(), HALF)[1].tolist() == [True]
    assert kept_devices(picture(), picture(), boxes(), boxes(), HALF)[1].tolist() == [False]
