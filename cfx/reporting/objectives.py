"""What a search over settings steers by, from a finished run's files: validity and realism, or a part's monitor."""

import csv
import math
from collections.abc import Mapping
from typing import Any

from cfx.reporting.methods import figures_of
from cfx.reporting.tables import measurement_of
from cfx.runs import Run

WORST_REACH, WORST_KID = 0.0, 10.0
"""What stands in for a figure that was not made: an optimiser takes no gap, and none may come out ahead for it.

The control that looks least real, pixel descent, lies near a KID of 2; a measured one above 10 counts as 10 too.
"""


def objectives(metrics: Mapping[str, Any]) -> tuple[float, float]:
    """Return reach (to be maximised, in [0, 1]) and KID (to be minimised), each of the worse direction.

    Both together, since either alone is had cheaply: noise reaches every target, and no change at all looks real.

    Args:
        metrics: an explainer's `metrics.json`; a figure that is null there counts as the worst.
    """
    found = figures_of(metrics, measurement_of(metrics))
    reach, kid = found["reach"].value, found["KID"].value
    return WORST_REACH if reach is None else reach, WORST_KID if kid is None else min(kid, WORST_KID)


def not_made(metrics: Mapping[str, Any]) -> list[str]:
    """Return a line for each objective that stands at its worst because it was not made."""
    found = figures_of(metrics, measurement_of(metrics))
    worst = {"reach": WORST_REACH, "KID": WORST_KID}
    return [
        f"{name} was not measured: it counts as {value:g} in the search"
        for name, value in worst.items()
        if found[name].value is None
    ]


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
