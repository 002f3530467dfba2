"""What is computed once an image and travels with it: masks, devices and the black box's posterior.

Explainers never import a segmenter; they find its masks in the batch.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cfx.data.dataset import ChestXrayDataset
from cfx.errors import MissingPath, WrongLayout

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """Annotations of some images in the order asked for; an image that has none is zero, False or NaN."""

    masks: Bytes | None
    has_masks: npt.NDArray[np.bool_]
    devices: Bytes | None
    posterior: Floats | None


@dataclass(frozen=True)
class Annotations:
    """Annotations of N images.

    Attributes:
        image_ids: their names.
        masks: uint8 (N, 3, h, w), 255 inside: heart, left lung, right lung; or None.
        devices: uint8 (N, h, w), above 0 on a device; or None.
        posterior: float32 (N,) in [0, 1], NaN where unknown; or None.

    """

    image_ids: list[str]
    masks: Bytes | None = None
    devices: Bytes | None = None
    posterior: Floats | None = None

    @classmethod
    def compute(
        cls,
        dataset: ChestXrayDataset,
        segmenter: Callable[[Tensor], Tensor] | None = None,
        blackbox: Callable[[Tensor], Tensor] | None = None,
        device_mask: Callable[[Tensor], Tensor] | None = None,
        *,
        batch_size: int = 64,
        device: str | torch.device = "cpu",
    ) -> "Annotations":
        """Run networks over every picture of a data set, which should not augment.

        Args:
            dataset: the pictures; their own device masks are taken where `device_mask` is None.
            segmenter: image (B, 1, H, W) in [-1, 1] to soft masks (B, 3, h, w) in [0, 1].
            blackbox: image to posterior (B,) in [0, 1].
            device_mask: image to shares (B, 1, h, w) in [0, 1]; 0.5 and more is a device.
            batch_size: pictures at a time.
            device: where the networks are.

        """
        masks: list[Bytes] = []
        devices: list[Bytes] = []
        posterior: list[Floats] = []
        with torch.no_grad():
            for batch in dataset.batches(batch_size):
                image = batch["image"].to(device)
                if segmenter is not None:
                    masks.append(_to_bytes(segmenter(image)))
                if blackbox is not None:
                    posterior.append(blackbox(image).float().cpu().numpy().reshape(-1))
                if device_mask is not None:
                    devices.append((device_mask(image)[:, 0] >= 0.5).cpu().numpy().astype(np.uint8))
                elif "devices" in batch:
                    devices.append(batch["devices"][:, 0].numpy().astype(np.uint8))
        return cls(
            dataset.image_ids,
            np.concatenate(masks) if masks else None,
            np.concatenate(devices) if devices else None,
            np.concatenate(posterior) if posterior else None,
        )

    def lookup(self, image_ids: Sequence[str], size: int) -> Found:
        """Return the annotations of the named images, masks resized to (size, size)."""
        place = {name: row for row, name in enumerate(self.image_ids)}
        rows = np.array([place.get(name, -1) for name in image_ids], dtype=np.int64)
        known = rows >= 0
        masks = None if self.masks is None else _resized(self.masks, rows, size, cv2.INTER_AREA)
        devices = (
            None if self.devices is None else _resized(self.devices[:, None], rows, size, cv2.INTER_NEAREST)
        )
        posterior = None
        if self.posterior is not None:
            posterior = np.where(known, self.posterior[np.maximum(rows, 0)], np.nan).astype(np.float32)
        return Found(masks, known, None if devices is None else devices[:, 0], posterior)

    def save(self, folder: Path) -> None:
        """Write masks.npy, devices.npy, posterior.npy; last of all image_ids.json, which marks them complete."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("masks", "devices", "posterior"):
            array = getattr(self, name)
            if array is not None:
                np.save(folder / f"{name}.npy", array)
            else:
                (folder / f"{name}.npy").unlink(missing_ok=True)
        unfinished = folder / "image_ids.json.tmp"
        unfinished.write_text(json.dumps(self.image_ids), encoding="utf-8")
        unfinished.replace(folder / "image_ids.json")

    @classmethod
    def load(cls, folder: Path) -> "Annotations":
        """Read what `save` wrote, masks mapped from the disk.

        Raises:
            MissingPath: the folder holds no finished annotations.
            WrongLayout: the files do not belong together.

        """
        names = folder / "image_ids.json"
        if not names.is_file():
            raise MissingPath("annotations", str(folder), "holds no image_ids.json", "annotate again")
        image_ids = [str(name) for name in json.loads(names.read_text(encoding="utf-8"))]
        arrays: dict[str, npt.NDArray[np.generic] | None] = {}
        for name in ("masks", "devices", "posterior"):
            file = folder / f"{name}.npy"
            arrays[name] = np.load(file, mmap_mode="r") if file.is_file() else None
            array = arrays[name]
            if array is not None and len(array) != len(image_ids):
                raise WrongLayout(
                    "annotations",
                    str(file),
                    f"has {len(array)} rows for {len(image_ids)} images",
                    "annotate again",
                )
        return cls(image_ids, **arrays)  # type: ignore[arg-type]


def _to_bytes(shares: Tensor) -> Bytes:
    return np.asarray(shares.mul(255.0).round().clamp(0, 255).to(torch.uint8).cpu().numpy(), dtype=np.uint8)


def _resized(arrays: Bytes, rows: npt.NDArray[np.int64], size: int, shrink: int) -> Bytes:
    """Return uint8 (len(rows), C, size, size); a row of -1 is zero."""
    result = np.zeros((len(rows), arrays.shape[1], size, size), dtype=np.uint8)
    if arrays.shape[-2:] == (size, size):
        result[rows >= 0] = arrays[rows[rows >= 0]]
        return result
    how = shrink if arrays.shape[-1] > size or shrink == cv2.INTER_NEAREST else cv2.INTER_LINEAR
    for place in np.flatnonzero(rows >= 0):
        for channel, layer in enumerate(arrays[rows[place]]):
            result[place, channel] = cv2.resize(np.ascontiguousarray(layer), (size, size), interpolation=how)
    return result
