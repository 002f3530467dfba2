"""From the published design to ours in steps: which of them closes the gap between what is asked and reached?

    python -m experiments.ladder singla2021 published=runs/a,runs/b,runs/c "centre of the bin=runs/d,runs/e,runs/f" ...

Each argument after the study is a step, in order: its name and its runs, one a seed, or folders that `cfx.evaluate
output=` wrote. All explain one black box on the same pictures. Writes metrics.json: of each step and direction the mean
posterior reached at the extreme target, reach, the CTR's net shift and devices kept, with every seed's figure and a
t interval over seeds; and ladder.png, the posterior reached against the one asked for, of pictures called negative and
positive.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure as Drawing

from cfx.errors import BadValue
from cfx.files import write_json
from cfx.metrics.statistics import patient_mean
from cfx.metrics.validity import DOWN, UP, extreme_target
from cfx.reporting import style
from cfx.reporting.methods import Figure, open_evaluation
from cfx.reporting.seeds import t_interval
from cfx.runs import Evaluation
from experiments.several_runs import answer, refuse_other_splits

Array = npt.NDArray[Any]
ROOT = Path(__file__).resolve().parent
SAME = 1e-3
"""Posteriors of one black box differ by less on other devices or threads."""
Step = tuple[str, list[Evaluation]]


def steps_of(arguments: list[str]) -> list[Step]:
    """Read the steps of the command line.

    Raises:
        BadValue: a step without a name or without runs, or evaluations of other pictures or another black box.
    """
    steps: list[Step] = []
    for each in arguments:
        name, _, places = each.partition("=")
        if not name or not places:
            raise BadValue("step", each, "is no NAME=RUN,RUN", "name a step and its runs")
        steps.append((name, [open_evaluation(place) for place in places.split(",")]))
    tables = [one.counterfactuals() for _, evaluations in steps for one in evaluations]
    for one in (one for _, evaluations in steps for one in evaluations):
        refuse_other_splits(one)
    known = asked_pictures(tables[0])
    for table in tables[1:]:
        other = asked_pictures(table)
        if not known.index.equals(other.index) or not np.allclose(known, other, atol=SAME):
            raise BadValue(
                "step", None, "the runs have other pictures or black boxes", "give runs of one black box"
            )
    return steps


def asked_pictures(table: pd.DataFrame) -> pd.Series:
    """The posterior of every picture before anything is drawn, by picture: what tells one black box and set."""
    return table.drop_duplicates("image_id").set_index("image_id")["p_before"].sort_index()


def over_seeds(values: list[float | None]) -> dict[str, Any]:
    """Mean of one figure over seeds with its 95 % t interval; null where a seed has none."""
    known = [value for value in values if value is not None and np.isfinite(value)]
    found = t_interval(known) if len(known) == len(values) else Figure()
    return {
        "mean": found.value,
        "ci95": None if found.low is None else [found.low, found.high],
        "seeds": values,
    }


def curve(table: pd.DataFrame, group: str) -> list[tuple[float, float]]:
    """Target and mean posterior reached of one group's pictures, by patient, in the order of rising targets."""
    some = table[table["group"] == group]
    rows = []
    for target, asked in some.groupby("target", sort=True):
        mean = patient_mean(asked["p_after"].to_numpy(), asked["patient_id"].to_numpy())
        rows.append((float(str(target)), mean))
    return rows


def shared_targets(steps: list[Step]) -> list[float]:
    """The targets that every evaluation has, rising: errors over different grids can not be compared."""
    grids = [set(one.counterfactuals()["target"].round(6)) for _, evaluations in steps for one in evaluations]
    return sorted(set.intersection(*grids))


def target_mae(table: pd.DataFrame, targets: list[float]) -> float:
    """Mean |posterior - target| over some targets, by patient."""
    some = table[table["target"].round(6).isin(targets)]
    return patient_mean((some["p_after"] - some["target"]).abs().to_numpy(), some["patient_id"].to_numpy())


def figures(step: Step, targets: list[float]) -> dict[str, Any]:
    """One step's figures by direction, and its curves by seed; the target error over the targets given."""
    name, evaluations = step
    metrics = [one.metrics() for one in evaluations]
    tables = [one.counterfactuals() for one in evaluations]
    found: dict[str, Any] = {
        "name": name,
        "n": len(evaluations),
        "n_patients": [each["n_patients"] for each in metrics],
        "target_mae": over_seeds([target_mae(table, targets) for table in tables]),
        "fop": over_seeds([each["identity"]["fop"] for each in metrics]),
    }
    for group in (UP, DOWN):
        found[group] = {
            "p_after": over_seeds([dict(curve(table, group))[extreme_target(group)] for table in tables]),
            "reach": over_seeds([each["validity"][group]["reach"] for each in metrics]),
            "ctr_shift_net": over_seeds([each["clinical"]["ctr"][group]["shift_net"] for each in metrics]),
            "moved_right": over_seeds([each["clinical"]["ctr"][group]["moved_right"] for each in metrics]),
            "curves": [curve(table, group) for table in tables],
        }
    return found


def draw(found: list[dict[str, Any]]) -> Drawing:
    """One panel a step: the posterior reached against the one asked for, a line a seed and direction."""
    columns = 3
    lines = -(-len(found) // columns)
    figure = style.new_figure(11.0, 3.5 * lines)
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for number, axis in enumerate(axes.ravel()):
        if number >= len(found):
            axis.set_visible(False)
            continue
        step = found[number]
        style.tidy(axis, f"{number}. {step['name']}", "posterior asked for", "posterior reached")
        axis.plot([0, 1], [0, 1], color=style.QUIET, linewidth=0.8, linestyle=(0, (4, 3)))
        for group, colour, words in (
            (UP, style.UP, "called negative"),
            (DOWN, style.DOWN, "called positive"),
        ):
            for k, points in enumerate(step[group]["curves"]):
                label = words if k == 0 else None
                axis.plot(*zip(*points, strict=True), color=colour, linewidth=1.4, alpha=0.8, label=label)
        if number == 0:
            axis.legend(frameon=False, fontsize=8.5, loc="upper left")
    figure.tight_layout(h_pad=2.0)
    return figure


def work(arguments: list[str]) -> None:
    """Freeze the steps that the arguments name."""
    steps = steps_of(arguments[1:])
    targets = shared_targets(steps)
    found = [figures(step, targets) for step in steps]
    study = ROOT / arguments[0]
    write_json(study / "metrics.json", {"targets": targets, "steps": found})
    style.save_png(draw(found), study / "ladder.png")
    for number, step in enumerate(found):
        ends = {
            group: {key: step[group][key]["seeds"] for key in ("p_after", "reach")} for group in (UP, DOWN)
        }
        print(number, step["name"], ends, "fop", step["fop"]["seeds"])


def main(arguments: list[str]) -> int:
    """See `answer`."""
    return answer(work, arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
