"""Who the patients are: reproducible a patient, with the stated spread, and the label blind to nuisances."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from cfx.data.phantom import anatomy, geometry, render
from cfx.data.phantom.devices import SUPPORT
from cfx.errors import UnknownChoice


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    return anatomy.sample(0, range(1, 4001))


def test_a_patient_does_not_depend_on_the_others(many: pd.DataFrame) -> None:
    alone = anatomy.sample(0, [17])
    pd.testing.assert_frame_equal(alone, many.iloc[[16]].reset_index(drop=True))


def test_another_seed_or_site_has_other_patients(many: pd.DataFrame) -> None:
    first = many.iloc[:50]["severity_cardiomegaly"].to_numpy()
    for other in (anatomy.sample(1, range(1, 51)), anatomy.sample(0, range(1, 51), "B")):
        assert not np.isclose(other["severity_cardiomegaly"].to_numpy(), first).any()


def test_every_parameter_is_a_finite_number(many: pd.DataFrame) -> None:
    assert all(kind == np.float64 for kind in many.dtypes)
    assert np.isfinite(many.to_numpy()).all()


def test_the_ratio_is_as_in_patients(many: pd.DataFrame) -> None:
    """About N(.45, .03) without and N(.57, .05) with cardiomegaly."""
    values = render.tensors(many)
    ctr = geometry.ratio(values, geometry.heart(values)).numpy()
    ill = many["call_cardiomegaly"].to_numpy() > 0
    assert ctr[~ill].mean() == pytest.approx(0.45, abs=0.006)
    assert ctr[~ill].std() == pytest.approx(0.03, abs=0.005)
    assert ctr[ill].mean() == pytest.approx(0.57, abs=0.008)
    assert ctr[ill].std() == pytest.approx(0.05, abs=0.007)


def test_breath_projection_rotation_and_fat_spread_the_ratio_at_equal_severity(many: pd.DataFrame) -> None:
    same = many.assign(severity_cardiomegaly=0.3, severity_pleural_effusion=-0.5)
    values = render.tensors(same)
    ctr = geometry.ratio(values, geometry.heart(values)).numpy()
    assert 0.014 < ctr.std() < 0.024
    for name, sign in (("ap", 1), ("inspiration", -1), ("fat", 1)):
        assert sign * np.corrcoef(same[name], ctr)[0, 1] > 0.15, name
    assert np.corrcoef(same["rotation"].abs(), ctr)[0, 1] > 0.15


def test_the_label_knows_no_nuisance(many: pd.DataFrame) -> None:
    """No parameter but the severity is related to the label: correlations stay within their own noise."""
    label = many["label_cardiomegaly"]
    skip = {
        "patient",
        "severity_cardiomegaly",
        "call_cardiomegaly",
        "bayes_cardiomegaly",
        "label_cardiomegaly",
    }
    skip.add("uncertain_cardiomegaly")
    others = [name for name in many if name not in skip and many[name].std() > 0]
    scores = np.array([np.corrcoef(many[name], label)[0, 1] for name in others]) * np.sqrt(len(many))
    assert np.abs(scores).max() < norm.isf(0.0005 / len(others))


def test_shares_are_as_promised(many: pd.DataFrame) -> None:
    assert 0.40 <= many["label_cardiomegaly"].mean() <= 0.50
    assert 0.28 <= many[list(SUPPORT)].max(axis=1).mean() <= 0.42
    assert (many.loc[many["ap"] == 0, "tube"] == 0).all()
    assert (many.loc[many["ap"] == 0, "portable"] == 0).all()


@pytest.mark.parametrize("site", ["A", "B"])
def test_both_lungs_lie_on_the_film(site: str) -> None:
    frame = anatomy.sample(5, range(1, 2001), site)
    reach = (frame["thorax"] * 1.03 + 0.5 * frame["lean"].abs()) * frame["zoom_x"] + frame["shift_x"].abs()
    assert reach.max() < 1.0
    assert (frame["apex_y"] * frame["zoom_y"] + frame["shift_y"]).min() > -1.1


def test_the_second_site_differs() -> None:
    here, there = (anatomy.sample(0, range(1, 1501), name) for name in ("A", "B"))
    assert there["noise"].mean() > 1.3 * here["noise"].mean()
    assert there["ap"].mean() > here["ap"].mean() + 0.1
    assert there["thorax"].mean() < here["thorax"].mean()
    assert there["age"].mean() > here["age"].mean() + 4


def test_an_unknown_site_is_named() -> None:
    with pytest.raises(UnknownChoice, match=r"data\.source\.site='C'"):
        anatomy.sample(0, [1], "C")


def test_draws_are_what_they_say() -> None:
    draws = anatomy.Draws(0, range(1, 3001))
    assert draws.uniform(2.0, 4.0).mean() == pytest.approx(3.0, abs=0.05)
    assert draws.chance(0.3).mean() == pytest.approx(0.3, abs=0.04)
    normal = draws.normal(1.0, 2.0, limit=1.5)
    assert normal.max() == 4.0
    assert normal.min() == -2.0
