"""Each term's order and least value."""

import pytest
import torch

from cfx.explainers.cyclegan import losses
from tests.explainers.gan.toys import batch


def test_a_discriminator_that_is_right_pays_nothing_and_one_that_is_wrong_pays_most() -> None:
    ones, zeros = torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    right, unsure, wrong = (
        float(losses.lsgan_discriminator(real, fake))
        for real, fake in ((ones, zeros), (0.5 * ones, 0.5 * ones), (zeros, ones))
    )
    assert (right, unsure, wrong) == (0.0, 0.25, 1.0)


def test_a_generator_pays_the_less_the_more_real_its_pictures_look() -> None:
    scores = [float(losses.lsgan_generator(torch.full((2, 1, 4, 4), value))) for value in (0.0, 0.5, 1.0)]
    assert scores == [1.0, 0.25, 0.0]


def test_cycle_and_identity_are_mean_distances() -> None:
    image = batch(2)["image"]
    for term in (losses.cycle_consistency, losses.identity):
        assert float(term(image, image)) == 0.0
        assert float(term(image, image + 0.25)) == pytest.approx(0.25)


def test_what_a_discriminator_sees_is_cut_by_the_mask_without_telling_it() -> None:
    image = batch(1)["image"].requires_grad_(True)
    mask = torch.linspace(0, 1, 64).expand(1, 1, 64, 64).clone().requires_grad_(True)
    assert losses.seen(image, mask, 0.0) is image
    cut = losses.seen(image, mask, 0.5)
    assert torch.equal(cut[..., 32:], image[..., 32:]) and float(cut[..., :32].detach().abs().sum()) == 0.0
    cut.sum().backward()
    assert mask.grad is None and image.grad is not None


def test_terms_without_weights_are_refused() -> None:
    one = torch.tensor(1.0)
    assert float(losses.total({"a": one, "b": 2 * one}, {"a": 1.0, "b": 0.5})) == 2.0
    with pytest.raises(ValueError, match="do not match"):
        losses.total({"a": one}, {"a": 1.0, "b": 0.5})
