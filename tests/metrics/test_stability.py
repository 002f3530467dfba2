"""Agreement of explainers: closed forms, numpy's own correlation as the reference, and what fails it."""

import numpy as np
import pytest

from cfx.metrics.stability import map_correlation, sign_agreement


def test_the_correlation_is_numpys() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 5, 8, 8))
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = [
        np.mean([np.corrcoef(maps[i, n].ravel(), maps[j, n].ravel())[0, 1] for i, j in pairs])
        for n in range(5)
    ]
    assert map_correlation(maps) == pytest.approx(expected)


def test_the_same_map_correlates_fully_and_its_negative_not_at_all() -> None:
    one = np.random.default_rng(1).normal(size=(4, 8, 8))
    assert map_correlation(np.stack([one, 3 * one + 1])) == pytest.approx(np.ones(4))
    assert map_correlation(np.stack([one, -one])) == pytest.approx(-np.ones(4))


def test_a_picture_left_alone_has_no_pattern() -> None:
    maps = np.random.default_rng(2).normal(size=(2, 2, 4, 4))
    maps[1, 0] = 0.0
    found = map_correlation(maps)
    assert np.isnan(found[0]) and np.isfinite(found[1])


def test_independent_maps_fail_it() -> None:
    assert np.abs(map_correlation(np.random.default_rng(3).normal(size=(2, 50, 16, 16))).mean()) < 0.05


def test_signs_agree_where_all_are_the_same_way() -> None:
    shifts = np.array(
        [[0.1, 0.1, -0.1, 0.0, np.nan], [0.2, -0.1, -0.3, 0.0, 0.1], [0.1, 0.1, -0.2, 0.0, 0.1]]
    )
    assert sign_agreement(shifts).tolist()[:4] == [1.0, 0.0, 1.0, 0.0]
    assert np.isnan(sign_agreement(shifts)[4])


def test_one_explainer_alone_has_no_stability() -> None:
    with pytest.raises(ValueError, match="two explainers"):
        map_correlation(np.zeros((1, 2, 4, 4)))
    with pytest.raises(ValueError, match="two explainers"):
        sign_agreement(np.zeros((1, 2)))
