"""Decoded pictures with their labels and annotations, drawn one by one or a batch at once."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cfx.data.batch import Batch
from cfx.data.reading import bytes_to_tensor
from cfx.metrics.boxes import BoxSet

Bytes = npt.NDArray[np.uint8]


class Key(NamedTuple):
    """A picture's row, the epoch, and how often it was drawn before in it: what augmentation depends on."""

    row: int
    epoch: int = 0
    draw: int = 0


class Transform(Protocol):
    """Augments one picture together with its masks and devices."""

    def __call__(
        self, image: Bytes, masks: Bytes | None, devices: Bytes | None, seed: int
    ) -> tuple[Bytes, Bytes | None, Bytes | None]:
        """Return the changed uint8 image (H, W), masks (3, H, W), devices (H, W); the same for the same seed."""
        ...

    def with_boxes(self, image: Bytes, boxes: BoxSet, seed: int) -> tuple[Bytes, BoxSet]:
        """Return the changed uint8 image (H, W) and the boxes that are still on it; the same for the same seed."""
        ...


class ChestXrayDataset(Dataset[Batch]):
    """Pictures of one split, decoded.

    Args:
        table: a row for each picture, index 0..N-1.
        images: uint8 (N, H, W).
        findings: columns of `table` that make the label.
        masks: uint8 (N, 3, H, W), 255 inside, or None.
        has_masks: bool (N,), or None where all rows of `masks` count.
        devices: uint8 (N, H, W), above 0 on a device, or None.
        posterior: float32 (N,) with NaN where unknown, or None.
        boxes: N sets of boxes, or None; masks and devices are not augmented along with them.
        transform: augmentation, or None.
        seed: of the augmentation.

    """

    def __init__(
        self,
        table: pd.DataFrame,
        images: Bytes,
        findings: Sequence[str] = (),
        *,
        masks: Bytes | None = None,
        has_masks: npt.NDArray[np.bool_] | None = None,
        devices: Bytes | None = None,
        posterior: npt.NDArray[np.float32] | None = None,
        boxes: Sequence[BoxSet] | None = None,
        transform: Transform | None = None,
        seed: int = 0,
    ) -> None:
        self.table = table
        self.images = images
        self.findings = list(findings)
        self.labels = table[self.findings].to_numpy(dtype=np.float32).reshape(len(table), len(self.findings))
        self.masks = masks
        self.has_masks = np.ones(len(table), dtype=bool) if has_masks is None else has_masks
        self.devices = devices
        self.posterior = posterior
        self.boxes = None if boxes is None else list(boxes)
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.table)

    @property
    def image_ids(self) -> list[str]:
        """The pictures' names, in order."""
        return [str(name) for name in self.table["image_id"]]

    def __getitem__(self, key: int | Key | list[int] | list[Key]) -> Batch:
        """Return one picture, or for a list a whole batch (what the data module's loaders ask for).

        A bare number means epoch 0.
        """
        if isinstance(key, list):
            return self.batch(key)
        batch = self.batch([key] if isinstance(key, Key) else [int(key)])
        item: Batch = {"image": batch["image"][0], "label": batch["label"][0], "index": batch["index"][0]}
        if "masks" in batch:
            item["masks"], item["has_masks"] = batch["masks"][0], batch["has_masks"][0]
        if "devices" in batch:
            item["devices"] = batch["devices"][0]
        if "posterior" in batch:
            item["posterior"] = batch["posterior"][0]
        if "boxes" in batch:
            item["boxes"], item["box_labels"] = batch["boxes"], batch["box_labels"]
        return item

    def batch(self, keys: Sequence[int] | Sequence[Key]) -> Batch:
        """Return the pictures of `keys` as one batch, straight from the arrays where nothing is augmented."""
        draws = [key if isinstance(key, Key) else Key(int(key)) for key in keys]
        rows = np.array([key.row for key in draws], dtype=np.int64)
        images = np.asarray(self.images[rows])
        masks = None if self.masks is None else np.asarray(self.masks[rows])
        devices = None if self.devices is None else np.asarray(self.devices[rows])
        boxes = None if self.boxes is None else [self.boxes[row] for row in rows]
        if self.transform is not None and boxes is not None:
            images, boxes = self._augment_with_boxes(draws, images, boxes)
        elif self.transform is not None:
            images, masks, devices = self._augment(draws, images, masks, devices)
        batch: Batch = {
            "image": bytes_to_tensor(images).unsqueeze(1),
            "label": torch.from_numpy(self.labels[rows]),
            "index": torch.from_numpy(rows),
        }
        if masks is not None:
            batch["masks"] = _shares(masks)
            batch["has_masks"] = torch.from_numpy(self.has_masks[rows])
        if devices is not None:
            batch["devices"] = torch.from_numpy((devices > 0).astype(np.float32)).unsqueeze(1)
        if self.posterior is not None:
            known = torch.from_numpy(self.posterior[rows].astype(np.float32))
            batch["posterior"] = known if self.transform is None else torch.full_like(known, float("nan"))
        if boxes is not None:
            side = images.shape[-1]
            batch["boxes"] = [torch.from_numpy((each.box * side).astype(np.float32)) for each in boxes]
            batch["box_labels"] = [torch.from_numpy(each.label) for each in boxes]
        return batch

    def _augment(
        self, draws: list[Key], images: Bytes, masks: Bytes | None, devices: Bytes | None
    ) -> tuple[Bytes, Bytes | None, Bytes | None]:
        """Augment every picture by its own seed; the arrays given are overwritten."""
        assert self.transform is not None
        images = images if images.flags.writeable else images.copy()
        masks, devices = _own(masks), _own(devices)
        for place, key in enumerate(draws):
            image, mask, device = self.transform(
                images[place],
                None if masks is None else masks[place],
                None if devices is None else devices[place],
                sample_seed(self.seed, key),
            )
            images[place] = image
            if masks is not None and mask is not None:
                masks[place] = mask
            if devices is not None and device is not None:
                devices[place] = device
        return images, masks, devices

    def _augment_with_boxes(
        self, draws: list[Key], images: Bytes, boxes: list[BoxSet]
    ) -> tuple[Bytes, list[BoxSet]]:
        """Augment every picture with its boxes by its own seed."""
        assert self.transform is not None
        pairs = [
            self.transform.with_boxes(image, own, sample_seed(self.seed, key))
            for image, own, key in zip(images, boxes, draws, strict=True)
        ]
        return np.stack([image for image, _ in pairs]), [own for _, own in pairs]

    def batches(self, size: int) -> Iterator[Batch]:
        """Go through all pictures in order, `size` at a time, the last batch smaller."""
        for begin in range(0, len(self), size):
            yield self.batch(range(begin, min(begin + size, len(self))))


def sample_seed(seed: int, key: Key) -> int:
    """Return a 32-bit seed that is a function of (seed, epoch, row, draw) alone."""
    return int(np.random.SeedSequence([seed, key.epoch, key.row, key.draw]).generate_state(1)[0])


def _own(array: Bytes | None) -> Bytes | None:
    """Return the array, copied where it may not be written."""
    return array if array is None or array.flags.writeable else array.copy()


def _shares(masks: Bytes) -> Tensor:
    return torch.from_numpy(masks).to(torch.float32).mul_(1.0 / 255.0)
