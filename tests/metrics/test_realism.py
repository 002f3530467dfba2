"""Kernel and Frechet distances against torchmetrics and closed forms."""

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from cfx.metrics import realism as r


def features(count: int, shift: float = 0.0, size: int = 6, seed: int = 0) -> np.ndarray:
    """Gaussian features (count, size)."""
    return np.random.default_rng(seed).normal(shift, 1, (count, size))


def test_kid_equals_torchmetrics_where_each_patient_has_one_picture() -> None:
    made, real = features(40, 0.3), features(55, seed=1)
    reference = [poly_mmd(torch.from_numpy(made[:40]), torch.from_numpy(real[:40]), 3, None, 1.0).item()]
    found = r.kid(made, real[:40], np.arange(40), np.arange(40), resamples=10).kid
    assert found == pytest.approx(reference[0], abs=1e-9)
    assert np.isfinite(r.kid(made, real, np.arange(40), np.arange(55), resamples=10).kid)


def test_kid_of_one_distribution_is_about_zero_and_grows_with_the_distance() -> None:
    real = features(200, seed=1)
    distances = [
        r.kid(features(200, shift), real, np.arange(200), np.arange(200), resamples=50)
        for shift in (0, 0.3, 1)
    ]
    assert distances[0].low < 0 < distances[0].high
    assert distances[0].kid < distances[1].kid < distances[2].kid
    assert distances[2].low > 0
    floor = r.kid_floor(real, np.arange(200))
    assert abs(distances[0].kid) < 2 * floor
    assert distances[2].kid > floor


@pytest.mark.parametrize("made", [20, 60, 300])
def test_the_floor_is_of_the_sizes_it_stands_beside(made: int) -> None:
    """Of real against real at exactly these sizes, about one in twenty is over it."""
    patients = np.arange(60)
    samples = [features(60, seed=1000 + k) for k in range(8)]
    floors = [r.kid_floor(real, patients, made=made) for real in samples]
    halves = [r.kid_floor(real, patients) for real in samples]
    assert floors == pytest.approx([floor * (1 / made + 1 / 60) / (4 / 60) for floor in halves])
    distances = [
        r.kid(features(made, seed=2 * k), real, np.arange(made), patients, resamples=2).kid
        for k, real in enumerate(features(60, seed=2 * k + 1) for k in range(80))
    ]
    assert 0.01 < np.mean(np.abs(distances) > np.mean(floors)) < 0.15


def test_copies_within_a_patient_are_no_likeness() -> None:
    """Two copies of every picture: pairs within a patient are left out, so the distance stays what it was."""
    made, real = features(60, 0.3), features(60, seed=1)
    once = r.kid(made, real, np.arange(60), np.arange(60), resamples=50)
    twice = r.kid(
        np.repeat(made, 2, 0),
        np.repeat(real, 2, 0),
        np.repeat(np.arange(60), 2),
        np.repeat(np.arange(60), 2),
        resamples=50,
    )
    assert twice.kid == pytest.approx(once.kid)
    assert (twice.low, twice.high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_too_few_patients_make_no_kid() -> None:
    assert np.isnan(r.kid(features(5), features(5), np.zeros(5), np.arange(5)).kid)
    assert np.isnan(r.kid_floor(features(5), np.zeros(5)))


def test_fid_equals_torchmetrics_and_is_refused_for_few_pictures() -> None:
    first, second = features(100, 0.5), features(90, seed=1)
    one, two = (torch.from_numpy(value) for value in (first, second))
    reference = _compute_fid(one.mean(0), torch.cov(one.T), two.mean(0), torch.cov(two.T)).item()
    assert r.frechet_distance(first, second) == pytest.approx(reference, rel=1e-6)
    assert r.frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    assert r.frechet_distance(first, first + 2) == pytest.approx(4 * 6, rel=1e-6)
    assert r.fid(first, second) is not None
    assert r.fid(first[:59], second) is None  # 59 pictures for 6 dimensions
