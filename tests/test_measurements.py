"""Widths and cardiothoracic ratio: closed forms, soft edges, real contours, what is not measurable."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cfx.measurements import (
    cardiothoracic_ratio,
    costophrenic_angles,
    extent,
    largest_part,
    lung_haze,
    measure,
)


def ellipse(size: int, centre: tuple[float, float], radii: tuple[float, float], fine: int = 1) -> np.ndarray:
    """Coverage of each pixel by an ellipse; centre (x, y) and radii in pixels, pixel i spans [i - .5, i + .5]."""
    at = (np.arange(size * fine) + 0.5) / fine - 0.5
    x, y = np.meshgrid(at, at)
    inside = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 <= 1
    return inside.reshape(size, fine, size, fine).mean(axis=(1, 3))


def chest(size: int = 64, heart: float = 10.0, shift: float = 0.0, fine: int = 8) -> np.ndarray:
    """Masks (1, 3, size, size) with a heart of half width `heart` and lungs from 8 to 56 (of 64) pixels."""
    unit = size / 64
    return np.stack(
        [
            ellipse(size, ((32 + shift) * unit, 40 * unit), (heart * unit, 9 * unit), fine),
            ellipse(size, (45.5 * unit, 32 * unit), (10.5 * unit, 20 * unit), fine),
            ellipse(size, (18.5 * unit, 32 * unit), (10.5 * unit, 20 * unit), fine),
        ]
    )[None]


def test_hard_mask_width_is_max_minus_min_plus_one() -> None:
    masks = np.zeros((1, 3, 32, 40))
    masks[0, 0, 15:22, 14:25] = 1  # 11 columns
    masks[0, 2, 5:25, 3:12] = 1
    masks[0, 1, 5:25, 28:37] = 1  # lungs from 3 to 36: 34 columns
    found = measure(masks)
    assert found.heart_width[0] * 40 == pytest.approx(11)
    assert found.thorax_width[0] * 40 == pytest.approx(34)
    assert found.ctr[0] == pytest.approx(11 / 34)
    assert found.heart_edges[0] * 40 == pytest.approx([14, 25])


def test_an_edge_on_the_border_of_the_picture_counts_as_the_border() -> None:
    mask = np.ones((1, 4, 6))
    left, right = extent(mask)
    assert (left[0], right[0]) == (-0.5, 5.5)


def test_soft_edge_is_linear_interpolation() -> None:
    mask = np.zeros((1, 3, 8))
    mask[0, 1, 2:6] = [0.25, 0.75, 1.0, 0.8]
    left, right = extent(mask)
    assert left[0] == pytest.approx(2.5)
    assert right[0] == pytest.approx(5 + 0.3 / 0.8)


@pytest.mark.parametrize("size", [64, 128])
def test_soft_measure_equals_explicit_enlargement(size: int) -> None:
    masks = np.concatenate([chest(size, heart) for heart in (10.3, 12.7)])
    enlarged = torch.nn.functional.interpolate(torch.from_numpy(masks), size=2048, mode="bilinear").numpy()
    assert np.abs(measure(masks).ctr - measure(enlarged).ctr).max() < 5e-4


def test_sub_pixel_widening_is_followed() -> None:
    """Coverage masks of ellipses: the slope of measured against true width is 1, the error under a quarter pixel."""
    radii = np.linspace(9, 13, 33)
    widths = measure(np.concatenate([chest(64, radius) for radius in radii])).heart_width * 64
    assert np.abs(widths - 2 * radii).max() < 0.6
    assert np.polyfit(2 * radii, widths, 1)[0] == pytest.approx(1.0, abs=0.03)
    at_256 = measure(np.concatenate([chest(256, radius, fine=2) for radius in radii])).heart_width * 64
    assert np.abs(at_256 - 2 * radii).max() < 0.15


def test_width_does_not_depend_on_where_the_heart_lies() -> None:
    widths = measure(np.concatenate([chest(128, 10, shift) for shift in np.linspace(-2, 2, 9)])).heart_width
    assert np.ptp(widths) * 128 < 0.35


def test_only_the_largest_part_of_the_heart_counts() -> None:
    masks = chest()
    alone = measure(masks)
    masks[0, 0, 2:4, 60:62] = 1
    assert measure(masks).ctr[0] == alone.ctr[0]
    keep, area, second = largest_part(masks[:, 0])
    assert second[0] == 4
    assert area[0] == keep.sum() > 200


def test_parts_of_one_picture_never_join_those_of_the_next() -> None:
    mask = np.zeros((3, 5, 5))
    mask[0, 1:3, 1:3] = 1
    mask[2, 1:4, 1:4] = 1
    _, area, second = largest_part(mask)
    assert area.tolist() == [4, 0, 9]
    assert second.tolist() == [0, 0, 0]


def test_what_is_not_measurable_is_nan() -> None:
    good, no_heart, one_lung, in_pieces, swapped, outside = (chest() for _ in range(6))
    no_heart[0, 0] = 0
    one_lung[0, 1] = 0.4
    in_pieces[0, 0, :, 31:34] = 0
    swapped[0, [1, 2]] = swapped[0, [2, 1]]
    outside[0, 0] = ellipse(64, (59, 40), (4.5, 9), 8)
    found = measure(np.concatenate([good, no_heart, one_lung, in_pieces, swapped, outside]))
    assert np.isnan(found.ctr).tolist() == [False, True, True, True, True, True]
    assert np.isfinite(found.thorax_width).tolist() == [True, True, False, True, False, True]


LUNGS = np.arange(64)[None, :] >= np.array([32] * 64)[:, None]
# What a segmenter makes of a picture that it can not read: which masks of a healthy chest are others, and whether the
# thorax at least can be measured.
NO_CHESTS = {
    "a heart of a CTR of 0.90": ({0: ellipse(64, (32, 44), (21.5, 9), 8)}, True),
    "a heart of a CTR of 0.19": ({0: ellipse(64, (32, 40), (4.5, 14), 8)}, True),
    "a heart of a third of the picture": ({0: ellipse(64, (32, 36), (20, 21), 8)}, True),
    "a heart that leaves the lungs behind": ({0: ellipse(64, (43, 44), (19, 9), 8)}, True),
    "a left lung on the heart's other side": ({1: ellipse(64, (30, 14), (4, 12), 8)}, True),
    "a right lung that is the neck": ({2: ellipse(64, (35, 12), (6, 9), 8)}, True),
    "a lung of a fifth of the other": (
        {1: ellipse(64, (50, 24), (6, 6), 8), 2: ellipse(64, (18.5, 32), (10.5, 24), 8)},
        False,
    ),
    "lungs everywhere": ({1: LUNGS, 2: ~LUNGS}, False),
    "a thorax of a third of the picture": (dict(enumerate(np.pad(chest(29)[0], ((0, 0), (17, 18), (17, 18))))), False),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_CHESTS)
def test_a_reading_that_no_chest_has_is_not_made(name: str) -> None:
    masks = chest()
    assert np.isfinite(measure(masks).ctr[0])
    others, thorax = NO_CHESTS[name]
    for channel, mask in others.items():
        masks[0, channel] = mask
    found = measure(masks)
    assert np.isnan(found.ctr[0])
    assert np.isfinite(found.thorax_width[0]) == thorax


@pytest.mark.parametrize("ratio", [0.30, 0.45, 0.60, 0.75, 0.82])
def test_slim_and_large_hearts_are_still_read(ratio: float) -> None:
    thorax = 48.0  # of 64 pixels
    found = measure(chest(heart=ratio * thorax / 2))
    assert found.ctr[0] == pytest.approx(ratio, abs=0.01)


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="must be"):
        measure(np.zeros((2, 64, 64)))


def test_two_hundred_pictures_a_second_on_one_core() -> None:
    masks = np.repeat(chest(256, fine=1), 64, axis=0).astype(np.float32)
    start = time.process_time()
    cardiothoracic_ratio(masks)
    assert 64 / (time.process_time() - start) > 100  # 200 asked for; half of it where the machine is busy
    small = np.repeat(chest(64), 512, axis=0).astype(np.float32)
    start = time.process_time()
    cardiothoracic_ratio(small)
    assert 512 / (time.process_time() - start) > 500


@pytest.mark.skipif("CFX_REAL_DATA" not in os.environ, reason="needs the real images: set CFX_REAL_DATA")
def test_expert_contours_give_the_published_ratio() -> None:
    root = Path(os.environ["CFX_REAL_DATA"]) / "wingspan_ctr"
    table = pd.read_csv(root / "ctr.csv")
    bits = np.stack([np.asarray(Image.open(root / name)) for name in table["mask"]])
    masks = np.stack([(bits & bit) > 0 for bit in (1, 2, 4)], axis=1).astype(np.float32)
    exchanged = (table["image"] == "images/wing_0120.png").to_numpy()  # heart and left lung, in its mask
    ratio = cardiothoracic_ratio(masks)
    assert np.isnan(ratio).tolist() == exchanged.tolist()
    error = np.abs(ratio - table["ctr_mask256"].to_numpy())[~exchanged]
    assert error.mean() <= 0.0002
    reference = np.abs(ratio - table["ctr_reference"].to_numpy())
    assert np.nanmean(reference) < 0.003


def recess(angle: float, lean: float = 0.0, size: int = 256) -> np.ndarray:
    """Masks (1, 3, size, size) of lungs whose recess has a known angle; `lean` tilts the wall outwards downwards."""
    y, x = np.mgrid[0:size, 0:size].astype(float)
    tip_x, tip_y = 210.0, 200.0
    wall = x <= tip_x + np.tan(np.radians(lean)) * (y - tip_y)
    rise = np.tan(np.radians(90 - angle - lean))  # of the diaphragm, inwards
    base = y <= tip_y + rise * (x - tip_x)
    left = wall & base & (x >= 140) & (y >= 40)
    masks = np.zeros((1, 3, size, size))
    masks[0, 1] = left
    masks[0, 2] = left[:, ::-1]
    return masks


@pytest.mark.parametrize(("angle", "lean"), [(40, 0), (55, 5), (75, 0), (90, 0), (110, 0)])
def test_angle_of_a_known_recess_on_both_sides(angle: float, lean: float) -> None:
    found = costophrenic_angles(recess(angle, lean))
    assert found[0] == pytest.approx([angle, angle], abs=1.5)


def test_an_angle_that_can_not_be_seen_is_nan() -> None:
    empty, cut = recess(50), recess(50)
    empty[0, 1] = 0
    cut[0, 1] = np.roll(cut[0, 1], 60, axis=0)  # its tip leaves the picture
    found = costophrenic_angles(np.concatenate([empty, cut]))
    assert np.isnan(found[:, 0]).all()
    assert np.isfinite(found[:, 1]).all()


@pytest.mark.skipif("CFX_REAL_DATA" not in os.environ, reason="needs the real images: set CFX_REAL_DATA")
def test_recesses_of_real_contours_are_sharp() -> None:
    root = Path(os.environ["CFX_REAL_DATA"]) / "wingspan_ctr" / "masks"
    bits = np.stack([np.asarray(Image.open(path)) for path in sorted(root.glob("*.png"))[:60]])
    angles = costophrenic_angles(np.stack([(bits & bit) > 0 for bit in (1, 2, 4)], axis=1))
    known = angles[np.isfinite(angles)]
    assert len(known) > 90
    assert 20 < np.median(known) < 80


def film(masks: np.ndarray, lungs: float, heart: float, around: float = 0.1) -> np.ndarray:
    """A picture (1, H, W) of one grey value for each structure of hard masks."""
    inside = masks >= 0.5
    grey = np.full(masks.shape[2:], around)
    grey[inside[0, 1] | inside[0, 2]] = lungs
    grey[inside[0, 0]] = heart
    return grey[None]


def test_lung_haze_is_the_grey_of_the_lungs_over_that_of_the_heart() -> None:
    masks = chest()
    for lungs, heart in ((0.2, 0.8), (0.0, 0.5), (0.6, 0.6), (0.9, 0.3)):
        assert lung_haze(film(masks, lungs, heart), masks)[0] == pytest.approx(lungs / heart)
    image = film(masks, 0.2, 0.8)
    image[:, :, 40:][masks[:, 1, :, 40:] >= 0.5] = 0.4  # most of the left lung alone
    one_lung = lung_haze(image, masks)[0]
    assert 0.25 < one_lung < 0.5
    batch = np.concatenate([image, film(masks, 0.2, 0.8)])
    assert lung_haze(batch, np.concatenate([masks, masks])) == pytest.approx([one_lung, 0.25])


def test_lung_haze_knows_no_gain_but_an_offset() -> None:
    masks = chest()
    image = film(masks, 0.2, 0.8)
    image += 0.02 * np.random.default_rng(0).standard_normal(image.shape)
    own = lung_haze(image, masks)[0]
    for gain in (0.5, 0.9, 1.2):
        assert lung_haze(gain * image, masks)[0] == pytest.approx(own, rel=1e-12)
    # an offset is no gain: it brings the two greys nearer to each other, as the definition says
    assert own + 0.05 < lung_haze(image + 0.1, masks)[0] < 1


def test_a_rim_of_another_organ_does_not_count_as_haze() -> None:
    masks = chest()
    image = film(masks, 0.2, 0.8)
    swollen = masks.copy()
    swollen[0, 1] = np.maximum(
        masks[0, 1], np.roll(masks[0, 1], -1, axis=1)
    )  # a pixel too far towards the heart
    inside = (swollen[0, 1] >= 0.5) & (image[0] > 0.5)
    assert not inside.all() and lung_haze(image, swollen)[0] == pytest.approx(0.25)
    whole = swollen[0, 1] >= 0.5
    assert image[0][whole].mean() != pytest.approx(0.2, abs=1e-3)  # what it would be with the rim


def test_lung_haze_is_nan_where_the_chest_was_not_found() -> None:
    masks = chest()
    image = film(masks, 0.2, 0.8)
    for channel in range(3):
        gone = masks.copy()
        gone[0, channel] *= 0.4
        assert np.isnan(lung_haze(image, gone)[0])
    tiny = masks.copy()
    tiny[0, 0] = 0
    tiny[0, 0, 40:43, 30:33] = 1
    assert np.isnan(lung_haze(image, tiny)[0])
    assert np.isnan(lung_haze(film(masks, 0.2, 0.0), masks)[0])  # a black heart
    with pytest.raises(ValueError, match="image must be"):
        lung_haze(image[:, :32], masks)
