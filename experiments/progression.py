"""Does the picture change gradually, and does what a radiologist measures follow? Over several findings.

    python -m experiments.progression progression runs/cardiomegaly-... runs/pleural_effusion-... runs/edema-...

Each argument after the study is a finished explainer's run of another task, or a folder that `cfx.evaluate output=`
wrote. Writes metrics.json and progression.png: by task and direction the posterior reached and the task's own
measurement at every target, with 95 % intervals by patient; the rank correlation of the measurement with the target
within each picture (`follows`: 1 where every step moves it further the task's way); and `tests`, the paired shift
of every measurement at the extreme target with Wilcoxon's p over patients and Holm's correction over all tasks,
measurements and directions.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from cfx.errors import BadValue
from cfx.files import write_json
from cfx.metrics.statistics import cluster_bootstrap, holm
from cfx.metrics.validity import DOWN, UP
from cfx.reporting import style
from cfx.reporting.methods import open_evaluation
from cfx.runs import Evaluation, Run
from experiments.several_runs import answer, refuse_other_splits

Array = npt.NDArray[Any]
ROOT = Path(__file__).resolve().parent
MEASURED = {"ctr": "cardiothoracic ratio", "scp": "healthy recess, score", "haze": "lung haze"}
FEWEST = 3
"""Targets of a picture that must be readable for the figure that leaves fewer pictures out."""
BLUNTED, HEALTHY = 0.5, 0.7
"""Scores of a recess under and over which it is taken for blunted or healthy in `by_side`."""
FALLS = {"scp"}
"""Measurements that fall as their finding grows."""


def measured(table: pd.DataFrame, name: str) -> Array:
    """The measurement of every row: the column itself, or the mean of both sides; NaN where a side has none."""
    if name == "scp":
        both: Array = table[["scp_left_after", "scp_right_after"]].mean(axis=1, skipna=False).to_numpy()
        return both
    one: Array = table[f"{name}_after"].to_numpy(dtype=np.float64)
    return one


def levels(table: pd.DataFrame, values: Array) -> list[dict[str, Any]]:
    """Mean of some values by target, with its interval by patient."""
    rows = []
    for target, places in table.groupby("target", sort=True).indices.items():
        mean, low, high = cluster_bootstrap(values[places], table["patient_id"].to_numpy()[places])
        rows.append({"target": float(str(target)), "mean": mean, "ci95": [low, high]})
    return rows


def follows(table: pd.DataFrame, values: Array, sign: int, fewest: int | None = None) -> dict[str, Any]:
    """Spearman's correlation of the measurement with the target within each picture, its mean by patient.

    Args:
        table: rows of one group, every target of each picture.
        values: (N,) the measurement.
        sign: -1 where it falls as the finding grows.
        fewest: targets at which a picture must be measurable, None = at all of them.

    Returns:
        mean, ci95, and the share of pictures in which it could be read: measurable often enough and not one value.
    """
    wide = pd.DataFrame({"image": table["image_id"], "target": table["target"], "value": values})
    wide = wide.pivot_table(index="image", columns="target", values="value", dropna=False)
    patients = (
        table.drop_duplicates("image_id").set_index("image_id")["patient_id"].loc[wide.index].to_numpy()
    )
    needed = len(wide.columns) if fewest is None else fewest
    targets = wide.columns.to_numpy(dtype=np.float64)
    ranks = np.full(len(wide), np.nan)
    for number, row in enumerate(wide.to_numpy()):
        made = np.isfinite(row)
        if made.sum() >= needed and np.ptp(row[made]) > 0:
            ranks[number] = sign * stats.spearmanr(targets[made], row[made]).statistic
    mean, low, high = cluster_bootstrap(ranks, patients)
    return {"mean": mean, "ci95": [low, high], "read": float(np.isfinite(ranks).mean())}


def by_side(table: pd.DataFrame) -> dict[str, Any]:
    """`follows` of each recess by itself: of all, and of those that were blunted or healthy in the picture as taken."""
    found: dict[str, Any] = {}
    for side in ("left", "right"):
        before = table[f"scp_{side}_before"].to_numpy()
        kinds = {
            "all": np.ones(len(table), dtype=bool),
            "blunted": before < BLUNTED,
            "healthy": before > HEALTHY,
        }
        found[side] = {}
        for kind, chosen in kinds.items():
            rows = table[chosen].reset_index(drop=True)
            figure = follows(rows, rows[f"scp_{side}_after"].to_numpy(), -1) if len(rows) else None
            found[side][kind] = figure
    return found


def made_with(evaluation: Evaluation) -> dict[str, Any]:
    """Commit, device and seed of the training: from the evaluation, or from the run in whose folder it lies."""
    written = evaluation.metrics()["run"]
    environment = written if written.get("commit") else Run(evaluation.path.parent).environment()
    return {key: environment.get(key) for key in ("commit", "device", "seed")}


def task_figures(evaluation: Evaluation) -> dict[str, Any]:
    """Curves and figures of one task.

    Raises:
        BadValue: nothing is measured of its finding, or it is no evaluation of the test patients.
    """
    refuse_other_splits(evaluation)
    metrics, table = evaluation.metrics(), evaluation.counterfactuals()
    name = metrics["clinical"]["read_by"]
    if name not in MEASURED:
        raise BadValue(
            "run", str(evaluation.path), "measures nothing of its finding", "give tasks that are measured"
        )
    found: dict[str, Any] = {
        "task": metrics["task"],
        "read_by": name,
        "n_patients": metrics["n_patients"],
        "run": made_with(evaluation),
        **{key: metrics["validity"][key] for key in ("target_mae", "target_mae_worst", "monotone", "spans")},
    }
    sign = -1 if name in FALLS else 1
    for group in (UP, DOWN):
        some = table[table["group"] == group].reset_index(drop=True)
        values = measured(some, name)
        found[group] = {
            "n_images": int(some["image_id"].nunique()),
            "reach": metrics["validity"][group]["reach"],
            "posterior": levels(some, some["p_after"].to_numpy()),
            "measurement": levels(some, values),
            "follows": follows(some, values, sign),
            "follows_if_three_are_read": follows(some, values, sign, fewest=FEWEST),
        }
        if name == "scp":
            found[group]["by_side"] = by_side(some)
    return found


def shifts(evaluations: list[Evaluation]) -> list[dict[str, Any]]:
    """Paired shift of every measurement of every task and direction, with p corrected over all of them."""
    rows = []
    for evaluation in evaluations:
        metrics = evaluation.metrics()
        for name, section in metrics["clinical"].items():
            if not isinstance(section, dict) or not section.get(UP):
                continue
            for group in (UP, DOWN):
                figures = {
                    key: section[group].get(key)
                    for key in ("shift_net", "effect", "n_patients", "not_measurable", "p")
                }
                interval = (section[group].get("ci95") or {}).get("shift_net")
                own = name == metrics["clinical"]["read_by"]
                rows.append(
                    {"task": metrics["task"], "measurement": name, "direction": group, "own": own}
                    | {**figures, "ci95": interval}
                )
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = corrected
    return rows


def draw(found: list[dict[str, Any]]) -> Figure:
    """A column a task: the posterior reached, and below it the measurement, against the posterior asked for."""
    figure = style.new_figure(3.9 * len(found), 6.6)
    axes = figure.subplots(2, len(found), squeeze=False)
    for column, task in enumerate(found):
        for line, (key, words) in enumerate((("posterior", "posterior reached"), ("measurement", ""))):
            axis = axes[line][column]
            title = str(task["task"]).replace("_", " ") if line == 0 else ""
            style.tidy(axis, title, "posterior asked for", words or MEASURED[task["read_by"]])
            for group, colour, label in (
                (UP, style.UP, "called negative"),
                (DOWN, style.DOWN, "called positive"),
            ):
                points = task[group][key]
                x, y = [each["target"] for each in points], [each["mean"] for each in points]
                low, high = ([each["ci95"][end] for each in points] for end in (0, 1))
                axis.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
                axis.plot(x, y, color=colour, marker="o", markersize=3, linewidth=1.5, label=label)
            if line == 0:
                axis.plot([0, 1], [0, 1], color=style.QUIET, linewidth=0.8, linestyle=(0, (4, 3)))
            if line == 0 and column == 0:
                axis.legend(frameon=False, fontsize=8.5, loc="upper left")
    figure.tight_layout(h_pad=2.0, w_pad=2.0)
    return figure


def work(arguments: list[str]) -> None:
    """Freeze the tasks that the arguments name.

    Raises:
        BadValue: two of the runs are of one task: the correction would count it twice.
    """
    evaluations = [open_evaluation(place) for place in arguments[1:]]
    tasks = {str(each["task"]): each for each in map(task_figures, evaluations)}
    if len(tasks) < len(evaluations):
        raise BadValue("run", None, "two of the runs are of one task", "give one of each")
    tests = shifts(evaluations)
    study = ROOT / arguments[0]
    write_json(study / "metrics.json", {"tasks": tasks, "tests": tests})
    style.save_png(draw(list(tasks.values())), study / "progression.png")
    for name, each in tasks.items():
        print(name, each["read_by"], {group: each[group]["follows"] for group in (UP, DOWN)})
    print(pd.DataFrame(tests).to_string())


def main(arguments: list[str]) -> int:
    """See `answer`."""
    return answer(work, arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
