"""Boxes, their overlap, the matching of found and true ones, and average precision on closed forms."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from cfx.metrics.boxes import CLASSES, BoxSet, labels_of, overlap
from cfx.metrics.detection import (
    any_recess,
    ap50,
    average_precision,
    best_threshold,
    match,
    match_all,
    mean_ap,
    thresholds,
)

PACEMAKER, LINE = labels_of(["pacemaker", "line"])
HEALTHY, BLUNTED = labels_of(["healthy_recess", "blunted_recess"])


def found(*rows: tuple[str, float, float, float, float, float]) -> BoxSet:
    """Boxes with scores, the last of each row."""
    made = BoxSet.of([row[:5] for row in rows])
    return BoxSet(made.box, made.label, np.array([row[5] for row in rows]))


def test_overlap_on_closed_forms() -> None:
    one = np.array([[0, 0, 2, 2], [0, 0, 0, 0]], dtype=float)
    other = np.array(
        [[0, 0, 2, 2], [1, 0, 3, 2], [1, 1, 3, 3], [5, 5, 6, 6], [0.5, 0.5, 1.5, 1.5]], dtype=float
    )
    assert overlap(one, other)[0] == pytest.approx([1, 1 / 3, 1 / 7, 0, 1 / 4])
    assert (overlap(one, other)[1] == 0).all()
    assert overlap(one, np.zeros((0, 4))).shape == (2, 0)


def test_a_class_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="pacemakr"):
        BoxSet.of([("pacemakr", 0, 0, 1, 1)])


def test_each_true_box_is_met_once_by_the_surest() -> None:
    truth = BoxSet.of([("line", 0.0, 0.0, 0.4, 0.4)])
    mine = found(
        ("line", 0.02, 0.0, 0.4, 0.4, 0.6),  # overlaps more, but comes second
        ("line", 0.0, 0.0, 0.4, 0.3, 0.9),
        ("pacemaker", 0.0, 0.0, 0.4, 0.4, 1.0),  # another class
    )
    score, hit = match(mine, truth, LINE)
    assert score.tolist() == [0.9, 0.6] and hit.tolist() == [True, False]


def test_a_box_takes_the_true_one_that_is_still_free() -> None:
    truth = BoxSet.of([("line", 0.0, 0.0, 0.4, 0.4), ("line", 0.1, 0.0, 0.5, 0.4)])
    mine = found(("line", 0.0, 0.0, 0.4, 0.4, 0.9), ("line", 0.02, 0.0, 0.42, 0.4, 0.8))
    assert match(mine, truth, LINE)[1].tolist() == [True, True]


def test_an_overlap_of_half_counts_and_less_does_not() -> None:
    truth = BoxSet.of([("line", 0.0, 0.0, 0.4, 0.4)])
    half, less = ("line", 0.0, 0.0, 0.4, 0.2, 0.5), ("line", 0.0, 0.0, 0.4, 0.19, 0.5)
    assert match(found(half), truth, LINE)[1].tolist() == [True]
    assert match(found(less), truth, LINE)[1].tolist() == [False]


@pytest.mark.parametrize(
    ("hit", "count", "wanted"),
    [
        ([1, 1, 1], 3, 1.0),
        ([0, 0], 2, 0.0),
        ([], 2, 0.0),
        ([1], 4, 0.25),
        ([0, 1], 1, 0.5),
        # precision 1, 1/2, 2/3, recall 1/2, 1/2, 1: the dip is filled from the right
        ([1, 0, 1], 2, 0.5 * 1 + 0.5 * 2 / 3),
        ([0, 1, 1, 1], 3, 3 / 4),
    ],
)
def test_average_precision_on_closed_forms(hit: list[int], count: int, wanted: float) -> None:
    assert average_precision(np.array(hit, dtype=bool), count) == pytest.approx(wanted, abs=1e-12)


def test_without_true_boxes_there_is_no_precision() -> None:
    assert np.isnan(average_precision(np.array([False]), 0))
    by_class = ap50([BoxSet.of([])], [BoxSet.of([])])
    assert list(by_class) == list(CLASSES) and np.isnan(mean_ap(by_class))


def test_average_precision_against_scikit_learns_curve() -> None:
    """The same area from scikit-learn's precisions and recalls, made monotone; three true boxes are never found."""
    random = np.random.default_rng(0)
    score = np.sort(random.random(200))[::-1]
    hit = random.random(200) < score
    precision, recall, _ = precision_recall_curve(hit, score)
    recall = recall[::-1] * hit.sum() / (hit.sum() + 3)
    best = np.maximum.accumulate(precision)[::-1]
    wanted = float((np.diff(recall) * best[1:]).sum())
    assert average_precision(hit, int(hit.sum()) + 3) == pytest.approx(wanted, abs=1e-9)


def test_pictures_are_ranked_together() -> None:
    truth = [BoxSet.of([("line", 0, 0, 0.5, 0.5)]), BoxSet.of([("line", 0, 0, 0.5, 0.5)]), BoxSet.of([])]
    mine = [
        found(("line", 0, 0, 0.5, 0.5, 0.2)),
        found(("line", 0, 0, 0.5, 0.5, 0.9)),
        found(("line", 0, 0, 0.5, 0.5, 0.5)),  # nothing is there
    ]
    score, hit, count = match_all(mine, truth, LINE)
    assert score.tolist() == [0.9, 0.5, 0.2] and hit.tolist() == [True, False, True] and count == 2
    by_class = ap50(mine, truth)
    assert by_class["line"] == pytest.approx(0.5 + 0.5 * 2 / 3) and np.isnan(by_class["tube"])
    assert mean_ap(by_class) == by_class["line"]


def test_the_threshold_of_the_greatest_f1() -> None:
    score, hit = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([True, True, False, True, False])
    # F1 for 3 true boxes: 1/2, 4/5, 2/3, 6/7, 3/4
    assert best_threshold(score, hit, 3) == 0.6
    assert best_threshold(np.array([0.8, 0.8]), np.array([True, False]), 1) == 0.8
    assert best_threshold(np.zeros(0), np.zeros(0, dtype=bool), 3) == 0.5
    assert best_threshold(score, hit & False, 3) == 0.5


def test_both_kinds_of_recess_share_a_threshold() -> None:
    place = (0.1, 0.6, 0.3, 0.8)
    truth = [BoxSet.of([("healthy_recess", *place)]), BoxSet.of([("blunted_recess", *place)])]
    mine = [
        found(("healthy_recess", *place, 0.7), ("blunted_recess", *place, 0.2)),
        found(
            ("healthy_recess", *place, 0.4), ("blunted_recess", *place, 0.3)
        ),  # wrong of the kind, but there
    ]
    chosen = thresholds(mine, truth)
    assert chosen[HEALTHY] == chosen[BLUNTED] == 0.4
    merged = any_recess(mine[0])
    assert len(merged) == 1 and merged.score.tolist() == [0.7] and merged.label.tolist() == [HEALTHY]
