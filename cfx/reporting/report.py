"""Writes all that a report consists of into an evaluation's folder: charts, the progressions, report.html."""

from dataclasses import dataclass
from pathlib import Path

from cfx.files import write_text
from cfx.reporting.before_after import before_after_figure, charted
from cfx.reporting.charts import validity_figure
from cfx.reporting.example_readings import floor_of
from cfx.reporting.html import report_html
from cfx.reporting.posteriors import posterior_figure
from cfx.reporting.progressions import choose_examples, progression_figure, strip_of
from cfx.reporting.run_files import read_run
from cfx.reporting.style import save_png
from cfx.reporting.summary_text import summary_text
from cfx.runs import Evaluation, Run


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        report: ``report.html``.
        figure: ``progressions.png``, None where the run has no examples.
        charts: those that could be drawn of ``validity.png`` and one a measurement: what the task is read by
            (``ctr.png``, ``scp.png`` or ``haze.png``), and ``ctr.png`` beside it; last ``posteriors.png``, of training
            and test images.
        summary: the closing lines for the terminal.
    """

    report: Path
    figure: Path | None
    charts: tuple[Path, ...]
    summary: str


def write_report(run: Run, evaluation: Evaluation | None = None) -> Written:
    """Draws and writes the report of an evaluation; an older one is replaced.

    Args:
        run: the run.
        evaluation: which of its evaluations; its own unless told.

    Raises:
        UserError: it has not been evaluated, or one of its files is broken.
    """
    place = evaluation if evaluation is not None else run.evaluation
    files = read_run(run, place)
    rows = choose_examples(files.examples)
    # Rows of one figure share their columns: those that have as many targets as the first.
    strips = [strip_of(example) for example in rows]
    strips = [strip for strip in strips if len(strip.targets) == len(strips[0].targets)]
    figure = save_png(progression_figure(strips), place.path / "progressions.png") if strips else None
    drawn = [("validity", validity_figure(files.table))]
    drawn += [
        (name, before_after_figure(files.table, name, floor_of(files.metrics, name)))
        for name in charted(files.metrics)
    ]
    drawn.append(("posteriors", posterior_figure(files.metrics)))
    charts = tuple(save_png(chart, place.path / f"{name}.png") for name, chart in drawn if chart is not None)
    write_text(place.report, report_html(files))
    return Written(place.report, figure, charts, summary_text(files, figure, place.report))
