"""Is a counterfactual still the same patient? Re-identification among other studies of that patient and of others.

A picture is recognised where its nearest study, by the cosine of features standardised over the gallery, is another
study of its own patient and not one of another patient. The study that it was drawn from is never in the choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

OTHERS = 50
"""Other patients that a picture is compared with, at most."""


@dataclass(frozen=True)
class Choice:
    """What one picture is compared with: rows of the gallery.

    Attributes:
        own: other studies of its patient.
        others: a picture each of other patients.
    """

    own: Array
    others: Array

    @property
    def chance(self) -> float:
        """How often a choice at random finds the patient; NaN where there is nothing to choose from."""
        if not len(self.own) or not len(self.others):
            return float("nan")
        return len(self.own) / (len(self.own) + len(self.others))


def choices(
    patients: Sequence[Any] | Array,
    studies: Sequence[Any] | Array,
    rows: Sequence[int] | Array,
    others: int = OTHERS,
    seed: int = 0,
) -> dict[int, Choice]:
    """What pictures of a gallery are compared with, the same for the same seed.

    Args:
        patients: (N,) patient of each picture.
        studies: (N,) study of each picture; pictures of one study are never put against each other, nor is one
            whose study is not known (empty) put against any of its patient's.
        rows: the pictures in question.
        others: other patients drawn at random for each picture, at most.
        seed: of the draws.

    Returns:
        The choice of each of the rows whose patient is known to have another study.
    """
    _, code = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    study = np.asarray(studies, dtype=str)
    pictures = np.split(np.argsort(code, kind="stable"), np.cumsum(np.bincount(code))[:-1])
    found = {}
    for row in map(int, rows):
        own = pictures[code[row]]
        own = own[(study[own] != study[row]) & (study[own] != "")]
        if not len(own) or not study[row]:
            continue
        generator = np.random.default_rng([seed, row])
        drawn = generator.choice(len(pictures), min(others + 1, len(pictures)), replace=False)
        apart = [pictures[each] for each in drawn[drawn != code[row]][:others]]
        places = generator.random(len(apart))
        picked = [int(of[int(place * len(of))]) for of, place in zip(apart, places, strict=True)]
        found[row] = Choice(own, np.array(picked, dtype=np.int64))
    return found


def standardised(features: Array, gallery: Array) -> Array:
    """Features (N, d) in standard deviations from the gallery's mean, each of length 1; constant features are 0.

    Mean and deviation are of the gallery's finite rows. A row of features that is not finite is NaN.
    """
    values, reference = np.asarray(features, dtype=np.float64), np.asarray(gallery, dtype=np.float64)
    reference = reference[_finite(reference)]
    unit = np.full(values.shape, np.nan)
    made = _finite(values)
    if not len(reference):
        return unit
    spread = reference.std(axis=0)
    shifted = values[made] - reference.mean(axis=0)
    centred = np.divide(shifted, spread, out=np.zeros_like(shifted), where=spread > 1e-12)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit[made] = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return unit


def choosable(compared: Mapping[int, Choice], gallery: Array) -> dict[int, Choice]:
    """Choices without the pictures whose features, of the gallery (N, d), are not finite."""
    there = _finite(np.asarray(gallery, dtype=np.float64))
    return {row: Choice(*(some[there[some]] for some in (c.own, c.others))) for row, c in compared.items()}


def _finite(features: Array) -> npt.NDArray[np.bool_]:
    """(N,) whether a row of features is finite throughout."""
    return np.asarray(np.isfinite(features).all(axis=1), dtype=np.bool_)


def recognised(
    queries: Array, rows: Sequence[int] | Array, gallery: Array, compared: Mapping[int, Choice]
) -> Array:
    """Rank-1 re-identification of pictures.

    Args:
        queries: (Q, d) features, of the pictures themselves or of counterfactuals of them.
        rows: (Q,) the picture of the gallery that each belongs to.
        gallery: (N, d) features of the pictures as they are.
        compared: what each is compared with, see `choices`.

    Returns:
        (Q,) 1 where the nearest study is the patient's own, 0 where it is another's (a tie too), NaN where the patient
        has no other study, there is no other patient, or a feature is not finite. Pictures of the gallery with a
        feature that is not finite are in no choice.
    """
    asked, known = standardised(queries, gallery), standardised(gallery, gallery)
    made, compared = _finite(asked), choosable(compared, gallery)
    found = np.full(len(asked), np.nan)
    for place, row in enumerate(map(int, rows)):
        choice = compared.get(row)
        if choice is None or not made[place] or not len(choice.own) or not len(choice.others):
            continue
        own, others = known[choice.own] @ asked[place], known[choice.others] @ asked[place]
        found[place] = float(own.max() > others.max())
    return found
