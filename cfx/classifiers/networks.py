"""The classifiers' networks: image (B, 1, H, W) in [-1, 1] -> calibrated logits (B, K), one for each finding.

Three architectures that share a contract and no layers, so that a counterfactual made against one can be put
to another:

- `SmallNet`: a narrow residual network that trains in minutes on one core (the default black box);
- `DenseNet121`: torchvision's DenseNet-121 with a one-channel stem (Huang et al., CVPR 2017), weights never
  downloaded;
- `TransferNet`: plain convolutions, max pooling, group normalisation and attention pooling (no skips, no
  strides).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FindingNet(nn.Module, ABC):
    """What every classifier network shares: raw logits and the affine map to a stated prior.

    `forward` gives `scale * raw + shift`. Both are buffers (1 and 0 until calibrated), so that a weights file
    alone holds the calibration. `prior` is the prevalence the logits refer to, NaN before calibration.

    Args:
        findings: names of the findings, in the order of the outputs, or their number.

    """

    scale: Tensor
    shift: Tensor
    prior: Tensor

    def __init__(self, findings: Sequence[str] | int) -> None:
        super().__init__()
        self.outputs = findings if isinstance(findings, int) else len(findings)
        self.register_buffer("scale", torch.ones(self.outputs))
        self.register_buffer("shift", torch.zeros(self.outputs))
        self.register_buffer("prior", torch.full((self.outputs,), float("nan")))

    @abstractmethod
    def raw(self, image: Tensor) -> Tensor:
        """Uncalibrated logits (B, K) of images (B, 1, H, W) in [-1, 1]."""

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K), at the prior held in `prior` once calibrated."""
        return self.raw(image) * self.scale + self.shift

    @torch.no_grad()
    def set_calibration(self, scale: Tensor, shift: Tensor, prior: Tensor | float) -> None:
        """Store a calibration: scale (K,), shift (K,) and the prior (K,) or one for all, in (0, 1)."""
        self.scale.copy_(scale)
        self.shift.copy_(shift)
        self.prior.copy_(torch.as_tensor(prior).expand(self.outputs))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation; the shortcut averages where the block halves the picture."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        shortcut: list[nn.Module] = []
        if stride > 1:
            shortcut.append(nn.AvgPool2d(stride))
        if inputs != outputs:
            shortcut += [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        return torch.relu(self.main(x) + self.shortcut(x))


class SmallNet(FindingNet):
    """A narrow residual network: a stem of stride 2 or 4, then stages that each halve the picture.

    Args:
        findings: names of the findings or their number K.
        width: channels after the stem; each stage has `growth` times more, rounded to 8.
        stages: stages after the stem; with stem 2 and four stages a picture of 64 px ends as 2 x 2.
        stem: 2 for 64 px, 4 for 128 px and more: the input is unshuffled by half of it, then convolved with
            stride 2.
        growth: channel factor between stages.
        dropout: before the last layer.
        standardise: bring each picture's grey values to mean 0 and standard deviation 1 first, so that exposure
            tells nothing.

    """

    def __init__(
        self,
        findings: Sequence[str] | int,
        width: int = 24,
        stages: int = 4,
        stem: int = 2,
        growth: float = 1.7,
        dropout: float = 0.2,
        standardise: bool = False,
    ) -> None:
        super().__init__(findings)
        self.standardise = standardise
        fold = stem // 2
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(fold) if fold > 1 else nn.Identity(),
            nn.Conv2d(fold * fold, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        blocks: list[nn.Module] = []
        channels = width
        for stage in range(stages):
            wider = 8 * round(width * growth ** (stage + 1) / 8)
            blocks.append(ResidualBlock(channels, wider, 2))
            channels = wider
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, self.outputs)

    def raw(self, image: Tensor) -> Tensor:
        """Uncalibrated logits (B, K)."""
        if self.standardise:
            deviation = image.flatten(1).std(1).clamp_min(1e-3).view(-1, 1, 1, 1)
            image = (image - image.mean((1, 2, 3), keepdim=True)) / deviation
        features: Tensor = self.blocks(self.stem(image)).mean((2, 3))
        logits: Tensor = self.head(self.dropout(features))
        return logits


class DenseNet121(FindingNet):
    """torchvision's DenseNet-121 from scratch with a one-channel stem; for pictures of 128 px and more.

    Args:
        findings: names of the findings or their number K.
        dropout: dropout rate inside the dense layers.

    """

    def __init__(self, findings: Sequence[str] | int, dropout: float = 0.0) -> None:
        super().__init__(findings)
        from torchvision.models import densenet121

        self.network = densenet121(weights=None, drop_rate=dropout, num_classes=self.outputs)
        self.network.features.conv0 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        nn.init.kaiming_normal_(self.network.features.conv0.weight)

    def raw(self, image: Tensor) -> Tensor:
        """Uncalibrated logits (B, K)."""
        logits: Tensor = self.network(image)
        return logits


class TransferNet(FindingNet):
    """The independent classifier: VGG-like stages with max pooling, group normalisation, GELU and attention
    pooling.

    Args:
        findings: names of the findings or their number K.
        width: channels of the first stage; doubled at each, at most `8 * width`.
        stages: stages of one or two convolutions and a 2x2 max pooling.
        stem: the picture is averaged over `stem` x `stem` pixels first and enters unshuffled by 2.
        dropout: before the last layer.

    """

    def __init__(
        self,
        findings: Sequence[str] | int,
        width: int = 24,
        stages: int = 4,
        stem: int = 1,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(findings)
        layers: list[nn.Module] = [nn.AvgPool2d(stem) if stem > 1 else nn.Identity(), nn.PixelUnshuffle(2)]
        channels = 4
        for stage in range(stages):
            wider = width * min(2**stage, 8)
            layers += [nn.Conv2d(channels, wider, 3, padding=1), nn.GroupNorm(8, wider), nn.GELU()]
            if stage < stages - 1:
                layers.append(nn.MaxPool2d(2))
            channels = wider
        self.features = nn.Sequential(*layers)
        self.attention = nn.Conv2d(channels, 1, 1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * channels, self.outputs)

    def raw(self, image: Tensor) -> Tensor:
        """Uncalibrated logits (B, K)."""
        features: Tensor = self.features(image)
        weights = self.attention(features).flatten(2).softmax(2)
        pooled = torch.cat([(features.flatten(2) * weights).sum(2), features.mean((2, 3))], 1)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits
