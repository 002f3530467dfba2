"""Discriminators that judge a picture together with the posterior it is meant to have.

All are projection discriminators (Miyato & Koyama, ICLR 2018): D(x, c) = psi(phi(x)) + <v_c, phi(x)>, with a
spectral norm of one power iteration on every weight, trained by the hinge losses of `losses.py`. They are
called as `discriminator(image (B, 1, H, W) in [-1, 1], condition (B,) in [0, 1]) -> scores (B,)`, and a score
depends on its own picture alone: nothing here looks across the batch. What differs is the trunk phi
(`Discriminator`, small and for any size; `PublishedDiscriminator`, layer by layer as released) and the vector
v_c:

    ordinal         v_c = sum of v_i over the thresholds i below c's bin, a vector of its own for each (the
    paper) ordinal_shared  every threshold shares one pair of vectors, so v_c is affine in the bin's index
    (the released code) table           a vector for each bin
    continuous      a small network of c itself (the default)
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from cfx.explainers.gan.conditioning import ordinal_codes, posterior_to_bin

CONDITIONS = ("continuous", "ordinal", "ordinal_shared", "table")


def _linear(inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    normed: nn.Module = spectral_norm(layer)
    return normed


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Module:
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    normed: nn.Module = spectral_norm(layer)
    return normed


class Projection(nn.Module):
    """psi(phi) + <v_c, phi> for features phi (B, features) and conditions c (B,) in [0, 1]; returns (B,)."""

    def __init__(
        self, features: int, condition: str = "continuous", bins: int = 10, frequencies: int = 8
    ) -> None:
        """condition: one of CONDITIONS. bins: for the binned ones. frequencies: cosines that describe c otherwise."""
        super().__init__()
        if condition not in CONDITIONS:
            raise ValueError(f"condition {condition!r} is unknown: use one of {', '.join(CONDITIONS)}")
        self.condition, self.bins, self.frequencies = condition, bins, frequencies
        self.psi = _linear(features, 1)
        if condition == "continuous":
            self.embed = nn.Sequential(_linear(frequencies, 64), nn.SiLU(), _linear(64, features, bias=False))
        else:
            rows = {"ordinal": bins - 1, "ordinal_shared": 2, "table": bins}[condition]
            self.table = _linear(features, rows, bias=False)
        if condition == "ordinal":
            self.register_buffer("codes", ordinal_codes(bins), persistent=False)

    def project(self, features: Tensor, condition: Tensor) -> Tensor:
        """<v_c, phi> alone, (B,)."""
        if self.condition == "continuous":
            order = torch.arange(self.frequencies, device=condition.device, dtype=features.dtype)
            waves = torch.cos(math.pi * order * condition.to(features.dtype)[:, None])
            vector: Tensor = self.embed(waves)
            return (vector * features).sum(dim=1)
        scores: Tensor = self.table(features)
        index = posterior_to_bin(condition, self.bins)
        if self.condition == "table":
            return scores.gather(1, index[:, None]).squeeze(1)
        if self.condition == "ordinal":
            codes = self.get_buffer("codes").to(scores.dtype)
            return (codes[index] * scores).sum(dim=1)
        passed = index.to(scores.dtype)
        return passed * scores[:, 1] + (self.bins - 1 - passed) * scores[:, 0]

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Scores (B,)."""
        unconditional: Tensor = self.psi(features)
        return unconditional.squeeze(1) + self.project(features, condition)


