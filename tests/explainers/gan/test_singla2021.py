"""The published generator: parameters from the layer tables, the shape of every layer, what a condition reaches."""

import itertools
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from cfx.confdir import conf_dir
from cfx.explainers.gan.losses import LossWeights
from cfx.explainers.gan.singla2021 import BatchNorm, Block, Singla2021Generator

BINS = 10


def conv_parameters(inputs: int, outputs: int, kernel: int) -> int:
    """Weights and biases."""
    return inputs * outputs * kernel**2 + outputs


def block_parameters(inputs: int, outputs: int) -> int:
    """Two 3x3 convs, a 1x1 shortcut, and two tables of scale and shift with a row for each bin."""
    convs = conv_parameters(inputs, outputs, 3) + conv_parameters(outputs, outputs, 3)
    return convs + conv_parameters(inputs, outputs, 1) + 2 * BINS * inputs + 2 * BINS * outputs


# Channels after each layer of the paper's tables 5a and 5b.
ENCODER = [64, 128, 256, 512, 1024, 1024]
DECODER = [1024, 1024, 512, 256, 128, 64]


def generator_parameters(channels: int) -> int:
    """The whole network from its tables; nothing in it depends on the picture's side."""
    encoder = sum(block_parameters(a, b) for a, b in itertools.pairwise(ENCODER))
    decoder = sum(block_parameters(a, b) for a, b in itertools.pairwise(DECODER))
    stem = 2 * channels + conv_parameters(channels, 64, 3)
    out = 2 * 64 + conv_parameters(64, channels, 3)
    return stem + encoder + decoder + out


