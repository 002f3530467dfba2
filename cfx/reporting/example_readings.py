"""What the progressions of a finished evaluation are read by, looked up in its table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cfx.evaluation.reading_words import value_in
from cfx.measurements import READING_FLOOR
from cfx.metrics.recess import SIDES


def measurement_of(metrics: Mapping[str, Any]) -> str:
    """The clinical measurement that the task is read by, else the first made ('ctr' unless only another was)."""
    clinical = metrics.get("clinical")
    if isinstance(clinical, Mapping) and isinstance(named := clinical.get("read_by"), str):
        return named
    made = [str(name) for name, node in clinical.items() if node] if isinstance(clinical, Mapping) else []
    return made[0] if made and "ctr" not in made else "ctr"


def measures_nothing(metrics: Mapping[str, Any]) -> bool:
    """Whether the evaluation's task has no measurement at all (`measurement: none`)."""
    clinical = metrics.get("clinical")
    return isinstance(clinical, Mapping) and bool(clinical) and not any(clinical.values())


def read_by_of(metrics: Mapping[str, Any]) -> str | None:
    """What stands under the pictures of an evaluation: what its task is read by, None where nothing is.

    An evaluation that names no `read_by` is of a task whose measurement could not be made, or older than that key.
    """
    clinical = metrics.get("clinical")
    if isinstance(clinical, Mapping) and "read_by" in clinical and clinical["read_by"] is None:
        return None
    return None if measures_nothing(metrics) else measurement_of(metrics)


def floor_of(metrics: Mapping[str, Any], read_by: str | None) -> float:
    """The least shift of one picture that is called a change; 0 where none is known.

    Of the CTR it is what two readers differ by. No reader study tells that of the recess score and of lung haze: it is
    the repeat error of the same evaluation; without one the score takes the CTR's, as `cfx.evaluation.bench` does.
    """
    clinical = metrics.get("clinical")
    section = clinical.get(read_by) if isinstance(clinical, Mapping) else None
    known = section.get("repeat_error") if isinstance(section, Mapping) else None
    if isinstance(known, int | float) and np.isfinite(known):
        return float(known)
    return 0.0 if read_by == "haze" else READING_FLOOR


def readings_of(
    table: pd.DataFrame, image_id: str, targets: Sequence[float], read_by: str | None
) -> tuple[float | None, tuple[float | None, ...]]:
    """One picture's measurement as it is, and as it was drawn for each target.

    Args:
        table: ``counterfactuals.parquet``, a row a picture and target.
        image_id: the picture.
        targets: posteriors asked for.
        read_by: `ctr`, `scp` or `haze`; None: nothing.

    Returns:
        the original's and the targets' in their order; None where the table does not hold it.
    """
    nothing = (None, (None,) * len(targets))
    if read_by is None:
        return nothing
    names = [f"scp_{side}" for side in SIDES] if read_by == "scp" else [read_by]
    needed = {"image_id", "target", *(f"{name}_{when}" for name in names for when in ("before", "after"))}
    if not needed <= set(table):
        return nothing
    rows = table[table["image_id"].astype(str) == image_id]
    if rows.empty:
        return nothing

    def value(row: Any, when: str) -> float | None:
        found = {name: float(row[f"{name}_{when}"]) for name in names}
        return value_in({name: v if np.isfinite(v) else None for name, v in found.items()}, read_by)

    known = {round(float(row["target"]), 6): value(row, "after") for _, row in rows.iterrows()}
    return value(rows.iloc[0], "before"), tuple(known.get(round(float(c), 6)) for c in targets)