class SmallBlock(nn.Module):
    """LeakyReLU, 3x3 conv, LeakyReLU, [mean of 2 x 2,] 3x3 conv beside a 1x1 shortcut; halves the sides if `down`."""

    def __init__(self, inputs: int, outputs: int, down: bool) -> None:
        """inputs, outputs: channels."""
        super().__init__()
        self.down = down
        self.first = _conv(inputs, inputs, 3)
        self.second = _conv(inputs, outputs, 3)
        self.shortcut = _conv(inputs, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h / 2, w / 2), or the same sides without `down`."""
        inner = F.leaky_relu(self.first(F.leaky_relu(features, 0.2)), 0.2)
        if self.down:
            inner, features = F.avg_pool2d(inner, 2), F.avg_pool2d(features, 2)
        added: Tensor = (self.second(inner) + self.shortcut(features)) / math.sqrt(2)
        return added


class Discriminator(nn.Module):
    """The default's discriminator: about 30 million multiplications a picture at any size, so that two cores
    train it.

    A picture is folded so that its longer side becomes 32 cells (pixels of a cell become channels: nothing is
    lost and detail stays visible), two channels say where a cell lies (chests are aligned, and a heart has a
    side), three blocks halve the sides, one does not, and the features are summed. No normalisation looks
    across pictures.
    """

    def __init__(
        self, size: int = 64, width: int = 24, condition: str = "continuous", bins: int = 10
    ) -> None:
        """size: side of the pictures, a multiple of 32 (64, 128, ...). width: channels at 32 x 32 cells."""
        super().__init__()
        if size < 32 or size % 32:
            raise ValueError(f"the discriminator takes sides that are multiples of 32, not {size}")
        self.fold = size // 32
        self.stem = _conv(self.fold**2 + 2, width, 3)
        widths = [width, 2 * width, 4 * width, 8 * width]
        blocks = [SmallBlock(a, b, down=True) for a, b in itertools.pairwise(widths)]
        self.blocks = nn.Sequential(*blocks, SmallBlock(widths[-1], widths[-1], down=False))
        self.head = Projection(widths[-1], condition, bins)

    def features(self, image: Tensor) -> Tensor:
        """phi(x), (B, 8 * width)."""
        cells = F.pixel_unshuffle(image, self.fold)
        batch, _, height, width = cells.shape
        down = torch.linspace(-1, 1, height, device=image.device, dtype=image.dtype).view(1, 1, -1, 1)
        across = torch.linspace(-1, 1, width, device=image.device, dtype=image.dtype).view(1, 1, 1, -1)
        places = [down.expand(batch, 1, height, width), across.expand(batch, 1, height, width)]
        maps: Tensor = self.blocks(self.stem(torch.cat([cells, *places], dim=1)))
        return F.leaky_relu(maps, 0.2).sum(dim=(2, 3))

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """Scores (B,): high for a real picture whose posterior is the condition."""
        scores: Tensor = self.head(self.features(image), condition)
        return scores


class FirstBlock(nn.Module):
    """The published first block: conv-ReLU-conv-pool beside pool-conv1x1, with no ReLU on the raw picture."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """inputs, outputs: channels."""
        super().__init__()
        self.first = _conv(inputs, outputs, 3)
        self.second = _conv(outputs, outputs, 3)
        self.shortcut = _conv(inputs, outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / 2, W / 2)."""
        inner = F.avg_pool2d(self.second(F.relu(self.first(image))), 2)
        added: Tensor = inner + self.shortcut(F.avg_pool2d(image, 2))
        return added


class PublishedBlock(nn.Module):
    """ReLU-conv-ReLU-conv[-pool] beside conv1x1[-pool]; without `down` the shortcut is the identity."""

    def __init__(self, inputs: int, outputs: int, down: bool = True) -> None:
        """inputs, outputs: channels, equal without `down`."""
        super().__init__()
        if not down and inputs != outputs:
            raise ValueError("an identity shortcut needs as many channels in as out")
        self.down = down
        self.first = _conv(inputs, outputs, 3)
        self.second = _conv(outputs, outputs, 3)
        self.shortcut: nn.Module = _conv(inputs, outputs, 1) if down else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h / 2, w / 2), or the same sides without `down`."""
        inner: Tensor = self.second(F.relu(self.first(F.relu(features))))
        beside: Tensor = self.shortcut(features)
        if self.down:
            inner, beside = F.avg_pool2d(inner, 2), F.avg_pool2d(beside, 2)
        return inner + beside


class PublishedDiscriminator(nn.Module):
    """The discriminator of Singla et al. (MedIA 2023, tables 5c and 16c), 38.43 million parameters at width
    64.

    Blocks of 64, 128, 256, 512, 1024 channels that halve the sides, one of 1024 that does not, ReLU, the
    **sum** over all places, then the projection. `condition="ordinal"` is what the paper describes;
    `"ordinal_shared"` what its released code computes. Any side divisible by 32; `width` scales every layer,
    so that it also runs small.
    """

    def __init__(
        self, width: int = 64, channels: int = 1, condition: str = "ordinal", bins: int = 10
    ) -> None:
        """width: channels of the first block. channels: of the picture. condition, bins: see `Projection`."""
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width, 16 * width]
        blocks: list[nn.Module] = [FirstBlock(channels, width)]
        blocks += [PublishedBlock(a, b) for a, b in itertools.pairwise(widths)]
        blocks += [PublishedBlock(widths[-1], widths[-1], down=False)]
        self.blocks = nn.ModuleList(blocks)
        self.head = Projection(widths[-1], condition, bins)

    def features(self, image: Tensor) -> Tensor:
        """phi(x), (B, 16 * width)."""
        maps = image
        for block in self.blocks:
            maps = block(maps)
        return F.relu(maps).sum(dim=(2, 3))

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """Scores (B,): high for a real picture whose posterior lies in the condition's bin."""
        scores: Tensor = self.head(self.features(image), condition)
        return scores
