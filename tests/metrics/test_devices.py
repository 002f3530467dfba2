"""Devices kept: what moves, fades or vanishes, and what only has another background."""

import numpy as np
import pytest
from scipy import ndimage

from cfx.metrics import devices as d

SIZE = 64


def scene(seed: int = 0) -> tuple[np.ndarray, d.Device]:
    """A noisy chest-like ramp with a bright square and its lead, (64, 64) in [0, 1]."""
    y = np.mgrid[0:SIZE, 0:SIZE][0] / SIZE
    picture = 0.3 + 0.2 * y + 0.02 * np.random.default_rng(seed).normal(size=(SIZE, SIZE))
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[20:28, 14:22] = True
    mask[24, 22:34] = True
    return np.where(mask, picture + 0.35, picture), d.Device("pacemaker", mask)


def moved(picture: np.ndarray, device: d.Device, dx: int, dy: int, share: float = 1.0) -> np.ndarray:
    """The same with the device elsewhere, or fainter."""
    bare = np.where(device.mask, picture - 0.35, picture)
    return bare + share * 0.35 * np.roll(device.mask, (dy, dx), axis=(0, 1))


def test_nothing_keeps_every_device() -> None:
    picture, device = scene()
    found = d.find(picture, picture, device)
    assert found.kept
    assert found.offset == (0, 0)
    assert found.contrast == pytest.approx(1)
    assert found.likeness == pytest.approx(1)


@pytest.mark.parametrize(
    ("dx", "dy", "kept"), [(3, 0, True), (0, -3, True), (4, 0, False), (3, 3, False), (-5, 2, False)]
)
def test_the_centre_may_move_by_five_percent_of_the_width(dx: int, dy: int, kept: bool) -> None:
    picture, device = scene()
    found = d.find(picture, moved(picture, device, dx, dy), device)
    assert found.offset == pytest.approx((dx, dy), abs=0.3)
    assert found.kept is kept


@pytest.mark.parametrize(("share", "kept"), [(0.8, True), (0.6, False), (0.0, False)])
def test_seventy_percent_of_the_contrast_must_stay(share: float, kept: bool) -> None:
    picture, device = scene()
    found = d.find(picture, moved(picture, device, 0, 0, share), device)
    assert found.kept is kept


def test_a_grey_background_that_grows_is_no_loss() -> None:
    picture, device = scene()
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    heart = 0.2 * np.exp(-(((x - 28) / 14) ** 2 + ((y - 30) / 14) ** 2))
    assert d.find(picture, picture + heart, device).kept
    assert d.in_edit(picture, picture + heart, device.mask)
    assert not d.in_edit(
        picture, picture + 0.01 * np.random.default_rng(1).normal(size=picture.shape), device.mask
    )


def test_another_picture_has_another_device() -> None:
    picture, device = scene()
    other, _ = scene(1)
    bare = np.where(device.mask, other - 0.35, other)
    assert not d.find(picture, bare, device).kept
    disc = np.hypot(*(np.mgrid[0:SIZE, 0:SIZE] - 24)) < 5
    assert not d.find(picture, np.where(disc, bare + 0.35, bare), device).likeness > 0.9


def test_a_wire_that_bends_is_kept_and_its_pieces_are_small() -> None:
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(float)
    mask = np.abs(y - 30 - 6 * np.sin(x / 9)) < 1
    noise = 0.3 + 0.015 * np.random.default_rng(0).normal(size=(SIZE, SIZE))
    picture = noise + 0.2 * mask
    bent = noise + 0.2 * (np.abs(y - 30 - 6 * np.sin(x / 9) - 2 * np.sin(np.pi * x / SIZE)) < 1)
    assert d.find(picture, bent, d.Device("line", mask)).kept
    assert not d.find(picture, noise, d.Device("line", mask)).kept
    split = d.pieces(mask)
    assert len(split) >= 8
    assert (np.sum(split, axis=0) <= mask).all()
    assert max(int(np.ptp(np.nonzero(piece)[1])) for piece in split) < 8


def test_blurring_away_loses_it() -> None:
    picture, device = scene()
    assert not d.find(picture, ndimage.gaussian_filter(picture, 6), device).kept


def test_a_device_that_nobody_sees_is_not_counted() -> None:
    picture, device = scene()
    assert d.visible(picture, device)
    assert not d.visible(np.full((SIZE, SIZE), 0.5), device)
    assert np.isnan(d.contrast(picture, np.zeros_like(device.mask), device.mask))


def test_share_is_of_a_patients_devices_and_leaves_out_what_was_not_looked_at() -> None:
    patients = np.array(["a", "a", "a", "b", "c"])
    kept, before = np.array([2, 0, np.nan, 1, 0]), np.array([2, 1, np.nan, 1, 0])
    found = d.fop(kept, before, patients)
    assert found[:4] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1])
    assert np.isnan(found[4])


@pytest.mark.parametrize(("share", "left"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0), (1.4, 1.0), (-0.5, 0.0)])
def test_what_is_left_of_a_contrast_is_read_where_the_device_stood(share: float, left: float) -> None:
    picture, device = scene()
    assert d.kept_contrast(picture, moved(picture, device, 0, 0, share), device.mask) == pytest.approx(
        left, abs=0.06
    )


def test_a_device_that_went_elsewhere_left_no_contrast_behind() -> None:
    picture, device = scene()
    assert d.kept_contrast(picture, moved(picture, device, 0, 14), device.mask) < 0.1
    assert d.find(picture, moved(picture, device, 3, 0), device).kept  # which looks for it near by


def test_no_contrast_to_lose_is_not_measurable() -> None:
    picture = np.full((SIZE, SIZE), 0.5)
    assert np.isnan(d.kept_contrast(picture, picture, scene()[1].mask))
