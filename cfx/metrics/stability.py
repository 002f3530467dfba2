"""Do several explainers of one black box say the same? EVALUATION section 5, `stability`."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def map_correlation(maps: Array) -> Array:
    """Pearson correlation of difference maps over the pixels, averaged over all pairs of explainers.

    Args:
        maps: (K, N, H, W) x_c - x of K explainers for the same N pictures and target.

    Returns:
        (N,) in [-1, 1]; NaN for a picture that one of them left as it was, since nothing then has a pattern.

    Raises:
        ValueError: fewer than two explainers.
    """
    maps = np.asarray(maps, dtype=np.float64)
    if maps.ndim != 4 or len(maps) < 2:
        raise ValueError(f"maps of at least two explainers as (K, N, H, W), not {maps.shape}")
    flat = maps.reshape(*maps.shape[:2], -1)
    flat = flat - flat.mean(axis=2, keepdims=True)
    length = np.linalg.norm(flat, axis=2)
    changed = (length > 1e-9).all(axis=0)
    unit = flat / np.where(length > 1e-9, length, 1.0)[..., None]
    pairs = [(unit[i] * unit[j]).sum(axis=1) for i in range(len(maps)) for j in range(i)]
    found: Array = np.where(changed, np.mean(pairs, axis=0), np.nan)
    return found


def sign_agreement(shifts: Array) -> Array:
    """Whether all explainers move a measurement the same way.

    Args:
        shifts: (K, N) shift of the measurement by K explainers, NaN = not measurable.

    Returns:
        (N,) 1 where all K signs are the same and none is zero, 0 where they are not, NaN where one is not measurable.

    Raises:
        ValueError: fewer than two explainers.
    """
    shifts = np.asarray(shifts, dtype=np.float64)
    if shifts.ndim != 2 or len(shifts) < 2:
        raise ValueError(f"shifts of at least two explainers as (K, N), not {shifts.shape}")
    same = (np.sign(shifts) == 1).all(axis=0) | (np.sign(shifts) == -1).all(axis=0)
    found: Array = np.where(np.isfinite(shifts).all(axis=0), same.astype(np.float64), np.nan)
    return found
