"""A study's report: results.json, two tables of answers, results.csv and one HTML file without anything to fetch."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cfx.files import write_atomic, write_json, write_text
from cfx.reporting.progression_widget import asset
from cfx.reporting.study_analysis import analyse
from cfx.reporting.study_design import QUESTIONS, SCALE
from cfx.reporting.study_figures import agreement_figure, ratings_figure
from cfx.reporting.study_files import Study
from cfx.reporting.study_results import number, result_tables
from cfx.reporting.study_tables import ratings, readings
from cfx.reporting.style import png_bytes
from cfx.reporting.tables import Table

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class WrittenStudy:
    """What was written, and the lines for the terminal."""

    report: Path
    summary: str


def write_study_report(study: Study) -> WrittenStudy:
    """Analyses a study and writes its results into its folder; older ones are replaced.

    Raises:
        UserError: an answer file cannot be read, or statsmodels is missing.

    """
    found = analyse(study)
    scores, lines = ratings(study), readings(study)
    tables = result_tables(found)
    write_json(study.path / "results.json", found)
    for name, frame in (("answers.csv", scores), ("lines.csv", lines), ("results.csv", _flat(tables))):
        _csv(study.path / name, frame)
    report = study.path / "report.html"
    write_text(report, _page(study, found, tables, lines))
    text = "\n\n".join(table.text() for table in tables if table.rows)
    return WrittenStudy(report, f"{_headline(found)}\n\n{text}\n\nreport: {report}")


def _csv(path: Path, frame: pd.DataFrame) -> None:
    write_atomic(path, lambda beside: frame.to_csv(beside, index=False))


def _flat(tables: list[Table]) -> pd.DataFrame:
    """All tables as one: table, row, column, value."""
    cells = [
        {"table": table.title, "row": row[0], "column": column, "value": value}
        for table in tables
        for row in table.rows
        for column, value in zip(table.header[1:], row[1:], strict=True)
    ]
    return pd.DataFrame(cells, columns=["table", "row", "column", "value"])


def _headline(found: Mapping[str, Any]) -> str:
    """One sentence of what was answered, and one of what came out."""
    readers = found["readers"]
    whole = sum(each["answered"] == each["of"] for each in readers)
    text = f"{len(readers)} reader{'s' * (len(readers) != 1)}, {whole} of them to the end."
    up = found["ctr"]["shift"]["up"]
    if np.isfinite(up["estimate"]):
        finding = str(found["finding"]).lower()
        text += (
            f" Asked for {finding}, the CTR changes by {up['estimate']:+.3f} to readers who did not "
            f"know which picture was drawn ({up['automatic']:+.3f} by the segmenter)."
        )
    return text


def _png(content: bytes) -> str:
    return "data:image/png;base64," + b64encode(content).decode("ascii")


def _page(study: Study, found: Mapping[str, Any], tables: list[Table], lines: pd.DataFrame) -> str:
    """The whole HTML."""
    title = f"Reader study · {study.finding}"
    figures = [
        (ratings_figure(found["ratings"]), "How often each answer was given"),
        (
            agreement_figure(lines, found["ctr"]["limits"]),
            "Readers against the automatic cardiothoracic ratio",
        ),
    ]
    drawn = "".join(
        f'<figure><img alt="{escape(text)}" src="{_png(png_bytes(figure, 120))}"></figure>'
        for figure, text in figures
        if figure is not None
    )
    statements = "".join(
        f"<li><b>{escape(name.replace('_', ' '))}</b>: {escape(text)}</li>"
        for name, text in QUESTIONS.items()
    )
    progress = Table(
        "Readers",
        ("reader", "steps answered", "of", "seconds a step (median)"),
        tuple(
            (each["reader"], str(each["answered"]), str(each["of"]), number(each["seconds_a_step"], 0))
            for each in found["readers"]
        ),
    )
    needs = "".join(f"<li>{escape(line)}</li>" for line in found["sample_size"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{asset('page.css')}</style></head><body><h1>{escape(title)}</h1>"
        f'<div class="verdict mixed"><p>{escape(_headline(found))}</p></div>'
        f'<div class="charts">{drawn}</div>{"".join(table.html() for table in tables)}'
        f"<h2>The statements</h2><ul>{statements}</ul><p class='note'>Answered from "
        f"“{SCALE[0]}” (1) to “{SCALE[-1]}” (5) when the pair was open; everything else was answered before, "
        "blind and on shuffled sides.</p>"
        f"<h2>Was it large enough?</h2><p class='note'>Computed before anything was shown.</p><ul>{needs}</ul>"
        f"{progress.html()}<h2>Limits</h2><ul>"
        "<li>Intervals of mixed models are Wald's: with few readers they are too narrow.</li>"
        "<li>A study says what these readers thought of these pictures, not that the classifier is right.</li>"
        "<li>For research; not a medical device.</li></ul></body></html>\n"
    )
