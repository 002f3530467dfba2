"""xGEM at use: from the encoding of a picture, down the black box's gradient in the latent space, to each target."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from cfx.explainers.base import TARGET_LIMIT, Counterfactual, Explainer, answered
from cfx.explainers.walk import Pace, walk
from cfx.explainers.xgem.losses import distance
from cfx.explainers.xgem.networks import VariationalAutoencoder


class XgemExplainer(Explainer):
    """Exemplars G(z) that the black box gives the posteriors asked for.

    Whatever the target, pictures are drawn anew from z: at c = p(x) too one gets a redrawn picture, not the input.

    Args:
        network: the generator, with the weights of `XgemGenerator.inference()`.
        blackbox: frozen and differentiable; called it gives the posterior (B,), `logit` the log odds (B,).
        weight: of the mean squared distance to the picture, beside the black box's cross-entropy of 1.
        steps: at most, to each target.
        rate: first step of the latent number that moves most, in units of the prior's standard deviation.
        tolerance: distance from the target that ends the walk.
        target_limit: 0 and 1 mean this and 1 minus it.
        chunk: pictures that walk at once.
        name: in the tables.
    """

    def __init__(
        self,
        network: VariationalAutoencoder,
        blackbox: Any,
        *,
        weight: float = 1.0,
        steps: int = 60,
        rate: float = 0.1,
        tolerance: float = 0.01,
        target_limit: float = TARGET_LIMIT,
        chunk: int = 128,
        name: str = "xgem",
    ) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"weight={weight} must not be negative: it would push the exemplar away")
        self.name = name
        self.network = network.eval().requires_grad_(False)
        self.blackbox = blackbox.eval().requires_grad_(False)
        self.pace = Pace(steps=steps, rate=rate, tolerance=tolerance, limit=target_limit)
        self.ends = self.pace.ends
        self.weight, self.chunk = weight, chunk

    def train(self, mode: bool = True) -> "XgemExplainer":
        """Stays in eval mode."""
        return super().train(False)

    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        """Draw each picture (B, 1, H, W) at each of its targets (B, T); 0 and 1 mean the `ends`."""
        drawn = [
            self._exemplars(some, asked)
            for some, asked in zip(
                torch.split(image, self.chunk), torch.split(targets, self.chunk), strict=True
            )
        ]
        return answered(self.blackbox, torch.cat(drawn), targets)

    def _exemplars(self, image: Tensor, targets: Tensor) -> Tensor:
        """Pictures (B, T, 1, H, W) of one chunk."""
        with torch.no_grad():
            start = self.network.encode(image).mean
        with torch.inference_mode(False):  # a copy that may enter a graph, wherever this is called from
            held = image.clone()
        pull = partial(self._pull, image=held)
        return walk(start, self.network.decode, self.blackbox.logit, targets, pace=self.pace, pull=pull)

    def _pull(self, drawn: Tensor, rows: Tensor, image: Tensor) -> Tensor:
        """Weighted distance (M,) of pictures drawn to the ones they explain, rows (M,) of `image`."""
        return self.weight * distance(drawn, image[rows])
