"""Mixed models of a reader study: readers and images are both samples, so both are random and crossed."""

import importlib
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cfx.errors import BadValue

FEWEST = 8
"""Answers under which no model is fitted."""
_METHODS = ("powell", "lbfgs")


@dataclass(frozen=True)
class Effect:
    """A fixed effect with its 95 % Wald interval; all NaN where it could not be made."""

    estimate: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Fit:
    """A fitted model.

    Attributes:
        effects: fixed effects by their names in the formula.
        variance: components `reader`, `image` and `residual`; those that the data could not tell are absent.
        n: answers.
        note: what must be known when reading it, '' where all went well.

    """

    effects: dict[str, Effect]
    variance: dict[str, float]
    n: int
    note: str = ""


def statsmodels(name: str) -> Any:
    """A module of statsmodels.

    Raises:
        BadValue: it is not installed.

    """
    try:
        return importlib.import_module(f"statsmodels.{name}")
    except ImportError:
        raise BadValue("study", None, "the analysis needs statsmodels", "pip install 'cfx[stats]'") from None


def crossed_model(table: pd.DataFrame, formula: str) -> Fit:
    """Fits `formula` with crossed random intercepts of readers and images, by restricted maximum likelihood.

    Crossed effects are variance components of one group that holds everything (statsmodels' MixedLM, Lindstrom & Bates
    1988). A component with fewer than two levels is left out and said so.

    Args:
        table: a row an answer: the formula's columns, and `reader` and `image`.
        formula: of the fixed effects, such as ``score ~ C(arm)``.

    """
    # Its own column of ones is the single group in which readers and images cross.
    data = table.dropna(subset=[formula.split("~")[0].strip()]).assign(everything=1)
    score = data[formula.split("~")[0].strip()].to_numpy(dtype=float)
    if len(data) < FEWEST:
        return Fit({}, {}, len(data), f"under {FEWEST} answers: no model")
    if np.ptp(score) == 0:
        value = float(score[0])
        return Fit(
            {"Intercept": Effect(value, np.nan, np.nan, np.nan)}, {}, len(data), "all answers are alike"
        )
    crossed = {name: f"0 + C({name})" for name in ("reader", "image") if data[name].nunique() > 1}
    notes = [f"one {name} only" for name in ("reader", "image") if name not in crossed]
    api = statsmodels("formula.api")
    model = (
        api.mixedlm(formula, data, groups="everything", vc_formula=crossed, re_formula="0")
        if crossed
        else None
    )
    fitted, said = _fitted(model) if model is not None else (api.ols(formula, data).fit(), "")
    if fitted is None:
        return Fit({}, {}, len(data), said)
    notes += [said] if said else []
    names = list(fitted.model.exog_names)
    bounds = np.asarray(fitted.conf_int())[: len(names)]
    values = np.asarray(getattr(fitted, "fe_params", fitted.params), dtype=float)[: len(names)]
    chances = np.asarray(fitted.pvalues, dtype=float)[: len(names)]
    effects = {
        name: Effect(float(value), float(bound[0]), float(bound[1]), float(p))
        for name, value, bound, p in zip(names, values, bounds, chances, strict=True)
    }
    variance = {"residual": float(fitted.scale)}
    if model is not None:
        order = list(model.exog_vc.names)
        variance |= {name: float(value) for name, value in zip(order, fitted.vcomp, strict=True)}
    return Fit(effects, variance, len(data), "; ".join(notes))


def _fitted(model: Any) -> tuple[Any, str]:
    """The likeliest fit of several optimisers, and a note.

    One alone is not to be trusted here: L-BFGS was seen to stop far from the optimum and to call that converged.
    """
    found = []
    for method in _METHODS:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                fitted = model.fit(reml=True, method=method)
            except (np.linalg.LinAlgError, ValueError):
                continue
        if np.isfinite(fitted.llf) and np.isfinite(np.asarray(fitted.bse_fe, dtype=float)).all():
            found.append((float(fitted.llf), fitted, caught))
    if not found:
        return None, "the model could not be fitted"
    _, fitted, caught = max(found, key=lambda each: each[0])
    if min(fitted.vcomp) < 1e-6 or any("boundary" in str(each.message) for each in caught):
        return fitted, "a variance component is zero"
    return fitted, "" if fitted.converged else "the fit did not converge: read it with care"
