"""One run against others, picture by picture: differences by patient with intervals, tests and Holm's correction.

Two intervals that overlap say little about two methods that drew from the same pictures. So the first run is set
against each other one on the pictures both were asked about, each patient its own control. Ratios are of patient
means, both runs resampled together. That both explain one black box is read off its posteriors of the pictures as they
are. The kernel distance is no mean of pictures: it is each run's over all its own, the interval of its difference takes
the two as independent, which is too wide where they share pictures, and it has no test.
"""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cfx.files import write_atomic
from cfx.metrics.devices import fop
from cfx.metrics.statistics import (
    FEWEST_PATIENTS,
    PatientBootstrap,
    bootstrap_p,
    effect_size,
    holm,
    interval,
    paired_wilcoxon,
)
from cfx.metrics.validity import HIGH, LOW, UP, extreme_target
from cfx.reporting.comparable import common_threshold, has_transfer, not_comparable
from cfx.reporting.methods import Entry
from cfx.reporting.run_files import interval_at, number_at
from cfx.reporting.tables import DASH, DIRECTIONS, Table, fixed

Array = npt.NDArray[np.float64]
RESAMPLES = 2000
ALPHA = 0.05
TRANSFER = "transfer flip"


@dataclass(frozen=True)
class Difference:
    """The first run's figure, another's, and by how much they differ.

    Attributes:
        figure: its name.
        group: `up` or `down`.
        other: name of the other run.
        better: +1 where more is better, -1 where less is.
        first, second: both figures, over the pictures that both have; of KID over each run's own.
        difference: first minus second, with `low` and `high` of its 95 % interval by patient; None: not made.
        effect: Cohen's d_z of the paired differences, None for ratios of means.
        p: Wilcoxon's signed-rank test over patients, for ratios by the bootstrap; None under 20 patients and of KID.
        p_holm: the same after Holm's correction over all rows of the table.
        n_images, n_patients: that both have; of KID the fewer of the two runs' drawn pictures and their patients.
    """

    figure: str
    group: str
    other: str
    better: int
    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    effect: float | None = None
    p: float | None = None
    p_holm: float | None = None
    n_images: int = 0
    n_patients: int = 0

    @property
    def ahead(self) -> bool | None:
        """Whether the first run is better; None where that is not shown.

        It is by an interval that excludes zero and, where there is a test, by the test after its correction; never by
        fewer patients than a test would take.
        """
        if self.n_patients < FEWEST_PATIENTS:
            return None
        if self.low is None or self.high is None or self.low <= 0.0 <= self.high:
            return None
        if self.p_holm is not None and self.p_holm >= ALPHA:
            return None
        return (self.low > 0.0) == (self.better > 0)


