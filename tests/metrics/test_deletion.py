"""Deletion and insertion curves: closed forms, and areas against scipy."""

import numpy as np
import pytest
import torch
from scipy import integrate
from torch import Tensor

from cfx.metrics import deletion as d


def mean_of(image: Tensor) -> Tensor:
    return image.mean(dim=(1, 2, 3))


def test_the_curve_of_a_mean_is_the_sum_of_what_was_replaced() -> None:
    picture = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    curve = d.replacement_curve(mean_of, picture, torch.zeros_like(picture), picture, steps=64)
    for row, one in zip(curve, picture, strict=True):
        rising = one.flatten().sort().values.cumsum(0) / 64
        assert torch.allclose(row, torch.cat([rising.flip(0), torch.zeros(1)]), atol=1e-6)


def test_it_starts_at_one_picture_and_ends_at_the_other() -> None:
    generator = torch.Generator().manual_seed(1)
    start, end, map_ = (torch.rand(3, 1, 6, 6, generator=generator) for _ in range(3))
    curve = d.replacement_curve(mean_of, start, end, map_, steps=7)
    assert curve.shape == (3, 8)
    assert torch.allclose(curve[:, 0], mean_of(start)) and torch.allclose(curve[:, -1], mean_of(end))


def test_a_map_of_the_pixels_that_count_beats_one_of_the_others() -> None:
    counts = torch.zeros(1, 1, 8, 8)
    counts[..., 2:4, 2:4] = 1.0

    def score(image: Tensor) -> Tensor:
        return (image * counts).sum(dim=(1, 2, 3)) / 4

    picture, empty = torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)

    def both(map_: Tensor) -> tuple[float, float]:
        gone = d.area(d.replacement_curve(score, picture, empty, map_, steps=64))
        come = d.area(d.replacement_curve(score, empty, picture, map_, steps=64))
        return float(gone), float(come)

    # the four pixels go first: 1, 3/4, 1/2, 1/4, then 0; by trapezia (1/2 + 3/4 + 1/2 + 1/4) / 64
    assert both(counts) == pytest.approx((2 / 64, 1 - 2 / 64))
    assert both(1 - counts) == pytest.approx((1 - 2 / 64, 2 / 64))
    knowing_nothing = both(torch.zeros(1, 1, 8, 8))
    assert both(counts)[0] < knowing_nothing[0] < both(1 - counts)[0]


def test_equals_are_taken_in_a_random_order_that_repeats() -> None:
    flat = torch.zeros(2, 1, 16, 16)
    order = d.ranking(flat, seed=3)
    assert torch.equal(order, d.ranking(flat, seed=3)) and not torch.equal(order, d.ranking(flat, seed=4))
    assert torch.equal(order.sort(dim=1).values[0], torch.arange(256))
    rows = order[0, :64] // 16
    assert len(rows.unique()) > 12  # not the upper rows alone
    flat[:, :, 5, 7] = 1
    assert d.ranking(flat, seed=3)[:, 0].tolist() == [5 * 16 + 7] * 2


def test_area_is_scipys() -> None:
    curve = torch.rand(4, 33, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = integrate.trapezoid(curve.numpy(), np.linspace(0, 1, 33), axis=1)
    assert np.allclose(d.area(curve).numpy(), expected)
    assert d.area(torch.full((1, 9), 0.25)).item() == pytest.approx(0.25)


def test_the_starting_pictures() -> None:
    picture = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(5)) * 2 - 1
    grey = d.mean_grey(picture)
    assert grey.shape == picture.shape and torch.allclose(grey[1], picture[1].mean().expand(1, 32, 32))
    edge = torch.ones(1, 1, 64, 64)
    edge[..., :32] = -1
    soft = d.blurred(edge)
    assert torch.allclose(d.blurred(torch.full((1, 1, 32, 32), 0.3)), torch.tensor(0.3), atol=1e-6)
    # a step of height 2 blurred by sigma 6.4 has slope 2 / (sigma sqrt(2 pi)) at the step
    assert (soft[0, 0, 32, 32] - soft[0, 0, 32, 31]).item() == pytest.approx(2 / (6.4 * 2.5066), rel=0.02)
