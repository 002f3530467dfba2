"""The chart of what was asked against what was reached; its sister is `cfx.reporting.before_after`."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cfx.metrics.statistics import FEWEST_PATIENTS, PatientBootstrap, interval
from cfx.reporting.style import BINS, INK, QUIET, new_figure, tidy

EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Edges of the source bins of the validity curve (EVALUATION section 2)."""


def source_bins(posterior: pd.Series) -> pd.Series:
    """The source bin, 0 to 4, of each posterior in [0, 1]; 1.0 belongs to the last."""
    bins = np.clip(np.searchsorted(EDGES, posterior.to_numpy(dtype=float), side="right") - 1, 0, 4)
    return pd.Series(bins, index=posterior.index)


def validity_curve(table: pd.DataFrame) -> pd.DataFrame:
    """Mean posterior reached by target and source bin, averaged within patients first.

    Args:
        table: ``counterfactuals.parquet`` (columns patient_id, p_before, target, p_after).

    Returns:
        columns bin (0..4), target, mean, low, high (95 % interval of the mean by bootstrap over patients; NaN under
        `FEWEST_PATIENTS`, of whom it would be too narrow), n_patients, sorted by bin and target; rows without a
        posterior are left out.

    """
    known = table.dropna(subset=["p_before", "target", "p_after"])
    known = known.assign(bin=source_bins(known["p_before"]), target=known["target"].round(4))
    points = []
    for number, rows in known.groupby("bin"):
        patients = rows["patient_id"].to_numpy(dtype=str)
        bootstrap = PatientBootstrap(patients)
        for target in np.unique(rows["target"]):
            asked = rows["target"].to_numpy() == target
            mean, samples = bootstrap.mean(np.where(asked, rows["p_after"].to_numpy(dtype=float), np.nan))
            count = len(np.unique(patients[asked]))
            low, high = interval(samples) if count >= FEWEST_PATIENTS else (np.nan, np.nan)
            points.append((number, target, mean, low, high, count))
    return pd.DataFrame(points, columns=["bin", "target", "mean", "low", "high", "n_patients"])


def validity_figure(table: pd.DataFrame) -> Figure | None:
    """Posterior reached against posterior asked for, a line a source bin, with the diagonal of perfect
    obedience.

    Returns:
        the figure, or None where the table has no complete row or fewer than two targets.

    """
    if table.empty:
        return None
    curve = validity_curve(table)
    if curve["target"].nunique() < 2:
        return None
    figure = new_figure(5.6, 4.7)
    axes = figure.add_axes((0.12, 0.13, 0.84, 0.74))
    tidy(axes, "Does the classifier follow?", "posterior asked for", "posterior reached (mean over patients)")
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)), label="as asked")
    for number in range(len(EDGES) - 1):
        line = curve[curve["bin"] == number]
        if line.empty:
            continue
        n = int(line["n_patients"].max())
        name = f"began at {EDGES[number]:.1f}–{EDGES[number + 1]:.1f}  (n={n:,})"
        x, mean, low, high = (line[key].to_numpy(dtype=float) for key in ("target", "mean", "low", "high"))
        axes.fill_between(x, low, high, color=BINS[number], alpha=0.18, linewidth=0)
        axes.plot(x, mean, color=BINS[number], linewidth=1.8, marker="o", markersize=3.4, label=name)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    legend = axes.legend(frameon=False, fontsize=8.2, labelcolor=INK, loc="upper left")
    legend.set_zorder(5)
    return figure
