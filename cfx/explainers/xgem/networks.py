"""The generator that xGEM takes for the manifold of the data: a convolutional variational autoencoder.

About 4 and 14 million multiply-adds for a picture of 64 px, encoder and decoder: explaining one draws some hundred.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

LEAST_SIZE = 16
_CELLS = 4  # the encoder ends, and the decoder begins, with 4 x 4 places


class Posterior(NamedTuple):
    """q(z | x), a normal distribution with independent components.

    mean, log_variance: float (B, latent).
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Latent numbers (B, latent) for standard normal noise of that shape (the reparametrisation trick)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(math.gcd(8, outputs), outputs), nn.SiLU()
    )


class VariationalAutoencoder(nn.Module):
    """p(x | z) normal around `decode(z)` with one learned standard deviation; p(z) standard normal.

    Normalised within each picture, nothing across the batch, so that a counterfactual does not depend on what is drawn
    beside it.

    Args:
        size: side of the pictures, a power of two of at least 16.
        latent: length of z.
        width: channels at half the pictures' side; they double with each halving, up to six times as many.

    Raises:
        ValueError: another size.
    """

    def __init__(self, size: int = 64, latent: int = 64, width: int = 16) -> None:
        super().__init__()
        if size < LEAST_SIZE or size & (size - 1):
            raise ValueError(f"size={size} must be a power of two of at least {LEAST_SIZE}")
        levels = int(math.log2(size // (2 * _CELLS)))
        channels = [min(width * 2**level, 6 * width) for level in range(levels + 1)]
        self.size, self.latent = size, latent
        self.cells = (channels[-1], _CELLS, _CELLS)
        flat = math.prod(self.cells)
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2),
            _block(4, channels[0]),
            *[_block(a, b, stride=2) for a, b in pairwise(channels)],
            nn.Flatten(),
            nn.Linear(flat, 2 * latent),
        )
        self.expand = nn.Sequential(nn.Linear(latent, flat), nn.SiLU())
        down = channels[::-1]
        self.decoder = nn.Sequential(
            *[nn.Sequential(nn.Upsample(scale_factor=2), _block(a, b)) for a, b in pairwise(down)],
            nn.Conv2d(channels[0], 4, 3, padding=1),
            nn.PixelShuffle(2),
            nn.Tanh(),
        )
        self.log_scale = nn.Parameter(torch.tensor(-1.0))

    def encode(self, image: Tensor) -> Posterior:
        """q(z | x) of pictures (B, 1, size, size) in [-1, 1]."""
        mean, log_variance = self.encoder(image).chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(-12.0, 6.0))

    def decode(self, latent: Tensor) -> Tensor:
        """Mean picture (B, 1, size, size) in [-1, 1] of latent numbers (B, latent)."""
        picture: Tensor = self.decoder(self.expand(latent).unflatten(1, self.cells))
        return picture

    def forward(self, image: Tensor, noise: Tensor) -> tuple[Tensor, Posterior]:
        """Reconstructions of pictures through a sample of q(z | x), drawn from noise (B, latent); and q itself."""
        found = self.encode(image)
        return self.decode(found.sample(noise)), found
