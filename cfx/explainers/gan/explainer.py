"""The trained generator as an explainer, with a knob that is calibrated on the black box for each image.

A generator asked for 0.7 draws something the black box gives about 0.7. What a reader wants is exactly 0.7, and the
black box can be asked. `knob="calibrated"` draws a path of ever stronger edits from the input towards 0 and towards 1,
asks the black box along it, and takes for each target the first point at which the target is met. Along a path pictures
change steadily, so a series of rising targets is a series of rising edits. `knob="raw"` shows the generator unaided.

Along a path the edits are those of the generator at a few settings, and linear between them. Beyond the end of [0, 1]
the edit is scaled up to `overshoot`, so that nothing ever exceeds `overshoot` times the generator's limits (12 % of the
width for 8 % and 1.5). A generator without edits (the published design) has no path: it is asked for its targets.
"""

import torch
from torch import Tensor, nn

from cfx.explainers.base import TARGET_LIMIT, Counterfactual, Edits, Explainer, aimed
from cfx.explainers.gan.conditioning import Conditioning
from cfx.explainers.gan.edit import apply_edit, structure
from cfx.explainers.gan.networks import EditGenerator

KNOBS = ("calibrated", "raw")


def first_crossing(settings: Tensor, values: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Bracket of the first setting at which a curve meets a value, after its running maximum.

    Args:
        settings: float (S,), rising.
        values: float (B, S), the curve of each image, meant to rise, not necessarily doing so.
        wanted: float (B, T).

    Returns:
        Index (B, T) of the bracket's upper end, from 0 (met at the start) to S (met nowhere), and the setting (B, T)
        by linear interpolation within it; where it is met nowhere, the setting of the highest value.
    """
    rising = values.cummax(dim=1).values
    above = torch.searchsorted(rising.contiguous(), wanted.contiguous())
    upper = above.clamp(1, len(settings) - 1)
    low, high = rising.gather(1, upper - 1), rising.gather(1, upper)
    share = ((wanted - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
    start, end = settings[upper - 1], settings[upper]
    met = start + share * (end - start)
    best = settings[values.argmax(dim=1)][:, None].expand_as(met)
    met = torch.where(above == 0, settings[0], met)
    return above, torch.where(above == len(settings), best, met)


class GanExplainer(Explainer):
    """Counterfactuals of a trained generator.

    Args:
        network: generator with the weights of `CounterfactualGAN.inference()`.
        blackbox: the frozen black box; posterior (B,) of images (B, 1, H, W), and `logit`.
        knob: "calibrated" or "raw".
        conditioning, bins: as in training.
        anchors: settings towards each end at which the generator is asked for its edit.
        settings: points towards each end at which the black box is asked.
        overshoot: strength up to which the edit is scaled where the target is not met before.
        refinements: rounds in which the black box is asked again between the two points around the target.
        chunk: pictures drawn at once.
        target_limit: the calibrated knob aims at targets clipped to this and 1 minus it: a probability of 1 has no
            finite logit, and beyond what the black box says of real pictures lies caricature.
    """

    def __init__(
        self,
        network: nn.Module,
        blackbox: nn.Module,
        *,
        knob: str = "calibrated",
        conditioning: str = "continuous",
        bins: int = 10,
        anchors: int = 4,
        settings: int = 12,
        overshoot: float = 1.5,
        refinements: int = 2,
        chunk: int = 256,
        target_limit: float = TARGET_LIMIT,
        name: str = "explainer",
    ) -> None:
        super().__init__()
        if knob not in KNOBS:
            raise ValueError(f"knob {knob!r} is unknown: use one of {', '.join(KNOBS)}")
        if overshoot < 1 or anchors < 1 or settings < 2:
            raise ValueError("overshoot and anchors must be at least 1, settings at least 2")
        self.name = name
        self.knob = knob
        self.network = network.eval().requires_grad_(False)
        self.blackbox = blackbox.eval().requires_grad_(False)
        self.conditioning = Conditioning(conditioning, bins)
        self.anchors, self.settings, self.overshoot = anchors, settings, overshoot
        self.refinements, self.chunk = refinements, chunk
        self.target_limit = target_limit
        self.ends = self._ends()

    def _ends(self) -> tuple[float, float]:
        """What is aimed at for 0 and 1: the limit, or what the outermost bin stands for where only bins are asked."""
        raw = self.knob == "raw" or not isinstance(self.network, EditGenerator)
        if not raw or self.conditioning.rule == "continuous":
            return self.target_limit, 1 - self.target_limit
        low, high = self.conditioning.round(torch.tensor([0.0, 1.0])).tolist()
        return round(low, 6), round(high, 6)

    def train(self, mode: bool = True) -> "GanExplainer":
        """Stays in eval mode."""
        return super().train(False)

    @torch.no_grad()
    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        """Draws image (B, 1, H, W) in [-1, 1] at targets (B, T) in [0, 1]; see `Explainer.explain`.

        The calibrated knob aims at targets clipped to `target_limit`.
        """
        posterior: Tensor = self.blackbox(image)
        if self.knob == "raw" or not isinstance(self.network, EditGenerator):
            return self._raw(image, posterior, targets)
        wanted = aimed(targets, posterior, self.target_limit)
        field, residual = self._anchor_edits(self.network, image, posterior)
        knob = torch.linspace(0, self.overshoot, self.settings + 1, device=image.device)[1:]
        knob = torch.cat([-knob.flip(0), knob.new_zeros(1), knob])
        curve = self._ask(image, field, residual, knob.expand(len(image), -1))
        met = self._invert(image, field, residual, knob, curve, posterior, wanted)
        edits = self._edits_at(field, residual, met)
        images = self._render(image, edits)
        return Counterfactual(images, targets, self._posterior(images), edits)

    def _raw(self, image: Tensor, posterior: Tensor, targets: Tensor) -> Counterfactual:
        """The generator's own answers, one call for each target."""
        images, fields, residuals = [], [], []
        own = self.conditioning.round(posterior)
        for column in targets.unbind(dim=1):
            drawn = self.network(image, own, self.conditioning.round(column))
            images.append(drawn.image)
            if drawn.edit is not None:
                fields.append(drawn.edit.field)
                residuals.append(drawn.edit.residual)
        edits = Edits(torch.stack(fields, 1), torch.stack(residuals, 1)) if fields else None
        pictures = torch.stack(images, 1)
        return Counterfactual(pictures, targets, self._posterior(pictures), edits)

    def _anchor_edits(
        self, network: EditGenerator, image: Tensor, posterior: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fields (B, 2 A + 1, 2, g, g) and residuals (B, 2 A + 1, 1, g, g) of the path at knob -1, ..., 0, ..., 1."""
        fields, residuals = [], []
        for step in range(-self.anchors, self.anchors + 1):
            share = abs(step) / self.anchors
            end = 1.0 if step > 0 else 0.0
            target = posterior + share * (end - posterior)
            direction = network.propose(image, posterior, target)
            strength = (target - posterior).view(-1, 1, 1, 1)
            fields.append(direction.field * strength)
            residuals.append(direction.residual * strength)
        return torch.stack(fields, 1), torch.stack(residuals, 1)

    def _edits_at(self, field: Tensor, residual: Tensor, knob: Tensor) -> Edits:
        """Edits (B, T) of the path at knob settings (B, T) from -overshoot to overshoot."""
        within = knob.clamp(-1, 1)
        place = (within + 1) * self.anchors
        low = place.floor().clamp(0, 2 * self.anchors - 1).long()
        share = (place - low)[:, :, None, None, None]
        beyond = (knob.abs().clamp(min=1))[:, :, None, None, None]
        rows = torch.arange(len(field), device=field.device)[:, None]
        both = [
            (part[rows, low] * (1 - share) + part[rows, low + 1] * share) * beyond
            for part in (field, residual)
        ]
        return Edits(both[0], both[1])

    def _render(self, image: Tensor, edits: Edits) -> Tensor:
        """The pictures (B, T, 1, H, W) of edits (B, T), chunk by chunk."""
        count = edits.field.shape[1]
        pictures = image.repeat_interleave(count, dim=0)
        field, residual = edits.field.flatten(0, 1), edits.residual.flatten(0, 1)
        parts = [slice(start, start + self.chunk) for start in range(0, len(pictures), self.chunk)]
        shapes = structure(image).repeat_interleave(count, dim=0)
        drawn = torch.cat([apply_edit(pictures[p], field[p], residual[p], shapes[p]) for p in parts])
        return drawn.reshape(len(image), count, *image.shape[1:])

    def _posterior(self, images: Tensor) -> Tensor:
        """The black box's posterior (B, T) of pictures (B, T, 1, H, W), chunk by chunk."""
        flat = images.flatten(0, 1)
        parts = [slice(start, start + self.chunk) for start in range(0, len(flat), self.chunk)]
        return torch.cat([self.blackbox(flat[part]) for part in parts]).reshape(images.shape[:2])

    def _ask(self, image: Tensor, field: Tensor, residual: Tensor, knob: Tensor) -> Tensor:
        """The black box's posterior (B, T) at knob settings (B, T)."""
        return self._posterior(self._render(image, self._edits_at(field, residual, knob)))

    def _invert(
        self,
        image: Tensor,
        field: Tensor,
        residual: Tensor,
        knob: Tensor,
        curve: Tensor,
        posterior: Tensor,
        wanted: Tensor,
    ) -> Tensor:
        """Knob settings (B, T) at which the posterior is the one wanted; 0 where it already is."""
        half = len(knob) // 2
        logit = torch.logit(curve, eps=1e-6)
        goal = torch.logit(wanted, eps=1e-6)
        up = goal >= torch.logit(posterior, eps=1e-6)[:, None]
        settings = knob[half:]
        rising, falling = logit[:, half:], -logit[:, : half + 1].flip(1)
        above_up, met_up = first_crossing(settings, rising, goal)
        above_down, met_down = first_crossing(settings, falling, -goal)
        above = torch.where(up, above_up, above_down)
        met = torch.where(up, met_up, met_down)
        open_ = (above > 0) & (above < len(settings))
        upper = above.clamp(1, len(settings) - 1)
        low, high = settings[upper - 1], settings[upper]
        signed_goal = torch.where(up, goal, -goal)

        def value(at: Tensor) -> Tensor:
            asked = torch.logit(self._ask(image, field, residual, torch.where(up, at, -at)), eps=1e-6)
            return torch.where(up, asked, -asked)

        low_value = torch.where(
            up, rising.cummax(1).values.gather(1, upper - 1), falling.cummax(1).values.gather(1, upper - 1)
        )
        high_value = torch.where(
            up, rising.cummax(1).values.gather(1, upper), falling.cummax(1).values.gather(1, upper)
        )
        for _ in range(self.refinements):
            got = value(met)
            under = got < signed_goal
            low, low_value = torch.where(under, met, low), torch.where(under, got, low_value)
            high, high_value = torch.where(under, high, met), torch.where(under, high_value, got)
            share = ((signed_goal - low_value) / (high_value - low_value).clamp(min=1e-6)).clamp(0.05, 0.95)
            met = torch.where(open_, low + share * (high - low), met)
        return torch.where(up, met, -met)
