"""Mistakes that public implementations of the method are known for: each has a test here that would catch it.

The letters are those of the table in cfx/explainers/gan/SINGLA2021.md; k, m and n are in `test_traps_in_training.py`.
"""

import math

import pytest
import torch
from torch import Tensor, nn

from cfx.classifiers.blackbox import BlackBox
from cfx.explainers.gan import losses
from cfx.explainers.gan.conditioning import Conditioning, bin_target
from cfx.explainers.gan.discriminator import Discriminator, Projection, PublishedDiscriminator
from cfx.explainers.gan.networks import EditGenerator
from cfx.explainers.gan.singla2021 import BatchNorm, Singla2021Generator

SIDE = 64
GENERATORS = ["explainer", "singla2021"]


class Reader(nn.Module):
    """A classifier with all that must not train or drift: batch statistics and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 5, stride=4),
            nn.BatchNorm2d(4),
            nn.SiLU(),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.LazyLinear(3),
        )

    def forward(self, image: Tensor) -> Tensor:
        drawn: Tensor = self.layers(image)
        return drawn


def blackbox() -> BlackBox:
    torch.manual_seed(0)
    reader = Reader()
    reader(torch.rand(4, 1, SIDE, SIDE) * 2 - 1)
    return BlackBox(reader, finding="Cardiomegaly", index=1, logit_scale=3.0)


def pictures(count: int, seed: int = 0) -> Tensor:
    """Smooth pictures in [-1, 1], half of them darker than their mean somewhere."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 8, 8, generator=random) * 2 - 1
    return nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic").clamp(-1, 1)


def make_generator(name: str, **options: bool) -> nn.Module:
    """A small generator whose layers do not start at zero, so that it draws something at once."""
    torch.manual_seed(1)
    if name == "singla2021":
        return Singla2021Generator(width=4, **options)
    network = EditGenerator(grid=16, width=16)
    for key, parameter in network.named_parameters():
        if key.startswith("head.") or ".film." in key:
            nn.init.normal_(parameter, std=0.1)
    return network


# --- a: a stopped gradient between the black box and the generator


@pytest.mark.parametrize("name", GENERATORS)
def test_a_classifier_term_reaches_the_generator_through_the_black_box(name: str) -> None:
    generator, box, image = make_generator(name), blackbox(), pictures(3)
    drawn = generator(image, box(image), torch.tensor([0.9, 0.5, 0.1])).image
    losses.classifier_consistency(box.logit(drawn), torch.tensor([0.9, 0.5, 0.1])).backward()
    slopes = {key: value.grad for key, value in generator.named_parameters()}
    silent = [key for key, slope in slopes.items() if slope is None or not bool((slope != 0).any())]
    assert silent == [], "every parameter of the generator must hear from the black box"
    assert all(parameter.grad is None for parameter in box.parameters())


# --- b: the sign of the classifier term


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("target", [0.1, 0.9])
def test_b_descending_the_classifier_term_moves_the_posterior_to_the_target(name: str, target: float) -> None:
    generator, box, image = make_generator(name), blackbox(), pictures(4)
    posterior, wanted = box(image), torch.full((4,), target)
    optimiser = torch.optim.SGD(generator.parameters(), 0.01)

    def gap() -> Tensor:
        return (box(generator(image, posterior, wanted).image) - wanted).abs().mean()

    before = gap()
    for _ in range(5):
        optimiser.zero_grad()
        logit = box.logit(generator(image, posterior, wanted).image)
        losses.classifier_consistency(logit, wanted).backward()
        optimiser.step()
    assert gap() < before


# --- c: one pair of vectors for all thresholds of the ordinal projection


def second_difference(condition: str) -> Tensor:
    """How far the projection is from a straight line in the bin's index, over the nine thresholds."""
    torch.manual_seed(2)
    head = Projection(12, condition).eval()
    features = torch.randn(1, 12).expand(10, 12)
    return head.project(features, bin_target(torch.arange(10))).diff(n=2).abs().max()


