"""The clinical measurements of metrics.json: cardiothoracic ratio, score of a healthy recess, its angle, lung haze."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cfx.evaluation.detecting import both_sides
from cfx.evaluation.sections import DIRECTIONS, Section, clinical_section
from cfx.metrics.recess import SIDES
from cfx.metrics.statistics import holm

MEASURED = ("ctr", "scp", "angle", "haze")
WHEN = ("before", "net_before", "after")


def with_recesses(rows: pd.DataFrame) -> pd.DataFrame:
    """Add `scp_*` and `angle_*` of a picture: the means of both sides, NaN where either is not measurable.

    A copy; of `base` tables, which have only `*_before`, the others are left out.
    """
    added = {}
    for name in ("scp", "angle"):
        for when in WHEN:
            columns = [f"{name}_{side}_{when}" for side in SIDES]
            if set(columns) <= set(rows):
                added[f"{name}_{when}"] = both_sides(rows[columns].to_numpy(dtype=np.float64))
    return rows.assign(**added)


def clinical_sections(
    rows: pd.DataFrame,
    base: pd.DataFrame,
    oracle: pd.DataFrame | None,
    *,
    read_by: str | None,
    directions: Mapping[str, int | None],
    repeat_errors: Mapping[str, float],
    resamples: int,
    seed: int,
) -> Section:
    """EVALUATION section 3: `ctr`; `scp` and `angle` by both sides together and each; `haze`; these three with their
    95 % repeat error. `p_holm` is Holm's correction over all of them, every side and both directions.

    None where nothing was measured.

    Args:
        rows: of the method or control. base: all pictures of the split as they are. oracle: its rows, or None.
        read_by: the measurement that the task is read by, named again in the section where it was made.
        directions: by measurement, +1 where it rises with the finding, -1 where it falls, None where neither is right.
        repeat_errors: 95 % repeat error by measurement.
        resamples, seed: of the bootstrap.
    """
    rows, base = with_recesses(rows), with_recesses(base)
    oracle = None if oracle is None else with_recesses(oracle)

    def section(name: str) -> Section:
        kind = name.partition("_")[0]
        return clinical_section(
            rows,
            base,
            name=name,
            direction=directions.get(kind),
            repeat_error=repeat_errors.get(kind, float("nan")),
            oracle=oracle,
            resamples=resamples,
            seed=seed,
        )

    sections: Section = {"ctr": section("ctr"), "scp": None, "angle": None, "haze": None}
    for name in ("scp", "angle"):
        measured = [f"{name}_{side}_before" for side in SIDES]
        if set(measured) <= set(base) and base[measured].notna().any(axis=None):
            sections[name] = section(name)
            sections[name] |= {side: section(f"{name}_{side}") for side in SIDES}
            sections[name] |= {"repeat_error": repeat_errors.get(name, float("nan"))}
    if "haze_before" in base and base["haze_before"].notna().any():
        sections["haze"] = section("haze") | {"repeat_error": repeat_errors.get("haze", float("nan"))}
    corrected(sections)
    sections["read_by"] = read_by if read_by is not None and sections[read_by] is not None else None
    return sections


def corrected(sections: Section) -> None:
    """Add to every direction of every measurement its p value after Holm's correction over all of them."""
    named = [made for made in sections.values() if made is not None]
    measured = [each for made in named for each in (made, *(made[side] for side in SIDES if side in made))]
    tested = [each[group] for each in measured for group in DIRECTIONS]
    for each, p in zip(tested, holm([each["p"] for each in tested]), strict=True):
        each["p_holm"] = p
