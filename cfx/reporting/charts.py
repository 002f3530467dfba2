"""Two charts of an evaluation: what was asked against what was reached, and the CTR before against after."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from cfx.reporting.style import BINS, DOWN, GRID, INK, QUIET, READING_FLOOR, UP, new_figure, tidy

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
        columns bin (0..4), target, mean, half (half-width of a normal 95 % interval over patients; 0 for one
        patient), n_patients, sorted by bin and target; rows without a posterior are left out.

    """
    known = table.dropna(subset=["p_before", "target", "p_after"])
    known = known.assign(bin=source_bins(known["p_before"]), target=known["target"].round(4))
    patients = known.groupby(["bin", "target", "patient_id"], as_index=False)["p_after"].mean()
    grouped = patients.groupby(["bin", "target"])["p_after"]
    curve = grouped.agg(["mean", "std", "count"]).reset_index()
    curve["half"] = (1.96 * curve["std"] / np.sqrt(curve["count"])).fillna(0.0)
    named: pd.DataFrame = curve.rename(columns={"count": "n_patients"})
    return named[["bin", "target", "mean", "half", "n_patients"]]


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
        x, mean, half = (line[name_].to_numpy(dtype=float) for name_ in ("target", "mean", "half"))
        axes.fill_between(x, mean - half, mean + half, color=BINS[number], alpha=0.18, linewidth=0)
        axes.plot(x, mean, color=BINS[number], linewidth=1.8, marker="o", markersize=3.4, label=name)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    legend = axes.legend(frameon=False, fontsize=8.2, labelcolor=INK, loc="upper left")
    legend.set_zorder(5)
    return figure


def before_after(table: pd.DataFrame) -> pd.DataFrame:
    """CTR of the original and of the picture that answers the group's question, averaged by patient.

    The question is target 1 for group 'up' and target 0 for 'down'; images without a measurement on either
    side are left out.

    Args:
        table: ``counterfactuals.parquet`` (columns patient_id, group, target, ctr_before, ctr_after).

    Returns:
        columns group, patient_id, before, after.

    """
    asked = ((table["group"] == "up") & np.isclose(table["target"], 1.0)) | (
        (table["group"] == "down") & np.isclose(table["target"], 0.0)
    )
    rows = table[asked].dropna(subset=["ctr_before", "ctr_after"])
    means = rows.groupby(["group", "patient_id"], as_index=False)[["ctr_before", "ctr_after"]].mean()
    return means.rename(columns={"ctr_before": "before", "ctr_after": "after"})


def _ctr_panel(axes: Axes, rows: pd.DataFrame, group: str, limits: tuple[float, float]) -> None:
    """One direction: a dot a patient, the band of the reading floor around 'no change', the mean as a cross."""
    colour, asked = (UP, "asked for 1.0") if group == "up" else (DOWN, "asked for 0.0")
    before, after = rows["before"].to_numpy(dtype=float), rows["after"].to_numpy(dtype=float)
    tidy(
        axes,
        f"{asked}  (n={len(rows):,} patients)",
        "CTR of the original",
        "CTR of the counterfactual",
        pad=26,
    )
    line = np.asarray(limits)
    axes.fill_between(line, line - READING_FLOOR, line + READING_FLOOR, color=GRID, linewidth=0)
    axes.plot(line, line, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)))
    size = float(np.clip(1800 / max(len(rows), 1), 5, 22))
    axes.scatter(before, after, s=size, color=colour, alpha=0.55, linewidths=0)
    axes.scatter(before.mean(), after.mean(), s=130, marker="+", color=INK, linewidths=2.0, zorder=4)
    grew = float(np.mean(after - before > READING_FLOOR))
    shrank = float(np.mean(before - after > READING_FLOOR))
    text = (
        f"mean {before.mean():.3f} → {after.mean():.3f};  beyond the band: "
        f"larger {grew:.0%}, smaller {shrank:.0%}"
    )
    axes.text(0.0, 1.025, text, transform=axes.transAxes, fontsize=8.4, color=INK, va="bottom")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.05 if limits[1] - limits[0] < 0.6 else 0.1))
        axis.set_major_formatter("{x:.2f}")
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_aspect("equal")


def ctr_figure(table: pd.DataFrame, sides: Sequence[str] = ("up", "down")) -> Figure | None:
    """CTR before against after by patient, upwards and downwards, the readers' floor of 0.027 drawn as a
    band.

    Args:
        table: ``counterfactuals.parquet``.
        sides: directions to draw, a panel each; the axes are the same whichever are drawn.

    Returns:
        the figure, or None where no CTR was measured.

    """
    needed = {"group", "target", "ctr_before", "ctr_after", "patient_id"}
    if table.empty or not needed <= set(table.columns):
        return None
    rows = before_after(table)
    groups = [group for group in sides if (rows["group"] == group).any()]
    if not groups:
        return None
    values = np.concatenate([rows["before"].to_numpy(dtype=float), rows["after"].to_numpy(dtype=float)])
    limits = (float(np.floor(values.min() * 50) / 50 - 0.02), float(np.ceil(values.max() * 50) / 50 + 0.02))
    panel, left, gap = 3.9, 0.72, 0.95
    width, height = left + len(groups) * panel + (len(groups) - 1) * gap + 0.15, 5.55
    figure = new_figure(width, height)
    for number, group in enumerate(groups):
        x = left + number * (panel + gap)
        axes = figure.add_axes((x / width, 0.9 / height, panel / width, panel / height))
        _ctr_panel(axes, rows[rows["group"] == group], group, limits)
    told = (
        f"Grey band: ±{READING_FLOOR}, by which two readers differ on one image. Inside it nothing changed."
    )
    figure.text(
        left / width,
        0.12 / height,
        fill(told, 64 * len(groups)),  # letters that fit under a panel
        fontsize=8.2,
        color=QUIET,
        va="bottom",
    )
    return figure
