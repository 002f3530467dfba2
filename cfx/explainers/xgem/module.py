"""Training of xGEM's generator: the evidence lower bound of the data, and nothing of the black box."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torchmetrics import MeanMetric

from cfx.data.batch import Batch
from cfx.explainers.gan.draws import stream
from cfx.explainers.xgem import losses
from cfx.explainers.xgem.networks import VariationalAutoencoder
from cfx.optimisation import averaged_copy, follow, plain_copy, warm_cosine

_VALIDATION = (1 << 31) - 1  # an iteration that training never comes to


class XgemGenerator(pl.LightningModule):
    """A variational autoencoder trained on pictures alone; labels, masks and posteriors are not looked at.

    Args:
        network: what is trained; its average is shipped.
        lr: Adam's at its peak.
        beta: weight of the divergence; 1 is the bound.
        iterations: length of the training for the schedule.
        warmup: share of it during which the rate rises.
        ema: decay of the averaged weights.
        clip: largest norm of the gradient of the bound a pixel.
        seed: of the noise, which depends on (seed, step, picture) alone: a resumed run draws the same.
    """

    def __init__(
        self,
        network: VariationalAutoencoder,
        *,
        lr: float = 2e-3,
        beta: float = 1.0,
        iterations: int = 1500,
        warmup: float = 0.05,
        ema: float = 0.99,
        clip: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if beta <= 0:
            raise ValueError(f"beta={beta} must be positive")
        self.save_hyperparameters(ignore=["network"])
        self.network = network
        self.average = averaged_copy(network)
        self.bound, self.kl, self.error = MeanMetric(), MeanMetric(), MeanMetric()

    def inference(self) -> VariationalAutoencoder:
        """A copy of the averaged network on the CPU, in eval mode."""
        return plain_copy(self.average)

    def train(self, mode: bool = True) -> "XgemGenerator":
        """As usual, but the averaged network stays in eval mode."""
        super().train(mode)
        self.average.eval()
        return self

    def noise(self, batch: Batch, iteration: int) -> Tensor:
        """Standard normal numbers (B, latent), each picture from a stream of its own."""
        seed, rows = int(self.hparams["seed"]), batch["index"].tolist()
        drawn = [torch.randn(self.network.latent, generator=stream(seed, iteration, row)) for row in rows]
        return torch.stack(drawn).to(batch["image"])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Minus the bound in nats a pixel, whose gradient does not depend on the pictures' size."""
        image = batch["image"]
        drawn, found = self.network(image, self.noise(batch, self.global_step))
        bound = losses.elbo(image, drawn, found, self.network.log_scale, float(self.hparams["beta"]))
        loss = -bound.mean() / image[0].numel()
        logged = {
            "train/loss": loss.detach(),
            "train/kl": losses.divergence(found).mean().detach(),
            "train/scale": self.network.log_scale.detach().exp(),
        }
        self.log_dict(logged, batch_size=len(image), sync_dist=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Let the averaged weights follow."""
        follow(self.average, self.network, float(self.hparams["ema"]), self.global_step)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Bound and divergence of the averaged network, and the squared error of the picture drawn from the mean."""
        image = batch["image"]
        drawn, found = self.average(image, self.noise(batch, _VALIDATION))
        self.bound.update(losses.elbo(image, drawn, found, self.average.log_scale) / image[0].numel())
        self.kl.update(losses.divergence(found))
        self.error.update(losses.distance(self.average.decode(found.mean), image))

    def on_validation_epoch_end(self) -> None:
        """Log valid/elbo (nats a pixel), valid/kl (nats) and valid/mse."""
        for name, metric in (("elbo", self.bound), ("kl", self.kl), ("mse", self.error)):
            self.log(f"valid/{name}", metric.compute())
            metric.reset()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam, its rate rising, then falling to zero as half a cosine; ten times as fast for the one deviation."""
        lr, scale = float(self.hparams["lr"]), self.network.log_scale
        others = [parameter for parameter in self.network.parameters() if parameter is not scale]
        groups = [{"params": others, "lr": lr}, {"params": [scale], "lr": 10 * lr}]
        optimizer = torch.optim.Adam(groups, lr=lr)
        factor = warm_cosine(max(1, int(self.hparams["iterations"])), float(self.hparams["warmup"]))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient's norm at `clip`: the bound is steep while the standard deviation falls."""
        self.clip_gradients(optimizer, float(self.hparams["clip"]), "norm")
