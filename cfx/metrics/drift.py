"""Does a counterfactual of one finding change what an independent network says of everything else?

Drift of an output is the mean |posterior after - posterior before|, within a patient first, then over patients. Of
an output that the network can not read from pictures as they are (AUROC under `READABLE`) it says nothing.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cfx.metrics.statistics import patient_mean

Array = npt.NDArray[Any]

READABLE = 0.7
"""AUROC from which on an output can be read at all."""


def changes(before: Array, after: Array) -> Array:
    """After - before of posteriors (N, K), NaN where either is not known.

    Raises:
        ValueError: they differ in shape, or a posterior is outside [0, 1].
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"posteriors before are {first.shape} and after {second.shape}")
    for values in (first, second):
        if np.any((values < 0) | (values > 1)):
            raise ValueError("a posterior lies outside [0, 1]")
    moved: Array = second - first
    return moved


def drift(before: Array, after: Array, patients: Sequence[Any] | Array) -> Array:
    """Mean |change| of each output over patients.

    Args:
        before, after: (N, K) posteriors of the pictures and of their counterfactuals, NaN left out.
        patients: (N,) patient of each.

    Returns:
        (K,) in [0, 1], NaN for an output without a value.
    """
    moved = np.abs(changes(before, after))
    return np.array([patient_mean(column, patients) for column in moved.T], dtype=np.float64)


def worst(figures: Mapping[str, float]) -> tuple[str | None, float]:
    """Name and figure of the output that drifts most; None and NaN where none is known."""
    known = {name: value for name, value in figures.items() if math.isfinite(value)}
    if not known:
        return None, float("nan")
    name = max(known, key=lambda each: known[each])
    return name, known[name]


def readable(auroc: float) -> bool | None:
    """Whether an output can be read from pictures; None where nobody could tell (AUROC NaN)."""
    return auroc >= READABLE if math.isfinite(auroc) else None
