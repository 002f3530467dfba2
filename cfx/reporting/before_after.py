"""The chart of a measurement before against after by patient: of what the task is read by, and of the CTR beside it."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from cfx.evaluation.reading_words import MEASURES, label_of
from cfx.metrics.statistics import FEWEST_PATIENTS, cluster_bootstrap
from cfx.reporting.example_readings import measures_nothing, read_by_of
from cfx.reporting.style import DOWN, GRID, INK, QUIET, UP, new_figure, tidy
from cfx.reporting.tables import DIRECTIONS

READINGS = {
    "ctr": {"ctr": ""},
    "haze": {"haze": ""},
    # By side: a classifier that is convinced by fluid on one side moves one recess, which a mean of both hides.
    "scp": {"scp_right": "patient's right", "scp_left": "patient's left"},
}
"""Columns that a measurement is charted by, without their `_before` and `_after`, and what each is of."""


def charted(metrics: Mapping[str, Any]) -> list[str]:
    """The measurements that an evaluation's report charts.

    Args:
        metrics: ``metrics.json``.

    Returns:
        what the task is read by first, then `ctr` where it is read by something else or by nothing that could be
        measured: how far the heart moves without having been asked for. Nothing of a task that names no measurement.
    """
    if measures_nothing(metrics):
        return []
    return list(dict.fromkeys(name for name in (read_by_of(metrics), "ctr") if name is not None))


def before_after(table: pd.DataFrame, column: str = "ctr") -> pd.DataFrame:
    """A measurement of the original and of the picture that answers the group's question, averaged by patient.

    The question is target 1 for group 'up' and target 0 for 'down'; images without a measurement on either
    side are left out.

    Args:
        table: ``counterfactuals.parquet`` (columns patient_id, group, target, <column>_before, <column>_after).
        column: `ctr`, `haze`, `scp_left` or `scp_right`.

    Returns:
        columns group, patient_id, before, after.
    """
    names = [f"{column}_before", f"{column}_after"]
    rows = _asked(table).dropna(subset=names)
    means = rows.groupby(["group", "patient_id"], as_index=False)[names].mean()
    return means.rename(columns=dict(zip(names, ("before", "after"), strict=True)))


def _asked(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that answer their group's question."""
    up = (table["group"] == "up") & np.isclose(table["target"], 1.0)
    return table[up | ((table["group"] == "down") & np.isclose(table["target"], 0.0))]


def _unmeasured(table: pd.DataFrame, column: str, group: str) -> tuple[int, int]:
    """Of how many of a group's pictures the measurement is not known, before or after, and how many there are."""
    rows = _asked(table)
    rows = rows[rows["group"] == group]
    return int(rows[[f"{column}_before", f"{column}_after"]].isna().any(axis=1).sum()), len(rows)


def _told(rows: pd.DataFrame, floor: float, unmeasured: tuple[int, int]) -> str:
    """Two lines over a panel: the means with their interval, then how many moved by more than the floor.

    Of few patients a bootstrap's interval is too narrow, so that they get none.
    """
    before, after = rows["before"].to_numpy(dtype=float), rows["after"].to_numpy(dtype=float)
    change, low, high = cluster_bootstrap(after - before, rows["patient_id"].to_numpy())
    within = f" [{low:+.3f}, {high:+.3f}]" if len(rows) >= FEWEST_PATIENTS else ""
    grew = float(np.mean(after - before > floor))
    shrank = float(np.mean(before - after > floor))
    beyond = "beyond band: " if floor > 0 else ""
    missing, whole = unmeasured
    lost = f";  not measured: {missing:,} of {whole:,}" if missing else ""
    return (
        f"mean {before.mean():.3f} → {after.mean():.3f}, by {change:+.3f}{within}\n"
        f"{beyond}larger {grew:.0%}, smaller {shrank:.0%}{lost}"
    )


def _note(name: str, floor: float) -> str:
    """What stands under the panels."""
    band = (
        f"Grey band: ±{floor:.2g}; {MEASURES[name].floor}. Inside it nothing changed. " if floor > 0 else ""
    )
    return f"{band}In brackets: 95 % interval of the mean change, from {FEWEST_PATIENTS} patients on."


