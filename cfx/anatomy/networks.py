"""The segmenters' networks: image (B, 1, H, W) in [-1, 1] -> logits (B, 3, H, W) for heart, left lung, right
lung.

Two architectures that share no layers: `UNet` makes the masks that training uses, `JudgeNet` the masks that
evaluation measures. Both standardise each picture's grey values first, so that another hospital's exposure
does not reach the convolutions, and use group normalisation, so that the result for a picture never depends
on its batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRUCTURES = ("heart", "left_lung", "right_lung")
"""The channels of every mask, in this order; left is the patient's left."""


def standardise(image: Tensor) -> Tensor:
    """Grey values of each picture (B, 1, H, W) with mean 0 and standard deviation 1."""
    deviation = image.flatten(1).std(1).clamp_min(1e-3).view(-1, 1, 1, 1)
    return (image - image.mean((1, 2, 3), keepdim=True)) / deviation


class ConvBlock(nn.Module):
    """Two 3x3 convolutions, each with group normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(8, outputs),
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(8, outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        result: Tensor = self.layers(x)
        return result


class SkipNetwork(nn.Module):
    """Down by poolings and up again with skips, one map at the finest level: what the U-Nets here share.

    Args:
        inputs: channels that come in.
        widths: channels of each level, the finest first; the side must be divisible by `2 ** (len(widths) - 1)`.
        outputs: channels of the map.
        dropout: channel dropout in the two coarsest levels.

    """

    def __init__(self, inputs: int, widths: Sequence[int], outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        levels = len(widths) - 1
        self.down = nn.ModuleList(
            ConvBlock(
                inputs if level == 0 else widths[level - 1],
                widths[level],
                dropout if level >= levels - 1 else 0.0,
            )
            for level in range(levels + 1)
        )
        # Skips are added, not concatenated: a third of the work of a decoder, for the same overlap.
        upward = list(reversed(range(levels)))
        self.reduce = nn.ModuleList(nn.Conv2d(widths[level + 1], widths[level], 1) for level in upward)
        self.up = nn.ModuleList(ConvBlock(widths[level], widths[level]) for level in upward)
        self.head = nn.Conv2d(widths[0], outputs, 1)

    def pass_through(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        skips.pop()
        for reduce, block in zip(self.reduce, self.up, strict=True):
            skip = skips.pop()
            x = F.interpolate(reduce(x), size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = block(x + skip)
        seen: Tensor = self.head(x)
        return seen


class UNet(SkipNetwork):
    """A small U-Net (Ronneberger et al., 2015) that may work on an unshuffled picture.

    Args:
        width: channels at the finest level; each level down has twice as many, at most `8 * width`.
        levels: poolings; the picture's side must be divisible by `stem * 2 ** levels`.
        stem: 1 works on the pixels; 2 folds 2 x 2 pixels into channels first and unfolds the logits at the
            end.
        dropout: channel dropout in the two coarsest levels.

    """

    def __init__(self, width: int = 16, levels: int = 4, stem: int = 1, dropout: float = 0.1) -> None:
        widths = [width * min(2**level, 8) for level in range(levels + 1)]
        super().__init__(stem**2, widths, len(STRUCTURES) * stem**2, dropout)
        self.stem = stem
        self.multiple = stem * 2**levels

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 3, H, W)."""
        x = F.pixel_unshuffle(standardise(image), self.stem)
        return F.pixel_shuffle(self.pass_through(x), self.stem)


class DilatedBlock(nn.Module):
    """A residual pair of convolutions, the first dilated: context without losing resolution."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.GroupNorm(8, channels),
            nn.SiLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.GroupNorm(8, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return F.silu(x + self.layers(x))


class JudgeNet(nn.Module):
    """The evaluation segmenter: a dilated residual network at a quarter of the resolution with a
    whole-picture context.

    There is no encoder-decoder: dilations 1, 2, 4, 8 see the whole thorax at stride 4, one global average
    tells every position what picture it is in (as in DeepLab v3, Chen et al. 2017), and a sub-pixel head
    returns to full resolution with the features of stride 2 beside it.

    Args:
        width: channels at stride 2; twice as many at stride 4.
        rounds: how often the four dilations are gone through.
        dropout: channel dropout before the head.

    """

    def __init__(self, width: int = 24, rounds: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        wide = 2 * width
        self.multiple = 4
        self.fine = nn.Sequential(
            nn.Conv2d(1, width, 5, 2, 2, bias=False),
            nn.GroupNorm(8, width),
            nn.SiLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(8, width),
            nn.SiLU(inplace=True),
        )
        self.coarse = nn.Sequential(
            nn.Conv2d(width, wide, 3, 2, 1, bias=False), nn.GroupNorm(8, wide), nn.SiLU(inplace=True)
        )
        self.blocks = nn.Sequential(*(DilatedBlock(wide, d) for _ in range(rounds) for d in (1, 2, 4, 8)))
        self.context = nn.Sequential(nn.Linear(wide, wide), nn.SiLU(inplace=True), nn.Linear(wide, wide))
        self.dropout = nn.Dropout2d(dropout)
        self.merge = nn.Sequential(
            nn.Conv2d(wide + width, width, 3, padding=1, bias=False),
            nn.GroupNorm(8, width),
            nn.SiLU(inplace=True),
        )
        self.head = nn.Conv2d(width, len(STRUCTURES) * 4, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 3, H, W); H and W divisible by 4."""
        fine = self.fine(standardise(image))
        x = self.blocks(self.coarse(fine))
        x = x + self.context(x.mean((2, 3)))[:, :, None, None]
        x = F.interpolate(self.dropout(x), size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return F.pixel_shuffle(self.head(self.merge(torch.cat([x, fine], 1))), 2)
