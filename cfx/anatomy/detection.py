"""From a detector's network to the boxes of pictures: one `BoxSet` each, computed once and without gradients."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cfx.anatomy.detection_networks import DetectionNetwork
from cfx.metrics.boxes import BoxSet
from cfx.metrics.device_boxes import devices_of


def as_box_sets(found: list[dict[str, Tensor]], side: int) -> list[BoxSet]:
    """Turn a network's answer for pictures of `side` pixels into shares of the side."""
    return [
        BoxSet(
            each["boxes"].detach().double().cpu().numpy() / side,
            each["labels"].detach().long().cpu().numpy(),
            each["scores"].detach().double().cpu().numpy(),
        )
        for each in found
    ]


class Finder:
    """Finds boxes on pictures of any size.

    Args:
        network: in eval mode, on the pictures' device.
        native: side at which it was trained; other pictures are resized to it.

    Attributes:
        threshold: (C,) score from which on a box of each class counts.

    """

    def __init__(self, network: DetectionNetwork, native: int) -> None:
        self.network, self.native = network, native
        self.threshold = network.threshold.double().cpu().numpy()

    @torch.no_grad()
    def __call__(self, image: Tensor) -> list[BoxSet]:
        """Boxes of pictures (B, 1, H, W) in [-1, 1], low scores too."""
        size = (self.native, self.native)
        if tuple(image.shape[-2:]) != size:
            image = F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)
        found = self.network(image)
        assert isinstance(found, list), "the network must be in eval mode"
        return as_box_sets(found, self.native)

    def device_boxes(self, image: Tensor) -> list[Tensor]:
        """Boxes (N, 4) of the devices that count, in pixels of the pictures as given."""
        side = image.shape[-1]
        return [
            torch.from_numpy(np.asarray(devices_of(each, self.threshold).box * side, dtype=np.float32))
            for each in self(image)
        ]