def _panel(
    axes: Axes,
    rows: pd.DataFrame,
    group: str,
    limits: tuple[float, float],
    floor: float,
    words: tuple[str, str, str],
) -> None:
    """One direction: a dot a patient, the band of the floor around 'no change', the mean as a cross.

    words: the measurement's short name, what the panel is of where there are several, and the lines over it.
    """
    label, of, told = words
    colour, asked = (UP, "asked for 1.0") if group == "up" else (DOWN, "asked for 0.0")
    before, after = rows["before"].to_numpy(dtype=float), rows["after"].to_numpy(dtype=float)
    title = f"{asked}{f', {of}' if of else ''}  (n={len(rows):,} patients)"
    tidy(axes, title, f"{label} of the original", f"{label} of the counterfactual", pad=38)
    line = np.asarray(limits)
    if floor > 0:
        axes.fill_between(line, line - floor, line + floor, color=GRID, linewidth=0)
    axes.plot(line, line, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)))
    size = float(np.clip(1800 / max(len(rows), 1), 5, 22))
    axes.scatter(before, after, s=size, color=colour, alpha=0.55, linewidths=0)
    axes.scatter(before.mean(), after.mean(), s=130, marker="+", color=INK, linewidths=2.0, zorder=4)
    axes.text(
        0.0, 1.025, told, transform=axes.transAxes, fontsize=8.4, color=INK, va="bottom", linespacing=1.35
    )
    span = limits[1] - limits[0]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.05 if span < 0.6 else 0.1 if span < 0.9 else 0.2))
        axis.set_major_formatter("{x:.2f}")
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_aspect("equal")


def before_after_figure(
    table: pd.DataFrame,
    name: str,
    floor: float,
    sides: Sequence[str] = DIRECTIONS,
    columns: Sequence[str] | None = None,
) -> Figure | None:
    """A measurement before against after by patient, upwards and downwards, the floor of one picture as a band.

    Args:
        table: ``counterfactuals.parquet``.
        name: `ctr`, `scp` or `haze`.
        floor: least shift of one picture that is called a change, in units of the measurement; 0: none is known. That
            of the recess score is of the mean of both sides and stands for each here, as in ``moved_beyond_noise``.
        sides: directions to draw, a column of panels each; the axes are the same whichever are drawn.
        columns: which of `READINGS` to draw, a row of panels each; all unless told.

    Returns:
        the figure, or None where nothing was measured.
    """
    known = READINGS.get(name, {})
    if table.empty or not {"group", "target", "patient_id"} <= set(table.columns):
        return None
    there = [c for c in known if {f"{c}_before", f"{c}_after"} <= set(table.columns)]
    rows = {column: before_after(table, column) for column in there}
    rows = {column: found for column, found in rows.items() if not found.empty}
    groups = [group for group in sides if any((found["group"] == group).any() for found in rows.values())]
    shown = [column for column in rows if columns is None or column in columns]
    if not groups or not shown:
        return None
    values = np.concatenate(
        [found[["before", "after"]].to_numpy(dtype=float).ravel() for found in rows.values()]
    )
    limits = (float(np.floor(values.min() * 50) / 50 - 0.02), float(np.ceil(values.max() * 50) / 50 + 0.02))
    note = fill(_note(name, floor), 64 * len(groups))  # letters that fit under a panel
    panel, left, gap, over, under, foot = 3.9, 0.72, 0.95, 0.85, 0.6, 0.12 + 0.15 * len(note.splitlines())
    width = left + len(groups) * panel + (len(groups) - 1) * gap + 0.15
    height = foot + len(shown) * (over + panel + under)
    figure = new_figure(width, height)
    for number, column in enumerate(shown):
        y = height - over - panel - number * (over + panel + under)
        for place, group in enumerate(groups):
            some = rows[column][rows[column]["group"] == group]
            if some.empty:
                continue
            x = left + place * (panel + gap)
            axes = figure.add_axes((x / width, y / height, panel / width, panel / height))
            told = _told(some, floor, _unmeasured(table, column, group))
            _panel(axes, some, group, limits, floor, (label_of(name), known[column], told))
    figure.text(left / width, 0.1 / height, note, fontsize=8.2, color=QUIET, va="bottom")
    return figure
