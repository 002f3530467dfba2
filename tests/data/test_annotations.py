"""Computed once, kept on disk, found again by name."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from cfx.data.annotations import Annotations
from cfx.data.dataset import ChestXrayDataset
from cfx.errors import MissingPath, WrongLayout


def dataset(count: int = 10, size: int = 16) -> ChestXrayDataset:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"image_id": [f"i{number}" for number in range(count)]})
    images = random.integers(0, 256, (count, size, size), dtype=np.uint8)
    devices = (random.random((count, size, size)) < 0.1).astype(np.uint8)
    return ChestXrayDataset(table, images, devices=devices)


def brightness(image: Tensor) -> Tensor:
    return (image.mean(dim=(1, 2, 3)) + 1) / 2


def thirds(image: Tensor) -> Tensor:
    masks = torch.zeros(len(image), 3, 8, 8)
    masks[:, 0, :4], masks[:, 1, 4:], masks[:, 2] = 1.0, 0.5, brightness(image)[:, None, None]
    return masks


def test_networks_run_over_every_picture(tmp_path: Path) -> None:
    pictures = dataset()
    made = Annotations.compute(pictures, thirds, brightness, batch_size=3)
    assert made.masks is not None and made.posterior is not None and made.devices is not None
    assert made.masks.shape == (10, 3, 8, 8)
    assert made.posterior == pytest.approx(pictures.images.mean(axis=(1, 2)) / 255, abs=1e-6)
    assert np.array_equal(made.devices, pictures.devices)
    made.save(tmp_path / "a")
    back = Annotations.load(tmp_path / "a")
    assert back.image_ids == made.image_ids
    for name in ("masks", "devices", "posterior"):
        assert np.array_equal(getattr(back, name), getattr(made, name))


def test_lookup_is_by_name_and_resizes() -> None:
    made = Annotations.compute(dataset(), thirds, brightness)
    found = made.lookup(["i3", "unknown", "i1"], 16)
    assert found.has_masks.tolist() == [True, False, True]
    assert found.masks is not None and found.posterior is not None and found.devices is not None
    assert found.masks.shape == (3, 3, 16, 16)
    assert found.masks[1].sum() == 0
    assert (found.masks[0, 0, :7] == 255).all()
    assert np.isnan(found.posterior[1])
    assert found.posterior[2] == made.posterior[1]  # type: ignore[index]
    assert made.lookup(["i0"], 4).masks.shape == (1, 3, 4, 4)  # type: ignore[union-attr]


def test_parts_may_be_missing(tmp_path: Path) -> None:
    made = Annotations(["a", "b"], posterior=np.array([0.25, 0.75], dtype=np.float32))
    made.save(tmp_path)
    back = Annotations.load(tmp_path)
    assert back.masks is None and back.devices is None
    found = back.lookup(["b"], 8)
    assert found.masks is None
    assert found.posterior is not None and found.posterior.tolist() == [0.75]
    device = Annotations.compute(dataset(), device_mask=lambda image: (image > 0).float())
    assert device.devices is not None
    assert np.array_equal(device.devices, (dataset().images > 127).astype(np.uint8))


def test_boxes_about_devices_stand_in_for_masks() -> None:
    """What the annotation stage does for data without device masks: filled boxes, computed once, found by name."""
    pictures = dataset()
    pictures.devices = None

    def boxes(image: Tensor) -> Tensor:
        shares = torch.zeros(len(image), 1, *image.shape[-2:])
        shares[0, 0, 2:6, 3:9], shares[0, 0, 6, 3:9] = 1.0, 0.4  # a row that a box covers by less than half
        return shares

    made = Annotations.compute(pictures, device_mask=boxes, batch_size=10)
    found = made.lookup(["i0", "i1"], 16)
    assert found.devices is not None
    assert found.devices[0].sum() == 4 * 6 and found.devices[0, 2:6, 3:9].all() and not found.devices[1].any()


def test_unfinished_annotations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingPath):
        Annotations.load(tmp_path)
    Annotations(["a", "b"], posterior=np.zeros(2, dtype=np.float32)).save(tmp_path)
    np.save(tmp_path / "posterior.npy", np.zeros(3, dtype=np.float32))
    with pytest.raises(WrongLayout, match="3 rows for 2"):
        Annotations.load(tmp_path)
