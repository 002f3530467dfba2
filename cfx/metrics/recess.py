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
SIDES = ("left", "right")
"""The patient's, by place."""


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
    healthy = found[found.label == labels_of([HEALTHY])[0]]
    for side, place in enumerate(recess_places(found, threshold)):
        if np.isnan(place).any():
            continue
        here = healthy[_on_side(healthy, side)]
        same = here[overlap(here.box, place[None])[:, 0] >= SAME_PLACE]
        scores[side] = same.score.max() if len(same) else 0.0
    return scores


def recess_places(found: BoxSet, threshold: Array) -> Array:
    """Where the recess of each side is: the box of either kind with the highest score.

    Args:
        found, threshold: as for `recess_scores`.

    Returns:
        (2, 4) edges as shares of the side, the patient's left then right; NaN where none reaches its threshold.
    """
    places = np.full((2, 4), np.nan)
    recess = found[np.isin(found.label, labels_of(RECESSES)) & (found.score >= threshold[found.label])]
    for side in (LEFT, RIGHT):
        sure = recess[_on_side(recess, side)]
        if len(sure):
            places[side] = sure.box[int(sure.score.argmax())]
    return places


def _on_side(found: BoxSet, side: int) -> npt.NDArray[np.bool_]:
    on_left: npt.NDArray[np.bool_] = found.centre[:, 0] >= 0.5
    return on_left if side == LEFT else ~on_left
