"""Training of a segmenter: heart, left lung and right lung, by cross-entropy and overlap, on soft masks.

`python -m cfx.train model=segmenter`
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfx.anatomy.networks import STRUCTURES
from cfx.data.batch import Batch
from cfx.optimisation import AveragedModule


def soft_dice(probability: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    """Dice overlap (B, C) of soft masks (B, C, H, W) in [0, 1], without thresholds (Milletari et al., 2016).

    Its maximum over `probability` at a soft target is not the target itself but its outline at one half: the
    cross-entropy beside it is what makes soft edges sub-pixel.
    """
    overlap = (probability * target).sum((2, 3))
    return (2 * overlap + smooth) / (probability.sum((2, 3)) + target.sum((2, 3)) + smooth)


def hard_dice(probability: Tensor, target: Tensor) -> Tensor:
    """Dice overlap (B, C) of masks (B, C, H, W), both cut at 0.5; 1 where both are empty."""
    found, truth = probability >= 0.5, target >= 0.5
    total = found.sum((2, 3)) + truth.sum((2, 3))
    return torch.where(
        total > 0, 2 * (found & truth).sum((2, 3)) / total.clamp_min(1), torch.ones_like(total)
    )


def segmentation_loss(logits: Tensor, target: Tensor, dice_weight: float = 1.0) -> Tensor:
    """Binary cross-entropy plus `dice_weight` times 1 - soft Dice, scalar; both (B, C, H, W), targets in [0, 1]."""
    logits = logits.float()
    entropy = F.binary_cross_entropy_with_logits(logits, target)
    return entropy + dice_weight * (1 - soft_dice(logits.sigmoid(), target).mean())


class Segmenter(AveragedModule):
    """A segmenter of heart, left lung and right lung; pictures without masks are left out of loss and
    metrics.

    Logs `train/loss`, `valid/loss`, `valid/dice` (mean), `valid/dice_heart`, `valid/dice_left_lung` and
    `valid/dice_right_lung`, the last by the averaged weights. Checkpoints watch `valid/dice`.

    Args:
        network: from images (B, 1, H, W) in [-1, 1] to logits (B, 3, H, W), see `networks`.
        lr: peak learning rate of AdamW; warm-up and cosine as in the classifier.
        weight_decay: of kernels.
        ema: decay of the averaged weights.
        warmup: share of the steps.
        dice_weight: see `segmentation_loss`.
        clip: largest norm of the gradient.

    """

    seen: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        lr: float = 3e-3,
        weight_decay: float = 0.01,
        ema: float = 0.99,
        warmup: float = 0.1,
        dice_weight: float = 1.0,
        clip: float = 1.0,
    ) -> None:
        super().__init__(network)
        self.save_hyperparameters(ignore=["network"])
        # Sums of Dice by structure, and the number of pictures.
        self.register_buffer("seen", torch.zeros(len(STRUCTURES) + 1), persistent=False)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """One step; returns the loss."""
        image, masks = _with_masks(batch)
        # A batch without any mask still goes through the network, since other processes wait for its
        # gradient.
        logits = self.network(image if len(image) else batch["image"])
        loss = (
            segmentation_loss(logits, masks, float(self.hparams["dice_weight"]))
            if len(image)
            else 0 * logits.sum()
        )
        self.log("train/loss", loss, batch_size=max(len(image), 1), sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Sum up the overlap of the averaged network's masks."""
        image, masks = _with_masks(batch)
        if not len(image):
            return
        logits = self.average(image).float()
        self.log("valid/loss", segmentation_loss(logits, masks), batch_size=len(image))
        self.seen[:-1] += hard_dice(logits.sigmoid(), masks).sum(0)
        self.seen[-1] += len(image)

    def on_validation_epoch_end(self) -> None:
        """Log the mean Dice of each structure over all processes."""
        seen = self.trainer.strategy.reduce(self.seen.clone(), reduce_op="sum")
        if isinstance(seen, Tensor) and bool(seen[-1] > 0):
            dice = seen[:-1] / seen[-1]
            for name, value in zip(STRUCTURES, dice, strict=True):
                self.log(f"valid/dice_{name}", value)
            self.log("valid/dice", dice.mean(), prog_bar=True)
        self.seen.zero_()


def _with_masks(batch: Batch) -> tuple[Tensor, Tensor]:
    """The pictures of a batch that have masks, and these."""
    image, masks = batch["image"], batch["masks"]
    if "has_masks" not in batch:
        return image, masks
    known = batch["has_masks"].bool()
    return image[known], masks[known]
