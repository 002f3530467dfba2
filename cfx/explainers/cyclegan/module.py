"""Training of the attention-guided CycleGAN between the black box's own two groups."""

import copy
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from cfx.classifiers.blackbox import BlackBox
from cfx.data.batch import Batch
from cfx.explainers.cyclegan import losses
from cfx.explainers.cyclegan.networks import Translation, TranslatorPair
from cfx.metrics.validity import HIGH, LOW
from cfx.optimisation import averaged_copy, follow, plain_copy


class Side(NamedTuple):
    """The pictures of one group in a batch: float (n, 1, H, W), and the weight of their terms.

    A batch without any gives one other picture with weight 0: all processes then do the same work.
    """

    image: Tensor
    weight: float


class Drawn(NamedTuple):
    """What the translators made of both sides: the low pictures drawn up, the high ones drawn down."""

    low: Side
    high: Side
    up: Translation
    down: Translation


def side(image: Tensor, chosen: Tensor) -> Side:
    """The pictures (B, 1, H, W) that are chosen, bool (B,)."""
    return Side(image[chosen], 1.0) if bool(chosen.any()) else Side(image[:1], 0.0)


class AttentionCycleGAN(pl.LightningModule):
    """Two translators and two discriminators, in manual optimisation; draws nothing at random.

    Args:
        network: the translators; their average is shipped.
        discriminator: of one group's pictures; another of the same kind is made for the other group.
        blackbox: frozen; sorts pictures whose posterior is not known, and is asked at validation.
        adversarial, cycle, identity: weights of the terms of `losses`.
        switch: share of the iterations after which the discriminators see only what the masks show and the attention
            networks learn no more.
        threshold: mask value from which on they see a place then.
        lr, beta1: Adam's, for all networks.
        iterations: length of the training; the rate falls linearly to 0 over its second half.
        ema: decay of the averaged translators.
    """

    iteration: Tensor

    def __init__(
        self,
        network: TranslatorPair,
        discriminator: nn.Module,
        blackbox: BlackBox,
        *,
        adversarial: float = 1.0,
        cycle: float = 1.0,
        identity: float = 0.5,
        switch: float = 0.4,
        threshold: float = 0.1,
        lr: float = 1e-3,
        beta1: float = 0.5,
        iterations: int = 800,
        ema: float = 0.99,
    ) -> None:
        super().__init__()
        self.weights = {"adversarial": adversarial, "cycle": cycle, "identity": identity}
        if min(self.weights.values()) < 0 or not 0 <= switch <= 1 or not 0 <= threshold < 1:
            raise ValueError("weights must not be negative, switch lie in [0, 1] and threshold in [0, 1)")
        self.automatic_optimization = False
        self.save_hyperparameters(ignore=["network", "discriminator", "blackbox"])
        self.network = network
        self.judges = nn.ModuleDict({"high": discriminator, "low": _another(discriminator)})
        self.blackbox: BlackBox = blackbox.requires_grad_(False).eval()
        self.average = averaged_copy(network)
        self.register_buffer("iteration", torch.zeros((), dtype=torch.int64))
        self.reach_up, self.reach_down = MeanMetric(), MeanMetric()

    # --- what others need to know -------------------------------------------------------------------------------

    def inference(self) -> TranslatorPair:
        """A copy of the averaged translators on the CPU, in eval mode."""
        return plain_copy(self.average)

    def optimizer_steps(self, iterations: int) -> int:
        """Lightning's `global_step` after so many iterations: it counts both optimisers."""
        return 2 * iterations

    def train(self, mode: bool = True) -> "AttentionCycleGAN":
        """As usual, but black box and averaged translators stay in eval mode."""
        super().train(mode)
        self.blackbox.eval()
        self.average.eval()
        return self

    # --- optimisation ------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for the translators and for the discriminators, in this order."""
        betas, lr = (float(self.hparams["beta1"]), 0.999), float(self.hparams["lr"])
        return [
            torch.optim.Adam(part.parameters(), lr=lr, betas=betas) for part in (self.network, self.judges)
        ]

    def rate(self, iteration: int) -> float:
        """Factor of the learning rate: 1 over the first half, then linearly down to 0."""
        return min(1.0, max(0.0, 2.0 * (1.0 - iteration / max(1, int(self.hparams["iterations"])))))

    @property
    def attends(self) -> bool:
        """Whether the attention networks still learn and the discriminators see whole pictures."""
        return int(self.iteration) < float(self.hparams["switch"]) * int(self.hparams["iterations"])

    def posterior(self, batch: Batch) -> Tensor:
        """Posterior (B,) of the batch's pictures: as annotated, or asked for where that is not known."""
        known = batch.get("posterior")
        if known is not None and not bool(known.isnan().any()):
            return known
        with torch.no_grad():
            asked: Tensor = self.blackbox(batch["image"])
        return asked if known is None else torch.where(known.isnan(), asked, known)

    def draw(self, batch: Batch) -> Drawn:
        """Sort a batch into its two sides (the middle is left out) and translate both."""
        posterior, image = self.posterior(batch), batch["image"]
        low, high = side(image, posterior < LOW), side(image, posterior > HIGH)
        return Drawn(
            low, high, self.network.up(low.image, self.attends), self.network.down(high.image, self.attends)
        )

    def _seen(self, image: Tensor, mask: Tensor) -> Tensor:
        return losses.seen(image, mask, 0.0 if self.attends else float(self.hparams["threshold"]))

    def judges_loss(self, drawn: Drawn) -> Tensor:
        """Least-squares loss of both discriminators; gives the translators no gradient."""
        with torch.no_grad():
            masks = self.network.down.mask(drawn.high.image), self.network.up.mask(drawn.low.image)
        loss: Tensor = drawn.low.image.new_zeros(())
        for name, real, mask, fake in (
            ("high", drawn.high, masks[0], drawn.up),
            ("low", drawn.low, masks[1], drawn.down),
        ):
            judge = self.judges[name]
            scores = judge(self._seen(real.image, mask))
            others = judge(self._seen(fake.image.detach(), fake.mask))
            loss = loss + drawn.low.weight * drawn.high.weight * losses.lsgan_discriminator(scores, others)
        return loss

    def translators_terms(self, drawn: Drawn) -> dict[str, Tensor]:
        """The three terms of the translators' loss, by name, each the sum over both directions."""
        up, down, attend = self.network.up, self.network.down, self.attends
        low, high = drawn.low, drawn.high
        fooled = {
            "high": losses.lsgan_generator(self.judges["high"](self._seen(drawn.up.image, drawn.up.mask))),
            "low": losses.lsgan_generator(self.judges["low"](self._seen(drawn.down.image, drawn.down.mask))),
        }
        back = {
            "low": losses.cycle_consistency(low.image, down(drawn.up.image, attend).image),
            "high": losses.cycle_consistency(high.image, up(drawn.down.image, attend).image),
        }
        same = {
            "low": losses.identity(low.image, down(low.image, attend).image),
            "high": losses.identity(high.image, up(high.image, attend).image),
        }
        return {
            "adversarial": low.weight * fooled["high"] + high.weight * fooled["low"],
            "cycle": low.weight * back["low"] + high.weight * back["high"],
            "identity": low.weight * same["low"] + high.weight * same["high"],
        }

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One iteration: translate, step the discriminators, then the translators."""
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        translators, judges = optimizers
        for optimizer in (translators, judges):
            for group in optimizer.param_groups:
                group["lr"] = float(self.hparams["lr"]) * self.rate(int(self.iteration))
        drawn = self.draw(batch)

        self.toggle_optimizer(judges)
        judged = self.judges_loss(drawn)
        judges.zero_grad()
        self.manual_backward(judged)
        judges.step()
        self.untoggle_optimizer(judges)

        self.toggle_optimizer(translators)
        terms = self.translators_terms(drawn)
        loss = losses.total(terms, self.weights)
        translators.zero_grad()
        self.manual_backward(loss)
        translators.step()
        self.untoggle_optimizer(translators)
        follow(self.average, self.network, float(self.hparams["ema"]), int(self.iteration))
        logged = {f"train/loss_{name}": term.detach() for name, term in terms.items()}
        logged |= {"train/loss_generator": loss.detach(), "train/loss_discriminator": judged.detach()}
        logged["train/attention"] = drawn.up.mask.detach().mean()
        # sync_dist: of the whole batch, not of the first process's piece
        self.log_dict(logged, batch_size=len(batch["image"]), sync_dist=True)
        self.iteration.add_(1)

    # --- validation --------------------------------------------------------------------------------------------

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Ask the black box what it says of the averaged translators' pictures of both groups."""
        image, posterior = batch["image"], self.posterior(batch)
        low, high = posterior < LOW, posterior > HIGH
        # Without a picture of the group the metric is updated by nothing: one never updated may not be computed.
        up, down = posterior[low], posterior[high]
        if len(up):
            up = self.blackbox(self.average.up(image[low]).image)
        if len(down):
            down = self.blackbox(self.average.down(image[high]).image)
        self.reach_up.update((up >= HIGH).float())
        self.reach_down.update((down <= LOW).float())

    def on_validation_epoch_end(self) -> None:
        """Log valid/reach_up and valid/reach_down; a group without pictures counts as 0."""
        for name, metric in (("reach_up", self.reach_up), ("reach_down", self.reach_down)):
            self.log(f"valid/{name}", torch.nan_to_num(metric.compute(), nan=0.0))
            metric.reset()


def _another(network: nn.Module) -> nn.Module:
    """A network of the same kind with weights of its own."""
    made = copy.deepcopy(network)
    for module in made.modules():
        reset: Any = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    return made