def test_c_each_ordinal_threshold_has_a_vector_of_its_own() -> None:
    assert second_difference("ordinal") > 1e-2
    assert second_difference("ordinal_shared") < 1e-5, "the released code: affine in the bin's index"
    torch.manual_seed(2)
    head = Projection(12, "ordinal").eval()
    steps = torch.stack(
        [head.project(torch.eye(12), bin_target(torch.full((12,), k))) for k in range(10)]
    ).diff(dim=0)
    assert torch.linalg.matrix_rank(steps) == 9, "nine thresholds, nine directions"
    assert torch.allclose(steps, head.table.weight, atol=1e-6)


def test_c_a_bin_trains_the_thresholds_below_it_and_no_other() -> None:
    head = Projection(6, "ordinal").eval()
    rows = head.table.weight.detach().requires_grad_()
    codes = head.get_buffer("codes")
    (codes[torch.tensor([3])] * (torch.ones(1, 6) @ rows.T)).sum().backward()
    assert rows.grad is not None
    assert [k for k in range(9) if bool((rows.grad[k] != 0).any())] == [0, 1, 2]


# --- d: outputs that depend on what else is in the batch


def alone_and_together(network: nn.Module, image: Tensor) -> tuple[Tensor, Tensor]:
    """The last picture's output by itself and as one of the batch."""
    posterior, target = torch.full((len(image),), 0.3), torch.linspace(0.1, 0.8, len(image))
    with torch.no_grad():
        together = network(image, posterior, target).image[-1:]
        alone = network(image[-1:], posterior[-1:], target[-1:]).image
    return alone, together


@pytest.mark.parametrize("name", GENERATORS)
def test_d_a_counterfactual_does_not_depend_on_its_batch(name: str) -> None:
    image = pictures(5)
    generator = make_generator(name)
    if name == "singla2021":
        for _ in range(20):
            generator(image, torch.full((5,), 0.3), torch.rand(5))
    alone, together = alone_and_together(generator.eval(), image)
    assert torch.allclose(alone, together, atol=1e-5)
    assert alone.std() > 0.01


def test_d_batch_statistics_reproduce_the_released_code_and_do_depend_on_it() -> None:
    generator = make_generator("singla2021", batch_statistics=True).eval()
    alone, together = alone_and_together(generator, pictures(5))
    assert (alone - together).abs().max() > 0.01
    assert not any(isinstance(m, BatchNorm) and dict(m.named_buffers()) for m in generator.modules())


def test_d_discriminators_score_each_picture_by_itself() -> None:
    for network in (Discriminator(SIDE, width=4), PublishedDiscriminator(width=2)):
        network.eval()
        image, condition = pictures(4), torch.tensor([0.1, 0.4, 0.6, 0.95])
        together = network(image, condition)
        assert torch.allclose(network(image[2:3], condition[2:3]), together[2:3], atol=1e-5)


# --- e: a first operation that throws away whatever is darker than average


def darkened(image: Tensor) -> Tensor:
    """The same picture with its dark half darker."""
    return torch.where(image < 0, image * 0.5 - 0.4, image)


def test_e_the_published_first_operation_clips_and_can_be_left_out() -> None:
    image, p, c = pictures(2), torch.full((2,), 0.2), torch.full((2,), 0.8)
    with torch.no_grad():
        clipped = make_generator("singla2021", clip_input=True).eval()
        assert torch.equal(clipped(image, p, c).image, clipped(darkened(image), p, c).image)
        whole = make_generator("singla2021", clip_input=False).eval()
        assert not torch.allclose(whole(image, p, c).image, whole(darkened(image), p, c).image, atol=1e-4)


def test_e_the_default_sees_and_keeps_dark_pixels() -> None:
    generator, p, c = make_generator("explainer").eval(), torch.full((2,), 0.2), torch.full((2,), 0.8)
    with torch.no_grad():
        bright, dark = generator(pictures(2), p, c), generator(darkened(pictures(2)), p, c)
    assert not torch.allclose(bright.edit.field, dark.edit.field, atol=1e-6)
    assert (bright.image - dark.image).abs().max() > 0.1
    still = generator(pictures(2), p, p)
    assert torch.equal(still.image, pictures(2)), "the picture is never taken apart and put together again"


