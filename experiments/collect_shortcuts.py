"""Freeze what the runs of a shortcut's study measured into one metrics.json, and draw its figure.

    python -m experiments.collect_shortcuts planted_shortcut multirun/planted_shortcut
    python -m experiments.collect_shortcuts randomisation multirun/randomisation

    python -m experiments.collect_shortcuts planted_shortcut --add runs/a runs/b    # to what is frozen already

Runs are measured first where they are not (see `experiments.shortcut_runs`). With `--add` a frozen case and seed stays
where none of the runs is of it: a study of many hours is made in parts, and each row names its own commit. `runs` holds
every run's figures with their intervals, commit and device; `bars` what criteria.yaml reads (see
`experiments.shortcut_bars`).
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from cfx.files import write_json
from cfx.metrics.statistics import patient_mean
from cfx.metrics.validity import DOWN, UP
from cfx.reporting import style
from cfx.runs import Run
from experiments import shortcut_runs
from experiments.several_runs import answer
from experiments.shortcut_bars import FREE, PROTECTED, Row, bars, figure_of

ROOT = Path(__file__).resolve().parent
ADD = "--add"
CASE = ("by", "loss", "strength", "shuffled", "seed")
DRAWN = {
    "share_over_area": "share of the edit over share of the area",
    "ctr_shift_net": "CTR net shift, in the direction asked for",
}


def frozen_beside(rows: Sequence[Row], frozen: Sequence[Row]) -> list[Row]:
    """Return the frozen rows whose case and seed none of some new rows has."""
    known = {tuple(row[key] for key in CASE) for row in rows}
    return [row for row in frozen if tuple(row[key] for key in CASE) not in known]


def row_of(run: Run) -> Row:
    """Return one run's case, figures and provenance."""
    config, environment = run.config, run.environment()
    planted = config["data"]["source"].get("shortcut") or {"by": "none", "strength": 0.0}
    own = json.loads((run.path / "evaluation" / "metrics.json").read_text())
    return {
        "by": planted["by"],
        "strength": float(planted["strength"]),
        "shuffled": bool(config["data"]["source"].get("shuffle_labels")),
        "loss": PROTECTED if config["loss"]["device_weight"] else FREE,
        "seed": int(config["seed"]),
        **shortcut_runs.measured(run),
        "edit": _edit(run),
        "own_gap": {group: _direction(own, group) for group in (UP, DOWN)},
        **{key: environment.get(key) for key in ("commit", "device", "minutes")},
    }


def _edit(run: Run) -> float:
    """Return mean |x_c - x| at both ends, in grey values of the [-1, 1] image, over all pictures, by patient."""
    rows = run.evaluation.counterfactuals()
    ends = rows[rows["target"].isin([0.0, 1.0])]
    return patient_mean(ends["l1"].to_numpy(), ends["patient_id"].to_numpy())


def _direction(metrics: Any, group: str) -> Row:
    """Return the gap of the black box's own groups and what was closed of it, as the evaluation has it."""
    found = metrics["clinical"]["ctr"][group]
    return {key: found.get(key) for key in ("gap", "gap_closed", "n_images")} | {
        "ci95": (found.get("ci95") or {}).get("gap_closed")
    }


def draw(rows: Sequence[Row]) -> Figure:
    """Draw share and signed CTR shift against the strength: a line an arm and loss through means, a point a seed."""
    figure = style.new_figure(11.0, 7.2)
    colours = {"marker": style.UP, "pacemaker": style.DOWN, "none": style.QUIET}
    for line, group in enumerate((UP, DOWN)):
        for column, (name, label) in enumerate(DRAWN.items()):
            axes = figure.add_axes((0.075 + 0.49 * column, 0.57 - 0.49 * line, 0.40, 0.36))
            asked = "asked for the finding" if group == UP else "asked for none"
            style.tidy(axes, f"{group}: {asked}", "strength of the shortcut", label)
            for by, loss in sorted({(row["by"], row["loss"]) for row in rows}):
                some = [row for row in rows if (row["by"], row["loss"]) == (by, loss)]
                points = [(row["strength"], figure_of(row, name, group)) for row in some]
                known = [(x, y) for x, y in points if y is not None]
                places = sorted({x for x, _ in known})
                means = [
                    sum(y for x, y in known if x == at) / sum(x == at for x, _ in known) for at in places
                ]
                dashes = "-" if loss == FREE else (0, (4, 3))
                words = f"{by}, devices {'free' if loss == FREE else 'held'}"
                axes.plot(places, means, color=colours[by], linestyle=dashes, linewidth=1.8, label=words)
                axes.scatter([x for x, _ in known], [y for _, y in known], s=14, color=colours[by], alpha=0.5)
            if line == 0 and column == 0:
                axes.legend(frameon=False, fontsize=8.5, loc="upper left")
    return figure


def work(arguments: list[str]) -> None:
    """Freeze the runs that the arguments name into the study named first."""
    torch.set_num_threads(1)
    study, places = ROOT / arguments[0], arguments[1:]
    rows = [row_of(run) for run in shortcut_runs.runs_of([Path(place) for place in places if place != ADD])]
    if ADD in places:
        rows += frozen_beside(rows, json.loads((study / "metrics.json").read_text())["runs"])
    rows.sort(key=lambda row: (row["by"], row["loss"], row["strength"], row["seed"]))
    write_json(study / "metrics.json", {"schema": 1, "bars": bars(rows), "runs": rows})
    if any("share" in row[UP] for row in rows):
        style.save_png(draw(rows), study / "shortcut.png")
    print(study / "metrics.json")


def main(arguments: list[str]) -> int:
    """See `answer`."""
    return answer(work, arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