def count(module: nn.Module) -> int:
    """Trained parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def on_meta(**options: bool | int) -> Singla2021Generator:
    """The network without storage."""
    with torch.device("meta"):
        return Singla2021Generator(**options)  # type: ignore[arg-type]


def test_parameters_equal_the_closed_form_of_the_layer_tables() -> None:
    generator = on_meta()
    assert count(generator) == generator_parameters(1) == 69_652_739, (
        "69.65 million, as computed for the released code"
    )
    assert sum(count(block) for block in generator.encoder) == 39_527_296
    assert sum(count(block) for block in generator.decoder) == 30_124_096
    assert count(on_meta(channels=3)) == generator_parameters(3)
    assert count(on_meta(batch_statistics=True)) == count(generator), "the flag adds no parameter"
    assert count(on_meta(clip_input=False)) == count(generator) - 2


@pytest.mark.parametrize("side", [256, 128])
def test_every_layer_has_the_published_shape(side: int) -> None:
    generator = on_meta()
    index = torch.zeros(2, dtype=torch.long, device="meta")
    maps: Tensor = generator.stem(generator.stem_norm(torch.zeros(2, 1, side, side, device="meta"), index))
    assert maps.shape == (2, 64, side, side)
    for level, (block, channels) in enumerate(zip(generator.encoder, ENCODER[1:], strict=True), start=1):
        maps = block(maps, index)
        assert maps.shape == (2, channels, side >> level, side >> level)
    assert maps.shape == (2, 1024, side // 32, side // 32), (
        "the embedding: 8 x 8 at 256 px, 4 x 4 (16,384 numbers) at 128"
    )
    for level, (block, channels) in enumerate(zip(generator.decoder, DECODER[1:], strict=True), start=1):
        maps = block(maps, index)
        assert maps.shape == (2, channels, (side // 32) << level, (side // 32) << level)
    assert generator.out(generator.out_norm(maps, index)).shape == (2, 1, side, side)


def test_order_of_operations_in_a_block() -> None:
    """Encoder: pooled before the first conv, on both ways; decoder: doubled. Identity weights make that visible."""
    maps = torch.arange(16.0).view(1, 1, 4, 4)
    for up in (False, True):
        block = Block(1, 1, up, BINS, batch_statistics=False).eval()
        for conv in (block.first, block.second, block.shortcut):
            nn.init.zeros_(conv.weight)
        nn.init.ones_(block.shortcut.weight)
        beside = block(maps, torch.zeros(1, dtype=torch.long))
        assert beside[0, 0, 0].tolist() == ([0, 0, 1, 1, 2, 2, 3, 3] if up else [2.5, 4.5])
        nn.init.zeros_(block.shortcut.weight)
        for conv in (block.first, block.second):
            conv.weight.data[0, 0, 1, 1] = (1 + 1e-3) ** 0.5
        assert torch.allclose(block(maps, torch.zeros(1, dtype=torch.long)), beside, atol=1e-5), (
            "both ways resize alike"
        )


def test_batch_norm_starts_as_the_identity_with_epsilon_and_has_a_row_a_bin() -> None:
    norm = BatchNorm(5, BINS, batch_statistics=True)
    assert norm.gamma.shape == norm.beta.shape == (BINS, 5)
    assert bool((norm.gamma == 1).all()) and bool((norm.beta == 0).all())
    maps = torch.randn(6, 5, 3, 3, dtype=torch.float64) * 0.05 + 2
    index = torch.tensor([0, 1, 2, 3, 4, 9])
    mean, variance = (
        maps.mean(dim=(0, 2, 3), keepdim=True),
        maps.var(dim=(0, 2, 3), unbiased=False, keepdim=True),
    )
    assert torch.allclose(norm.double()(maps, index), (maps - mean) / (variance + 1e-3).sqrt(), atol=1e-12)
    norm.gamma.data[9], norm.beta.data[9] = 3.0, 7.0
    moved = norm(maps, index)
    plain = (maps - mean) / (variance + 1e-3).sqrt()
    assert torch.allclose(moved[:5], plain[:5], atol=1e-12)
    assert torch.allclose(moved[5], 3 * plain[5] + 7, atol=1e-12), (
        "a bin's rows move its own pictures and no other"
    )


def test_condition_reaches_encoder_and_decoder_by_its_bin_alone() -> None:
    torch.manual_seed(0)
    generator = Singla2021Generator(width=4).eval()
    for module in generator.modules():
        if isinstance(module, BatchNorm):
            nn.init.normal_(module.gamma, 1.0, 0.3)
    image = torch.rand(1, 1, 64, 64) * 2 - 1
    low, high = torch.tensor([0.12]), torch.tensor([0.87])
    assert not torch.equal(generator.encode(image, low), generator.encode(image, high))
    embedding = generator.encode(image, low)
    assert not torch.equal(generator.decode(embedding, low), generator.decode(embedding, high))
    assert torch.equal(generator.encode(image, low), generator.encode(image, torch.tensor([0.19])))
    drawn = generator(image, high, low)
    assert torch.equal(drawn.image, generator(image, low, low).image), "the input's own posterior is not used"
    assert torch.equal(drawn.embedding, embedding)
    assert drawn.edit is None


def test_gradient_reaches_only_the_rows_of_the_bins_asked_for() -> None:
    generator = Singla2021Generator(width=2)
    drawn = generator(torch.rand(3, 1, 32, 32), torch.rand(3), torch.tensor([0.15, 0.15, 0.72]))
    drawn.image.square().sum().backward()
    slope = generator.decoder[0].first_norm.beta.grad
    assert slope is not None
    assert [row for row in range(BINS) if bool((slope[row] != 0).any())] == [1, 7]


@pytest.mark.parametrize("side", [64, 128])
def test_small_widths_draw_pictures_in_range(side: int) -> None:
    generator = Singla2021Generator(width=2)
    drawn = generator(torch.rand(2, 1, side, side) * 2 - 1, torch.rand(2), torch.rand(2)).image
    assert drawn.shape == (2, 1, side, side)
    assert bool((drawn.abs() <= 1).all())
    with pytest.raises(ValueError, match="divisible by 32"):
        generator(torch.rand(2, 1, side + 8, side), torch.rand(2), torch.rand(2))


def test_configuration_holds_the_published_numbers() -> None:
    conf = Path(conf_dir())
    weights = LossWeights(**OmegaConf.load(conf / "loss" / "singla2021.yaml"))
    assert (weights.adversarial, weights.classifier, weights.classifier_cycle) == (1, 1, 1)
    assert (weights.reconstruction, weights.cycle, weights.embedding) == (100, 100, 100)
    assert (weights.smoothness, weights.residual, weights.total_variation, weights.r1) == (0, 0, 0, 0)
    model = OmegaConf.load(conf / "model" / "singla2021.yaml")
    assert (model.lr_generator, model.lr_discriminator, model.beta1, model.beta2) == (2e-4, 2e-4, 0.0, 0.9)
    assert (model.generator_every, model.bins, model.conditioning, model.extremes) == (5, 10, "lower", 0.0)
    assert (model.network.width, model.discriminator.width, model.discriminator.condition) == (
        64,
        64,
        "ordinal",
    )
    assert (model.ema, model.looks, model.flat, model.warmup) == (0.0, 0, 1.0, 1), (
        "no average, no views, no schedule"
    )
