"""Small stand-ins that the tests of this folder share."""

from typing import cast

import torch
from torch import Tensor, nn

from cfx.classifiers.blackbox import BlackBox
from cfx.data.batch import Batch
from cfx.explainers.gan.networks import EditGenerator


class Brightness(nn.Module):
    """Logit (B, 1): `slope` times the mean of the picture less `offset`."""

    def __init__(self, slope: float = 40.0, offset: float = 0.0) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))
        self.offset = offset

    def forward(self, image: Tensor) -> Tensor:
        return (self.slope * (image.mean(dim=(1, 2, 3)) - self.offset))[:, None]


class Convolutional(nn.Module):
    """A small network with a batch norm, whose statistics must never change."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 4, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(4, 1)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.layers(image).mean(dim=(2, 3))))


def black_box(network: nn.Module | None = None) -> BlackBox:
    """A black box of brightness, or of the network given."""
    return BlackBox(network if network is not None else Brightness(), finding="Cardiomegaly")


def generator(field: float = 0.0, residual: float = 0.0, width: int = 16) -> EditGenerator:
    """A generator that draws the same field and residual everywhere at full strength, as shares of its limits."""
    network = EditGenerator(width=width)
    with torch.no_grad():
        network.head.bias.copy_(torch.atanh(torch.tensor([field, field, residual]).clamp(-0.999, 0.999)))
    return network


def batch(count: int = 4, size: int = 64, seed: int = 0) -> Batch:
    """A batch with everything a data set with masks and devices gives; the posterior is unknown."""
    source = torch.Generator().manual_seed(seed)
    return Batch(
        image=torch.rand(count, 1, size, size, generator=source) - 0.5,
        masks=torch.rand(count, 3, size, size, generator=source),
        devices=(torch.rand(count, 1, size, size, generator=source) > 0.95).float(),
        posterior=torch.full((count,), float("nan")),
        index=torch.arange(count) + 100 * seed,
    )
