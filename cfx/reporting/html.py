"""report.html: one file with everything in it, nothing fetched, readable on a phone, and without its script too."""

from base64 import b64encode
from collections.abc import Mapping
from html import escape
from typing import Any

from matplotlib.figure import Figure
from omegaconf import OmegaConf

from cfx.environment import without_places
from cfx.evaluation.reading_words import MEASURES, label_of
from cfx.reporting.before_after import READINGS, before_after_figure, charted
from cfx.reporting.charts import validity_figure
from cfx.reporting.example_readings import floor_of, read_by_of
from cfx.reporting.glossary import WORDS
from cfx.reporting.posteriors import SIDES, histogram_of, posterior_figure, seen_in_words
from cfx.reporting.progression_widget import asset, source_hash
from cfx.reporting.recess_sides import weaker_side
from cfx.reporting.run_files import RunFiles, interval_at
from cfx.reporting.sentences import limits, verdict, worse
from cfx.reporting.side_effects import side_effects_table
from cfx.reporting.strips_html import strips_html
from cfx.reporting.style import png_bytes
from cfx.reporting.tables import (
    DASH,
    Table,
    controls_table,
    count,
    direction_table,
    fixed,
    interval,
    parts_table,
)

LARGEST = 4_800_000
"""Bytes of a report, under the 5 MB that a mail or a phone takes; the progressions get what the rest leaves."""

# The browser itself is told to fetch nothing and to run the knob alone, whatever the page should hold by mistake.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {script}"
_START = "cfxProgression.enhance(document);\n"


def _measured(run: RunFiles, name: str) -> list[tuple[float | None, int, str]]:
    """The tiles of what the task is read by; the oracle's is of that too, or there is none."""
    key = f"clinical.{name}.{{d}}"
    label, weak = label_of(name), weaker_side(run.metrics, name)
    right = worse(run.metrics, f"{key}.moved_right") if weak is None else weak.share
    of = "" if weak is None else ", weaker side"
    oracle = (
        (run.value("oracle.ctr_mae"), 3, "CTR error to the oracle")
        if name == "ctr"
        else (worse(run.metrics, f"{key}.of_oracle"), 2, f"of the oracle's shift of {label}")
    )
    return [
        (right, 3, f"{label} moved the right way{of}"),
        (worse(run.metrics, f"{key}.gap_closed"), 2, "of the groups' gap closed"),
        oracle,
    ]


def _numbers(run: RunFiles) -> str:
    """The figures that decide, as tiles, each the worse direction."""
    name = read_by_of(run.metrics)
    tiles = [
        (worse(run.metrics, "validity.{d}.reach"), 3, "targets reached"),
        (run.value("validity.target_mae"), 3, "mean error of the target"),
        (run.value("validity.monotone"), 3, "monotone progressions"),
        *([] if name is None else _measured(run, name)),
        (run.value("identity.fop"), 3, "devices kept"),
        (run.value("blackbox.auroc"), 3, "AUROC of the black box"),
    ]
    made = [(fixed(value, digits), label) for value, digits, label in tiles if value is not None]
    cells = "".join(f"<div><b>{number}</b><span>{escape(label)}</span></div>" for number, label in made)
    told = ["Of two directions the worse one is shown."]
    if name in MEASURES:
        told.append(f"{MEASURES[name].label}: {MEASURES[name].meaning}.")
    if any("oracle" in label for _, label in made):
        told.append(f"Oracle: {WORDS['oracle']}.")
    note = f'<p class="note">{escape(" ".join(told))}</p>'
    return f'<div class="numbers">{cells}</div>{note}' if cells else ""


def _warnings(run: RunFiles) -> str:
    """The evaluation's warnings in a box, or a line that there are none."""
    texts = [str(text) for text in run.metrics.get("warnings") or []]
    if not texts:
        return '<p class="note">The evaluation raised no warning.</p>'
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<div class="warnings" role="alert"><b>Warnings</b><ul>{items}</ul></div>'


def _drawn(figure: Figure, text: str) -> str:
    """A chart, inlined, over what it says."""
    data = b64encode(png_bytes(figure, 120)).decode("ascii")
    return (
        f'<figure><img alt="{escape(text)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
    )


def _panels(run: RunFiles, name: str) -> list[str]:
    """A measurement before and after, a panel a direction and side, each a picture that a phone can show."""
    floor, panels = floor_of(run.metrics, name), []
    beside = (
        ""
        if name == read_by_of(run.metrics)
        else " The finding is not read by it: what moves here was not asked for."
    )
    for column, of in READINGS.get(name, {}).items():
        for side, words in (("up", "asked for the finding"), ("down", "asked to take it away")):
            figure = before_after_figure(run.table, name, floor, [side], [column])
            text = f"{MEASURES[name].name} before and after, {f'{of}, ' if of else ''}{words}.{beside}"
            panels += [] if figure is None else [_drawn(figure, text)]
    return panels


def _charts(run: RunFiles) -> str:
    """The validity curve with what the task is read by, then whatever else is charted, two panels a row."""
    curve = validity_figure(run.table)
    text = "Posterior reached against posterior asked for, by where the image began."
    first = [] if curve is None else [_drawn(curve, text)]
    further = [_panels(run, name) for name in charted(run.metrics)]
    if further and len(further[0]) <= 2:
        first += further.pop(0)
    rows = [("charts" if len(first) > 1 else "charts pairs", first)]
    rows += [("charts pairs", panels) for panels in further]
    grids = [f'<div class="{kind}">{"".join(panels)}</div>' for kind, panels in rows if panels]
    return f"<h2>What was asked and what happened</h2>{''.join(grids)}" if grids else ""


