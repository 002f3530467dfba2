"""The score of a healthy recess on boxes put down by hand: which side, which box, and when it is not measurable."""

import numpy as np
import pytest

from cfx.metrics.boxes import CLASSES, BoxSet
from cfx.metrics.recess import LEFT, RIGHT, recess_scores

HERE, THERE = (0.75, 0.6, 0.9, 0.75), (0.1, 0.6, 0.25, 0.75)  # the patient's left is on the picture's right
HALF = np.full(len(CLASSES), 0.5)


def found(*rows: tuple[str, tuple[float, float, float, float], float]) -> BoxSet:
    made = BoxSet.of([(name, *box) for name, box, _ in rows])
    return BoxSet(made.box, made.label, np.array([score for *_, score in rows]))


def test_sides_are_the_patients() -> None:
    scores = recess_scores(found(("healthy_recess", HERE, 0.9), ("healthy_recess", THERE, 0.7)), HALF)
    assert scores[LEFT] == 0.9 and scores[RIGHT] == 0.7


def test_of_a_blunted_recess_the_score_is_that_of_healthy_at_its_place() -> None:
    there = found(
        ("blunted_recess", HERE, 0.8), ("healthy_recess", HERE, 0.1), ("healthy_recess", THERE, 0.9)
    )
    assert recess_scores(there, HALF).tolist() == [0.1, 0.9]


def test_a_healthy_box_elsewhere_says_nothing_of_this_recess() -> None:
    higher = (0.75, 0.2, 0.9, 0.35)
    scores = recess_scores(found(("blunted_recess", HERE, 0.8), ("healthy_recess", higher, 0.6)), HALF)
    assert scores[LEFT] == 0


def test_an_undetected_recess_is_not_measurable_and_never_zero() -> None:
    nothing = recess_scores(BoxSet.of([]), HALF)
    assert np.isnan(nothing).all()
    doubtful = recess_scores(found(("healthy_recess", HERE, 0.49), ("blunted_recess", HERE, 0.3)), HALF)
    assert np.isnan(doubtful).all()
    devices = recess_scores(found(("pacemaker", HERE, 1.0)), HALF)
    assert np.isnan(devices).all()


def test_thresholds_are_by_class() -> None:
    threshold = HALF.copy()
    threshold[CLASSES.index("blunted_recess")] = 0.2
    scores = recess_scores(found(("blunted_recess", HERE, 0.3), ("healthy_recess", HERE, 0.25)), threshold)
    assert scores[LEFT] == pytest.approx(0.25)
