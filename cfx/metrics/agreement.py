"""Agreement of readers with themselves, with each other and with an automatic measurement."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[Any]


def weighted_kappa(first: Array, second: Array, categories: int) -> float:
    """Cohen's kappa with quadratic weights: 1 = the same answers, 0 = no more alike than by chance.

    Cohen 1968: one minus the mean squared disagreement over that expected of independent answers with the same margins.

    Args:
        first, second: (N,) answers 1..categories, twice to the same questions.
        categories: points of the scale.

    Returns:
        NaN where there are fewer than two pairs, or all answers are one and the same category.
    """
    one, two = np.asarray(first, dtype=np.int64) - 1, np.asarray(second, dtype=np.int64) - 1
    if len(one) != len(two):
        raise ValueError(f"answers must come in pairs, got {len(one)} and {len(two)}")
    if len(one) < 2:
        return float("nan")
    points = np.arange(categories)
    weights = (points[:, None] - points[None, :]) ** 2
    seen = np.zeros((categories, categories))
    np.add.at(seen, (one, two), 1.0 / len(one))
    expected = np.outer(seen.sum(axis=1), seen.sum(axis=0))
    chance = float((weights * expected).sum())
    return 1.0 - float((weights * seen).sum()) / chance if chance > 0 else float("nan")


@dataclass(frozen=True)
class Icc:
    """An intraclass correlation with its 95 % interval; NaN where it could not be made."""

    value: float
    low: float
    high: float
    n: int


def icc_oneway(table: Array, level: float = 0.95) -> Icc:
    """ICC(1,1): how alike repeated readings of one thing are, against the spread of the things.

    Shrout & Fleiss 1979, case 1 (each row has its own readings), with their F interval.

    Args:
        table: (N, k) readings, a row a thing; rows with a missing reading are left out.
        level: of the interval.
    """
    rows = np.asarray(table, dtype=np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    n, k = rows.shape
    if n < 2 or k < 2:
        return Icc(float("nan"), float("nan"), float("nan"), n)
    between = k * float(rows.mean(axis=1).var(ddof=1))
    within = float(rows.var(axis=1, ddof=1).mean())
    if between + within == 0:
        return Icc(float("nan"), float("nan"), float("nan"), n)
    value = (between - within) / (between + (k - 1) * within)
    if within == 0:
        return Icc(value, value, value, n)
    ratio, tail = between / within, (1 + level) / 2
    low = ratio / stats.f.ppf(tail, n - 1, n * (k - 1))
    high = ratio * stats.f.ppf(tail, n * (k - 1), n - 1)
    return Icc(value, float((low - 1) / (low + k - 1)), float((high - 1) / (high + k - 1)), n)


def icc_agreement(table: Array) -> float:
    """ICC(2,1): absolute agreement of readers who all read the same things, as if drawn from many readers.

    Shrout & Fleiss 1979, case 2.

    Args:
        table: (N, k) readings, a row a thing, a column a reader; rows with a missing reading are left out.

    Returns:
        NaN for fewer than two rows or readers.
    """
    rows = np.asarray(table, dtype=np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    n, k = rows.shape
    if n < 2 or k < 2:
        return float("nan")
    total = rows.mean()
    by_row, by_reader = rows.mean(axis=1), rows.mean(axis=0)
    rows_ms = k * float(((by_row - total) ** 2).sum()) / (n - 1)
    readers_ms = n * float(((by_reader - total) ** 2).sum()) / (k - 1)
    rest = rows - by_row[:, None] - by_reader[None, :] + total
    error_ms = float((rest**2).sum()) / ((n - 1) * (k - 1))
    below = rows_ms + (k - 1) * error_ms + k * (readers_ms - error_ms) / n
    return (rows_ms - error_ms) / below if below > 0 else float("nan")


@dataclass(frozen=True)
class Limits:
    """Bland and Altman's comparison of two measurements of the same things.

    Attributes:
        bias: mean difference, first minus second.
        sd: standard deviation of the differences.
        low, high: the 95 % limits of agreement, between which a single difference lies.
        bias_low, bias_high: 95 % interval of the bias.
        n: pairs; all others are NaN under two.
    """

    bias: float
    sd: float
    low: float
    high: float
    bias_low: float
    bias_high: float
    n: int


def bland_altman(first: Array, second: Array) -> Limits:
    """Limits of agreement (Bland & Altman 1986) of independent pairs.

    Args:
        first, second: (N,) measurements of the same things; pairs with a missing one are left out.
    """
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    difference = difference[np.isfinite(difference)]
    n = len(difference)
    if n < 2:
        nan = float("nan")
        return Limits(nan, nan, nan, nan, nan, nan, n)
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    reach = float(stats.t.ppf(0.975, n - 1)) * sd / np.sqrt(n)
    return Limits(bias, sd, bias - 1.96 * sd, bias + 1.96 * sd, bias - reach, bias + reach, n)


def area_under_curve(of_positives: Array, of_negatives: Array) -> float:
    """AUC of ratings: the chance that a positive is rated above a negative, ties counted half (Mann-Whitney).

    Returns:
        NaN where either side is empty.
    """
    one, two = np.asarray(of_positives, dtype=np.float64), np.asarray(of_negatives, dtype=np.float64)
    if not len(one) or not len(two):
        return float("nan")
    above = one[:, None] - two[None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())
