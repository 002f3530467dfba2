"""Exemplars: drawn by the generator alone, at the targets asked for, whatever mode they are asked in."""

import pytest
import torch
from torch import Tensor

from cfx.explainers.xgem.explainer import XgemExplainer
from cfx.explainers.xgem.networks import Posterior, VariationalAutoencoder
from tests.explainers.gan.toys import Brightness, black_box

TARGETS = torch.linspace(0, 1, 6)


class Shade(VariationalAutoencoder):
    """A generator whose first number is the mean grey value, the second the slope across; the others do nothing."""

    def __init__(self) -> None:
        super().__init__(size=16, latent=4, width=4)

    def encode(self, image: Tensor) -> Posterior:
        across = torch.linspace(-1, 1, 16)
        mean = torch.zeros(len(image), 4)
        mean[:, 0] = image.mean(dim=(1, 2, 3))
        mean[:, 1] = (image * across).mean(dim=(1, 2, 3)) / across.square().mean()
        return Posterior(mean, torch.zeros(len(image), 4))

    def decode(self, latent: Tensor) -> Tensor:
        across = torch.linspace(-1, 1, 16).expand(1, 16, 16)
        return latent[:, 0].view(-1, 1, 1, 1) + latent[:, 1].view(-1, 1, 1, 1) * across


def pictures() -> Tensor:
    source = torch.Generator().manual_seed(0)
    return Shade().decode(0.1 * torch.randn(3, 4, generator=source)) + 0.05 * torch.randn(
        3, 1, 16, 16, generator=source
    )


def test_targets_are_met_by_what_the_black_box_reads_and_nothing_else_moves() -> None:
    network, image = Shade(), pictures()
    found = XgemExplainer(network, black_box(Brightness(slope=10.0)), weight=0.05).explain(
        image, TARGETS.expand(3, -1)
    )
    assert float((found.posterior - TARGETS.clamp(0.02, 0.98)).abs().max()) <= 0.0101
    codes = torch.stack([network.encode(found.images[:, k]).mean for k in range(6)], dim=1)
    start = network.encode(image).mean.unsqueeze(1)
    assert float((codes[..., 1] - start[..., 1]).abs().max()) < 1e-4
    assert float(codes[..., 0].diff(dim=1).min()) > 0


def test_its_own_posterior_gives_the_redrawn_picture_not_the_input() -> None:
    network, image, box = Shade(), pictures(), black_box(Brightness(slope=10.0))
    own = box(image)[:, None]
    drawn = XgemExplainer(network, box).explain(image, own).images[:, 0]
    redrawn = network.decode(network.encode(image).mean)
    torch.testing.assert_close(drawn, redrawn, atol=1e-5, rtol=0)
    assert float((drawn - image).abs().mean()) > 0.02


def test_the_distance_holds_the_exemplar_to_its_picture() -> None:
    image, box = pictures(), black_box(Brightness(slope=2.0))
    targets = torch.ones(3, 1)
    free = XgemExplainer(Shade(), box, weight=0.0, steps=30).explain(image, targets).images
    held = XgemExplainer(Shade(), box, weight=10.0, steps=30).explain(image, targets).images
    near, far = (float((each[:, 0] - image).abs().mean()) for each in (held, free))
    assert near < 0.7 * far


def test_it_works_in_inference_mode_and_keeps_everything_frozen() -> None:
    explainer = XgemExplainer(Shade(), black_box(Brightness(slope=10.0)), weight=0.05, chunk=2)
    explainer.train()
    assert not any(part.training for part in explainer.modules())
    image = pictures()
    expected = explainer.explain(image, TARGETS.expand(3, -1)).images
    with torch.inference_mode():
        found = explainer.explain(image.clone(), TARGETS.expand(3, -1))
    torch.testing.assert_close(found.images, expected)
    assert not any(parameter.requires_grad for parameter in explainer.parameters())


def test_a_weight_that_pushes_away_is_refused() -> None:
    with pytest.raises(ValueError, match="push"):
        XgemExplainer(Shade(), black_box(), weight=-1.0)
