"""Training of a counterfactual GAN, for the default generator and the published one alike.

Each iteration takes one step of the discriminator and, every `generator_every` iterations, one of the generator, both
in manual optimisation inside toggled blocks: the discriminator's step sees a detached picture, the generator's step a
frozen discriminator and a frozen black box. The terms are those of `losses.py`; what they weigh is `conf/loss`.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from cfx.classifiers.blackbox import BlackBox
from cfx.data.batch import MASK_NAMES, Batch
from cfx.explainers.gan import losses
from cfx.explainers.gan.averaging import MovingAverage
from cfx.explainers.gan.conditioning import Conditioning
from cfx.explainers.gan.draws import Draws, draw, look
from cfx.explainers.gan.losses import LossWeights
from cfx.explainers.gan.output import GeneratorOutput

LOW, HIGH = 0.2, 0.8


class CounterfactualGAN(pl.LightningModule):
    """A generator and a discriminator that explain a frozen black box.

    Args:
        network: the generator, `network(image, posterior, target) -> GeneratorOutput`; its average is shipped.
        discriminator: `discriminator(image, condition) -> scores (B,)`.
        blackbox: frozen, with `logit(image) -> (B,)`; called, it gives the posterior (B,).
        loss: weights of the terms, or the mapping they are made of.
        regions: mask channels that the context-aware reconstruction holds, by name.
        conditioning: "continuous", or "lower" or "centre" of `bins` bins.
        bins: for the latter two.
        generator_every: the generator steps once in so many iterations.
        posteriors: float (Q,), rising: quantiles of the black box's posteriors of real pictures as they are drawn.
        natural: share of targets drawn from these. The discriminator then meets a condition equally often with real
            and with drawn pictures, and can not tell them by the condition alone.
        extremes: share of targets put at the end of [0, 1] further from the posterior; the rest is uniform.
        target_limit: the black box is asked for no less than this and no more than 1 minus it.
        looks: views that the black box is averaged over in the loss; 0 shows it the picture as drawn.
        shift, scale, noise, hide: how far a view differs, see `draws.look`.
        lr_generator, lr_discriminator, beta1, beta2: Adam's.
        iterations: length of the training for the schedule; `flat` of it at full rate, then a cosine down to `floor`.
        ema: decay of the averaged generator.
        seed: of the draws.
    """

    iteration: Tensor
    real_posteriors: Tensor

    def __init__(
        self,
        network: nn.Module,
        discriminator: nn.Module,
        blackbox: BlackBox,
        loss: LossWeights | Mapping[str, Any],
        *,
        regions: Sequence[str] = ("left_lung", "right_lung"),
        conditioning: str = "continuous",
        bins: int = 10,
        generator_every: int = 1,
        posteriors: Sequence[float] | None = None,
        natural: float = 0.0,
        extremes: float = 0.4,
        target_limit: float = 0.02,
        looks: int = 1,
        shift: float = 0.06,
        scale: float = 0.05,
        noise: float = 0.08,
        hide: float = 0.0,
        lr_generator: float = 1e-3,
        lr_discriminator: float = 4e-4,
        beta1: float = 0.5,
        beta2: float = 0.95,
        iterations: int = 600,
        warmup: int = 20,
        flat: float = 0.3,
        floor: float = 0.03,
        ema: float = 0.99,
        seed: int = 0,
    ) -> None:
        super().__init__()
        unknown = sorted(set(regions) - set(MASK_NAMES))
        if unknown:
            raise ValueError(f"regions {unknown} are no mask channels: use some of {', '.join(MASK_NAMES)}")
        if generator_every < 1:
            raise ValueError(f"generator_every={generator_every} must be at least 1")
        self.automatic_optimization = False
        if natural > 0 and posteriors is None:
            raise ValueError(f"natural={natural} needs the posteriors of real pictures")
        if natural + extremes > 1:
            raise ValueError(f"natural={natural} and extremes={extremes} are shares: together at most 1")
        self.save_hyperparameters(
            ignore=["network", "discriminator", "blackbox", "loss", "regions", "posteriors"]
        )
        self.network = network
        self.discriminator = discriminator
        self.blackbox: BlackBox = blackbox.requires_grad_(False).eval()
        self.average = MovingAverage(network, ema)
        self.weights = loss if isinstance(loss, LossWeights) else LossWeights(**dict(loss))
        self.channels = [MASK_NAMES.index(name) for name in regions]
        self.conditioning = Conditioning(conditioning, bins)
        known = torch.linspace(0, 1, 101) if posteriors is None else torch.as_tensor(posteriors).float()
        self.register_buffer("real_posteriors", known, persistent=False)
        self.register_buffer("iteration", torch.zeros((), dtype=torch.int64))
        self.reach_up, self.reach_down, self.target_mae = MeanMetric(), MeanMetric(), MeanMetric()

    # --- what others need to know -------------------------------------------------------------------------------

    def inference(self) -> nn.Module:
        """A copy of the generator with the averaged weights, in eval mode; its keys are a fresh generator's."""
        return copy.deepcopy(self.average.network).eval()

    def optimizer_steps(self, iterations: int) -> int:
        """Lightning's `global_step` (and so its `max_steps`) after so many iterations: it counts both optimisers."""
        return iterations + iterations // int(self.hparams["generator_every"])

    def train(self, mode: bool = True) -> "CounterfactualGAN":
        """As usual, but the black box stays in eval mode."""
        super().train(mode)
        self.blackbox.eval()
        return self

    # --- optimisation ------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for the generator and for the discriminator, in this order."""
        betas = (float(self.hparams["beta1"]), float(self.hparams["beta2"]))
        return [
            torch.optim.Adam(self.network.parameters(), lr=self.hparams["lr_generator"], betas=betas),
            torch.optim.Adam(
                self.discriminator.parameters(), lr=self.hparams["lr_discriminator"], betas=betas
            ),
        ]

    def rate(self, iteration: int) -> float:
        """Factor of both learning rates: a short linear warm-up, flat, then half a cosine down to `floor`."""
        done = iteration / max(1, int(self.hparams["iterations"]))
        flat, floor = float(self.hparams["flat"]), float(self.hparams["floor"])
        falling = min(1.0, max(0.0, (done - flat) / max(1e-9, 1 - flat)))
        factor = floor + (1 - floor) * (0.5 + 0.5 * math.cos(math.pi * falling))
        return factor * min(1.0, (iteration + 1) / max(1, int(self.hparams["warmup"])))

    def posterior(self, batch: Batch) -> Tensor:
        """Posterior (B,) of the batch's pictures: as annotated, or asked for again where it is unknown."""
        known = batch.get("posterior")
        if known is not None and not bool(known.isnan().any()):
            return known
        with torch.no_grad():
            asked: Tensor = self.blackbox(batch["image"])
        return asked if known is None else torch.where(known.isnan(), asked, known)

    def draws(self, batch: Batch) -> Draws:
        """The random numbers of this iteration, a function of (seed, iteration, picture)."""
        size = (int(batch["image"].shape[-2]), int(batch["image"].shape[-1]))
        return draw(
            batch["index"],
            size,
            seed=int(self.hparams["seed"]),
            iteration=int(self.iteration),
            looks=int(self.hparams["looks"]),
            extremes=float(self.hparams["extremes"]),
            natural=float(self.hparams["natural"]),
        )

    def targets(self, draws: Draws, posterior: Tensor) -> Tensor:
        """Targets (B,) of an iteration: uniform, some at the far end, some as real posteriors are, then rounded."""
        far = (posterior < 0.5).to(posterior.dtype)
        place = (draws.target * len(self.real_posteriors)).long().clamp(max=len(self.real_posteriors) - 1)
        chosen = torch.where(draws.natural, self.real_posteriors[place], draws.target)
        return self.conditioning.round(torch.where(draws.extreme, far, chosen))

    def black_box_term(self, image: Tensor, target: Tensor, draws: Draws) -> Tensor:
        """Consistency of drawn pictures with their targets, averaged over the views of this iteration."""
        limit = float(self.hparams["target_limit"])
        wanted = target.clamp(limit, 1 - limit)
        if not draws.views:
            return losses.classifier_consistency(self.blackbox.logit(image), wanted)
        change = {name: float(self.hparams[name]) for name in ("shift", "scale", "noise", "hide")}
        pictures = torch.cat([look(image, view, **change) for view in draws.views])
        return losses.classifier_consistency(self.blackbox.logit(pictures), wanted.repeat(len(draws.views)))

    def discriminator_loss(self, batch: Batch, fake: Tensor, posterior: Tensor, target: Tensor) -> Tensor:
        """Hinge loss of the discriminator: the real picture with its own posterior, the drawn one with its target."""
        real = batch["image"]
        if self.weights.r1 > 0:
            real = real.detach().requires_grad_(True)
        scores = self.discriminator(real, self.conditioning.round(posterior))
        loss = losses.hinge_discriminator(scores, self.discriminator(fake.detach(), target))
        if self.weights.r1 > 0:
            loss = loss + self.weights.r1 * losses.r1_penalty(scores, real)
        return loss

    def generator_terms(
        self, batch: Batch, drawn: GeneratorOutput, posterior: Tensor, target: Tensor, draws: Draws
    ) -> dict[str, Tensor]:
        """Every term of the generator's loss whose weight is not zero, by the names of `conf/loss`."""
        weights, image = self.weights, batch["image"]
        back = self.conditioning.round(posterior)
        terms = {
            "adversarial": losses.hinge_generator(self.discriminator(drawn.image, target)),
            "classifier": self.black_box_term(drawn.image, target, draws),
        }
        masks = batch.get("masks")
        regions = torch.ones_like(image) if masks is None else masks[:, self.channels]
        devices = batch.get("devices")
        exact = bool(getattr(self.network, "exact_at_own_posterior", False))
        again = None if exact and not weights.embedding else self.network(image, back, back)
        cycle = None
        if weights.cycle or weights.classifier_cycle or weights.embedding:
            cycle = self.network(drawn.image, target, back)
        terms |= losses.reconstruction_terms(
            image,
            image if again is None else again.image,
            None if cycle is None else cycle.image,
            regions,
            devices,
            weights,
        )
        if cycle is not None and weights.classifier_cycle:
            logit = self.blackbox.logit(cycle.image)
            terms["classifier_cycle"] = losses.classifier_consistency(logit, posterior)
        if again is not None and cycle is not None and weights.embedding:
            terms["embedding"] = losses.embedding_consistency(again.embedding, cycle.embedding)
        if weights.change:
            whole = torch.ones_like(image)
            held = devices if weights.kind == "context_aware" else None
            terms["change"] = losses.context_aware(image, drawn.image, whole, held, weights.device_weight)
        if drawn.edit is not None:
            terms["smoothness"] = losses.smoothness(drawn.edit.field)
            terms["residual"] = losses.residual_magnitude(drawn.edit.residual)
        if weights.total_variation:
            terms["total_variation"] = losses.total_variation(drawn.image)
        return terms

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One iteration: draw, step the discriminator, and step the generator when it is its turn."""
        iteration = int(self.iteration)
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        generator_optimizer, discriminator_optimizer = optimizers
        for optimizer, name in (
            (generator_optimizer, "lr_generator"),
            (discriminator_optimizer, "lr_discriminator"),
        ):
            for group in optimizer.param_groups:
                group["lr"] = float(self.hparams[name]) * self.rate(iteration)
        every = int(self.hparams["generator_every"])
        turn = (iteration + 1) % every == 0
        draws, posterior = self.draws(batch), self.posterior(batch)
        target = self.targets(draws, posterior)
        with torch.set_grad_enabled(turn):
            drawn = self.network(batch["image"], self.conditioning.round(posterior), target)

        self.toggle_optimizer(discriminator_optimizer)
        loss = self.discriminator_loss(batch, drawn.image, posterior, target)
        discriminator_optimizer.zero_grad()
        self.manual_backward(loss)
        discriminator_optimizer.step()
        self.untoggle_optimizer(discriminator_optimizer)
        logged = {"train/loss_discriminator": loss.detach()}

        if turn:
            self.toggle_optimizer(generator_optimizer)
            terms = self.generator_terms(batch, drawn, posterior, target, draws)
            loss = losses.total(terms, self.weights)
            generator_optimizer.zero_grad()
            self.manual_backward(loss)
            generator_optimizer.step()
            self.untoggle_optimizer(generator_optimizer)
            self.average.update(self.network, iteration // every)
            logged |= {f"train/loss_{name}": term.detach() for name, term in terms.items()}
            logged["train/loss_generator"] = loss.detach()
        # sync_dist: of the whole batch, not of the first process's piece
        self.log_dict(logged, batch_size=len(batch["image"]), sync_dist=True)
        self.iteration.add_(1)

    # --- validation --------------------------------------------------------------------------------------------

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Asks the averaged generator, without any calibration, for 0, 1/2 and 1, and the black box what it got."""
        image, posterior = batch["image"], self.posterior(batch)
        own = self.conditioning.round(posterior)
        for wanted in (0.0, 0.5, 1.0):
            target = self.conditioning.round(torch.full_like(posterior, wanted))
            got: Tensor = self.blackbox(self.average.network(image, own, target).image)
            self.target_mae.update((got - wanted).abs())
            # Without a picture of the group too: a metric that was never updated may not be computed.
            if wanted == 1.0:
                self.reach_up.update((got[posterior < LOW] >= HIGH).float())
            if wanted == 0.0:
                self.reach_down.update((got[posterior > HIGH] <= LOW).float())

    def on_validation_epoch_end(self) -> None:
        """Logs valid/reach_up, valid/reach_down and valid/target_mae; a group without pictures counts as 0."""
        metrics = {"reach_up": self.reach_up, "reach_down": self.reach_down, "target_mae": self.target_mae}
        for name, metric in metrics.items():
            value = metric.compute()
            self.log(f"valid/{name}", torch.nan_to_num(value, nan=0.0))
            metric.reset()