# --- f: the vectors of the spectral norm


def vectors(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.named_buffers() if key.endswith("_u")}


@pytest.mark.parametrize("trunk", ["small", "published"])
def test_f_spectral_norm_follows_the_weights_in_training_and_rests_in_evaluation(trunk: str) -> None:
    network = Discriminator(SIDE, width=4) if trunk == "small" else PublishedDiscriminator(width=2)
    names = vectors(network)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(names) == len(layers), "every conv, every linear layer and the projection's table"
    image, condition = pictures(2), torch.tensor([0.2, 0.7])
    network.eval()(image, condition)
    assert all(torch.equal(names[key], value) for key, value in vectors(network).items())
    network.train()
    with torch.no_grad():
        for layer in layers:
            layer.parametrizations.weight.original.mul_(7.0).add_(torch.randn_like(layer.weight) * 0.1)
        network(image, condition)
        assert any(not torch.equal(names[key], value) for key, value in vectors(network).items()), (
            "a real pass updates"
        )
        for _ in range(30):
            network(image, condition)
    network.eval()
    for layer in layers:
        norm = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        assert float(norm) == pytest.approx(1.0, abs=0.05)


# --- g, o: what a bin asks for, and which bins are drawn


def test_g_lower_edges_never_ask_for_more_than_nine_tenths_and_continuous_targets_do() -> None:
    asked = torch.linspace(0, 1, 101)
    assert Conditioning("lower").round(asked).max() == pytest.approx(0.9)
    assert Conditioning("lower").round(asked).min() == 0.0
    assert Conditioning("centre").round(asked).max() == pytest.approx(0.95)
    assert Conditioning("continuous").round(asked).max() == 1.0


def test_o_the_source_bin_is_asked_for_as_often_as_any_other() -> None:
    source = Conditioning("lower").sample(20_000, torch.Generator().manual_seed(1))
    drawn = Conditioning("lower").sample(20_000, torch.Generator().manual_seed(2))
    assert float((source == drawn).float().mean()) == pytest.approx(0.1, abs=0.01)


# --- i: a loss that is not the one its name says


def test_i_the_adversarial_loss_is_the_hinge_and_options_are_no_truthy_strings() -> None:
    beyond = torch.tensor([1.5, 4.0])
    assert losses.hinge_discriminator(beyond, -beyond) == 0, "cross-entropy is never zero"
    assert losses.hinge_discriminator(torch.zeros(2), torch.zeros(2)) == 2, (
        "least squares would give 1, cross-entropy 1.39"
    )
    assert losses.hinge_generator(torch.tensor([-3.0])) == 3
    for word in ("l1", "false", ""):
        with pytest.raises(ValueError, match=r"loss\.kind"):
            losses.LossWeights(kind=word)
    with pytest.raises(ValueError, match="unknown"):
        Projection(4, "no")


# --- l: the logarithm of a saturated posterior


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_l_a_saturated_black_box_gives_finite_loss_and_useful_gradient(dtype: torch.dtype) -> None:
    extreme = torch.tensor([-60000.0, 60000.0, -60000.0, 60000.0], dtype=dtype, requires_grad=True)
    target = torch.tensor([1.0, 0.0, 0.0, 1.0])
    loss = losses.classifier_consistency(extreme, target)
    loss.backward()
    assert math.isfinite(float(loss.detach())) and extreme.grad is not None
    assert bool((extreme.grad[:2] != 0).all()) and bool(torch.isfinite(extreme.grad).all())


def test_l_a_black_box_that_gives_probabilities_of_zero_and_one_still_teaches() -> None:
    ends = torch.tensor([0.0, 1.0], requires_grad=True)
    box = BlackBox(nn.Identity(), finding="Edema", output="probability")
    value = losses.classifier_consistency(box.logit(ends[:, None]), torch.tensor([1.0, 0.0]))
    value.backward()
    assert math.isfinite(float(value.detach())) and ends.grad is not None
    assert ends.grad[0] < 0 < ends.grad[1]
