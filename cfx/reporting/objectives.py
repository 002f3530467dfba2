"""What a search over settings steers by, from a finished run's files: validity and realism, or a part's monitor."""

import csv
import math
from collections.abc import Mapping
from typing import Any

from cfx.reporting.example_readings import measurement_of
from cfx.reporting.methods import COLUMNS, sides_of
from cfx.reporting.tables import DIRECTIONS
from cfx.runs import Run

WORST_REACH, WORST_KID = 0.0, 10.0
"""What stands in for a figure that was not made: an optimiser takes no gap, and none may come out ahead for it.

The control that looks least real, pixel descent, lies near a KID of 2; a measured one above 10 counts as 10 too.
"""


def objectives(metrics: Mapping[str, Any]) -> tuple[float, float]:
    """Return reach (to be maximised, in [0, 1]) and KID (to be minimised), each of the worse direction.

    Both together, since either alone is had cheaply: noise reaches every target, and no change at all looks real. A
    direction that was not made is the worse one: no trial may come out ahead for having been spared its harder half.

    Args:
        metrics: an explainer's `metrics.json`; a figure that is null there in either direction counts as the worst.
    """
    reach, kid = (_known(metrics, name) for name in ("reach", "KID"))
    return (
        min(reach.values()) if len(reach) == len(DIRECTIONS) else WORST_REACH,
        min(max(kid.values()), WORST_KID) if len(kid) == len(DIRECTIONS) else WORST_KID,
    )


def not_made(metrics: Mapping[str, Any]) -> list[str]:
    """Return a line for each objective that stands at its worst, naming the directions in which it was not made."""
    lines = []
    for name, worst in (("reach", WORST_REACH), ("KID", WORST_KID)):
        made = _known(metrics, name)
        missing = [side for side in DIRECTIONS if side not in made]
        if missing:
            lines.append(
                f"{name} was not measured ({', '.join(missing)}): it counts as {worst:g} in the search"
            )
    return lines


def _known(metrics: Mapping[str, Any], name: str) -> dict[str, float]:
    """A figure of the directions that have it."""
    (column,) = (each for each in COLUMNS if each.name == name)
    made = sides_of(metrics, column, measurement_of(metrics))
    return {side: figure.value for side, figure in made.items() if figure.value is not None}


def monitored(run: Run) -> float | None:
    """Return the best value of the metric that picked a part's weights (`fit.monitor`), by `metrics.csv`.

    None where the part names no monitor, or none of it was logged.
    """
    fit = run.config["model"].get("fit") or {}
    monitor = fit.get("monitor")
    if not monitor or not run.metrics_file.is_file():
        return None
    with run.metrics_file.open(newline="", encoding="utf-8") as stream:
        values = [float(row[monitor]) for row in csv.DictReader(stream) if row.get(monitor)]
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return None
    return max(known) if fit.get("mode", "max") == "max" else min(known)
