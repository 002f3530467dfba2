"""Jobs of a multirun that differ in their seed alone, as one row: the mean over seeds with Student's t interval.

The interval of a single run is over patients: how far the figure would move with other patients of the same networks.
That over seeds says how far it moves when everything is trained again, which few runs tell only roughly.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy import stats

from cfx.files import write_atomic
from cfx.reporting.example_readings import measurement_of
from cfx.reporting.methods import COLUMNS, Column, Entry, Figure, figure_of, sides_of
from cfx.reporting.tables import Table

LEVEL = 0.95


@dataclass(frozen=True)
class OverSeeds:
    """A figure over several trainings.

    Attributes:
        figure: the mean with its interval; no interval of fewer than two values.
        count: seeds that it could be made of.
    """

    figure: Figure
    count: int


@dataclass(frozen=True)
class SeedGroup:
    """Runs that differ in their seed alone.

    Attributes:
        name: the method, with the overrides that all of them share.
        seeds: of its runs, in their order.
        figures: by the names of `COLUMNS`.
    """

    name: str
    seeds: tuple[str, ...]
    figures: dict[str, OverSeeds]


def t_interval(values: Sequence[float], level: float = LEVEL) -> Figure:
    """Return the mean of independent values with Student's interval, mean +- t(level, n - 1) s / sqrt(n).

    s: the standard deviation with n - 1. One value has a mean and no interval, none has neither.
    """
    if not values:
        return Figure()
    mean = float(np.mean(values))
    if len(values) < 2:
        return Figure(mean)
    reach = float(
        stats.t.ppf(0.5 + level / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    )
    return Figure(mean, mean - reach, mean + reach)


def seed_groups(entries: Sequence[Entry]) -> list[SeedGroup]:
    """Return the groups of two or more jobs whose overrides differ in `seed=` alone; none of other entries.

    Each figure is that of the direction whose mean over the seeds is worse, see `over_seeds`.
    """
    jobs: dict[tuple[str, tuple[str, ...]], list[tuple[str, Entry]]] = {}
    for entry in entries:
        seed = [each.partition("=")[2] for each in entry.overrides if each.startswith("seed=")]
        if seed:
            shared = tuple(each for each in entry.overrides if not each.startswith("seed="))
            jobs.setdefault((entry.method, shared), []).append((seed[-1], entry))
    groups = []
    for (method, shared), found in jobs.items():
        if len({seed for seed, _ in found}) < 2:
            continue
        figures = {column.name: over_seeds([entry for _, entry in found], column) for column in COLUMNS}
        name = f"{method} ({' '.join(shared)})" if shared else method
        groups.append(SeedGroup(name, tuple(seed for seed, _ in found), figures))
    return groups


def over_seeds(entries: Sequence[Entry], column: Column) -> OverSeeds:
    """Return a figure over trainings, in the direction whose mean is worse.

    The mean is taken within a direction: seeds whose worse directions differ may lie on both sides of the best value,
    and a mean over them all would then be better than each. A figure that is stored for both directions at once is
    averaged as it is.
    """
    sides: dict[str, list[float]] = {}
    whole: list[float] = []
    for entry in entries:
        measurement = measurement_of(entry.metrics)
        made = sides_of(entry.metrics, column, measurement)
        for side, figure in made.items():
            if figure.value is not None:
                sides.setdefault(side, []).append(figure.value)
        both = None if made else figure_of(entry.metrics, column, measurement).value
        if both is not None:
            whole.append(both)
    found = [OverSeeds(t_interval(values), len(values)) for values in (*sides.values(), whole) if values]
    return max(found, key=lambda over: column.badness(over.figure), default=OverSeeds(Figure(), 0))


def seeds_table(groups: Sequence[SeedGroup]) -> Table:
    """Return the table for the terminal and for HTML."""
    cells = []
    for group in groups:
        row = [group.name, str(len(group.seeds))]
        for column in COLUMNS:
            over = group.figures[column.name]
            fewer = f" (n = {over.count})" if 0 < over.count < len(group.seeds) else ""
            row.append(over.figure.text(column.digits) + fewer)
        cells.append(tuple(row))
    note = (
        "Mean over seeds within a direction, the direction whose mean is worse (gap_closed: further from 1), with "
        "Student's 95 % interval over n seeds: how far it moves when everything is trained again. It may leave the "
        "figure's range where seeds are few."
    )
    return Table("Over seeds", ("", "n", *(column.name for column in COLUMNS)), tuple(cells), note)


def write_seeds(folder: Path, groups: Sequence[SeedGroup]) -> Path:
    """Write the groups as `seeds.csv`: mean, both bounds and the count of each figure; returns its path."""
    path = folder / "seeds.csv"
    write_atomic(path, partial(_write_csv, groups))
    return path


def _write_csv(groups: Sequence[SeedGroup], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        parts = ("", "_low", "_high", "_n")
        writer.writerow(["name", "seeds", *(f"{column.name}{part}" for column in COLUMNS for part in parts)])
        for group in groups:
            cells: list[object] = [group.name, " ".join(group.seeds)]
            for column in COLUMNS:
                over = group.figures[column.name]
                numbers = (over.figure.value, over.figure.low, over.figure.high)
                cells += ["" if number is None else number for number in numbers] + [over.count]
            writer.writerow(cells)
