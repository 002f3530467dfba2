"""The CycleGAN at use: one picture towards each side, and a blend along that one edit in between.

The method knows no target between its two groups. What stands here for one is a cross-fade, x + s (x_end - x), with s
the share of the way from p(x) to the end that is asked for: nothing at c = p(x), the translator's own picture at 0 and
1. The black box is not asked how strong the blend should be, so what it says in between is whatever it says.
"""

from typing import Any

import torch
from torch import Tensor

from cfx.explainers.base import Counterfactual, Explainer, answered
from cfx.explainers.cyclegan.networks import TranslatorPair


def share_of_way(posterior: Tensor, targets: Tensor) -> Tensor:
    """How much of the edit is blended in, (B, T) in [0, 1]: (c - p) / (1 - p) upwards, (p - c) / p downwards.

    Args:
        posterior: float (B,), where the pictures stand.
        targets: float (B, T), what is asked for.
    """
    here = posterior.unsqueeze(1)
    up = (targets - here) / (1.0 - here).clamp(min=1e-6)
    down = (here - targets) / here.clamp(min=1e-6)
    return torch.where(targets >= here, up, down).clamp(0.0, 1.0)


class CycleGanExplainer(Explainer):
    """Counterfactuals of two trained translators.

    Args:
        network: with the weights of `AttentionCycleGAN.inference()`.
        blackbox: frozen; called it gives the posterior (B,).
        name: in the tables.
    """

    def __init__(self, network: TranslatorPair, blackbox: Any, *, name: str = "cyclegan") -> None:
        super().__init__()
        self.name = name
        self.network = network.eval().requires_grad_(False)
        self.blackbox = blackbox.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "CycleGanExplainer":
        """Stays in eval mode."""
        return super().train(False)

    @torch.no_grad()
    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        """Blend pictures (B, 1, H, W) into their translations for targets (B, T); see `Explainer.explain`."""
        posterior: Tensor = self.blackbox(image).to(targets)
        up, down = self.network(image)
        higher = (targets >= posterior.unsqueeze(1))[:, :, None, None, None]
        ends = torch.where(higher, up.image.unsqueeze(1), down.image.unsqueeze(1))
        share = share_of_way(posterior, targets)[:, :, None, None, None]
        here = image.unsqueeze(1)
        return answered(self.blackbox, here + share * (ends - here), targets)
