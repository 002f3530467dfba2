"""Calibration and ranking against scikit-learn and closed forms."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score, roc_curve

from cfx.metrics import calibration as c


@pytest.fixture
def sample() -> tuple[np.ndarray, np.ndarray]:
    """Posteriors, some tied, and labels drawn from them."""
    generator = np.random.default_rng(0)
    posterior = np.round(generator.random(500), 2)
    return posterior, (generator.random(500) < posterior).astype(float)


def test_areas_and_brier_equal_scikit_learns(sample: tuple[np.ndarray, np.ndarray]) -> None:
    posterior, label = sample
    assert c.auroc(posterior, label) == pytest.approx(roc_auc_score(label, posterior), abs=1e-12)
    assert c.auprc(posterior, label) == pytest.approx(average_precision_score(label, posterior), abs=1e-12)
    assert c.brier(posterior, label) == pytest.approx(brier_score_loss(label, posterior), abs=1e-12)


def test_unknown_labels_are_left_out(sample: tuple[np.ndarray, np.ndarray]) -> None:
    posterior, label = sample
    with_nan = np.concatenate([label, [np.nan, -1]])
    assert c.auroc(np.concatenate([posterior, [0.1, 0.9]]), with_nan) == c.auroc(posterior, label)


def test_one_class_alone_makes_no_area() -> None:
    assert np.isnan(c.auroc(np.array([0.2, 0.3]), np.array([1, 1])))
    assert np.isnan(c.auprc(np.array([0.2, 0.3]), np.array([0, 0])))
    assert np.isnan(c.brier(np.array([]), np.array([])))
    assert np.isnan(c.calibration_error(np.array([]), np.array([])))


def test_calibration_error_of_a_known_case() -> None:
    posterior, label = np.array([0.15] * 10 + [0.95] * 10), np.array([1] * 2 + [0] * 8 + [1] * 9 + [0])
    assert c.calibration_error(posterior, label) == pytest.approx(0.5 * 0.05 + 0.5 * 0.05)


def test_at_a_prior_a_rare_finding_is_judged_as_if_it_were_that_common() -> None:
    """Posteriors at a 50 % prior of a finding with 10 %: calibrated at 0.5, badly off at the sample's own."""
    generator = np.random.default_rng(1)
    label = (generator.random(20000) < 0.1).astype(float)
    score = generator.normal(2 * label - 1, 1)  # log odds at even priors are 2 * score
    posterior = 1 / (1 + np.exp(-2 * score))
    assert c.calibration_error(posterior, label, prior=0.5) < 0.03
    assert c.calibration_error(posterior, label) > 0.1
    even = c.prior_weights(label, 0.5)
    assert (even * label).sum() / even.sum() == pytest.approx(0.5)


def test_interval_holds_the_area_and_widens_with_patients(sample: tuple[np.ndarray, np.ndarray]) -> None:
    posterior, label = sample
    low, high = c.auroc_interval(posterior, label, np.arange(500), resamples=200)
    assert low < c.auroc(posterior, label) < high
    order = np.lexsort([posterior, label])  # alike pictures in one patient: fewer independent ones
    few = c.auroc_interval(posterior[order], label[order], np.arange(500) // 25, resamples=200)
    assert few[1] - few[0] > high - low


@pytest.mark.parametrize("seed", range(5))
def test_youdens_threshold_parts_as_well_as_any_of_scikit_learns(seed: int) -> None:
    generator = np.random.default_rng(seed)
    posterior = np.round(generator.random(200), 2)
    label = (generator.random(200) < posterior**2).astype(float)
    alarms, hits, _ = roc_curve(label, posterior, drop_intermediate=False)
    threshold, index = c.youden(posterior, label)
    assert index == pytest.approx((hits - alarms).max(), abs=1e-12)
    called = posterior >= threshold
    assert called[label == 1].mean() - called[label == 0].mean() == pytest.approx(index, abs=1e-12)
    with_nan = np.concatenate([label, [np.nan, -1]])
    assert c.youden(np.concatenate([posterior, [0.0, 1.0]]), with_nan) == (threshold, index)


def test_youdens_threshold_of_known_cases() -> None:
    posterior = np.array([0.1, 0.2, 0.6, 0.8])
    assert c.youden(posterior, np.array([0, 0, 1, 1])) == pytest.approx((0.4, 1.0))
    assert c.youden(posterior, np.array([0, 1, 0, 1])) == pytest.approx(
        (0.7, 0.5)
    )  # 0.15 is as good, 0.7 nearer 0.5
    for label in ([0, 0, 0, 0], [1, 1, 1, 1], [np.nan] * 4):
        assert np.isnan(c.youden(posterior, np.array(label))).all()
    assert np.isnan(c.youden(np.full(4, 0.3), np.array([0, 1, 0, 1]))).all()
