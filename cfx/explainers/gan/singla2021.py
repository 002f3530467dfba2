"""The published generator, layer by layer: an encoder and a decoder that redraw the whole picture for a bin.

Source: Singla et al., "Explaining the Black-box Smoothly" (arXiv 2101.04230; MedIA 84:102721, 2023), tables
5a, 5b, 16a and 16b, with what the authors' released code settles where the paper is silent. `SINGLA2021.md`
lists every deviation and what became of the released code's known traps. At width 64 the network has 69.65
million parameters whatever the image's side.

At 256 px: 3x3 conv to 64 channels; five encoder blocks to 128, 256, 512, 1024, 1024 channels, each halving
the sides, the last being the embedding (8 x 8 x 1024); five decoder blocks to 1024, 512, 256, 128, 64, each
doubling them; 3x3 conv, tanh. The bin enters through the scale and shift of every conditional batch
normalisation, in the encoder **and** the decoder. There are no skip connections, no noise and no spectral
norm.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cfx.explainers.gan.conditioning import posterior_to_bin
from cfx.explainers.gan.output import GeneratorOutput

EPSILON = 1e-3
# Multiples of the width: the channels after the first conv, after each encoder block and after each decoder block.
ENCODER = (1, 2, 4, 8, 16, 16)
DECODER = (16, 16, 8, 4, 2, 1)


class BatchNorm(nn.Module):
    """Batch normalisation whose scale and shift are looked up by bin, or plain where `bins` is 0.

    With `batch_statistics` the mean and variance always come from the batch at hand, in evaluation too: so
    the authors' code runs, whose running averages are never read, and a picture's counterfactual then depends
    on its neighbours in the batch. Without it, evaluation uses the averages kept in training, and every
    picture is on its own.
    """

    gamma: nn.Parameter
    beta: nn.Parameter

    def __init__(self, channels: int, bins: int = 0, batch_statistics: bool = False) -> None:
        """channels: of the maps. bins: rows of the two tables, scale (from 1) and shift (from 0); 0 for one row."""
        super().__init__()
        self.bins, self.batch_statistics = bins, batch_statistics
        shape = (bins, channels) if bins else (channels,)
        self.gamma = nn.Parameter(torch.ones(shape))
        self.beta = nn.Parameter(torch.zeros(shape))
        if not batch_statistics:
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_var", torch.ones(channels))

    def forward(self, maps: Tensor, index: Tensor) -> Tensor:
        """(B, C, h, w) and bins (B,) int64 -> (B, C, h, w)."""
        if self.batch_statistics:
            normed = F.batch_norm(maps, None, None, training=True, eps=EPSILON)
        else:
            mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
            normed = F.batch_norm(maps, mean, variance, training=self.training, momentum=0.1, eps=EPSILON)
        if not self.bins:
            return normed * self.gamma[:, None, None] + self.beta[:, None, None]
        return normed * self.gamma[index][:, :, None, None] + self.beta[index][:, :, None, None]


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    """norm-ReLU-resize-conv3x3-norm-ReLU-conv3x3 beside resize-conv1x1; resize halves (mean) or doubles (nearest)."""

    def __init__(self, inputs: int, outputs: int, up: bool, bins: int, batch_statistics: bool) -> None:
        """inputs, outputs: channels. up: a decoder block, else an encoder block. The rest as in `BatchNorm`."""
        super().__init__()
        self.up = up
        self.first_norm = BatchNorm(inputs, bins, batch_statistics)
        self.first = _conv(inputs, outputs, 3)
        self.second_norm = BatchNorm(outputs, bins, batch_statistics)
        self.second = _conv(outputs, outputs, 3)
        self.shortcut = _conv(inputs, outputs, 1)

    def resize(self, maps: Tensor) -> Tensor:
        """Twice the sides, or half of them."""
        return F.interpolate(maps, scale_factor=2, mode="nearest") if self.up else F.avg_pool2d(maps, 2)

    def forward(self, maps: Tensor, index: Tensor) -> Tensor:
        """(B, inputs, h, w) and bins (B,) -> (B, outputs, h', w')."""
        inner = self.first(self.resize(F.relu(self.first_norm(maps, index))))
        inner = self.second(F.relu(self.second_norm(inner, index)))
        added: Tensor = inner + self.shortcut(self.resize(maps))
        return added


class Singla2021Generator(nn.Module):
    """G(E(x, c), c) with c the bin of the target; see the module's docstring.

    The posterior of the input is accepted and not used, as in the paper: the bin asked for is all that the
    networks see.
    """

    def __init__(
        self,
        width: int = 64,
        channels: int = 1,
        bins: int = 10,
        batch_statistics: bool = False,
        clip_input: bool = True,
    ) -> None:
        """width: channels after the first conv (64 as published; every layer scales with it). channels: of
        the picture.

        bins: equal parts of [0, 1]. batch_statistics: see `BatchNorm`; true reproduces the released code.
        clip_input: the published first operation, normalisation and ReLU on the raw picture, which throws
        away whatever is darker than average until its shift has been learned upwards; false leaves it out.
        """
        super().__init__()
        self.bins, self.clip_input = bins, clip_input
        encoder, decoder = [width * m for m in ENCODER], [width * m for m in DECODER]
        if clip_input:
            self.stem_norm = BatchNorm(channels, 0, batch_statistics)
        self.stem = _conv(channels, encoder[0], 3)
        self.encoder = nn.ModuleList(
            Block(a, b, False, bins, batch_statistics) for a, b in itertools.pairwise(encoder)
        )
        self.decoder = nn.ModuleList(
            Block(a, b, True, bins, batch_statistics) for a, b in itertools.pairwise(decoder)
        )
        self.out_norm = BatchNorm(decoder[-1], 0, batch_statistics)
        self.out = _conv(decoder[-1], channels, 3)

    def encode(self, image: Tensor, condition: Tensor) -> Tensor:
        """E(x | c), (B, C, H/32, W/32), of image (B, 1, H, W) in [-1, 1] and condition (B,) in [0, 1]."""
        if image.shape[-1] % 32 or image.shape[-2] % 32:
            raise ValueError(f"singla2021 takes sides divisible by 32, not {tuple(image.shape[-2:])}")
        index = posterior_to_bin(condition, self.bins)
        clipped = F.relu(self.stem_norm(image, index)) if self.clip_input else image
        maps: Tensor = self.stem(clipped)
        for block in self.encoder:
            maps = block(maps, index)
        return maps

    def decode(self, embedding: Tensor, condition: Tensor) -> Tensor:
        """G(e, c): embedding of `encode` and condition (B,) -> image (B, 1, H, W) in [-1, 1]."""
        index = posterior_to_bin(condition, self.bins)
        maps = embedding
        for block in self.decoder:
            maps = block(maps, index)
        return torch.tanh(self.out(F.relu(self.out_norm(maps, index))))

    def forward(self, image: Tensor, posterior: Tensor, target: Tensor) -> GeneratorOutput:
        """The picture for `target` (B,); its embedding is E(x | target). `posterior` (B,) is not used."""
        embedding = self.encode(image, target)
        return GeneratorOutput(self.decode(embedding, target), embedding)
