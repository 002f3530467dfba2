"""Posteriors, bins and what each bin asks for."""

import math

import pytest
import torch

from cfx.explainers.gan.conditioning import Conditioning, bin_target, ordinal_codes, posterior_to_bin


def test_bins_are_the_floor_of_ten_times_the_posterior() -> None:
    values = [0.0, 0.05, 0.0999, 0.1, 0.34999, 0.55, 0.899, 0.95, 1.0]
    assert posterior_to_bin(torch.tensor(values)).tolist() == [0, 0, 0, 1, 3, 5, 8, 9, 9]


@pytest.mark.parametrize("bins", [2, 3, 7, 10, 20])
@pytest.mark.parametrize("rule", ["lower", "centre"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_a_bin_asks_for_lies_in_that_bin(bins: int, rule: str, dtype: torch.dtype) -> None:
    index = torch.arange(bins)
    assert torch.equal(posterior_to_bin(bin_target(index, bins, rule).to(dtype), bins), index)


def test_targets_of_ten_bins() -> None:
    index = torch.arange(10)
    assert bin_target(index).tolist() == pytest.approx([k / 10 for k in range(10)])
    assert bin_target(index, rule="centre").tolist() == pytest.approx([k / 10 + 0.05 for k in range(10)])
    with pytest.raises(ValueError, match="lower edge and a centre"):
        bin_target(index, rule="continuous")


@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan, math.inf])
def test_posteriors_outside_the_unit_interval_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        posterior_to_bin(torch.tensor([0.5, bad]))


def test_ordinal_codes_count_the_thresholds_passed() -> None:
    codes = ordinal_codes(10)
    assert codes.shape == (10, 9)
    assert codes.sum(dim=1).tolist() == list(range(10))
    assert codes[3].tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert bool((codes.diff(dim=0).sum(dim=1) == 1).all()), "one threshold more from each bin to the next"


def test_rounding_keeps_a_continuous_target_and_moves_a_binned_one() -> None:
    asked = torch.tensor([0.0, 0.34, 0.99, 1.0])
    assert torch.equal(Conditioning("continuous").round(asked), asked)
    assert Conditioning("lower").round(asked).tolist() == pytest.approx([0.0, 0.3, 0.9, 0.9])
    assert Conditioning("centre").round(asked).tolist() == pytest.approx([0.05, 0.35, 0.95, 0.95])
    for rule in ("lower", "centre"):
        once = Conditioning(rule).round(torch.rand(100))
        assert torch.equal(Conditioning(rule).round(once), once), "rounding twice is rounding once"


@pytest.mark.parametrize("rule", ["lower", "centre", "continuous"])
def test_training_targets_are_uniform_and_repeatable(rule: str) -> None:
    conditioning = Conditioning(rule)
    drawn = conditioning.sample(20_000, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, conditioning.sample(20_000, torch.Generator().manual_seed(0)))
    assert not torch.equal(drawn, conditioning.sample(20_000, torch.Generator().manual_seed(1)))
    counts = torch.bincount(posterior_to_bin(drawn), minlength=10)
    # 2,000 expected a bin with a standard deviation of 42: five of them.
    assert bool(((counts - 2000).abs() < 215).all())
    assert drawn.dtype == torch.float32
    if rule == "continuous":
        assert len(drawn.unique()) > 10_000
    else:
        assert len(drawn.unique()) == 10


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown: use one of lower, centre, continuous"):
        Conditioning("edge")
    with pytest.raises(ValueError, match="at least 2"):
        Conditioning("lower", bins=1)
    with pytest.raises(ValueError, match="at least 2"):
        posterior_to_bin(torch.tensor([0.5]), bins=1)
