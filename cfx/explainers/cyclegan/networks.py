"""Two translators, each a generator with a map of where it may change the picture, and a discriminator of patches.

After Mejjati et al., "Unsupervised attention-guided image-to-image translation" (NeurIPS 2018), small enough for a core
to train in minutes: about 25 million multiply-adds a translation of 64 px.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn


class Translation(NamedTuple):
    """One call of a translator.

    image: float (B, 1, H, W) in [-1, 1], G(x m) m + x (1 - m).
    mask: float (B, 1, H, W) in [0, 1], m(x): where the picture may change.
    """

    image: Tensor
    mask: Tensor


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, padding_mode="reflect"),
        nn.InstanceNorm2d(outputs, affine=True),
        nn.ReLU(),
    )


class Residual(nn.Module):
    """Two 3 x 3 convolutions added to their input; instance normalisation, so that nothing depends on the batch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            _block(channels, channels),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) of any size to the same."""
        return features + cast(Tensor, self.main(features))


def _hourglass(inputs: int, width: int, blocks: int) -> nn.Sequential:
    """A network at half and a quarter of a picture's side, (B, inputs, H, W) to (B, 1, H, W); 0 before training."""
    head = nn.Conv2d(width, 4, 3, padding=1)
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    return nn.Sequential(
        nn.PixelUnshuffle(2),
        _block(4 * inputs, width),
        _block(width, 2 * width, stride=2),
        *[Residual(2 * width) for _ in range(blocks)],
        nn.Upsample(scale_factor=2),
        _block(2 * width, width),
        head,
        nn.PixelShuffle(2),
    )


class Translator(nn.Module):
    """Draws a picture of one group as one of the other.

    Args:
        width: channels of the generator at half the side; twice as many at a quarter.
        blocks: its residual blocks.
        attention: channels of the attention network at half the side.
    """

    def __init__(self, width: int = 16, blocks: int = 3, attention: int = 8) -> None:
        super().__init__()
        self.attention = _hourglass(1, attention, 1)
        self.generator = _hourglass(2, width, blocks)

    def mask(self, image: Tensor) -> Tensor:
        """Where pictures (B, 1, H, W) may change, float (B, 1, H, W) in [0, 1]; 0.5 everywhere before training."""
        return torch.sigmoid(self.attention(image))

    def forward(self, image: Tensor, attend: bool = True) -> Translation:
        """Translate pictures (B, 1, H, W) in [-1, 1], sides divisible by 4.

        The generator sees the picture where the mask lets it, and the mask; it gives grey values to be added to the
        picture (the published option `skip`), nothing before training.

        Args:
            image: the pictures.
            attend: whether gradients reach the attention network.
        """
        mask = self.mask(image) if attend else self.mask(image.detach()).detach()
        change = 2.0 * torch.tanh(self.generator(torch.cat([image * mask, mask], dim=1)))
        redrawn = (image + change).clamp(-1.0, 1.0)
        return Translation(redrawn * mask + image * (1.0 - mask), mask)


class TranslatorPair(nn.Module):
    """Both directions: `up` towards the finding, `down` away from it.

    Args:
        width, blocks, attention: see `Translator`.
    """

    def __init__(self, width: int = 16, blocks: int = 3, attention: int = 8) -> None:
        super().__init__()
        self.up = Translator(width, blocks, attention)
        self.down = Translator(width, blocks, attention)

    def forward(self, image: Tensor, attend: bool = True) -> tuple[Translation, Translation]:
        """The pictures translated up and down."""
        return self.up(image, attend), self.down(image, attend)


class PatchDiscriminator(nn.Module):
    """Scores of overlapping patches of 78 pixels: high where a patch looks like one of a real picture of the group.

    Asked for the black box's two groups of phantoms at 64 px alone, three layers without normalisation came to an AUC
    of .58 in 300 steps of 16, these four with it to .96.

    Args:
        width: channels of the first layer; four times as many in the last.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        channels = width
        for outputs in (2 * width, 4 * width, 4 * width):
            norm = nn.InstanceNorm2d(outputs, affine=True)
            layers += [nn.Conv2d(channels, outputs, 4, 2, 1), norm, nn.LeakyReLU(0.2)]
            channels = outputs
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """Scores (B, 1, H / 16, W / 16) of pictures (B, 1, H, W) in [-1, 1], sides of at least 32."""
        scores: Tensor = self.layers(image)
        return scores
