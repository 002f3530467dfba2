"""Two figures of a reader study: how often each answer was given, and readers against the automatic measurement."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cfx.measurements import READING_FLOOR
from cfx.reporting.study_design import SCALE
from cfx.reporting.study_tables import OTHER
from cfx.reporting.style import BINS, DOWN, GRID, INK, QUIET, UP, new_figure, tidy


def ratings_figure(ratings: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """Answers as stacked bars, a row a statement and run; None where there are none."""
    rows = [
        (question.replace("_", " ") + (f"\n{arm}" if len(arms) > 1 else ""), node["counts"])
        for question, arms in ratings.items()
        for arm, node in arms.items()
        if sum(node["counts"])
    ]
    if not rows:
        return None
    figure = new_figure(7.2, 1.35 + 0.5 * len(rows))
    axes = figure.add_axes(
        (0.21, 0.62 / (1.35 + 0.5 * len(rows)), 0.75, 0.5 * len(rows) / (1.35 + 0.5 * len(rows)))
    )
    left = np.zeros(len(rows))
    shares = np.array([np.array(counts) / sum(counts) for _, counts in rows])
    places = np.arange(len(rows))[::-1]
    for point, (name, colour) in enumerate(zip(SCALE, BINS, strict=True)):
        axes.barh(places, shares[:, point], left=left, color=colour, height=0.66, label=name)
        for place, start, share in zip(places, left, shares[:, point], strict=True):
            if share > 0.08:
                axes.text(
                    start + share / 2,
                    place,
                    f"{share:.0%}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white",
                )
        left += shares[:, point]
    axes.set_yticks(places, [name for name, _ in rows], fontsize=8.5, color=INK)
    axes.set_xticks([])
    axes.set_xlim(0, 1)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    figure.text(
        0.02, 0.985, "How often each answer was given", fontsize=11, fontweight="bold", color=INK, va="top"
    )
    axes.legend(
        ncols=5,
        fontsize=7.4,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.4, -0.03),
        handlelength=1.0,
        columnspacing=0.9,
    )
    return figure


def agreement_figure(lines: pd.DataFrame, limits: Mapping[str, Any]) -> Figure | None:
    """Bland and Altman's plot of every reader's CTR against the automatic one; None under two readings.

    Args:
        lines: `study_tables.readings`; first showings are drawn.
        limits: bias (`estimate`) and `limits` of agreement as they were analysed.

    """
    rows = lines[~lines["repeat"].astype(bool)].dropna(subset=["ctr", "ctr_automatic"])
    if len(rows) < 2:
        return None
    mean = (rows["ctr"] + rows["ctr_automatic"]) / 2
    apart = rows["ctr"] - rows["ctr_automatic"]
    drawn = (rows["role"] == OTHER) & (rows["kind"] == "counterfactual")
    figure = new_figure(5.6, 4.7)
    axes = figure.add_axes((0.15, 0.13, 0.81, 0.74))
    tidy(axes, "Readers against the automatic CTR", "mean of both", "reader minus automatic")
    axes.axhspan(-READING_FLOOR, READING_FLOOR, color=GRID, linewidth=0)
    size = float(np.clip(2400 / len(rows), 4, 22))
    for some, colour, name in ((~drawn, DOWN, "real pictures"), (drawn, UP, "drawn pictures")):
        axes.scatter(mean[some], apart[some], s=size, color=colour, alpha=0.55, linewidths=0, label=name)
    low, high = limits["limits"]
    for value, dashes, text in (
        (limits["estimate"], "solid", f"bias {limits['estimate']:+.3f}"),
        (low, "dashed", f"{low:+.3f}"),
        (high, "dashed", f"{high:+.3f}"),
    ):
        if not np.isfinite(value):
            continue
        axes.axhline(value, color=INK, linewidth=1.1, linestyle=dashes)
        axes.text(
            1.0,
            value,
            text,
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="bottom",
            fontsize=8,
            color=INK,
        )
    axes.legend(frameon=False, fontsize=8.2, loc="upper left")
    figure.text(
        0.15, 0.02, f"Grey band: ±{READING_FLOOR}, by which two readers differ.", fontsize=8.2, color=QUIET
    )
    return figure
