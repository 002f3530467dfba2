"""Pixel descent as a method, and that the control is the same code."""

import torch

from cfx.evaluation.controls import PixelDescent
from cfx.explainers.pixel.explainer import PixelExplainer
from tests.explainers.gan.toys import Brightness, Convolutional, batch, black_box

TARGETS = torch.linspace(0, 1, 6)


def test_targets_are_met_with_little_change_and_chunks_do_not_matter() -> None:
    box, image = black_box(Brightness()), 0.2 * batch(5)["image"]
    found = PixelExplainer(box).explain(image, TARGETS.expand(5, -1))
    assert float((found.posterior - TARGETS.clamp(0.02, 0.98)).abs().max()) <= 0.0101
    assert float(found.images.abs().max()) <= 1.0
    assert found.edits is None
    pieces = PixelExplainer(box, chunk=2).explain(image, TARGETS.expand(5, -1))
    torch.testing.assert_close(pieces.images, found.images)


def test_its_own_posterior_gives_the_picture_back() -> None:
    box, image = black_box(Brightness(slope=5.0)), 0.2 * batch(3)["image"]
    own = box(image)[:, None]
    assert torch.equal(PixelExplainer(box).explain(image, own).images[:, 0], image)


def test_the_control_is_the_same_descent() -> None:
    box, image = black_box(Convolutional()), batch(3)["image"]
    targets = torch.tensor([[0.0, 1.0]] * 3)
    mine, control = PixelExplainer(box, steps=5), PixelDescent(box, steps=5)
    assert torch.equal(mine.explain(image, targets).images, control.explain(image, targets).images)
    assert (mine.name, control.name) == ("pixel", "pixel_descent")
    assert not list(mine.state_dict()) or all(name.startswith("blackbox.") for name in mine.state_dict())


def test_the_black_box_stays_frozen() -> None:
    box = black_box(Convolutional())
    explainer = PixelExplainer(box, steps=3)
    explainer.train()
    explainer.explain(batch(2)["image"], torch.ones(2, 1))
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in box.parameters())
    assert not any(part.training for part in box.modules())
