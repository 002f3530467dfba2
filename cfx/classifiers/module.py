"""Training of a classifier: masked binary cross-entropy over all findings, averaged weights, calibration at
the end.

`python -m cfx.train model=classifier task=cardiomegaly`
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision, BinaryCalibrationError

from cfx.classifiers import calibration
from cfx.classifiers.ensemble import Ensemble
from cfx.classifiers.networks import FindingNet
from cfx.data.batch import Batch
from cfx.errors import BadValue
from cfx.optimisation import AveragedModule


def masked_bce(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """Binary cross-entropy over the known labels.

    Args:
        logits: (B, K). labels: (B, K) 1, 0 or NaN = unknown. weights: (K,) of the findings.
        smoothing: s in [0, 1): targets are pulled towards one half, `y * (1 - s) + s / 2`.

    Returns:
        Scalar: the weighted sum over known labels, over the weighted number of them (0 where nothing is
            known).

    """
    known = ~torch.isnan(labels)
    target = torch.where(known, labels, torch.zeros_like(labels)) * (1 - smoothing) + smoothing / 2
    share = known * weights
    losses = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    return (losses * share).sum() / share.sum().clamp_min(1e-8)


class Classifier(AveragedModule):
    """A multi-label classifier of chest X-rays; the first finding is the one that matters.

    Logs `train/loss`, `valid/loss`, `valid/auroc`, `valid/auprc`, `valid/ece` (first finding, averaged
    weights, raw logits), and `valid/auroc_<finding>` of the others. Early stopping and checkpoints watch
    `valid/auroc`.

    Args:
        network: from images (B, 1, H, W) in [-1, 1] to logits (B, K), see `networks`.
        findings: the K names, in the order of the labels.
        lr: peak learning rate of AdamW; rises linearly over `warmup` of the steps, then falls as a cosine to
            zero.
        weight_decay: of matrices and kernels; biases and norms have none.
        ema: decay of the averaged weights; 0 uses the last weights.
        warmup: share of the steps.
        smoothing: of the labels, see `masked_bce`.
        auxiliary: weight of each finding but the first.
        mixup: parameter of the Beta distribution that mixes pairs of pictures; 0 mixes nothing (Zhang et al.,
            2018).
        clip: largest norm of the gradient.

    Raises:
        BadValue: names and outputs differ in number.

    """

    def __init__(
        self,
        network: nn.Module,
        *,
        findings: Sequence[str],
        lr: float = 3e-3,
        weight_decay: float = 0.05,
        ema: float = 0.995,
        warmup: float = 0.1,
        smoothing: float = 0.0,
        auxiliary: float = 0.3,
        mixup: float = 0.0,
        clip: float = 1.0,
    ) -> None:
        super().__init__(network)
        self.save_hyperparameters(ignore=["network"])
        outputs = getattr(network, "outputs", len(findings))
        if outputs != len(findings):
            raise BadValue(
                "model.network.findings",
                outputs,
                f"differs from the {len(findings)} findings",
                "give the same list",
            )
        self.findings = list(findings)
        self.register_buffer(
            "weights", torch.tensor([1.0] + [auxiliary] * (len(findings) - 1)), persistent=False
        )
        self.auroc = MetricCollection(
            {str(column): BinaryAUROC() for column in range(len(findings))}, compute_groups=False
        )
        self.auprc = BinaryAveragePrecision()
        self.ece = BinaryCalibrationError(n_bins=15)
        self.register_buffer("seen", torch.zeros(len(findings), 2), persistent=False)

    weights: Tensor
    seen: Tensor

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step of masked cross-entropy; returns the loss."""
        image, labels = batch["image"], batch["label"]
        mixup = float(self.hparams["mixup"])
        if mixup > 0:
            image, labels = mix(image, labels, mixup)
        # Members of an ensemble learn each for itself; the loss of their mean would let them share the work.
        each = self.network.each(image) if isinstance(self.network, Ensemble) else self.network(image)[None]
        smoothing = float(self.hparams["smoothing"])
        loss = torch.stack([masked_bce(one, labels, self.weights, smoothing) for one in each]).mean()
        self.log("train/loss", loss, batch_size=len(image), sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the predictions of the averaged network."""
        labels = batch["label"]
        logits = self.average(batch["image"]).float()
        self.log(
            "valid/loss", masked_bce(logits, labels, self.weights), batch_size=len(labels), sync_dist=True
        )
        posterior = logits.sigmoid()
        for column, metric in enumerate(self.auroc.values()):
            known = ~torch.isnan(labels[:, column])
            truth = labels[known, column].long()
            metrics = [metric, self.auprc, self.ece] if column == 0 else [metric]
            if len(truth):
                for each in metrics:
                    each.update(posterior[known, column], truth)
            self.seen[column, 0] += (truth == 0).sum()
            self.seen[column, 1] += (truth == 1).sum()

    def on_validation_epoch_end(self) -> None:
        """Log the metrics; a finding without both classes in the validation part logs none."""
        # All processes must agree on what is computed, since computing gathers from all of them.
        seen = self.trainer.strategy.reduce(self.seen.clone(), reduce_op="sum")
        for column, metric in enumerate(self.auroc.values()):
            if bool((seen[column] > 0).all()):
                name = "" if column == 0 else "_" + self.findings[column].lower().replace(" ", "_")
                self.log(f"valid/auroc{name}", metric.compute(), prog_bar=column == 0)
                if column == 0:
                    self.log("valid/auprc", self.auprc.compute())
                    self.log("valid/ece", self.ece.compute())
        self.auroc.reset()
        self.auprc.reset()
        self.ece.reset()
        self.seen.zero_()

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Batch], prior: float = 0.5) -> calibration.Calibration:
        """Put the averaged network's posteriors at a stated prior, by validation patients, in its buffers.

        Args:
            batches: validation batches, un-augmented, all of them on this process.
            prior: the prevalence the posteriors refer to.

        Returns:
            What was found; it is stored in `inference()`.

        Raises:
            TooFewPositives: the first finding has under five validation images of a kind.

        """
        if not isinstance(self.average, FindingNet):
            raise BadValue(
                "model.network",
                type(self.average).__name__,
                "can not hold a calibration",
                "derive it from FindingNet",
            )
        logits, labels = [], []
        for batch in batches:
            logits.append(self.average.raw(batch["image"].to(self.device)).float().cpu())
            labels.append(batch["label"].cpu())
        found = calibration.fit(torch.cat(logits), torch.cat(labels), prior, required=self.findings[0])
        self.average.set_calibration(found.scale, found.shift, found.prior)
        return found


def mix(image: Tensor, labels: Tensor, concentration: float) -> tuple[Tensor, Tensor]:
    """Mix each picture (B, 1, H, W) and its labels (B, K) with another of the batch, by one Beta-distributed
    share.

    Labels unknown in either stay unknown.
    """
    share = float(torch.distributions.Beta(concentration, concentration).sample())
    order = torch.randperm(len(image), device=image.device)
    return share * image + (1 - share) * image[order], share * labels + (1 - share) * labels[order]
