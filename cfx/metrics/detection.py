"""How good a detector is: matching of found and true boxes, average precision at an overlap, the best threshold.

Average precision is the area under the curve of precision over recall, precision made monotone from the right (as in
PASCAL VOC since 2010 and COCO before it samples the curve). COCO's tools would add a compiled dependency for what is
forty lines here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cfx.metrics.boxes import CLASSES, RECESSES, BoxSet, labels_of, overlap

Array = npt.NDArray[Any]

LEAST_OVERLAP = 0.5
UNSEEN_THRESHOLD = 0.5


def match(found: BoxSet, truth: BoxSet, label: int, least: float = LEAST_OVERLAP) -> tuple[Array, Array]:
    """Match the found boxes of one class with the true ones, the surest first; each true box is met once.

    Args:
        found: boxes of a picture with scores.
        truth: its true boxes.
        label: the class.
        least: intersection over union from which on a box is met.

    Returns:
        scores (N,) falling, and whether each met a true box (N,) bool.
    """
    mine, theirs = found[found.label == label], truth[truth.label == label]
    mine = mine[np.argsort(-mine.score, kind="stable")]
    share = overlap(mine.box, theirs.box)
    free, hit = np.ones(len(theirs), dtype=bool), np.zeros(len(mine), dtype=bool)
    for row in range(len(mine) if len(theirs) else 0):
        best = int(np.where(free, share[row], -1.0).argmax())
        if free[best] and share[row, best] >= least:
            free[best], hit[row] = False, True
    return mine.score, hit


def match_all(
    found: Sequence[BoxSet], truth: Sequence[BoxSet], label: int, least: float = LEAST_OVERLAP
) -> tuple[Array, Array, int]:
    """Match one class over many pictures.

    Returns:
        scores (N,) falling, whether each met a true box (N,) bool, and the number of true boxes.
    """
    pairs = [match(mine, theirs, label, least) for mine, theirs in zip(found, truth, strict=True)]
    score = np.concatenate([scores for scores, _ in pairs]) if pairs else np.zeros(0)
    hit = np.concatenate([hits for _, hits in pairs]) if pairs else np.zeros(0, dtype=bool)
    order = np.argsort(-score, kind="stable")
    return score[order], hit[order], sum(int((each.label == label).sum()) for each in truth)


def average_precision(hit: Array, count: int) -> float:
    """Area under precision over recall.

    Args:
        hit: (N,) bool, whether each found box met a true one, the surest first.
        count: number of true boxes.

    Returns:
        In [0, 1]; NaN where there are no true boxes.
    """
    if count == 0:
        return float("nan")
    met = np.cumsum(np.asarray(hit, dtype=np.float64))
    precision = met / np.arange(1, len(met) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(np.concatenate([[0.0], met])) / count
    return float((steps * best_from_here).sum())


def ap50(found: Sequence[BoxSet], truth: Sequence[BoxSet]) -> dict[str, float]:
    """Average precision at an overlap of 0.5 of each class; NaN for a class without a true box."""
    return {
        name: average_precision(*match_all(found, truth, label)[1:]) for label, name in enumerate(CLASSES)
    }


def mean_ap(by_class: dict[str, float]) -> float:
    """Mean over the classes that have true boxes; NaN where none has."""
    known = [value for value in by_class.values() if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def best_threshold(score: Array, hit: Array, count: int) -> float:
    """The score from which on boxes count: the one of the greatest F1 = 2 met / (found + true).

    Args:
        score: (N,) falling.
        hit: (N,) bool.
        count: number of true boxes.

    Returns:
        One of the scores; 0.5 where there is nothing to choose by.
    """
    if count == 0 or not len(score) or not hit.any():
        return UNSEEN_THRESHOLD
    met = np.cumsum(np.asarray(hit, dtype=np.float64))
    f1 = 2 * met / (np.arange(1, len(met) + 1) + count)
    # of equal scores all count or none does
    last = np.append(score[1:] < score[:-1], True)
    return float(score[int(np.where(last, f1, -1.0).argmax())])


def thresholds(found: Sequence[BoxSet], truth: Sequence[BoxSet]) -> Array:
    """`best_threshold` (C,) of each class; both kinds of recess have one, since a doubtful recess is still there."""
    chosen = np.array([best_threshold(*match_all(found, truth, label)) for label in range(len(CLASSES))])
    recess = labels_of(RECESSES)
    kind = [any_recess(each) for each in found], [any_recess(each) for each in truth]
    chosen[recess] = best_threshold(*match_all(*kind, recess[0]))
    return chosen


def any_recess(boxes: BoxSet) -> BoxSet:
    """The recesses of a picture, healthy or not, all labelled as the first kind; of overlapping ones the surest."""
    mine = boxes[np.isin(boxes.label, labels_of(RECESSES))]
    mine = mine[np.argsort(-mine.score, kind="stable")]
    share = overlap(mine.box, mine.box)
    kept: list[int] = []
    for row in range(len(mine)):
        if not any(share[row, other] >= LEAST_OVERLAP for other in kept):
            kept.append(row)
    chosen = mine[np.array(kept, dtype=np.int64)]
    return BoxSet(chosen.box, np.full(len(chosen), labels_of(RECESSES)[0], dtype=np.int64), chosen.score)
