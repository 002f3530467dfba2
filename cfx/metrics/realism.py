"""Do counterfactuals look like real pictures of the group they were sent to? Kernel and Frechet distances of features.

Formulae as in torchmetrics' KernelInceptionDistance and FrechetInceptionDistance (Binkowski et al. 2018; Heusel et al.
2017), on the features of any network; intervals resample patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FID_TIMES = 10


def polynomial_kernel(first: Array, second: Array) -> Array:
    """Kernel (x . y / d + 1)^3 between features (N, d) and (M, d), giving (N, M)."""
    kernel: Array = (first @ second.T / first.shape[1] + 1.0) ** 3
    return kernel


@dataclass(frozen=True)
class KernelDistance:
    """Kernel distance with its interval, and what two samples of real pictures differ by."""

    kid: float
    low: float
    high: float


def _weighted(kernel: Array, left: Array, right: Array, apart: Array | None) -> float:
    """Weighted mean of a kernel; with `apart` only over pairs of different patients."""
    weights = np.outer(left, right)
    if apart is not None:
        weights = weights * apart
    total = weights.sum()
    return float((weights * kernel).sum() / total) if total > 0 else float("nan")


def _distance(
    kernels: tuple[Array, Array, Array], weights: tuple[Array, Array], apart: tuple[Array, Array]
) -> float:
    """Squared maximum mean discrepancy of weighted samples."""
    own, other, between = kernels
    return (
        _weighted(own, weights[0], weights[0], apart[0])
        + _weighted(other, weights[1], weights[1], apart[1])
        - 2 * _weighted(between, weights[0], weights[1], None)
    )


def kid(
    made: Array,
    real: Array,
    made_patients: Sequence[Any] | Array,
    real_patients: Sequence[Any] | Array,
    *,
    resamples: int = 200,
    seed: int = 0,
) -> KernelDistance:
    """Unbiased kernel distance between features of drawn and of real pictures, with an interval by patient.

    Pairs within one patient are left out of the within-sample terms (for one picture a patient that is the usual
    unbiased estimate), also in the resamples, where a patient drawn twice would otherwise look like its own twin.

    Args:
        made: (N, d) features of counterfactuals.
        real: (M, d) features of real pictures of the destination group.
        made_patients: (N,) patients.
        real_patients: (M,) patients.
        resamples: bootstrap samples.
        seed: of the resampling.

    Returns:
        The distance and its 95 % percentile interval; NaN where either side has fewer than two patients.
    """
    made, real = np.asarray(made, dtype=np.float64), np.asarray(real, dtype=np.float64)
    names_a, code_a = np.unique(np.asarray(made_patients, dtype=str), return_inverse=True)
    names_b, code_b = np.unique(np.asarray(real_patients, dtype=str), return_inverse=True)
    if len(names_a) < 2 or len(names_b) < 2:
        return KernelDistance(float("nan"), float("nan"), float("nan"))
    kernels = (polynomial_kernel(made, made), polynomial_kernel(real, real), polynomial_kernel(made, real))
    apart = (
        (code_a[:, None] != code_a[None]).astype(np.float64),
        (code_b[:, None] != code_b[None]).astype(np.float64),
    )
    whole = _distance(kernels, (np.ones(len(made)), np.ones(len(real))), apart)
    generator = np.random.default_rng(seed)
    samples = []
    for _ in range(resamples):
        draw_a = np.bincount(generator.integers(0, len(names_a), len(names_a)), minlength=len(names_a))[
            code_a
        ]
        draw_b = np.bincount(generator.integers(0, len(names_b), len(names_b)), minlength=len(names_b))[
            code_b
        ]
        samples.append(_distance(kernels, (draw_a.astype(float), draw_b.astype(float)), apart))
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return KernelDistance(whole, float(low), float(high))


def kid_floor(
    real: Array,
    patients: Sequence[Any] | Array,
    *,
    made: int | None = None,
    splits: int = 50,
    seed: int = 0,
) -> float:
    """What real pictures differ by from real pictures: the 95 % quantile of |kid| over random halves of the patients.

    Two samples of one distribution are about 1/n + 1/m apart (their discrepancy is a degenerate U-statistic: Gretton et
    al., JMLR 2012, theorem 12). Halves are smaller samples than those of the distance that the floor stands beside, so
    each is scaled from its own sizes a and b by (1/made + 1/M) / (1/a + 1/b), about (1/made + 1/M) / (4/M).

    Args:
        real: (M, d) features.
        patients: (M,) patients; a patient's pictures stay in one half.
        made: number of drawn pictures that are compared with these M; None leaves the floor that of the halves.
        splits: random halvings.
        seed: of the halving.
    """
    real = np.asarray(real, dtype=np.float64)
    names, code = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    if len(names) < 4:
        return float("nan")
    kernel = polynomial_kernel(real, real)
    apart = (code[:, None] != code[None]).astype(np.float64)
    generator = np.random.default_rng(seed)
    distances = []
    for _ in range(splits):
        half = np.zeros(len(names), dtype=bool)
        half[generator.permutation(len(names))[: len(names) // 2]] = True
        a, b = np.flatnonzero(half[code]), np.flatnonzero(~half[code])
        kernels = (kernel[np.ix_(a, a)], kernel[np.ix_(b, b)], kernel[np.ix_(a, b)])
        weights = (np.ones(len(a)), np.ones(len(b)))
        found = abs(_distance(kernels, weights, (apart[np.ix_(a, a)], apart[np.ix_(b, b)])))
        scale = 1.0 if made is None else (1 / made + 1 / len(real)) / (1 / len(a) + 1 / len(b))
        distances.append(scale * found)
    return float(np.quantile(distances, 0.95))


def frechet_distance(first: Array, second: Array) -> float:
    """Frechet distance of two Gaussians fitted to features (N, d) and (M, d)."""
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    cov_a, cov_b = (np.atleast_2d(np.cov(value, rowvar=False)) for value in (first, second))
    difference = first.mean(axis=0) - second.mean(axis=0)
    # The product of two covariances has real eigenvalues >= 0; rounding may turn them slightly negative or complex.
    roots = np.sqrt(np.clip(np.linalg.eigvals(cov_a @ cov_b).real, 0.0, None))
    return float(difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2 * roots.sum())


def fid(first: Array, second: Array, seed: int = 0) -> float | None:
    """Frechet distance of equally many pictures a side, or None where there are too few to mean anything.

    Args:
        first: (N, d) features.
        second: (M, d) features; the larger side is thinned at random to equal numbers.
        seed: of the thinning.

    Returns:
        The distance, or None under 10 times as many pictures a side as dimensions: two samples of one distribution
        would already lie far apart.
    """
    count, size = min(len(first), len(second)), first.shape[1]
    if count < FID_TIMES * size or count < 2:
        return None
    generator = np.random.default_rng(seed)
    a, b = (
        side[generator.permutation(len(side))[:count]] for side in (np.asarray(first), np.asarray(second))
    )
    return frechet_distance(a, b)