@dataclass(frozen=True)
class Comparison:
    """The first run against the others.

    Attributes:
        differences: a row a figure, direction and other run, those that could be made.
        left_out: a sentence for each run, or figure of a run, that was not compared, saying why.
    """

    differences: tuple[Difference, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Pictures:
    """Rows of two runs about the same pictures at the same target, in one order.

    Attributes:
        first, second: the rows.
        group: their direction.
        threshold: of the independent classifier, None where the two runs have not got the same one.
    """

    first: pd.DataFrame
    second: pd.DataFrame
    group: str
    threshold: float | None

    @property
    def patients(self) -> npt.NDArray[np.str_]:
        return self.first["patient_id"].to_numpy().astype(str)


Top = tuple[Array, Array | None]
"""A figure's values by picture, and what they are a share of (None: of nothing)."""


def _reach(rows: pd.DataFrame, of: _Pictures) -> Top:
    after = rows["p_after"].to_numpy()
    return ((after >= HIGH) if of.group == UP else (after <= LOW)).astype(np.float64), None


def _transfer(rows: pd.DataFrame, of: _Pictures) -> Top:
    before, after = rows["p_transfer_before"].to_numpy(), rows["p_transfer_after"].to_numpy()
    if of.threshold is None:
        return np.full(len(rows), np.nan), None
    alike = (before < of.threshold) if of.group == UP else (before >= of.threshold)
    flipped = (after >= of.threshold) if of.group == UP else (after < of.threshold)
    return np.where(alike & np.isfinite(after), flipped.astype(np.float64), np.nan), None


def _l1_ratio(rows: pd.DataFrame, of: _Pictures) -> Top:
    return rows["l1_oracle"].to_numpy(dtype=np.float64), rows["l1_nothing"].to_numpy(dtype=np.float64)


def _ctr_error(rows: pd.DataFrame, of: _Pictures) -> Top:
    return np.abs(rows["ctr_after"].to_numpy() - rows["ctr_oracle"].to_numpy()), None


def _fop(rows: pd.DataFrame, of: _Pictures) -> Top:
    looked = [
        np.isfinite(each["devices_kept"].to_numpy(np.float64))
        & (each["devices_before"].to_numpy(np.float64) > 0)
        for each in (of.first, of.second)
    ]
    both = (
        looked[0] & looked[1]
    )  # a patient's share is of the same devices in either run, and of these pictures alone
    kept = np.where(both, rows["devices_kept"].to_numpy(np.float64), np.nan)
    return np.where(both, fop(kept, rows["devices_before"].to_numpy(), of.patients), np.nan), None


FIGURES: tuple[tuple[str, int, Callable[[pd.DataFrame, _Pictures], Top]], ...] = (
    ("reach", 1, _reach),
    (TRANSFER, 1, _transfer),
    ("l1_ratio", -1, _l1_ratio),
    ("ctr_mae", -1, _ctr_error),
    ("fop", 1, _fop),
)


def compare(
    entries: Sequence[Entry], tables: Sequence[pd.DataFrame | None], resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Set the first run against each other one that explains the same black box on the same pictures.

    Args:
        entries: the evaluations. tables: their `counterfactuals.parquet` in the same order, None where there is none.
        resamples, seed: of the bootstrap over patients.

    Returns:
        Their differences, and which runs and figures were left out.
    """
    found: list[Difference] = []
    left_out: list[str] = []
    own = tables[0]
    for entry, table in zip(entries[1:], tables[1:], strict=True):
        name = f"{entry.method} ({entry.detail})" if entry.detail else entry.method
        why = not_comparable(entries[0], entry, own, table)
        if why is not None or own is None or table is None:
            left_out.append(f"{name} is left out: {why}.")
            continue
        threshold = common_threshold(entries[0], entry, own, table)
        if threshold is None and any(has_transfer(each) for each in (entries[0], entry)):
            left_out.append(
                f"{name}: {TRANSFER} is left out, it was not told by the same independent classifier."
            )
        for group in DIRECTIONS:
            found += _differences(_both(own, table, group, threshold), name, resamples, seed)
            distance = _kid(entries[0], entry, group, name)
            if distance is not None:
                found.append(distance)
    adjusted = holm([each.p for each in found])
    return Comparison(
        tuple(replace(each, p_holm=p) for each, p in zip(found, adjusted, strict=True)), tuple(left_out)
    )


def _differences(pictures: _Pictures, name: str, resamples: int, seed: int) -> list[Difference]:
    """Differences of every figure in one direction from the run of that name."""
    boot = PatientBootstrap(pictures.patients, resamples, seed)
    found = []
    for figure, better, measure in FIGURES:
        made = _difference(
            measure(pictures.first, pictures), measure(pictures.second, pictures), pictures, boot
        )
        if made is not None:
            found.append(replace(made, figure=figure, group=pictures.group, other=name, better=better))
    return found


def _both(first: pd.DataFrame, second: pd.DataFrame, group: str, threshold: float | None) -> _Pictures:
    """Rows at the extreme target of the pictures that both runs have."""
    one, two = (
        table[(table["group"] == group) & (table["target"] == extreme_target(group))].set_index("image_id")
        for table in (first, second)
    )
    shared = one.index.intersection(two.index)
    return _Pictures(one.loc[shared].reset_index(), two.loc[shared].reset_index(), group, threshold)


def _difference(first: Top, second: Top, pictures: _Pictures, boot: PatientBootstrap) -> Difference | None:
    """Difference of one figure; None where no picture has it in both runs."""
    known = np.isfinite(first[0]) & np.isfinite(second[0])
    for _, below in (first, second):
        if below is not None:
            known &= np.isfinite(below)
    if not known.any():
        return None
    (one, ones), (two, twos) = (_figure(each, known, boot) for each in (first, second))
    low, high = interval(ones - twos)
    patients = pictures.patients[known]
    count = len(np.unique(patients))
    plain = first[1] is None and second[1] is None
    before, after = second[0][known], first[0][known]
    return Difference(
        "", pictures.group, "", 1, _finite(one), _finite(two), _finite(one - two), _finite(low), _finite(high),
        _finite(effect_size(before, after, patients)) if plain else None,
        paired_wilcoxon(before, after, patients) if plain else bootstrap_p(ones - twos, count),
        None, int(known.sum()), count,
    )  # fmt: skip


def _figure(values: Top, known: npt.NDArray[np.bool_], boot: PatientBootstrap) -> tuple[float, Array]:
    """Patient mean of a figure, or ratio of patient means, with its bootstrap samples."""
    top, samples = boot.mean(np.where(known, values[0], np.nan))
    if values[1] is None:
        return top, samples
    below, belows = boot.mean(np.where(known, values[1], np.nan))
    ratio = np.divide(samples, belows, out=np.full(len(samples), np.nan), where=belows > 0)
    return (top / below if below > 0 else math.nan), ratio


def _kid(first: Entry, second: Entry, group: str, name: str) -> Difference | None:
    """Difference of the kernel distances, with the root of both half widths' squares."""
    values, halves = [], []
    for entry in (first, second):
        value = number_at(entry.metrics, f"realism.{group}.kid")
        bounds = interval_at(entry.metrics, f"realism.{group}.ci95", "kid")
        if value is None or bounds is None:
            return None
        values.append(value)
        halves.append((value - bounds[0], bounds[1] - value))
    difference = values[0] - values[1]
    down = math.hypot(halves[0][0], halves[1][1])
    up = math.hypot(halves[0][1], halves[1][0])
    n_images, n_patients = (
        min(int(number_at(entry.metrics, f"realism.{group}.{key}") or 0) for entry in (first, second))
        for key in ("n_images", "n_patients")
    )
    return Difference(
        "KID", group, name, -1, values[0], values[1], difference, difference - down, difference + up,
        n_images=n_images, n_patients=n_patients,
    )  # fmt: skip


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def paired_table(found: Comparison, first: str) -> Table:
    """Return the table for the terminal: the first run minus each other one."""
    words = {True: "better", False: "worse", None: "no difference shown"}
    rows = tuple(
        (
            f"{each.other}, {each.group}",
            each.figure,
            fixed(each.first, 3),
            fixed(each.second, 3),
            fixed(each.difference, 3, signed=True),
            f"[{fixed(each.low, 3, signed=True)}, {fixed(each.high, 3, signed=True)}]",
            _p(each.p_holm),
            words[each.ahead],
        )
        for each in found.differences
    )
    notes = (
        f"Wilcoxon over patients, of ratios the bootstrap; corrected over the table by Holm; {DASH}: too few patients. "
        f"{TRANSFER}: how often the independent classifier's call flips, not as a share of the oracle's. "
        "KID: each run's over its own pictures, both intervals taken as independent.",
        *found.left_out,
    )
    return Table(
        f"{first} against each other method, by patient",
        ("", "figure", first, "other", "difference", "95 %", "p (Holm)", first),
        rows,
        " ".join(notes),
    )


def _p(value: float | None) -> str:
    """`0.012`, `<0.001`, or a dash."""
    if value is None:
        return DASH
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def read_tables(entries: Sequence[Entry]) -> list[pd.DataFrame | None]:
    """Read the counterfactuals of evaluations, None where one is known by its numbers alone."""
    places = [entry.place for entry in entries]
    return [
        None
        if place is None or not (place.path / "counterfactuals.parquet").is_file()
        else place.counterfactuals()
        for place in places
    ]


def write_paired(folder: Path, found: Sequence[Difference]) -> Path:
    """Write the differences as `paired.csv`, empty cells where nothing was made; returns its path."""
    path = folder / "paired.csv"
    write_atomic(path, partial(_write, found))
    return path


def _write(found: Sequence[Difference], path: Path) -> None:
    names = list(Difference.__dataclass_fields__)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(names)
        for each in found:
            cells = [getattr(each, name) for name in names]
            writer.writerow(["" if cell is None else cell for cell in cells])
