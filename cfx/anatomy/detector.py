"""Training of a detector of devices and costophrenic recesses, on boxes.

`python -m cfx.train model=detector`
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from cfx.anatomy.detection import as_box_sets
from cfx.anatomy.detection_networks import DetectionNetwork
from cfx.data.batch import Batch
from cfx.metrics.boxes import BoxSet
from cfx.metrics.detection import ap50, mean_ap, thresholds
from cfx.optimisation import AveragedModule


def true_boxes(batch: Batch) -> list[BoxSet]:
    """Return the boxes of a batch's pictures as shares of the side."""
    rows = zip(batch["boxes"], batch["box_labels"], strict=True)
    found = [{"boxes": box, "labels": label, "scores": torch.ones(len(box))} for box, label in rows]
    return as_box_sets(found, batch["image"].shape[-1])


class Detector(AveragedModule):
    """A detector; its loss is the sum of what torchvision's detector gives.

    Logs `train/loss` and its terms, `valid/ap50` (mean over classes) and `valid/ap50_<class>`, the last two by the
    averaged weights over all processes.

    Args:
        network: see `detection_networks`.
        lr: peak learning rate of AdamW; warm-up and cosine as in the classifier.
        weight_decay: of kernels.
        ema: decay of the averaged weights.
        warmup: share of the steps.
        clip: largest norm of the gradient.

    """

    def __init__(
        self,
        network: DetectionNetwork,
        *,
        lr: float = 3e-3,
        weight_decay: float = 0.01,
        ema: float = 0.99,
        warmup: float = 0.1,
        clip: float = 5.0,
    ) -> None:
        super().__init__(network)
        self.save_hyperparameters(ignore=["network"])
        self.found: list[BoxSet] = []
        self.truth: list[BoxSet] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step; returns the loss."""
        terms: dict[str, Tensor] = self.network(batch["image"], batch["boxes"], batch["box_labels"])
        loss = torch.stack(list(terms.values())).sum()
        count = len(batch["image"])
        self.log("train/loss", loss, batch_size=count, sync_dist=True)
        self.log_dict(
            {f"train/{name}": value for name, value in terms.items()}, batch_size=count, sync_dist=True
        )
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep what the averaged network finds beside what is there."""
        self.found += as_box_sets(self(batch["image"]), batch["image"].shape[-1])
        self.truth += true_boxes(batch)

    def on_validation_epoch_end(self) -> None:
        """Log the average precision over the pictures of all processes."""
        found, truth = gathered(self.found), gathered(self.truth)
        self.found, self.truth = [], []
        by_class = ap50(found, truth)
        known = {f"valid/ap50_{name}": value for name, value in by_class.items() if value == value}
        if known:
            self.log_dict(known)
            self.log("valid/ap50", mean_ap(by_class), prog_bar=True)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Choose the score from which on a box counts, a class at a time, on validation pictures."""
        average = self.average.cpu()
        pairs = [(as_box_sets(average(b["image"]), b["image"].shape[-1]), true_boxes(b)) for b in batches]
        found, truth = ([each for pair in pairs for each in pair[place]] for place in (0, 1))
        average.get_buffer("threshold").copy_(torch.from_numpy(thresholds(found, truth)))


def gathered(mine: list[BoxSet]) -> list[BoxSet]:
    """Return the boxes of all processes, in the order of the processes."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return mine
    everyone: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyone, mine)
    return [each for part in everyone for each in part]
