"""The share of an edit on a shortcut, in closed form, and the AUROC of a black box with and without it."""

import numpy as np
import pytest

from cfx.metrics.shortcut import arrangements, edit_share, reliance


def test_an_even_edit_has_the_share_of_the_area_whatever_its_size() -> None:
    before = np.zeros((2, 8, 8))
    region = np.zeros((2, 8, 8), dtype=bool)
    region[0, :2, :4] = True
    region[1, :4, :4] = True
    share, over = edit_share(before, before + np.array([0.1, -0.7])[:, None, None], region)
    np.testing.assert_allclose(share, [8 / 64, 16 / 64])
    np.testing.assert_allclose(over, [1.0, 1.0])


def test_what_lies_inside_counts_by_its_size_and_not_its_sign() -> None:
    before, after = np.zeros((1, 4, 4)), np.zeros((1, 4, 4))
    after[0, 0, 0], after[0, 0, 1], after[0, 3, 3] = 0.3, -0.3, 0.2
    region = np.zeros((1, 4, 4), dtype=bool)
    region[0, 0, :2] = True
    share, over = edit_share(before, after, region)
    np.testing.assert_allclose(share, [0.75])
    np.testing.assert_allclose(over, [0.75 * 8])


def test_no_edit_has_no_share_and_an_empty_region_no_ratio() -> None:
    before, region = np.zeros((2, 4, 4)), np.zeros((2, 4, 4), dtype=bool)
    after = before.copy()
    after[1, 0, 0] = 1.0
    region[0, 0, 0] = True
    share, over = edit_share(before, after, region)
    assert np.isnan(share[0]) and share[1] == 0
    assert np.isnan(over).all()
    with pytest.raises(ValueError, match="one"):
        edit_share(before, after[:1], region)


def test_a_black_box_that_reads_the_shortcut_alone_is_wrong_once_it_is_swapped() -> None:
    label = np.array([1, 1, 1, 0, 0, 0], dtype=float)
    there, luck = label == 1, np.array([1, 0, 1, 1, 0, 1], dtype=bool)
    figures = reliance(np.full(6, 0.9), np.full(6, 0.1), label, there, luck)
    assert figures["as_is"] == 1.0 and figures["swapped"] == 0.0
    assert figures["independent"] == 0.5 and figures["effect"] == pytest.approx(0.8)


def test_a_black_box_that_does_not_read_it_stays_as_it_is() -> None:
    label = np.array([1, 1, 0, 0], dtype=float)
    posterior = np.array([0.9, 0.4, 0.5, 0.1])
    figures = reliance(posterior, posterior, label, label == 1, label == 0)
    assert figures["as_is"] == figures["swapped"] == figures["independent"] == 0.75
    assert figures["effect"] == 0.0


def test_each_arrangement_takes_every_picture_from_where_the_shortcut_stands() -> None:
    present, absent = np.array([0.9, 0.8, 0.7]), np.array([0.1, 0.2, 0.3])
    shown = arrangements(present, absent, np.array([1, 0, 1]), np.array([0, 0, 1]))
    np.testing.assert_allclose(shown["as_is"], [0.9, 0.2, 0.7])
    np.testing.assert_allclose(shown["swapped"], [0.1, 0.8, 0.3])
    np.testing.assert_allclose(shown["independent"], [0.1, 0.2, 0.7])
