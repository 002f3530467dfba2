"""The score of a healthy costophrenic recess (SCP), each side of the patient.

A recess is where the detector finds one, healthy or blunted; its SCP is the detector's score of the healthy class at
that place. A recess that was not found is not measurable: it is NaN and never 0, for nobody could tell a 0 for want of
a good picture from that of a blunted recess.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from cfx.metrics.boxes import HEALTHY, RECESSES, BoxSet, labels_of, overlap

Array = npt.NDArray[Any]

SAME_PLACE = 0.5
LEFT, RIGHT = 0, 1


def recess_scores(found: BoxSet, threshold: Array) -> Array:
    """SCP of both sides of one picture.

    Args:
        found: what the detector found, low scores too.
        threshold: (C,) by class, the score from which on a box counts.

    Returns:
        (2,) float64: the patient's left (the right half of the picture), then right. NaN where no recess of either
        kind reaches its threshold; 0 only where one was found, as blunted, with no score for healthy in the list.
    """
    scores = np.full(2, np.nan)
    recess = found[np.isin(found.label, labels_of(RECESSES))]
    on_left = recess.centre[:, 0] >= 0.5
    for side in (LEFT, RIGHT):
        here = recess[on_left if side == LEFT else ~on_left]
        sure = here[here.score >= threshold[here.label]]
        if not len(sure):
            continue
        place = sure.box[[int(sure.score.argmax())]]
        healthy = here[here.label == labels_of([HEALTHY])[0]]
        same = healthy[overlap(healthy.box, place)[:, 0] >= SAME_PLACE]
        scores[side] = same.score.max() if len(same) else 0.0
    return scores
