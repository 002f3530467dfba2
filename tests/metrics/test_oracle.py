"""Distances to the oracle and ghosts of old borders."""

import numpy as np
import pytest
import torch
from torch import Tensor

from cfx.metrics import oracle as o


def disc(radius: float, size: int = 64) -> Tensor:
    """(1, 1, size, size) mask of a disc."""
    at = torch.arange(size) - size / 2
    return (at[:, None] ** 2 + at[None, :] ** 2 < radius**2).float()[None, None]


def test_l1_is_on_the_grey_scale_from_zero_to_one() -> None:
    black, white = -torch.ones(2, 1, 4, 4), torch.ones(2, 1, 4, 4)
    assert o.l1(black, white).tolist() == [1, 1]


def test_edge_energy_of_a_ramp_and_of_nothing() -> None:
    ramp = (0.1 * torch.arange(64.0)).expand(1, 1, 64, 64)
    energy = o.edge_energy(ramp, disc(16))[0, 0]
    assert energy[32, 48].item() == pytest.approx(0.01, rel=1e-3)  # the border runs down, the ramp across
    assert energy[16, 32].item() == pytest.approx(0, abs=1e-6)  # here the ramp runs along the border
    assert o.edge_energy(torch.ones(1, 1, 64, 64), disc(16)).abs().max().item() == 0


def test_the_forsaken_border_is_that_of_the_old_heart_outside_the_new() -> None:
    border = o.old_border(disc(16), disc(10))
    radius = torch.hypot(torch.arange(64)[:, None] - 32.0, torch.arange(64)[None, :] - 32.0)
    assert (radius[border[0, 0]] - 16).abs().max() < 2
    assert border.sum() > 90
    assert not o.old_border(disc(10), disc(16)).any()


def test_a_ghost_has_energy_where_the_oracle_has_none() -> None:
    old, new = disc(16), disc(10)
    noise = 0.02 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    oracle, source = new - 0.5 + noise, old - 0.5 + noise
    clean = o.ghost_energies(oracle, oracle, old, new)
    left = o.ghost_energies(0.8 * oracle + 0.2 * source, oracle, old, new)
    nothing = o.ghost_energies(source, oracle, old, new)
    assert clean[0].item() == clean[1].item()
    assert 1.3 < (left[0] / left[1]).item() < (nothing[0] / nothing[1]).item()
    assert torch.isnan(
        o.ghost_energies(oracle, oracle, new, old)[0]
    ).all()  # a heart that grew leaves none behind


def test_ratio_of_means_uses_pairs() -> None:
    assert o.ratio_of_means(np.array([1.0, 3.0, 9.0]), np.array([2.0, 2.0, np.nan])) == 1
    assert np.isnan(o.ratio_of_means(np.array([1.0]), np.array([0.0])))
