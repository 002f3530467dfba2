"""Labels: logistic in the severity, flipped rarely, uncertain in the middle, independent unless asked."""

import numpy as np
import pandas as pd
import pytest

from cfx.data.phantom import anatomy, findings

SHORT = list(findings.FINDINGS.values())


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    return anatomy.sample(11, range(1, 6001))


@pytest.mark.parametrize("name", SHORT)
def test_labels_follow_the_stated_posterior(many: pd.DataFrame, name: str) -> None:
    """In each tenth of the Bayes posterior the share of positive labels is that posterior."""
    bins = np.clip((many[f"bayes_{name}"] * 10).astype(int), 0, 9)
    groups = many.groupby(bins)
    expected, seen, count = groups[f"bayes_{name}"].mean(), groups[f"label_{name}"].mean(), groups.size()
    error = np.sqrt(np.maximum(expected * (1 - expected), 0.005) / count)
    assert (np.abs(seen - expected) < 4 * error).all()


def test_the_posterior_is_a_logistic_between_the_flips() -> None:
    assert findings.FLIPS <= 0.03
    severity = np.array([-9.0, findings.HALFWAY, 9.0])
    np.testing.assert_allclose(
        findings.posterior(severity), [findings.FLIPS, 0.5, 1 - findings.FLIPS], atol=1e-12
    )
    step = findings.posterior(np.array([findings.HALFWAY + findings.SLOPE]))
    inner = (step - findings.FLIPS) / (1 - 2 * findings.FLIPS)
    np.testing.assert_allclose(inner, 1 / (1 + np.exp(-1.0)))


@pytest.mark.parametrize("name", SHORT)
def test_labels_far_from_halfway_are_wrong_as_often_as_flipped(many: pd.DataFrame, name: str) -> None:
    far = (many[f"severity_{name}"] - findings.HALFWAY).abs() > 8 * findings.SLOPE
    wrong = (many.loc[far, f"label_{name}"] != many.loc[far, f"call_{name}"]).mean()
    assert 0.003 < wrong < 0.018


@pytest.mark.parametrize("name", SHORT)
def test_reports_hedge_where_the_severity_is_halfway(many: pd.DataFrame, name: str) -> None:
    near = (many[f"severity_{name}"] - findings.HALFWAY).abs() < findings.SLOPE
    assert many.loc[near, f"uncertain_{name}"].mean() > 0.2
    assert many.loc[~near, f"uncertain_{name}"].mean() < 0.05


def test_findings_are_independent_by_default_and_together_when_asked(many: pd.DataFrame) -> None:
    calls = [f"call_{name}" for name in SHORT]
    apart = many[calls].corr().to_numpy()[np.triu_indices(3, 1)]
    together = (
        anatomy.sample(11, range(1, 6001), correlated=True)[calls].corr().to_numpy()[np.triu_indices(3, 1)]
    )
    assert np.abs(apart).max() < 0.05
    assert together.min() > 0.25


def test_the_correlated_variant_keeps_the_prevalence() -> None:
    frame = anatomy.sample(11, range(1, 6001), correlated=True)
    for name in SHORT:
        share = (frame[f"severity_{name}"] > findings.HALFWAY).mean()
        assert share == pytest.approx(findings.PREVALENCE[name], abs=0.04)


@pytest.mark.parametrize("name", SHORT)
def test_severities_stay_within_the_oracles_bounds(many: pd.DataFrame, name: str) -> None:
    low, high = findings.BOUNDS[name]
    assert many[f"severity_{name}"].between(low, high).all()


def test_fluid_is_on_at_least_one_side(many: pd.DataFrame) -> None:
    sides = many["fluid_left"] + many["fluid_right"]
    assert set(sides) == {1.0, 2.0}
