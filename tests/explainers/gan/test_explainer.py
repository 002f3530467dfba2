"""The calibrated knob on black boxes whose answer is known, and what it does where a target can not be met."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cfx.explainers.gan.edit import apply_edit
from cfx.explainers.gan.explainer import GanExplainer, first_crossing
from cfx.explainers.gan.singla2021 import Singla2021Generator
from tests.explainers.gan.toys import Brightness, batch, black_box, generator

TARGETS = torch.linspace(0, 1, 11)


def explainer(
    network: nn.Module, classifier: nn.Module | None = None, knob: str = "calibrated"
) -> GanExplainer:
    return GanExplainer(network, black_box(classifier), knob=knob)


def test_first_crossing_on_a_known_curve() -> None:
    settings = torch.tensor([0.0, 1.0, 2.0, 3.0])
    curve = torch.tensor([[0.0, 2.0, 1.0, 4.0]])
    above, met = first_crossing(settings, curve, torch.tensor([[-1.0, 1.0, 3.0, 9.0]]))
    assert above.tolist() == [[0, 1, 3, 4]]
    assert met[0].tolist() == pytest.approx([0.0, 0.5, 2.5, 3.0])


def test_it_tells_the_ends_that_it_aims_at() -> None:
    assert explainer(generator()).ends == (0.02, 0.98)
    assert GanExplainer(generator(), black_box(), target_limit=0.1).ends == (0.1, 0.9)
    published = Singla2021Generator(width=1)
    for rule, ends in (("lower", (0.0, 0.9)), ("centre", (0.05, 0.95))):
        assert GanExplainer(published, black_box(), knob="raw", conditioning=rule).ends == ends
        assert GanExplainer(generator(), black_box(), conditioning=rule).ends == (0.02, 0.98)


def test_every_reachable_target_is_met() -> None:
    image = 0.02 * batch(6)["image"]
    made = explainer(generator(residual=0.99), Brightness(slope=60.0)).explain(image, TARGETS.expand(6, -1))
    wanted = TARGETS.clamp(0.02, 0.98).expand(6, -1)
    assert float((made.posterior - wanted).abs().max()) < 0.01


def test_raw_knob_misses_where_the_calibrated_one_meets() -> None:
    image = 0.02 * batch(4)["image"]
    network, classifier = generator(residual=0.99), Brightness(slope=60.0)
    wanted = TARGETS.clamp(0.02, 0.98).expand(4, -1)
    raw = explainer(network, classifier, "raw").explain(image, TARGETS.expand(4, -1))
    calibrated = explainer(network, classifier).explain(image, TARGETS.expand(4, -1))
    assert float((raw.posterior - wanted).abs().mean()) > 5 * float(
        (calibrated.posterior - wanted).abs().mean()
    )


class Dented(nn.Module):
    """Rises with brightness but for a dent half-way."""

    def forward(self, image: Tensor) -> Tensor:
        mean = image.mean(dim=(1, 2, 3))
        return (50 * mean - 2.5 * torch.exp(-(((mean - 0.04) / 0.01) ** 2)))[:, None]


def test_posterior_rises_with_the_target_even_where_the_path_has_a_dent() -> None:
    image = 0.01 * batch(4)["image"]
    made = explainer(generator(residual=0.99), Dented()).explain(image, TARGETS.expand(4, -1))
    assert float(made.posterior.diff(dim=1).min()) > -0.02
    assert float((made.posterior - TARGETS.clamp(0.02, 0.98)).abs().mean()) < 0.03
    assert made.edits is not None
    strength = made.edits.residual.mean(dim=(2, 3, 4))
    assert float(strength.diff(dim=1).min()) > -1e-5


def test_own_posterior_gives_the_input_back() -> None:
    image = 0.2 * batch(3)["image"]
    judge = black_box(Brightness(slope=5.0))
    own = judge(image)[:, None]
    made = GanExplainer(generator(field=0.3, residual=0.9), judge).explain(image, own)
    assert torch.allclose(made.images[:, 0], image, atol=1e-4)


def test_an_unreachable_target_gets_the_strongest_edit_within_bounds() -> None:
    network = generator(field=0.9, residual=0.99)
    image = torch.full((2, 1, 64, 64), -0.2)
    made = explainer(network, Brightness(slope=2.0)).explain(image, torch.ones(2, 1))
    assert made.edits is not None
    assert float(made.posterior.max()) < 0.8
    assert float(made.edits.residual.abs().max()) <= 1.5 * network.residual_limit
    assert float(made.edits.field.abs().max()) <= 1.5 * network.field_limit
    assert 1.5 * network.field_limit <= 0.12 + 1e-9


def test_the_edits_draw_the_pictures_and_carry_to_full_resolution() -> None:
    drawn = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    large = F.interpolate(0.3 * drawn, size=(256, 256), mode="bicubic")
    image = F.interpolate(large, size=(64, 64), mode="area")
    made = explainer(generator(field=0.5, residual=0.9), Brightness(slope=60.0)).explain(
        image, torch.ones(2, 1)
    )
    assert made.edits is not None
    field, residual = made.edits.field[:, 0], made.edits.residual[:, 0]
    assert torch.allclose(apply_edit(image, field, residual), made.images[:, 0], atol=1e-6)
    shrunk = F.interpolate(apply_edit(large, field, residual), size=(64, 64), mode="area")
    assert float((shrunk - made.images[:, 0]).abs().mean()) < 0.1 * float(
        (image - made.images[:, 0]).abs().mean()
    )


def test_a_generator_without_edits_is_asked_directly() -> None:
    image = batch(2)["image"]
    network = Singla2021Generator(width=4)
    made = GanExplainer(network, black_box(), conditioning="lower").explain(
        image, torch.tensor([[0.0, 0.97]] * 2)
    )
    assert made.edits is None
    expected = network(image, torch.zeros(2), torch.full((2,), 0.9)).image
    assert torch.allclose(made.images[:, 1], expected, atol=1e-6)


def test_nothing_in_an_explainer_trains_and_chunks_do_not_matter() -> None:
    network = generator(residual=0.9)
    whole = explainer(network).train()
    assert not whole.training
    assert not any(parameter.requires_grad for parameter in whole.parameters())
    parts = GanExplainer(network, black_box(), chunk=7)
    image = 0.05 * batch(3)["image"]
    # At given settings of the knob: which ones a search ends at, the last bit of a posterior may decide.
    field, residual = whole._anchor_edits(network, image, whole.blackbox(image))
    settings = torch.linspace(-1.5, 1.5, 11).expand(3, -1)
    first, second = (
        each._render(image, each._edits_at(field, residual, settings)) for each in (whole, parts)
    )
    assert float((first[:, 0] - first[:, -1]).abs().max()) > 0.1
    assert torch.allclose(first, second, atol=1e-5)
    assert torch.allclose(whole._posterior(first), parts._posterior(first), atol=1e-5)


def test_unknown_knob_is_refused() -> None:
    with pytest.raises(ValueError, match="knob"):
        explainer(generator(), knob="loose")


def test_a_picture_beyond_the_knobs_end_stays_where_it_is() -> None:
    """Asked for 0 with a posterior of .01, the knob must not raise it to its own limit of .1."""
    image = batch(1)["image"] * 0 - 0.5
    made = explainer(generator(field=0.5, residual=0.9), Brightness(slope=10.0))
    made.target_limit = 0.1
    p = made.blackbox(image)
    assert float(p) < 0.05
    drawn = made.explain(image, torch.tensor([[0.0, 1.0]]))
    assert torch.allclose(drawn.images[:, 0], image, atol=1e-5)
    assert float(drawn.posterior[0, 1]) > float(p)