def _seen(run: RunFiles) -> str:
    """What the classifier says of images that the explainer was trained on, beside those it is evaluated on."""
    found = histogram_of(run.metrics)
    if found is None:
        return ""
    figures = [(side, posterior_figure(run.metrics, [side])) for side in SIDES]
    texts = {
        "train": "Posteriors of images that the explainer was trained on.",
        "test": "Posteriors of images that it is evaluated on.",
    }
    panels = "".join(_drawn(figure, texts[side]) for side, figure in figures if figure is not None)
    return (
        "<h2>What the classifier says of the explainer's training images</h2>"
        f'<p class="note">{escape(seen_in_words(found))}</p><div class="charts pairs">{panels}</div>'
    )


def _flat(node: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested keys as 'a.b' with their values as text."""
    rows: list[tuple[str, str]] = []
    for key, value in node.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += _flat(value, f"{name}.")
        elif value is not None:
            rows.append((name, f"{value:,.1f}" if isinstance(value, float) else str(value)))
    return rows


def _how(run: RunFiles) -> str:
    """How it was run: data, counts, time, versions, and the whole configuration folded away."""
    metrics = run.metrics
    steps = _flat(metrics.get("run") or {})
    speed = run.value("speed.per_second")
    rows = [
        ("task", str(metrics.get("task") or DASH)),
        ("data", str(metrics.get("data") or DASH)),
        ("split", str(metrics.get("split") or DASH)),
        ("images / patients", f"{count(run.value('n_images'))} / {count(run.value('n_patients'))}"),
        ("method", str(metrics.get("method") or DASH)),
        *steps,
        *_flat(run.environment),
    ]
    if speed is not None:
        rows.append(
            ("counterfactuals a second", f"{speed:,.1f} on {(metrics.get('speed') or {}).get('device')}")
        )
    seen: dict[str, str] = {}
    for name, value in rows:
        seen.setdefault(name, value)
    table = f'<div class="wraps">{Table("How it was run", ("", "value"), tuple(seen.items())).html()}</div>'
    if not run.config:
        return table
    text = OmegaConf.to_yaml(OmegaConf.create(without_places(run.config)))
    return f"{table}<details><summary>The whole configuration</summary><pre>{escape(text)}</pre></details>"


def _reading(run: RunFiles) -> str:
    """One sentence a direction with the interval, under the verdict's detail."""
    name = read_by_of(run.metrics)
    if name is None:
        return ""
    parts = []
    for side, asked in (("up", "upwards"), ("down", "downwards")):
        key = f"clinical.{name}.{side}"
        shift = run.value(f"{key}.shift_net")
        if shift is not None:
            bounds = interval(interval_at(run.metrics, f"{key}.ci95", "shift_net"), 3, signed=True)
            patients = count(run.value(f"{key}.n_patients"))
            parts.append(f"{asked} {shift:+.3f} {bounds} over {patients} patients".replace("  ", " "))
    return f'<p class="note">Net shift of {label_of(name)}: {escape("; ".join(parts))}.</p>' if parts else ""


def report_html(run: RunFiles) -> str:
    """The whole page.

    Args:
        run: the evaluation's files.

    Returns:
        HTML of at most 5 MB, without a link or anything to fetch. Its one script makes a knob of each progression;
        without it all pictures stand side by side.
    """
    found = verdict(run)
    metrics = run.metrics
    title = f"{metrics.get('task')} · {metrics.get('data')} · {metrics.get('method')}"
    style = asset("page.css") + asset("progression.css")
    script = asset("progression.js") + _START
    policy = _POLICY.format(script=source_hash(script))
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
    )
    top = (
        f"<h1>{escape(title)}</h1><div class='verdict {found.tone}'><p>{escape(found.sentence)}</p>"
        f"<p>{escape(found.detail)}</p></div>{_warnings(run)}{_numbers(run)}{_reading(run)}"
    )
    tables = "".join(
        table.html()
        for table in (
            direction_table(metrics),
            controls_table(metrics),
            side_effects_table(metrics),
            parts_table(metrics),
        )
        if table.rows
    )
    items = "".join(f"<li>{escape(text)}</li>" for text in limits(run))
    bottom = (
        f"{_charts(run)}{_seen(run)}<h2>The numbers</h2>{tables}<h2>How to reproduce it</h2>{_how(run)}"
        f"<h2>Limits</h2><ul>{items}</ul><script>{script}</script></body></html>\n"
    )
    fixed_size = len(head.encode()) + len(top.encode()) + len(bottom.encode())
    strips = ""
    if run.examples:
        explained = (
            "Each row is one patient. The bar is the classifier's posterior, the probability it gives the finding; "
            "the white tick is what was asked for. Every picture but the first was drawn by a model."
        )
        strips = f"<h2>The same patient, drawn again</h2><p class='note'>{explained}</p>" + strips_html(
            run.examples, LARGEST - fixed_size
        )
    return head + top + strips + bottom
