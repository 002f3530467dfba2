"""Freeze what the runs of a shortcut's study measured into one metrics.json, and draw its figure.

    python -m experiments.collect_shortcuts planted_shortcut multirun/planted_shortcut
    python -m experiments.collect_shortcuts randomisation multirun/randomisation

Runs are measured first where they are not (see `experiments.shortcut_runs`). `runs` holds every run's figures with
their intervals, commit and device; `bars` the extremes over seeds, by arm, loss and strength: what criteria.yaml reads.
"""

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from cfx.errors import UserError
from cfx.files import write_json
from cfx.metrics.validity import DOWN, UP
from cfx.reporting import style
from cfx.runs import Run
from experiments import shortcut_runs

ROOT = Path(__file__).resolve().parent
PROTECTED, FREE = "devices_held", "devices_free"
"""Losses with and without the term that holds devices."""
FIGURES = {"share_over_area": "share of the edit over share of the area", "ctr_shift_net": "|CTR net shift|"}
Row = dict[str, Any]


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
        "own_gap": {group: _direction(own, group) for group in (UP, DOWN)},
        **{key: environment.get(key) for key in ("commit", "device", "minutes")},
    }


def _direction(metrics: Any, group: str) -> Row:
    """Return the gap of the black box's own groups and what was closed of it, as the evaluation has it."""
    found = metrics["clinical"]["ctr"][group]
    return {key: found.get(key) for key in ("gap", "gap_closed", "n_images")} | {
        "ci95": (found.get("ci95") or {}).get("gap_closed")
    }


def strength_name(strength: float) -> str:
    """Return a strength as a key without a dot: 0, 50, 75, 100 (per cent)."""
    return f"{100 * strength:g}"


def figure_of(row: Row, name: str, group: str) -> float | None:
    """Return a run's figure of one direction, the CTR shift positive where it goes the way that was asked for."""
    value = (row[group].get(name) or {}).get("mean")
    return -value if value is not None and name == "ctr_shift_net" and group == DOWN else value


def bars(rows: Sequence[Row]) -> dict[str, Any]:
    """Return least, mean and greatest over seeds of each figure, by arm, loss, strength and direction.

    A case with a seed that was not measured is null, so that no bar is met by leaving seeds out. `steps` holds, for an
    arm and loss, the least step of the mean over seeds from one strength to the next and the greatest.
    """
    tree: dict[str, Any] = {}
    for row in rows:
        arm = tree.setdefault(row["by"], {}).setdefault(row["loss"], {})
        case = arm.setdefault(strength_name(row["strength"]), {})
        for group in (UP, DOWN):
            for name in (*FIGURES, "reach", "gap_closed"):
                case.setdefault(group, {}).setdefault(name, []).append(figure_of(row, name, group))
            ends = (row[group]["gap_closed"]["ci95"] or [None, None]) if group in row else [None, None]
            case[group].setdefault("gap_closed_ci95", []).extend(ends)
    found: dict[str, Any] = {
        by: {
            loss: {
                strength: {
                    group: {name: _extremes(values) for name, values in figures.items()}
                    for group, figures in case.items()
                }
                for strength, case in cases.items()
            }
            for loss, cases in losses.items()
        }
        for by, losses in tree.items()
    }
    for cases in (cases for losses in found.values() for cases in losses.values()):
        rising = [cases[strength] for strength in sorted(cases, key=float)]
        cases["steps"] = {
            group: {name: _steps([case[group][name]["mean"] for case in rising]) for name in FIGURES}
            for group in (UP, DOWN)
        }
    return found


def _steps(means: Sequence[float | None]) -> dict[str, float | int | None]:
    """Return the least and the greatest step between neighbours; null where a mean is missing or there is one alone."""
    known = [value for value in means if value is not None]
    if len(known) < max(2, len(means)):
        return {"least": None, "most": None, "n": len(known)}
    steps = [after - before for before, after in pairwise(known)]
    return {"least": min(steps), "most": max(steps), "n": len(known)}


def _extremes(values: Sequence[float | None]) -> dict[str, float | int | None]:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return {"least": None, "mean": None, "most": None, "n": len(known)}
    return {"least": min(known), "mean": sum(known) / len(known), "most": max(known), "n": len(known)}


def draw(rows: Sequence[Row]) -> Figure:
    """Draw share and CTR shift against the strength: a line an arm and loss through the means, a point a seed."""
    figure = style.new_figure(11.0, 7.2)
    colours = {"marker": style.UP, "pacemaker": style.DOWN, "none": style.QUIET}
    for line, group in enumerate((UP, DOWN)):
        for column, (name, label) in enumerate(FIGURES.items()):
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


def main(arguments: list[str]) -> int:
    """Freeze the runs that the arguments name into the study named first; exit code 2 where they name none."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    study = ROOT / arguments[0]
    try:
        rows = [row_of(run) for run in shortcut_runs.runs_of([Path(place) for place in arguments[1:]])]
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rows.sort(key=lambda row: (row["by"], row["loss"], row["strength"], row["seed"]))
    write_json(study / "metrics.json", {"schema": 1, "bars": bars(rows), "runs": rows})
    if any("share" in row[UP] for row in rows):
        style.save_png(draw(rows), study / "shortcut.png")
    print(study / "metrics.json")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
