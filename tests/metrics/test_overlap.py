"""Overlap with what truly changes: closed forms, scikit-learn and pandas as references, and the blind controls."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from cfx.metrics import overlap as o


def inside_square(count: int = 1, size: int = 16) -> Tensor:
    mask = torch.zeros(count, 1, size, size, dtype=torch.bool)
    mask[..., 4:8, 4:8] = True
    return mask


def noise(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_truth_is_on_the_grey_scale() -> None:
    picture = torch.zeros(1, 1, 2, 2)
    oracle = torch.tensor([[[[0.0, 0.09], [0.11, -0.2]]]])
    assert o.difference(oracle, picture).flatten().tolist() == pytest.approx([0, 0.045, 0.055, 0.1])
    assert o.changed(oracle, picture, 0.05).flatten().tolist() == [False, False, True, True]


def test_a_perfect_map_and_an_inverted_one() -> None:
    mask = inside_square()
    assert o.average_precision(mask.float(), mask) == pytest.approx([1.0])
    assert o.pointing(mask.float(), mask) == pytest.approx([1.0])
    assert o.mass_inside(mask.float(), mask) == pytest.approx([1.0])
    assert o.rank_correlation(mask.float(), mask.float()) == pytest.approx([1.0])
    inverted = 1 - mask.float()
    assert o.pointing(inverted, mask) == pytest.approx([0.0])
    assert o.mass_inside(inverted, mask) == pytest.approx([0.0])
    assert o.rank_correlation(inverted, mask.float()) == pytest.approx([-1.0])
    assert o.average_precision(inverted, mask) == pytest.approx([16 / 256])


def test_a_map_that_knows_nothing_scores_the_masks_share() -> None:
    mask = inside_square()
    flat = torch.ones(1, 1, 16, 16)
    for figure in (o.average_precision, o.pointing, o.mass_inside):
        assert figure(flat, mask) == pytest.approx([16 / 256])
    many = inside_square(400)
    random = noise(0, 400, 1, 16, 16)
    assert o.average_precision(random, many).mean() == pytest.approx(16 / 256, abs=0.02)
    assert o.pointing(random, many).mean() == pytest.approx(16 / 256, abs=0.04)
    assert o.rank_correlation(random, many.float()).mean() == pytest.approx(0, abs=0.01)


def test_average_precision_is_scikit_learns_also_outside_of_probabilities_and_with_ties() -> None:
    mask = noise(1, 6, 1, 12, 12) > 0.8
    maps = noise(2, 6, 1, 12, 12) + 0.6 * mask
    for scaled in (maps, 1e-7 * maps, 1e4 * maps, (maps * 4).round()):
        expected = [
            average_precision_score(one.flatten().numpy(), two.flatten().numpy())
            for one, two in zip(mask, scaled.double(), strict=True)
        ]
        assert o.average_precision(scaled, mask) == pytest.approx(expected, rel=1e-5)


def test_rank_correlation_is_that_of_pandas() -> None:
    one, two = noise(3, 3, 1, 10, 10), (noise(4, 3, 1, 10, 10) * 5).round()
    expected = [
        pd.Series(a.flatten().numpy()).corr(pd.Series(b.flatten().numpy()), method="spearman")
        for a, b in zip(one.double(), two.double(), strict=True)
    ]
    assert o.rank_correlation(one, two) == pytest.approx(expected)


def test_half_the_mass_and_a_shared_maximum() -> None:
    mask = torch.tensor([[[[True, True, False, False]]]])
    assert o.mass_inside(torch.tensor([[[[1.0, 1.0, 1.0, 1.0]]]]), mask) == pytest.approx([0.5])
    assert o.mass_inside(torch.tensor([[[[3.0, 0.0, 1.0, 0.0]]]]), mask) == pytest.approx([0.75])
    assert o.pointing(torch.tensor([[[[3.0, 0.0, 3.0, 3.0]]]]), mask) == pytest.approx([1 / 3])


def test_what_can_not_be_measured_is_nan() -> None:
    none, every = torch.zeros(1, 1, 4, 4, dtype=torch.bool), torch.ones(1, 1, 4, 4, dtype=torch.bool)
    random = noise(5, 1, 1, 4, 4)
    for mask in (none, every):
        for figure in (o.average_precision, o.pointing, o.mass_inside):
            assert np.isnan(figure(random, mask)).all()
    assert np.isnan(o.mass_inside(torch.zeros(1, 1, 16, 16), inside_square())).all()
    assert np.isnan(o.rank_correlation(torch.zeros(1, 1, 4, 4), random)).all()
