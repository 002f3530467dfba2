import math

import numpy as np
import pytest
import torch

from cfx.classifiers.calibration import FEWEST, fit, platt
from cfx.errors import BadValue, TooFewPositives


def drawn(slope: float, intercept: float, n: int = 20000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels for which `slope * z + intercept` is the true log odds."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2, n)
    p = 1 / (1 + np.exp(-(slope * z + intercept)))
    return z, (rng.random(n) < p).astype(float)


def test_platt_finds_the_sigmoid_the_labels_were_drawn_from() -> None:
    slope, intercept = platt(*drawn(0.6, -1.5))
    assert slope == pytest.approx(0.6, abs=0.03)
    assert intercept == pytest.approx(-1.5, abs=0.05)


def test_separable_labels_give_a_finite_slope() -> None:
    slope, intercept = platt(np.array([-2.0, -1.0, 1.0, 2.0] * 5), np.array([0.0, 0.0, 1.0, 1.0] * 5))
    assert 0 < slope < 20 and math.isfinite(intercept)


def test_slope_stays_positive_where_the_scores_point_the_wrong_way() -> None:
    z, y = drawn(-1.0, 0.0)
    assert platt(z, y)[0] > 0


def test_posterior_at_half_prior_is_calibrated_among_as_many_positives_as_negatives() -> None:
    z, y = drawn(0.8, -4.0, n=200000)
    found = fit(torch.tensor(z)[:, None], torch.tensor(y)[:, None], prior=0.5)
    value = torch.sigmoid(torch.tensor(z) * found.scale[0] + found.shift[0]).numpy()
    prevalence = y.mean()
    assert prevalence < 0.1
    weight = np.where(y > 0, 0.5 / prevalence, 0.5 / (1 - prevalence))
    for low in (0.2, 0.4, 0.6):
        inside = (value >= low) & (value < low + 0.2)
        assert np.average(y[inside], weights=weight[inside]) == pytest.approx(value[inside].mean(), abs=0.05)


def test_another_prior_moves_the_log_odds_by_its_own() -> None:
    z, y = drawn(1.0, 0.0)
    logits, labels = torch.tensor(z)[:, None], torch.tensor(y)[:, None]
    half, tenth = fit(logits, labels, prior=0.5), fit(logits, labels, prior=0.1)
    assert torch.equal(half.scale, tenth.scale)
    assert float(tenth.shift - half.shift) == pytest.approx(math.log(0.1 / 0.9), abs=1e-5)


def test_unknown_labels_are_left_out_and_rare_findings_left_alone() -> None:
    z, y = drawn(1.0, 0.0, n=400)
    labels = torch.tensor(np.stack([y, np.zeros(400)], 1))
    labels[200:, 0] = float("nan")
    labels[: FEWEST - 1, 1] = 1.0
    logits = torch.tensor(np.stack([z, z], 1))
    found = fit(logits, labels)
    alone = fit(logits[:200, :1], labels[:200, :1])
    assert found.scale[0] == alone.scale[0] and found.shift[0] == alone.shift[0]
    assert found.scale[1] == 1 and found.shift[1] == 0 and math.isnan(found.prior[1])


def test_mistakes_are_named() -> None:
    logits, labels = torch.zeros(10, 1), torch.zeros(10, 1)
    with pytest.raises(TooFewPositives, match=r"Cardiomegaly.*0 positive and 10 negative"):
        fit(logits, labels, required="Cardiomegaly")
    with pytest.raises(BadValue, match=r"blackbox\.prior=1\.5"):
        fit(logits, labels, prior=1.5)
