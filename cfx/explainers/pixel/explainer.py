"""Each pixel down the black box's own gradient until the posterior is the target.

What is found are adversarial examples (Szegedy et al., "Intriguing properties of neural networks", ICLR 2014): the
posterior moves by noise that nobody can read. Every evaluation draws it as a control; as a method of its own it goes
through the same table as all others.
"""

from typing import Any

import torch
from torch import Tensor

from cfx.explainers.base import TARGET_LIMIT, Counterfactual, Explainer, answered
from cfx.explainers.walk import Pace, walk


class PixelExplainer(Explainer):
    """Pixel descent to any targets; there is nothing to train, so it has no weights.

    Args:
        blackbox: frozen and differentiable; called it gives the posterior (B,), `logit` the log odds (B,).
        steps: at most, to each target.
        rate: first step of the pixel that moves most, of the range [-1, 1].
        tolerance: distance from the target that ends the walk.
        target_limit: 0 and 1 mean this and 1 minus it.
        chunk: pictures that walk at once.
        name: in the tables.
    """

    def __init__(
        self,
        blackbox: Any,
        *,
        steps: int = 60,
        rate: float = 0.02,
        tolerance: float = 0.01,
        target_limit: float = TARGET_LIMIT,
        chunk: int = 128,
        name: str = "pixel",
    ) -> None:
        super().__init__()
        self.name = name
        self.blackbox = blackbox.eval().requires_grad_(False)
        self.pace = Pace(steps=steps, rate=rate, tolerance=tolerance, limit=target_limit)
        self.ends = self.pace.ends
        self.chunk = chunk

    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        """Descend from each picture (B, 1, H, W) to each of its targets (B, T); 0 and 1 mean the `ends`."""
        drawn = [
            walk(some, _itself, self.blackbox.logit, asked, pace=self.pace, limits=(-1.0, 1.0))
            for some, asked in zip(
                torch.split(image, self.chunk), torch.split(targets, self.chunk), strict=True
            )
        ]
        return answered(self.blackbox, torch.cat(drawn), targets)


def _itself(pixels: Tensor) -> Tensor:
    """The picture of some pixels: these pixels."""
    return pixels
