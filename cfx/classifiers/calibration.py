"""From a classifier's logits to posteriors at a stated prior, by two numbers a finding.

Platt scaling (Platt 1999): `a * z + b` with a > 0 maximises the likelihood of validation patients' labels,
with Platt's softened targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2), so that few or separable patients give no
infinite slope. The result refers to the validation patients' own prevalence; Bayes' rule moves it to another
prior by adding `logit(prior) - logit(prevalence)`, which leaves every likelihood ratio as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch import Tensor

from cfx.errors import BadValue, TooFewPositives

FEWEST = 5
"""Positives and negatives that a finding needs to be calibrated."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """`scale * z + shift`, each (K,), and the prior (K,) it refers to; 1, 0 and NaN where too few patients told."""

    scale: Tensor
    shift: Tensor
    prior: Tensor


def platt(logits: Array, labels: Array) -> tuple[float, float]:
    """Slope and intercept of Platt's sigmoid.

    Args:
        logits: (N,) scores.
        labels: (N,) 1 or 0, both present.

    Returns:
        slope (> 0) and intercept.

    """
    positives = float(labels.sum())
    negatives = float(len(labels) - positives)
    target = np.where(labels > 0.5, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    centre, width = float(logits.mean()), float(logits.std()) or 1.0
    z = (logits - centre) / width

    def loss(parameters: Array) -> tuple[float, Array]:
        slope = math.exp(parameters[0])
        value = slope * z + parameters[1]
        error = 1 / (1 + np.exp(-value)) - target
        likelihood = np.logaddexp(0, value) - target * value
        return float(likelihood.mean()), np.array([(error * z).mean() * slope, error.mean()])

    start = np.array([0.0, math.log((positives + 1) / (negatives + 1))])
    bounds = [(-4.0, 4.0), (-30.0, 30.0)]
    log_slope, intercept = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    slope = math.exp(float(log_slope)) / width
    return slope, float(intercept) - slope * centre


def fit(logits: Tensor, labels: Tensor, prior: float = 0.5, required: str | None = None) -> Calibration:
    """Calibrate each output on validation patients.

    Args:
        logits: (N, K) uncalibrated.
        labels: (N, K) 1, 0 or NaN (unknown, left out).
        prior: the prevalence that the posteriors shall refer to, in (0, 1).
        required: name of the first finding, where it must be calibrated.

    Returns:
        `Calibration`; outputs with fewer than five positives or negatives keep scale 1 and shift 0, prior
        NaN.

    Raises:
        BadValue: the prior is no prevalence.
        TooFewPositives: the first finding is required and has fewer than five positives or negatives.

    """
    if not 0.0 < prior < 1.0:
        raise BadValue(
            "blackbox.prior", prior, "is no prevalence", "give a number between 0 and 1, such as 0.5"
        )
    outputs = logits.shape[1]
    scale, shift, priors = torch.ones(outputs), torch.zeros(outputs), torch.full((outputs,), float("nan"))
    z, y = logits.detach().double().cpu().numpy(), labels.double().cpu().numpy()
    for output in range(outputs):
        known = ~np.isnan(y[:, output])
        truth = y[known, output]
        positives, negatives = int((truth > 0.5).sum()), int((truth <= 0.5).sum())
        if min(positives, negatives) < FEWEST:
            if output == 0 and required is not None:
                raise TooFewPositives(
                    "finding",
                    required,
                    f"has {positives} positive and {negatives} negative validation images, too few",
                    f"give at least {FEWEST} of each or a larger validation share",
                )
            continue
        slope, intercept = platt(z[known, output], truth)
        prevalence = positives / (positives + negatives)
        scale[output] = slope
        shift[output] = intercept + math.log(prior / (1 - prior)) - math.log(prevalence / (1 - prevalence))
        priors[output] = prior
    return Calibration(scale, shift, priors)
