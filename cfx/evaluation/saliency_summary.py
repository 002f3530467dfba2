"""Figures of a comparison of saliency maps: means over patients with intervals, and the explainer against each."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cfx.evaluation.saliency import FIGURES, OWN, Measured, Sample
from cfx.metrics.statistics import RESAMPLES, PatientBootstrap, interval, patient_mean
from cfx.metrics.validity import DOWN, UP

Array = npt.NDArray[Any]


def figure_of(bootstrap: PatientBootstrap, values: Array) -> dict[str, Any]:
    """Mean over patients, 95 % interval over resampled patients, and of how many pictures; null where there is none."""
    mean, samples = bootstrap.mean(values)
    low, high = interval(samples)
    return {"mean": mean, "low": low, "high": high, "n": int(np.isfinite(values).sum())}


def _wide(rows: pd.DataFrame, figure: str, ids: list[str]) -> pd.DataFrame:
    """One figure, a row a picture in the order of `ids`, a column a method."""
    return rows.pivot(index="image_id", columns="method", values=figure).loc[ids]


def summarise(
    sample: Sample, measured: Measured, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """Return the figures of every method by group, plain dicts.

    Args:
        sample: the pictures. measured: what their maps scored.
        resamples: bootstrap samples of patients. seed: of the resampling.

    Returns:
        `groups`: sizes, how many oracles reached their target, the share of the picture that truly changes, and the
        posterior of the finding before, at the target, and for the emptied and the blurred picture;
        `methods.{name}.{up,down}.{figure}`: mean, low, high, n; `explainer_minus.{name}...`: the same of the paired
        difference; `curves.{name}.{up,down}`: mean deletion and insertion curve.
    """
    names = list(measured.deletion)
    out: dict[str, Any] = {
        "groups": {},
        "methods": {name: {} for name in names},
        "explainer_minus": {name: {} for name in names if name != OWN},
        "curves": {name: {} for name in names},
    }
    for group in (UP, DOWN):
        where = (sample.table["group"] == group).to_numpy()
        table = sample.table[where]
        patients, ids = table["patient_id"].to_numpy(), table["image_id"].tolist()
        bootstrap = PatientBootstrap(patients, resamples, seed)
        out["groups"][group] = {
            "n_images": len(table),
            "n_patients": int(table["patient_id"].nunique()),
            "oracle_reached": int(table["reached"].sum()),
            "changed_share": patient_mean(measured.share[where], patients),
            "posterior": patient_mean(table["before"].to_numpy(), patients),
            "posterior_counterfactual": patient_mean(table["after"].to_numpy(), patients),
            "posterior_mean_grey": patient_mean(measured.emptied[where], patients),
            "posterior_blurred": patient_mean(measured.smeared[where], patients),
        }
        for name in names:
            out["methods"][name][group] = {}
            out["curves"][name][group] = {
                kind: [patient_mean(column, patients) for column in curves[name][where].T]
                for kind, curves in (("deletion", measured.deletion), ("insertion", measured.insertion))
            }
            if name != OWN:
                out["explainer_minus"][name][group] = {}
        for figure in FIGURES:
            wide = _wide(measured.rows, figure, ids)
            own = wide[OWN].to_numpy(dtype=np.float64)
            for name in names:
                values = wide[name].to_numpy(dtype=np.float64)
                out["methods"][name][group][figure] = figure_of(bootstrap, values)
                if name != OWN:
                    out["explainer_minus"][name][group][figure] = figure_of(bootstrap, own - values)
    return out
