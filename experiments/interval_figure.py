"""A figure of frozen intervals: a panel a figure, a row a method or loss, its value with the 95 % interval beside it.

    python -m experiments.interval_figure rivals
    python -m experiments.interval_figure context_aware

Reads `metrics.json` of the study and nothing else, so that the picture can be drawn again without any run.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cfx.errors import BadValue
from cfx.metrics.validity import DOWN as GROUP_DOWN
from cfx.metrics.validity import UP as GROUP_UP
from cfx.reporting.style import DOWN, INK, QUIET, UP, new_figure, save_png, tidy
from experiments.several_runs import answer

ROOT = Path(__file__).resolve().parent
FIGURES = {
    "reach": "reach",
    "transfer": "transfer, share",
    "l1_ratio": "L1 to the oracle, of doing nothing",
    "KID": "KID",
    "gap_closed": "gap closed",
    "fop": "devices kept",
}
"""Figures of `experiments.rivals` by their keys, as a reader calls them."""
LOSSES = {"contrast_aware": "context-aware", "contrast_plain": "plain"}
MODELS = {"singla2021": "published, small", "explainer": "our default"}


class Row(NamedTuple):
    """A value and the ends of its interval; None where it was not measured."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    colour: str


class Panel(NamedTuple):
    """A chart of one figure, its rows from the top, and where a line is drawn."""

    title: str
    rows: Sequence[Row]
    line: float | None = None


def of_rivals(found: Mapping[str, Any]) -> list[Panel]:
    """A panel for each figure that any method has; methods in colour, controls in grey."""
    methods, beside = found["methods"], found["beside"]
    panels = []
    for key, title in FIGURES.items():
        rows = [
            Row(
                name,
                figure.get("value"),
                figure.get("low"),
                figure.get("high"),
                UP if name in beside else QUIET,
            )
            for name, figure in ((name, method.get(key) or {}) for name, method in methods.items())
        ]
        if any(row.value is not None for row in rows):
            panels.append(Panel(title, rows, 0.9 if key == "reach" else None))
    return panels


def of_losses(found: Mapping[str, Any]) -> list[Panel]:
    """A panel for each model and direction: what is left of devices' contrast under either loss."""
    return [
        Panel(
            f"{title}, {group} ({found[model][group]['n_patients']} patients)",
            [
                Row(name, figure["mean"], figure["ci95"][0], figure["ci95"][1], colour)
                for (name, figure), colour in zip(
                    ((name, found[model][group][key]) for key, name in LOSSES.items()),
                    (UP, DOWN),
                    strict=True,
                )
            ],
        )
        for model, title in MODELS.items()
        for group in (GROUP_UP, GROUP_DOWN)
    ]


def draw(panels: Sequence[Panel], file: Path, axis: tuple[float, float] | None = None) -> None:
    """Draw panels two in a row; an axis given holds for all, so that they can be compared."""
    down = (len(panels) + 1) // 2
    deep = max(len(panel.rows) for panel in panels)
    figure = new_figure(9.6, down * (0.9 + 0.3 * deep))
    for place, panel in enumerate(panels):
        axes = figure.add_subplot(down, 2, place + 1)
        tidy(axes, panel.title, "", "")
        for height, row in enumerate(panel.rows):
            if row.value is None:
                axes.text(
                    0.02,
                    height,
                    "not measured",
                    transform=axes.get_yaxis_transform(),
                    va="center",
                    fontsize=8,
                    color=QUIET,
                )
                continue
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [height, height], color=row.colour, linewidth=2.2)
            axes.plot(row.value, height, "o", color=row.colour, markersize=5.5)
        if panel.line is not None:
            axes.axvline(panel.line, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(panel.rows)), [row.name for row in panel.rows])
        axes.set_ylim(len(panel.rows) - 0.5, -0.5)
        if axis is not None:
            axes.set_xlim(*axis)
    figure.tight_layout(h_pad=1.6, w_pad=2.0)
    save_png(figure, file, dpi=110)


def draw_study(folder: Path) -> Path:
    """Draw a study's figure from its `metrics.json`; return the file.

    Raises:
        BadValue: it holds nothing of this kind.
    """
    file = folder / "metrics.json"
    found = json.loads(file.read_text()) if file.is_file() else {}
    if "methods" in found:
        place = folder / "rivals.png"
        draw(of_rivals(found), place)
    elif MODELS.keys() <= found.keys():
        place = folder / "contrast.png"
        draw(of_losses(found), place, (0.0, 1.02))
    else:
        raise BadValue("study", folder.name, "has no figure of intervals", "name rivals or context_aware")
    return place


def work(arguments: list[str]) -> None:
    """Draw the studies that are named."""
    for name in arguments:
        print(draw_study(ROOT / name))


def main(arguments: list[str]) -> int:
    """See `answer`."""
    return answer(work, arguments, __doc__, fewest=1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
