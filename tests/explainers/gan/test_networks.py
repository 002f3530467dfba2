"""The default generator: exactly nothing at c = p, bounded, side-aware, and blind to the rest of the batch."""

import pytest
import torch

from cfx.explainers.gan.networks import EditGenerator, condition_features


def trained(width: int = 16) -> EditGenerator:
    """A generator with a head that is not zero any more."""
    torch.manual_seed(0)
    network = EditGenerator(width=width)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def test_nothing_is_drawn_where_the_target_is_the_posterior() -> None:
    image, posterior = torch.rand(3, 1, 64, 64) * 2 - 1, torch.tensor([0.0, 0.3, 1.0])
    drawn = trained()(image, posterior, posterior)
    assert torch.equal(drawn.image, image)
    other = trained()(image, posterior, 1 - posterior * 0.5)
    assert not torch.equal(other.image, image)


def test_a_fresh_generator_draws_nothing_but_learns_at_once() -> None:
    network, image = EditGenerator(width=16), torch.rand(2, 1, 64, 64) - 0.5
    drawn = network(image, torch.zeros(2), torch.ones(2))
    assert torch.equal(drawn.image, image)
    (drawn.image * torch.linspace(-1, 1, 64)).sum().backward()
    assert network.head.weight.grad is not None
    per_output = network.head.weight.grad.abs().sum(dim=(1, 2, 3))
    assert bool((per_output > 0).all())


def test_the_edit_keeps_its_bounds_and_its_border() -> None:
    network = trained()
    edit = network(torch.rand(4, 1, 64, 64) * 2 - 1, torch.zeros(4), torch.ones(4)).edit
    assert edit is not None
    assert edit.field.abs().max() <= network.field_limit
    assert float(edit.residual.abs().max()) <= network.residual_limit
    assert float(edit.field[..., 0, :].abs().max()) == 0
    assert float(edit.field[..., -1].abs().max()) == 0
    assert float(edit.field.abs().max()) > 0.5 * network.field_limit


@pytest.mark.parametrize("size", [(128, 128), (200, 150)])
def test_any_size_is_drawn_by_one_set_of_weights(size: tuple[int, int]) -> None:
    image = torch.rand(1, 1, *size) * 2 - 1
    assert trained()(image, torch.zeros(1), torch.ones(1)).image.shape == image.shape


def test_an_image_is_drawn_the_same_in_any_batch() -> None:
    network, image = trained(), torch.rand(5, 1, 64, 64) * 2 - 1
    posterior, target = torch.rand(5), torch.rand(5)
    together = network(image, posterior, target).edit
    alone = network(image[2:3], posterior[2:3], target[2:3]).edit
    assert together is not None
    assert alone is not None
    assert torch.allclose(together.field[2:3], alone.field, atol=1e-5)
    assert torch.allclose(together.residual[2:3], alone.residual, atol=1e-5)


def test_condition_features_are_finite_at_the_ends() -> None:
    features = condition_features(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]))
    assert features.shape == (2, 5)
    assert bool(features.isfinite().all())
    assert float(features.abs().max()) <= 1.0


def test_a_grid_that_can_not_be_halved_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="grid"):
        EditGenerator(grid=10)
