"""How good and how honest a posterior is: AUROC, AUPRC, Youden's threshold, ECE and Brier at a stated prior."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from cfx.metrics.statistics import bootstrap_statistic

Array = npt.NDArray[Any]


def _known(posterior: Array, label: Array) -> tuple[Array, Array]:
    """Pairs in which both are known."""
    posterior, label = np.asarray(posterior, dtype=np.float64), np.asarray(label, dtype=np.float64)
    both = np.isfinite(posterior) & ((label == 0) | (label == 1))
    return posterior[both], label[both]


def prior_weights(label: Array, prior: float | None) -> Array:
    """Weights that make the weighted share of positives equal to `prior`; all 1 for None.

    Args:
        label: (N,) 1/0 without NaN.
        prior: in (0, 1), or None for the sample's own prevalence.
    """
    label = np.asarray(label, dtype=np.float64)
    share = float(label.mean()) if len(label) else float("nan")
    if prior is None or not 0 < share < 1:
        return np.ones(len(label))
    return np.where(label == 1, prior / share, (1 - prior) / (1 - share))


def auroc(posterior: Array, label: Array) -> float:
    """Area under the ROC curve by ranks (ties count half); NaN where one class is missing."""
    posterior, label = _known(posterior, label)
    positives = int(label.sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = stats.rankdata(posterior)
    return float((ranks[label == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def youden(posterior: Array, label: Array) -> tuple[float, float]:
    """Threshold that parts positives from negatives best: Youden's J = sensitivity + specificity - 1 (Cancer 1950).

    A picture is called positive from the threshold on. It lies half-way between the two posteriors that it parts, so
    that neither is called by a rounding error; of equally good ones the nearest to 0.5 is taken.

    Args:
        posterior: (N,) in [0, 1].
        label: (N,) 1/0, NaN left out.

    Returns:
        threshold in (0, 1) and J in [0, 1]; both NaN where one class is missing or all posteriors are the same.
    """
    posterior, label = _known(posterior, label)
    positives = float(label.sum())
    negatives = len(label) - positives
    values, place = np.unique(posterior, return_inverse=True)
    if not positives or not negatives or len(values) < 2:
        return float("nan"), float("nan")
    hits = np.bincount(place, weights=label)[::-1].cumsum()[::-1][1:] / positives
    alarms = np.bincount(place, weights=1 - label)[::-1].cumsum()[::-1][1:] / negatives
    middles, index = (values[:-1] + values[1:]) / 2, hits - alarms
    best = np.flatnonzero(index >= index.max() - 1e-12)
    chosen = best[np.argmin(np.abs(middles[best] - 0.5))]
    return float(middles[chosen]), float(index[chosen])


def auprc(posterior: Array, label: Array) -> float:
    """Average precision, the step-wise area under the precision-recall curve; NaN without positives."""
    posterior, label = _known(posterior, label)
    if not label.sum():
        return float("nan")
    order = np.argsort(-posterior, kind="stable")
    posterior, label = posterior[order], label[order]
    last = np.append(np.flatnonzero(np.diff(posterior)), len(label) - 1)  # the last picture at each threshold
    found = np.cumsum(label)[last]
    precision = found / (last + 1)
    return float((np.diff(found, prepend=0.0) / label.sum() * precision).sum())


def auroc_interval(
    posterior: Array, label: Array, patients: Sequence[Any] | Array, resamples: int = 500, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the AUROC over resampled patients."""
    posterior, label = np.asarray(posterior, dtype=np.float64), np.asarray(label, dtype=np.float64)
    return bootstrap_statistic(
        lambda rows: auroc(posterior[rows], label[rows]), patients, resamples=resamples, seed=seed
    )


def brier(posterior: Array, label: Array, prior: float | None = None) -> float:
    """Mean squared error of the posterior, positives and negatives weighted to the prior; NaN for no pairs."""
    posterior, label = _known(posterior, label)
    if not len(label):
        return float("nan")
    return float(np.average((posterior - label) ** 2, weights=prior_weights(label, prior)))


def calibration_error(posterior: Array, label: Array, prior: float | None = None, bins: int = 10) -> float:
    """Expected calibration error over equal bins of the posterior, weighted to the prior.

    Args:
        posterior: (N,) in [0, 1].
        label: (N,) 1/0, NaN left out.
        prior: prevalence that the posterior refers to; None for the sample's own.
        bins: number of equal bins; the last includes 1.

    Returns:
        sum over bins of the bin's weight times |mean posterior - share of positives|; NaN for no pairs.
    """
    posterior, label = _known(posterior, label)
    if not len(label):
        return float("nan")
    weights = prior_weights(label, prior)
    number = np.minimum((posterior * bins).astype(int), bins - 1)
    off = np.bincount(number, weights=weights * (posterior - label), minlength=bins)
    return float(np.abs(off).sum() / weights.sum())
