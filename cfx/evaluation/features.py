"""Features for the kernel distance: what a classifier's last linear layer sees."""

from typing import Any

import torch
from torch import Tensor, nn


class LastLinear(nn.Module):
    """Gives the input of a network's last linear layer, (B, d) for pictures (B, 1, H, W) in [-1, 1].

    Args:
        classifier: a network, or a black box with its own preparation of pictures. It must not be the explained one.

    Raises:
        ValueError: it has no linear layer.
    """

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        linear = [module for module in classifier.modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise ValueError("the feature network has no linear layer")
        self.classifier = classifier
        self.num_features = linear[-1].in_features
        linear[-1].register_forward_pre_hook(self._keep)
        self._seen: Tensor | None = None

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._seen = inputs[0]

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Features (B, d)."""
        self.classifier(image)
        assert self._seen is not None  # the hook ran
        seen, self._seen = self._seen, None
        return seen.reshape(len(image), -1).float()
