"""Averaged weights: a GAN's single weights swing from step to step, their moving average does not."""

import copy

import torch
from torch import nn


class MovingAverage(nn.Module):
    """Exponential moving average of a network's parameters; buffers are copied.

    The decay warms up as (1 + n) / (10 + n) over the first n updates, so that the average forgets the untrained start.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """network: what is averaged, copied at once. decay: in [0, 1); 0 keeps the newest weights."""
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"the decay of the average must lie in [0, 1), not {decay}")
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "MovingAverage":
        """Stays in eval mode: it is only ever used, never trained."""
        return super().train(False)

    @torch.no_grad()
    def update(self, network: nn.Module, updates: int) -> None:
        """Moves the average towards `network` after its update number `updates` (from 0)."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
        for mean, value in zip(self.network.parameters(), network.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
        for kept, newest in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(newest)
