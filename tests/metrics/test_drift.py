"""Drift of what an independent network says of everything but the finding."""

import numpy as np
import pandas as pd
import pytest

from cfx.metrics.drift import READABLE, changes, drift, readable, worst


def test_a_patient_with_many_pictures_counts_once() -> None:
    before = np.array([[0.5], [0.5], [0.5], [0.2]])
    after = np.array([[0.6], [0.4], [0.8], [0.2]])
    # one patient's pictures move by .1, .1 and .3, the other's by nothing
    assert drift(before, after, ["a", "a", "a", "b"]) == pytest.approx([(0.5 / 3 + 0) / 2])
    assert changes(before, after)[:, 0] == pytest.approx([0.1, -0.1, 0.3, 0.0])


def test_it_is_the_same_as_by_a_grouped_table() -> None:
    generator = np.random.default_rng(0)
    before, after = generator.random((2, 60, 3))
    after[::7, 1] = np.nan
    patients = generator.integers(0, 20, 60)
    table = pd.DataFrame(np.abs(after - before)).groupby(patients).mean().mean()
    assert drift(before, after, patients) == pytest.approx(table.to_numpy())


def test_pictures_left_alone_do_not_drift_and_other_pictures_do() -> None:
    generator = np.random.default_rng(1)
    before = generator.random((50, 2))
    patients = np.arange(50)
    assert drift(before, before, patients) == pytest.approx([0, 0])
    assert (drift(before, before[::-1], patients) > 0.2).all()


def test_an_output_that_nobody_knows_has_no_figure() -> None:
    before = np.array([[np.nan, 0.1], [np.nan, 0.2]])
    found = drift(before, before, ["a", "b"])
    assert np.isnan(found[0]) and found[1] == 0
    assert worst({"x": float("nan"), "y": 0.1, "z": 0.3}) == ("z", 0.3)
    name, figure = worst({"x": float("nan")})
    assert name is None and np.isnan(figure)


def test_readable_begins_at_its_bound() -> None:
    assert (
        readable(READABLE) is True and readable(READABLE - 1e-9) is False and readable(float("nan")) is None
    )


def test_what_is_no_posterior_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        changes(np.array([[0.1]]), np.array([[1.2]]))
    with pytest.raises(ValueError, match="before are"):
        changes(np.zeros((2, 1)), np.zeros((3, 1)))
