"""Picture, masks and devices move together; the seed alone decides."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from cfx.data.masks import bits_to_channels
from cfx.data.transforms import build_transform
from cfx.errors import BadValue, UnknownChoice

STRONG = {"shift": 0.1, "scale": 0.2, "rotate": 15.0}


def scene(bits: Any) -> tuple[Any, Any, Any]:
    """A picture that is its own heart mask, the masks, and devices on the heart."""
    masks = bits_to_channels(bits, 64)
    return masks[0].copy(), masks, (masks[0] > 127).astype(np.uint8)


def test_geometry_acts_on_all_three(bits: Any) -> None:
    image, masks, devices = scene(bits)
    transform = build_transform(affine=STRONG)
    moved = 0
    for seed in range(20):
        new_image, new_masks, new_devices = transform(image, masks, devices, seed)
        assert new_masks is not None and new_devices is not None
        assert (
            new_image.shape == (64, 64) and new_masks.shape == (3, 64, 64) and new_devices.shape == (64, 64)
        )
        assert np.abs(new_image.astype(int) - new_masks[0]).max() <= 2
        overlap = (new_devices & (new_masks[0] > 127)).sum() / (new_masks[0] > 127).sum()
        assert overlap > 0.95
        assert set(np.unique(new_devices)) <= {0, 1}
        moved += not np.array_equal(new_image, image)
    assert moved == 20


def test_the_seed_alone_decides(bits: Any) -> None:
    image, masks, devices = scene(bits)
    one = build_transform(affine=STRONG, brightness=0.2, contrast=0.2, gamma=0.2, noise=0.1, blur=1.0)
    other = build_transform(affine=STRONG, brightness=0.2, contrast=0.2, gamma=0.2, noise=0.1, blur=1.0)
    other(image, masks, devices, 99)  # what came before does not matter
    first, second = one(image, masks, devices, 7), other(image, masks, devices, 7)
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a, b)  # type: ignore[arg-type]
    assert not np.array_equal(one(image, None, None, 8)[0], one(image, None, None, 7)[0])


def test_grey_values_leave_masks_alone(bits: Any) -> None:
    image, masks, devices = scene(bits)
    changed = build_transform(brightness=0.3, contrast=0.3, noise=0.1)(image // 2 + 40, masks, devices, 1)
    assert np.array_equal(changed[1], masks)
    assert np.array_equal(changed[2], devices)
    assert not np.array_equal(changed[0], image // 2 + 40)


def test_distortion_moves_all_three_and_hiding_only_the_picture(bits: Any) -> None:
    image, masks, devices = scene(bits)
    stretched = build_transform(distort=0.3)
    widths = set()
    for seed in range(10):
        new_image, new_masks, _ = stretched(image, masks, devices, seed)
        assert new_masks is not None
        assert np.abs(new_image.astype(int) - new_masks[0]).max() <= 2
        widths.add(int((new_masks[0] > 127).any(axis=0).sum()))
    assert len(widths) > 3
    hidden = [build_transform(hide=0.4)(image, masks, devices, seed) for seed in range(40)]
    changed = [not np.array_equal(result[0], image) for result in hidden]
    assert 10 <= sum(changed) <= 30  # half of the pictures
    assert all(np.array_equal(result[1], masks) and np.array_equal(result[2], devices) for result in hidden)


def test_nothing_is_mirrored_by_default(bits: Any) -> None:
    image, masks, _ = scene(bits)
    image = masks[1]
    transform = build_transform(affine={"shift": 0.05}, brightness=0.1)
    for seed in range(50):
        changed = transform(image, None, None, seed)[0]
        assert changed[:, 32:].sum() > changed[:, :32].sum()


def test_a_mirrored_chest_has_its_lungs_renamed(bits: Any) -> None:
    image, masks, devices = scene(bits)
    new_image, new_masks, new_devices = build_transform(flip=1.0)(image, masks, devices, 0)
    assert np.array_equal(new_image, image[:, ::-1])
    assert np.array_equal(new_masks[1], masks[2][:, ::-1])  # type: ignore[index]
    assert np.array_equal(new_devices, devices[:, ::-1])


def test_nothing_asked_for_changes_nothing(bits: Any) -> None:
    image, masks, devices = scene(bits)
    for a, b in zip(build_transform()(image, masks, devices, 3), (image, masks, devices), strict=True):
        assert np.array_equal(a, b)  # type: ignore[arg-type]


def test_mistakes() -> None:
    with pytest.raises(UnknownChoice, match="rotate"):
        build_transform(affine={"rotat": 5.0})
    for arguments in ({"noise": 5.0}, {"flip": -1.0}, {"blur": -1.0}, {"affine": {"shift": 6.0}}):
        with pytest.raises(BadValue):
            build_transform(**arguments)  # type: ignore[arg-type]


def test_importing_does_not_ask_the_network() -> None:
    code = (
        "import socket\n"
        "def refuse(*args, **kwargs): raise SystemExit('the network was asked')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "import cfx.data.transforms, os\n"
        "print(os.environ['NO_ALBUMENTATIONS_UPDATE'])\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "NO_ALBUMENTATIONS_UPDATE"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr
