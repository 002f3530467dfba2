"""Methods side by side: one row a run and one a control, in the figures that only together mean something.

Every figure is that of the worse direction, with its 95 % interval by patient. A method is judged among those whose
reach is at least 0.9: what does not get to its targets may well change little, look real and keep every device. Nothing
is ranked.
"""

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from cfx.errors import BadValue, MissingPath, WrongLayout
from cfx.files import read_json, write_atomic, write_text
from cfx.reporting.example_readings import measurement_of
from cfx.reporting.run_files import interval_at, number_at
from cfx.reporting.tables import DASH, DIRECTIONS, Table, fixed, interval
from cfx.runs import Evaluation, Run, resolve

BAR = 0.9
"""Reach from which on a method is judged."""


_BADNESS: dict[str, Callable[[float], float]] = {
    "least": lambda value: -value,
    "most": lambda value: value,
    "off": lambda value: abs(value - 1.0),
}


@dataclass(frozen=True)
class Figure:
    """A number with its 95 % interval, each None where it could not be made."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    def text(self, digits: int) -> str:
        """`0.93 [0.91, 0.95]`, or a dash."""
        bounds = None if self.low is None or self.high is None else (self.low, self.high)
        return f"{fixed(self.value, digits)} {interval(bounds, digits)}".strip()


@dataclass(frozen=True)
class Column:
    """A figure of the table.

    Attributes:
        name: its heading.
        section: dotted key of the mapping that holds it, with `{d}` for the direction and `{m}` for the measurement.
        key: its name in there, and in the `ci95` beside it.
        worst: which direction is the worse one: `least`, `most`, or `off`, the one further from 1.
        digits: that are shown.
    """

    name: str
    section: str
    key: str
    worst: str
    digits: int

    def badness(self, figure: Figure) -> float:
        """How bad a figure is, more being worse; one that was not made is the worst."""
        return math.inf if figure.value is None else _BADNESS[self.worst](figure.value)


COLUMNS = (
    Column("reach", "validity.{d}", "reach", "least", 2),
    Column("transfer", "transfer.{d}", "share", "least", 2),
    Column("l1_ratio", "oracle.{d}", "l1_ratio", "most", 2),
    Column("KID", "realism.{d}", "kid", "most", 4),
    Column("gap_closed", "clinical.{m}.{d}", "gap_closed", "off", 2),
    Column("fop", "identity.{d}", "fop", "least", 2),
)


@dataclass(frozen=True)
class MethodRow:
    """One row.

    Attributes:
        name: of the method or control.
        kind: `method` or `control`.
        run: the run's folder name; of a control the first run that drew it.
        figures: by the names of `COLUMNS`.
    """

    name: str
    kind: str
    run: str
    figures: Mapping[str, Figure]

    @property
    def judged(self) -> bool:
        """Whether reach, in the worse direction, is at least 0.9."""
        reach = self.figures["reach"].value
        return reach is not None and reach >= BAR


@dataclass(frozen=True)
class Entry:
    """An evaluation that is compared.

    Attributes:
        name: the run's folder.
        metrics: its `metrics.json`.
        detail: what tells it from others of the same method, such as a multirun's overrides.
        place: its folder, None where it is known by its numbers alone.
        overrides: of its job in a multirun, without the multirun's name and what all its jobs were given.
    """

    name: str
    metrics: Mapping[str, Any]
    detail: str = ""
    place: Evaluation | None = None
    overrides: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        """Name of the method."""
        return str(self.metrics.get("method") or "method")

    @property
    def setting(self) -> tuple[str, ...]:
        """What must be the same for figures to be comparable: the question, the pictures, the black box."""
        keys = ("task", "data", "split", "n_images", "n_patients")
        box = self.metrics.get("blackbox") or {}
        return (*(str(self.metrics.get(key)) for key in keys), f"{box.get('auroc')} {box.get('prior')}")


def open_evaluation(value: str) -> Evaluation:
    """Return the evaluation of a run, or the one that a folder itself is (the `output=` of cfx.evaluate).

    Raises:
        MissingPath: there is no such folder, or no evaluation in it.
    """
    folder = resolve(value)
    for place in (Run(folder).evaluation, Evaluation(folder)):
        if place.done:
            return place
    remedy = "evaluate it first: python -m cfx.evaluate run=..."
    raise MissingPath("run", value, "has no evaluation/metrics.json", remedy)


def read_entries(values: Sequence[str]) -> list[Entry]:
    """Read the evaluations that `run=[a,b]` names.

    Raises:
        BadValue: none is named, or one twice. MissingPath: one is not there or not evaluated.
    """
    if not values:
        raise BadValue("run", "[]", "names no run", "give run=[FOLDER,FOLDER]")
    entries, seen = [], set[Path]()
    for value in values:
        place = open_evaluation(value)
        if place.path.resolve() in seen:
            raise BadValue("run", value, "is named twice", "name each run once")
        seen.add(place.path.resolve())
        folder = place.path.resolve()
        entries.append(
            Entry(
                folder.parent.name if folder.name == "evaluation" else folder.name,
                place.metrics(),
                place=place,
            )
        )
    return entries


def read_multirun(folder: str) -> list[Entry]:
    """Read the evaluations of a multirun's jobs, in their order, each told by what not all jobs were given.

    Raises:
        MissingPath: no such folder, or a job's run is gone. WrongLayout: it is not a multirun's folder.
    """
    root = resolve(folder, "multirun")
    jobs = sorted(root.glob("*/run.json"), key=lambda file: (len(file.parent.name), file.parent.name))
    if not jobs:
        problem = "no job in it has written a run.json, so it is no finished multirun"
        raise WrongLayout("multirun", folder, problem, "give the folder that cfx.train -m has made")
    entries: dict[Path, Entry] = {}
    written = [read_json(job) for job in jobs]
    given = [tuple(told.get("overrides") or ()) for told in written]
    common = (
        {each for each in given[0] if all(each in others for others in given)} if len(given) > 1 else set()
    )
    for told, own in zip(written, given, strict=True):
        place = open_evaluation(str(told["run"]))
        overrides = tuple(each for each in own if each not in common and not each.startswith("name="))
        entry = Entry(Run(told["run"]).name, place.metrics(), " ".join(overrides), place, overrides)
        entries.setdefault(place.path.resolve(), entry)
    return list(entries.values())


def jobs_without_run(folder: str) -> list[str]:
    """Return the numbers of a multirun's jobs that have begun and written down no run: failed, or not done yet.

    Raises:
        MissingPath: no such folder.
    """
    jobs = [
        path for path in resolve(folder, "multirun").glob("[0-9]*") if path.is_dir() and path.name.isdecimal()
    ]
    return [
        path.name for path in sorted(jobs, key=lambda job: int(job.name)) if not (path / "run.json").is_file()
    ]


def figure_of(metrics: Mapping[str, Any], column: Column, measurement: str = "ctr") -> Figure:
    """Return a figure in its worse direction, with the interval of that direction.

    A figure that is stored for both directions at once is given as it is, without an interval.
    """
    found = sides_of(metrics, column, measurement)
    if found:
        return max(found.values(), key=column.badness)
    whole = column.section.partition(".")[0]
    return Figure(number_at(metrics, f"{whole}.{column.key}"))


def sides_of(metrics: Mapping[str, Any], column: Column, measurement: str = "ctr") -> dict[str, Figure]:
    """Return a figure of each direction that has it, with its interval."""
    found = {}
    for side in DIRECTIONS:
        place = column.section.format(d=side, m=measurement)
        value = number_at(metrics, f"{place}.{column.key}")
        if value is not None:
            bounds = interval_at(metrics, f"{place}.ci95", column.key) or (None, None)
            found[side] = Figure(value, *bounds)
    return found


def figures_of(metrics: Mapping[str, Any], measurement: str = "ctr") -> dict[str, Figure]:
    """Return all figures of one method or control."""
    return {column.name: figure_of(metrics, column, measurement) for column in COLUMNS}


def method_rows(entries: Sequence[Entry]) -> list[MethodRow]:
    """Return a row for each evaluation, then the controls, once for each setting.

    Controls of one setting are drawn from the same pictures by the same code, so one run's stand for all.
    """
    rows, controls = [], []
    settings = list(dict.fromkeys(entry.setting for entry in entries))
    methods = [entry.method for entry in entries]
    drawn: set[tuple[tuple[str, ...], str]] = set()
    for entry in entries:
        where = f", {' '.join(entry.setting[:3])}" if len(settings) > 1 else ""
        measurement = measurement_of(entry.metrics)
        twice = f" ({entry.detail or entry.name})" if methods.count(entry.method) > 1 else ""
        figures = figures_of(entry.metrics, measurement)
        rows.append(MethodRow(f"{entry.method}{twice}{where}", "method", entry.name, figures))
        for name, node in (entry.metrics.get("controls") or {}).items():
            if isinstance(node, Mapping) and (entry.setting, name) not in drawn:
                drawn.add((entry.setting, name))
                label = f"{str(name).replace('_', ' ')}{where}"
                controls.append(MethodRow(label, "control", entry.name, figures_of(node, measurement)))
    return rows + controls


def methods_table(entries: Sequence[Entry], absent: Sequence[str] = ()) -> Table:
    """Return the table for the terminal and for HTML; a column in which nobody has a number stays, as dashes.

    absent: numbers of a multirun's jobs that have no run, which the note tells.
    """
    rows = method_rows(entries)
    cells = tuple(
        (
            row.name,
            row.kind,
            "yes" if row.judged else "no",
            *(row.figures[column.name].text(column.digits) for column in COLUMNS),
        )
        for row in rows
    )
    return Table(
        "Methods and controls",
        ("", "kind", "judged", *(column.name for column in COLUMNS)),
        cells,
        " ".join(_notes(entries, absent)),
    )


def _notes(entries: Sequence[Entry], absent: Sequence[str]) -> list[str]:
    """What a reader of the table must know."""
    notes = [
        f"Judged: reach of at least {BAR} in the worse direction; the other figures of a row that is not judged mean "
        f"nothing. Each figure is of the worse direction (gap_closed: the one further from 1), with its 95 % "
        f"interval by patient; {DASH}: not made."
    ]
    if len({entry.setting for entry in entries}) > 1:
        notes.append(
            "These runs do not explain the same black box on the same pictures: their rows can not be compared."
        )
    if absent:
        jobs = f"Job{'s' * (len(absent) > 1)} {', '.join(absent)}"
        notes.append(f"{jobs} of this multirun made no run: failed, or not done yet.")
    units = {_unit(entry.metrics) for entry in entries} - {""}
    if units:
        notes.append(f"transfer is a share of the {' or the '.join(sorted(units))}.")
    return notes


def _unit(metrics: Mapping[str, Any]) -> str:
    """What the transfer figure is a share of, empty where that is not said."""
    node = metrics.get("transfer")
    sides = [node.get(side) for side in DIRECTIONS] if isinstance(node, Mapping) else []
    return next(
        (str(side["share_of"]) for side in sides if isinstance(side, Mapping) and "share_of" in side), ""
    )


def write_methods(
    folder: Path, entries: Sequence[Entry], further: Sequence[Table] = (), absent: Sequence[str] = ()
) -> list[Path]:
    """Write the table as `methods.csv` (numbers and bounds apart) and `methods.html`, and return both paths.

    further: tables that the page shows below it. absent: see `methods_table`.
    """
    table, sheet, page = methods_table(entries, absent), folder / "methods.csv", folder / "methods.html"
    shown, title = "".join(each.html() for each in (table, *further)), escape(page_title(entries))
    write_atomic(sheet, partial(_write_csv, method_rows(entries)))
    style = resources.files("cfx.reporting").joinpath("page.css").read_text(encoding="utf-8")
    write_text(
        page,
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head><body><h1>{title}</h1>{shown}</body></html>\n",
    )
    return [sheet, page]


def page_title(entries: Sequence[Entry]) -> str:
    """What a page of methods compares, for its tab and its head: 'cardiomegaly · phantom · explainer, xgem'."""

    def named(values: Iterable[object]) -> str:
        return ", ".join(dict.fromkeys(str(value) for value in values if value is not None))

    parts = [named(entry.metrics.get(key) for entry in entries) for key in ("task", "data")]
    return " · ".join(part for part in (*parts, named(entry.method for entry in entries)) if part)


def _write_csv(rows: Sequence[MethodRow], path: Path) -> None:
    """Write rows with three columns a figure: itself, the low and the high end of its interval."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        names = [f"{column.name}{part}" for column in COLUMNS for part in ("", "_low", "_high")]
        writer.writerow(["name", "kind", "run", "judged", *names])
        for row in rows:
            figures = [row.figures[column.name] for column in COLUMNS]
            numbers = [number for each in figures for number in (each.value, each.low, each.high)]
            cells = ["" if number is None else number for number in numbers]
            writer.writerow([row.name, row.kind, row.run, int(row.judged), *cells])
