"""Agreement: published tables, closed forms, and an independent implementation."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from cfx.metrics.agreement import (
    area_under_curve,
    bland_altman,
    icc_agreement,
    icc_oneway,
    weighted_kappa,
)

# Shrout & Fleiss 1979, table 2: six targets, four judges.
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])


def test_icc_is_that_of_shrout_and_fleiss() -> None:
    assert icc_oneway(JUDGES).value == pytest.approx(0.17, abs=0.005)
    assert icc_agreement(JUDGES) == pytest.approx(0.29, abs=0.005)
    found = icc_oneway(JUDGES)
    assert found.low == pytest.approx(-0.13, abs=0.005) and found.high == pytest.approx(0.72, abs=0.005)


def test_icc_of_perfect_and_of_no_agreement() -> None:
    values = np.arange(10.0)
    assert icc_oneway(np.stack([values, values], axis=1)).value == 1
    rng = np.random.default_rng(0)
    assert abs(icc_oneway(rng.normal(size=(4000, 2))).value) < 0.05
    assert np.isnan(icc_oneway(np.zeros((5, 2))).value) and np.isnan(icc_oneway(np.ones((1, 2))).value)
    assert icc_oneway(np.array([[1, np.nan], [2, 2], [3, 3.1]])).n == 2


def test_a_reader_who_is_always_off_agrees_less() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=50)
    near = np.stack([truth, truth + 0.1 * rng.normal(size=50)], axis=1)
    assert icc_agreement(near) > 0.97 and icc_agreement(near + np.array([0, 2])) < 0.5
    assert np.isnan(icc_agreement(near[:, :1]))


def test_weighted_kappa_is_scikit_learns() -> None:
    rng = np.random.default_rng(2)
    one = rng.integers(1, 6, 80)
    two = np.clip(one + rng.integers(-1, 2, 80), 1, 5)
    expected = cohen_kappa_score(one, two, weights="quadratic", labels=[1, 2, 3, 4, 5])
    assert weighted_kappa(one, two, 5) == pytest.approx(expected, abs=1e-12)
    assert weighted_kappa(one, one, 5) == 1
    assert np.isnan(weighted_kappa(np.array([3, 3]), np.array([3, 3]), 5))
    assert np.isnan(weighted_kappa(np.array([3]), np.array([3]), 5))
    with pytest.raises(ValueError, match="pairs"):
        weighted_kappa(one, two[:3], 5)


def test_limits_of_agreement_hold_ninety_five_of_a_hundred() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(0.5, 0.06, 20_000)
    found = bland_altman(truth + rng.normal(0.01, 0.02, 20_000), truth)
    assert found.bias == pytest.approx(0.01, abs=0.001) and found.sd == pytest.approx(0.02, rel=0.02)
    assert found.low == pytest.approx(0.01 - 1.96 * 0.02, abs=0.001)
    few = bland_altman(np.array([1.0, 2.0, np.nan]), np.array([0.0, 0.5, 0.0]))
    low, high = stats.t.interval(0.95, 1, loc=1.25, scale=stats.sem([1.0, 1.5]))
    assert few.n == 2 and (few.bias_low, few.bias_high) == pytest.approx((low, high))
    assert np.isnan(bland_altman(np.array([1.0]), np.array([1.0])).bias)


def test_area_under_curve_counts_ties_half() -> None:
    rng = np.random.default_rng(4)
    scores, labels = rng.integers(1, 6, 60), rng.integers(0, 2, 60)
    expected = roc_auc_score(labels, scores)
    assert area_under_curve(scores[labels == 1], scores[labels == 0]) == pytest.approx(expected)
    assert area_under_curve(np.array([3]), np.array([3])) == 0.5
    assert np.isnan(area_under_curve(np.array([]), np.array([1])))
