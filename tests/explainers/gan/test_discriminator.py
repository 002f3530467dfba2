"""The discriminators: parameters from the layer tables, shapes, the projection's formula, what they can learn."""

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cfx.explainers.gan.discriminator import (
    CONDITIONS,
    Discriminator,
    Projection,
    PublishedBlock,
    PublishedDiscriminator,
)
from cfx.explainers.gan.losses import hinge_discriminator, r1_penalty

WIDTHS = [64, 128, 256, 512, 1024]
ROWS = {"ordinal": 9, "ordinal_shared": 2, "table": 10}


def conv_parameters(inputs: int, outputs: int, kernel: int) -> int:
    """Weights and biases."""
    return inputs * outputs * kernel**2 + outputs


def published_parameters(rows: int) -> int:
    """First block, four that halve the sides, one that does not and has no shortcut conv, dense layer, table."""
    total = conv_parameters(1, 64, 3) + conv_parameters(64, 64, 3) + conv_parameters(1, 64, 1)
    for a, b in itertools.pairwise(WIDTHS):
        total += conv_parameters(a, b, 3) + conv_parameters(b, b, 3) + conv_parameters(a, b, 1)
    return total + 2 * conv_parameters(1024, 1024, 3) + 1024 + 1 + rows * 1024


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("ordinal", 38_427_073), ("ordinal_shared", 38_419_905), ("table", 38_428_097)],
)
def test_published_parameters_equal_the_closed_form(condition: str, expected: int) -> None:
    with torch.device("meta"):
        network = PublishedDiscriminator(condition=condition)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected
    assert published_parameters(ROWS[condition]) == expected


@pytest.mark.parametrize("side", [256, 128])
def test_published_layers_have_the_published_shapes(side: int) -> None:
    with torch.device("meta"):
        network = PublishedDiscriminator().eval()
        maps: Tensor = torch.zeros(2, 1, side, side)
    shapes = []
    for block in network.blocks:
        maps = block(maps)
        shapes.append(tuple(maps.shape[1:]))
    last = side // 32
    halved = [(width, side >> level, side >> level) for level, width in enumerate(WIDTHS, start=1)]
    assert shapes == [*halved, (1024, last, last)]
    assert network.features(torch.zeros(2, 1, side, side, device="meta")).shape == (2, 1024)


def all_kinds() -> list[tuple[str, str]]:
    """Each trunk with each condition."""
    return [(trunk, condition) for trunk in ("small", "published") for condition in CONDITIONS]


def make(trunk: str, condition: str) -> nn.Module:
    """A small network of that kind."""
    torch.manual_seed(0)
    if trunk == "small":
        return Discriminator(64, width=4, condition=condition)
    return PublishedDiscriminator(width=2, condition=condition)


@pytest.mark.parametrize(("trunk", "condition"), all_kinds())
def test_scores_have_one_number_a_picture_and_depend_on_the_condition(trunk: str, condition: str) -> None:
    network = make(trunk, condition).eval()
    image = torch.rand(3, 1, 64, 64) * 2 - 1
    low, high = network(image, torch.zeros(3)), network(image, torch.ones(3))
    assert low.shape == (3,)
    assert bool((low != high).all())
    assert torch.allclose(network(image[1:2], torch.zeros(1)), low[1:2], atol=1e-6), "no picture sees another"


@pytest.mark.parametrize("condition", CONDITIONS)
def test_projection_equals_its_formula(condition: str) -> None:
    head = Projection(6, condition).eval()
    features, asked = torch.randn(4, 6), torch.tensor([0.0, 0.31, 0.55, 1.0])
    index = [0, 3, 5, 9]
    psi = features @ head.psi.weight[0] + head.psi.bias
    if condition == "continuous":
        waves = torch.stack([torch.cos(torch.pi * k * asked) for k in range(8)], dim=1)
        vectors = head.embed(waves)
    else:
        rows = head.table.weight
        vector = {
            "table": lambda k: rows[k],
            "ordinal": lambda k: rows[:k].sum(dim=0),
            "ordinal_shared": lambda k: k * rows[1] + (9 - k) * rows[0],
        }[condition]
        vectors = torch.stack([vector(k) for k in index])
    expected = torch.stack([psi[i] + vectors[i] @ features[i] for i in range(4)])
    assert torch.allclose(head(features, asked), expected, atol=1e-5)


def test_continuous_condition_is_smooth_between_bins() -> None:
    head = Projection(16, "continuous").eval()
    features = torch.randn(1, 16).expand(201, 16)
    scores = head(features, torch.linspace(0, 1, 201))
    assert scores.diff().abs().max() < 0.1 * (scores.max() - scores.min()), "no step anywhere"
    assert len(scores.unique()) > 150


@pytest.mark.parametrize("side", [64, 128, 256])
def test_small_discriminator_costs_the_same_at_every_size(side: int) -> None:
    with torch.device("meta"):
        network = Discriminator(side).eval()
        image = torch.zeros(1, 1, side, side)
    with FlopCounterMode(display=False) as counter:
        network(image, torch.zeros(1, device="meta"))
    assert 20e6 < counter.get_total_flops() / 2 < 60e6, "multiplications a picture"


@pytest.mark.parametrize(("trunk", "condition"), [("small", "continuous"), ("published", "ordinal")])
def test_it_learns_to_match_pictures_with_their_condition(trunk: str, condition: str) -> None:
    """Brightness stands for the finding; false pairs are real pictures under another posterior: only D(x, c) helps."""
    network = make(trunk, condition)
    optimiser = torch.optim.Adam(network.parameters(), 2e-3, (0.0, 0.9))
    random = torch.Generator().manual_seed(0)

    def pictures(count: int) -> tuple[Tensor, Tensor]:
        posterior = torch.rand(count, generator=random)
        noise = 0.1 * torch.randn(count, 1, 64, 64, generator=random)
        return posterior, (posterior * 1.6 - 0.8)[:, None, None, None] + noise

    for _ in range(40):
        posterior, image = pictures(16)
        wrong = (posterior + 0.5) % 1.0
        optimiser.zero_grad()
        hinge_discriminator(network(image, posterior), network(image, wrong)).backward()
        optimiser.step()
    posterior, image = pictures(64)
    right, wrong_score = network(image, posterior), network(image, (posterior + 0.5) % 1.0)
    assert float((right > wrong_score).float().mean()) > 0.8


def test_r1_penalty_runs_through_the_spectral_norm() -> None:
    network = make("small", "continuous")
    image = torch.rand(2, 1, 64, 64, requires_grad=True)
    penalty = r1_penalty(network(image, torch.rand(2)), image)
    penalty.backward()
    slopes = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert penalty > 0
    assert any(bool((slope != 0).any()) for slope in slopes)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown: use one of"):
        Projection(4, "ordinal-shared")
    with pytest.raises(ValueError, match="multiples of 32"):
        Discriminator(100)
    with pytest.raises(ValueError, match="identity shortcut"):
        PublishedBlock(2, 4, down=False)
