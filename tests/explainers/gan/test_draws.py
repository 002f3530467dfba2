"""Draws are a function of (seed, iteration, picture): the key to exact resuming and to any number of processes."""

import torch

from cfx.explainers.gan.draws import Draws, Views, draw, look

SIZE = (16, 16)


def drawn(index: list[int], seed: int = 0, iteration: int = 5, looks: int = 2) -> Draws:
    return draw(torch.tensor(index), SIZE, seed=seed, iteration=iteration, looks=looks, extremes=0.4)


def test_half_a_batch_draws_what_the_whole_batch_draws_for_it() -> None:
    whole, half = drawn([3, 8, 5, 1]), drawn([5, 1])
    assert torch.equal(whole.target[2:], half.target)
    assert torch.equal(whole.extreme[2:], half.extreme)
    assert torch.equal(whole.views[1].noise[2:], half.views[1].noise)


def test_every_part_of_the_key_matters() -> None:
    here = drawn([3])
    for other in (drawn([4]), drawn([3], seed=1), drawn([3], iteration=6)):
        assert not torch.equal(here.target, other.target)
    assert not torch.equal(here.views[0].noise, here.views[1].noise)


def test_targets_cover_the_whole_interval_and_extremes_come_as_often_as_said() -> None:
    numbers = drawn(list(range(2000)), looks=0)
    counts = torch.histc(numbers.target, 10, 0, 1)
    assert float(counts.min()) > 140
    assert float(counts.max()) < 260
    assert 0.35 < float(numbers.extreme.float().mean()) < 0.45


def test_natural_and_extreme_targets_come_as_often_as_said_and_never_at_once() -> None:
    index = torch.arange(2000)
    numbers = draw(index, SIZE, seed=0, iteration=1, looks=0, extremes=0.15, natural=0.6)
    assert abs(float(numbers.natural.float().mean()) - 0.6) < 0.05
    assert abs(float(numbers.extreme.float().mean()) - 0.15) < 0.03
    assert not bool((numbers.natural & numbers.extreme).any())


def test_look_moves_scales_and_adds_noise_as_told() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[..., 30:34, 30:34] = 1.0
    still = Views(torch.zeros(1, 3), torch.ones(1), torch.zeros(1, 1, 64, 64), torch.zeros(1, 3))
    assert torch.allclose(look(image, still, shift=0.5, scale=0.5, noise=1.0), image, atol=1e-5)
    right = still._replace(placement=torch.tensor([[1.0, 0.0, 0.0]]))
    moved = look(image, right, shift=0.25, scale=0.0, noise=0.0)
    # A quarter of the half-width is 8 pixels, and reading from the right moves the picture to the left.
    assert torch.allclose(moved[..., 30:34, 22:26], image[..., 30:34, 30:34], atol=1e-5)
    noisy = still._replace(noise=torch.ones(1, 1, 64, 64))
    assert torch.allclose(look(image, noisy, shift=0, scale=0, noise=0.1), image + 0.1, atol=1e-5)


def test_look_passes_gradients_to_the_picture() -> None:
    image = torch.rand(2, 1, 16, 16, requires_grad=True)
    look(image, drawn([1, 2]).views[0], shift=0.06, scale=0.05, noise=0.08).sum().backward()
    assert image.grad is not None
    assert float(image.grad.abs().sum()) > 0


def test_a_square_is_hidden_by_the_mean_grey() -> None:
    image = torch.rand(1, 1, 64, 64)
    still = Views(
        torch.zeros(1, 3), torch.zeros(1), torch.zeros(1, 1, 64, 64), torch.tensor([[0.5, 0.5, 1.0]])
    )
    seen = look(image, still, shift=0, scale=0, noise=0, hide=0.5)
    assert torch.allclose(seen[..., 20:44, 20:44], image.mean().expand(24, 24), atol=1e-6)
    assert torch.allclose(seen[..., :15, :], image[..., :15, :], atol=1e-5)
    assert torch.allclose(look(image, still, shift=0, scale=0, noise=0), image, atol=1e-5)
