"""One picture, a batch, and a batch by way of another loader are the same pixels."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from cfx.data.dataset import ChestXrayDataset, Key, sample_seed
from cfx.data.transforms import build_transform

COUNT, SIZE = 12, 16


def make(**options: Any) -> ChestXrayDataset:
    random = np.random.default_rng(0)
    labels = {"A": [1.0, 0.0, np.nan] * 4, "B": [0.0] * 12}
    table = pd.DataFrame({"image_id": [f"i{number}" for number in range(COUNT)], **labels})
    return ChestXrayDataset(
        table,
        random.integers(0, 256, (COUNT, SIZE, SIZE), dtype=np.uint8),
        ["B", "A"],
        masks=random.integers(0, 256, (COUNT, 3, SIZE, SIZE), dtype=np.uint8),
        has_masks=np.arange(COUNT) % 2 == 0,
        devices=random.integers(0, 2, (COUNT, SIZE, SIZE), dtype=np.uint8),
        posterior=np.linspace(0, 1, COUNT).astype(np.float32),
        **options,
    )


def test_a_batch_holds_what_the_contract_says() -> None:
    dataset = make()
    batch = dataset.batch([3, 0, 2])
    shapes = {key: (tuple(value.shape), value.dtype) for key, value in batch.items()}  # type: ignore[attr-defined]
    assert shapes == {
        "image": ((3, 1, SIZE, SIZE), torch.float32),
        "label": ((3, 2), torch.float32),
        "masks": ((3, 3, SIZE, SIZE), torch.float32),
        "has_masks": ((3,), torch.bool),
        "devices": ((3, 1, SIZE, SIZE), torch.float32),
        "posterior": ((3,), torch.float32),
        "index": ((3,), torch.int64),
    }
    assert batch["index"].tolist() == [3, 0, 2]
    assert batch["label"][:2].tolist() == [[0.0, 1.0], [0.0, 1.0]]  # in the order of the findings asked for
    assert batch["label"][2, 1].isnan()
    expected = dataset.images[[3, 0, 2]].astype(np.float64) / 127.5 - 1
    assert np.allclose(batch["image"][:, 0].numpy(), expected, atol=1e-6)
    assert np.allclose(batch["masks"].numpy(), dataset.masks[[3, 0, 2]] / 255, atol=1e-6)  # type: ignore[index]
    assert batch["has_masks"].tolist() == [False, True, True]


def test_items_batches_and_common_loaders_agree() -> None:
    dataset = make()
    whole = dataset.batch(range(COUNT))
    common = next(iter(DataLoader(dataset, batch_size=COUNT)))
    ordered = list(dataset.batches(5))
    assert [len(batch["index"]) for batch in ordered] == [5, 5, 2]
    for key in whole:
        one = torch.stack([dataset[row][key] for row in range(COUNT)])  # type: ignore[literal-required]
        for other in (one, common[key], torch.cat([batch[key] for batch in ordered])):  # type: ignore[literal-required]
            assert torch.equal(torch.nan_to_num(whole[key]), torch.nan_to_num(other))  # type: ignore[literal-required]
    assert sorted(whole) == sorted(dataset[0])


def test_augmentation_is_a_function_of_seed_epoch_row_and_draw() -> None:
    transform = build_transform(affine={"shift": 0.1}, noise=0.1)
    dataset = make(transform=transform, seed=5)
    keys = [Key(4, 2, 0), Key(4, 2, 1), Key(4, 3, 0), Key(5, 2, 0)]
    batch = dataset.batch(keys)["image"]
    alone = torch.stack([dataset[key]["image"] for key in reversed(keys)]).flip(0)
    assert torch.equal(batch, alone)  # neither order nor company matters
    assert len({image.sum().item() for image in batch}) == 4
    assert not torch.equal(make(transform=transform, seed=6)[keys[0]]["image"], batch[0])
    assert len({sample_seed(0, key) for key in keys}) == 4


def test_augmented_pictures_have_no_known_posterior() -> None:
    assert make()[3]["posterior"].item() == pytest.approx(3 / 11)
    assert make(transform=build_transform(noise=0.1))[3]["posterior"].isnan()


def test_arrays_mapped_from_disk_are_not_written(tmp_path: Any) -> None:
    dataset = make(transform=build_transform(affine={"shift": 0.2}))
    np.save(tmp_path / "images.npy", dataset.images)
    before = dataset.images.copy()
    mapped = make(transform=dataset.transform)
    mapped.images = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert torch.equal(mapped.batch([Key(1)])["image"], dataset.batch([Key(1)])["image"])
    assert np.array_equal(dataset.images, before)
    assert np.array_equal(mapped.images, before)
