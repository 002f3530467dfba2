"""Statistics with the patient as the unit: cluster bootstrap, paired Wilcoxon, effect size, Holm.

Several images of one patient are not independent. So a figure is the mean over patients of the mean within a patient,
its interval resamples patients, and a test compares patients.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[Any]

FEWEST_PATIENTS = 20  # a p-value of fewer is refused
RESAMPLES = 2000


def by_patient(values: Array, patients: Sequence[Any] | Array) -> Array:
    """Average within each patient, leaving out NaN.

    Args:
        values: (N,) float; NaN = could not be made.
        patients: (N,) patient of each value.

    Returns:
        (P,) float64 in the order of the sorted patients; NaN for a patient without a single value.
    """
    values = np.asarray(values, dtype=np.float64)
    _, code = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    made = np.isfinite(values)
    count = np.bincount(code, weights=made)
    total = np.bincount(code, weights=np.where(made, values, 0.0))
    means: Array = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return means


def patient_mean(values: Array, patients: Sequence[Any] | Array) -> float:
    """Mean over patients of the mean within a patient; NaN where there is no value at all."""
    means = by_patient(values, patients) if len(values) else np.empty(0)
    means = means[np.isfinite(means)]
    return float(means.mean()) if len(means) else float("nan")


class PatientBootstrap:
    """One set of resampled patients for several figures, so that ratios of them get a joint interval.

    Args:
        patients: (N,) patient of each row of the table; figures may leave rows out by NaN.
        resamples: number of bootstrap samples.
        seed: of the resampling.
    """

    def __init__(self, patients: Sequence[Any] | Array, resamples: int = RESAMPLES, seed: int = 0) -> None:
        self.patients = np.asarray(patients, dtype=str)
        names, self._code = np.unique(self.patients, return_inverse=True)
        self.count = len(names)
        drawn = np.random.default_rng(seed).integers(0, max(self.count, 1), (resamples, self.count))
        drawn += self.count * np.arange(resamples)[:, None]  # each resample counts into a row of its own
        often = np.bincount(drawn.ravel(), minlength=resamples * self.count)
        self._weights = often.reshape(resamples, self.count).astype(np.float64)

    def mean(self, values: Array) -> tuple[float, Array]:
        """Patient mean of a figure and its bootstrap samples.

        Args:
            values: (N,) one value a row, NaN where it could not be made or the row does not belong to the figure.

        Returns:
            The mean over patients and (resamples,) means of the resampled patients (NaN where a sample drew none).
        """
        if not self.count:
            return float("nan"), np.full(len(self._weights), np.nan)
        means = by_patient(values, self.patients)
        made = np.isfinite(means)
        if not made.any():
            return float("nan"), np.full(len(self._weights), np.nan)
        weights = self._weights[:, made]
        drawn = weights.sum(axis=1)
        total = weights @ means[made]
        samples = np.divide(total, drawn, out=np.full(len(drawn), np.nan), where=drawn > 0)
        return float(means[made].mean()), samples


def interval(samples: Array, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap samples; NaN, NaN where fewer than two samples are finite."""
    samples = np.asarray(samples, dtype=np.float64)
    samples = samples[np.isfinite(samples)]
    if len(samples) < 2:
        return float("nan"), float("nan")
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(samples, [tail, 100.0 - tail])
    return float(low), float(high)


def bootstrap_p(samples: Array, n_patients: int) -> float | None:
    """Two-sided p-value against zero of a figure that has no value a patient, such as a difference of ratios.

    Twice the smaller share of bootstrap samples on either side of zero, one sample added to each (Davison and Hinkley
    1997, section 4.4), so that none is 0: it inverts the percentile interval, and excludes zero where that does.

    Args:
        samples: (resamples,) of the figure; those that are not finite are left out.
        n_patients: that were resampled.

    Returns:
        In (0, 1]; None under 20 patients or two finite samples.
    """
    samples = np.asarray(samples, dtype=np.float64)
    samples = samples[np.isfinite(samples)]
    if n_patients < FEWEST_PATIENTS or len(samples) < 2:
        return None
    least = min(int((samples <= 0).sum()), int((samples >= 0).sum()))
    return min(1.0, 2.0 * (1 + least) / (1 + len(samples)))


def cluster_bootstrap(
    values: Array,
    patients: Sequence[Any] | Array,
    *,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Patient mean with its percentile interval over resampled patients (cluster bootstrap).

    Args:
        values: (N,) float, NaN left out.
        patients: (N,) patient of each value.
        resamples: bootstrap samples.
        level: coverage of the interval.
        seed: of the resampling.

    Returns:
        mean, low, high.
    """
    mean, samples = PatientBootstrap(patients, resamples, seed).mean(values)
    return (mean, *interval(samples, level))


def bootstrap_statistic(
    statistic: Callable[[Array], float],
    patients: Sequence[Any] | Array,
    *,
    resamples: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of any statistic of rows, resampling whole patients.

    Args:
        statistic: takes the (M,) row numbers of a resample (rows of a patient drawn twice come twice) and returns the
            figure, NaN where it can not be made.
        patients: (N,) patient of each row.
        resamples: bootstrap samples.
        level: coverage.
        seed: of the resampling.

    Returns:
        low, high.
    """
    names, code = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    if not len(names):
        return float("nan"), float("nan")
    order = np.argsort(code, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(code))[:-1])
    generator = np.random.default_rng(seed)
    samples = np.empty(resamples)
    for k in range(resamples):
        drawn = generator.integers(0, len(names), len(names))
        samples[k] = statistic(np.concatenate([rows[i] for i in drawn]))
    return interval(samples, level)


def paired_wilcoxon(before: Array, after: Array, patients: Sequence[Any] | Array) -> float | None:
    """Two-sided Wilcoxon signed-rank test of after against before, over patients.

    Args:
        before: (N,) first measurement.
        after: (N,) second measurement of the same rows; pairs with a NaN are left out.
        patients: (N,) patient of each pair; a patient enters with the mean of its differences.

    Returns:
        The p-value, 1.0 where no patient differs at all, or None under 20 patients.
    """
    difference = by_patient(
        np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64), patients
    )
    difference = difference[np.isfinite(difference)]
    if len(difference) < FEWEST_PATIENTS:
        return None
    if not np.any(difference):
        return 1.0
    return float(stats.wilcoxon(difference).pvalue)


def effect_size(before: Array, after: Array, patients: Sequence[Any] | Array) -> float:
    """Standardised mean of the paired differences over patients (Cohen's d_z); NaN where it has no spread."""
    difference = by_patient(
        np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64), patients
    )
    difference = difference[np.isfinite(difference)]
    if len(difference) < 2:
        return float("nan")
    spread = float(difference.std(ddof=1))
    return float(difference.mean()) / spread if spread > 0 else float("nan")


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction of a family of p-values.

    Args:
        p_values: None stands for a refused test: it stays None and does not count into the family.

    Returns:
        Adjusted p-values in the given order, at most 1.
    """
    given = [(p, i) for i, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, i) in enumerate(sorted(given)):
        running = max(running, min(1.0, (len(given) - rank) * p))
        adjusted[i] = running
    return adjusted
