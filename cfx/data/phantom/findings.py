"""What disease is in the phantom: a latent severity a finding, the label drawn from it, and what it changes.

A severity has no unit: about 0 in the healthy, about 1 in the ill, `HALFWAY` where a label is as likely as not. The
label is drawn from a logistic function of the severity, then flipped in `FLIPS` of patients, and is uncertain (-1) most
often where the severity is halfway. Nothing the picture alone shows (breath, projection, fat) enters the label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri

if TYPE_CHECKING:
    from cfx.data.phantom.anatomy import Draws

Array = NDArray[np.float64]

FINDINGS: dict[str, str] = {
    "Cardiomegaly": "cardiomegaly",
    "Pleural Effusion": "pleural_effusion",
    "Edema": "edema",
}
"""CheXpert's name of each finding and the name used in the truth table's columns."""

PREVALENCE: dict[str, float] = {"cardiomegaly": 0.46, "pleural_effusion": 0.36, "edema": 0.32}
"""Share of patients in the ill component."""

HEALTHY = (0.0, 0.20)
"""Mean and spread of the severity in the healthy component."""

ILL = (1.0, 0.38)
"""Mean and spread of the severity in the ill component."""

HALFWAY = 0.43
"""Severity at which the label is as likely as not; the latent call is severity > HALFWAY."""

SLOPE = 0.06
"""Width of the logistic, in severities."""

FLIPS = 0.01
"""Share of labels that are simply wrong."""

UNCERTAIN = 0.35
"""Chance of an uncertain label where the severity is halfway."""

TOGETHER = 0.6
"""Correlation of the findings' causes in the correlated variant (heart failure)."""

BOUNDS: dict[str, tuple[float, float]] = {
    "cardiomegaly": (-0.7, 2.1),
    "pleural_effusion": (-0.5, 2.2),
    "edema": (-0.8, 2.4),
}
"""Severities the renderer is made for; the oracle searches between them."""

RATIO = (0.440, 0.120)
"""Cardiothoracic ratio of a heart of severity 0, and what a unit of severity adds, before nuisances."""


def posterior(severity: Array) -> Array:
    """(N,) probability that the written label is positive given the severity: flips and logistic together."""
    certain = expit((severity - HALFWAY) / SLOPE)
    return np.asarray(FLIPS + (1.0 - 2.0 * FLIPS) * certain, dtype=np.float64)


def draw_findings(draws: Draws, correlated: bool) -> dict[str, Array]:
    """Severity, latent call, label and Bayes posterior of every finding, and which sides fluid is on.

    Columns a finding: `severity_x`, `call_x` (0/1, the severity is past halfway), `bayes_x` (probability of a positive
    label given the severity), `label_x` (0/1, after flips), `uncertain_x` (0/1, the report hedges).
    """
    columns: dict[str, Array] = {}
    shared = draws.normal()
    for name in FINDINGS.values():
        cause = draws.normal(limit=6.0)
        if correlated:
            cause = np.sqrt(1.0 - TOGETHER) * cause + np.sqrt(TOGETHER) * shared
        ill = cause > -ndtri(PREVALENCE[name])
        spread = draws.normal(limit=3.0)
        severity = np.where(ill, ILL[0] + ILL[1] * spread, HEALTHY[0] + HEALTHY[1] * spread)
        severity = np.clip(severity, BOUNDS[name][0] + 0.05, BOUNDS[name][1] - 0.05)
        certain = expit((severity - HALFWAY) / SLOPE)
        label = draws.uniform() < certain
        label ^= draws.chance(FLIPS)
        hedge = UNCERTAIN * 4.0 * certain * (1.0 - certain) + 0.01
        columns[f"severity_{name}"] = severity
        columns[f"call_{name}"] = (severity > HALFWAY).astype(float)
        columns[f"bayes_{name}"] = posterior(severity)
        columns[f"label_{name}"] = label.astype(float)
        columns[f"uncertain_{name}"] = draws.chance(hedge).astype(float)
    side = draws.uniform()
    columns["fluid_left"] = (side > 0.33).astype(float)
    columns["fluid_right"] = (side < 0.67).astype(float)
    columns["fluid_slope"] = np.asarray(0.6 + 0.8 * ndtr(draws.normal()), dtype=np.float64)
    return columns
