"""Whether counterfactuals are recognised as their patient among that patient's other studies and other patients."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cfx.evaluation.kept import REAL, Kept
from cfx.evaluation.sections import DIRECTIONS, Section, counts, figures
from cfx.metrics.identity import choices, choosable, recognised
from cfx.metrics.statistics import PatientBootstrap

Array = npt.NDArray[Any]
NAMES = ("same_patient", "same_patient_ceiling", "same_patient_chance")


def same_patient_section(
    features: Kept, method: str, base: pd.DataFrame, resamples: int, seed: int
) -> Section:
    """Rank-1 re-identification at the extremes: the worse direction with its ceiling and chance, and both.

    The ceiling is the same of the real pictures, against the same choices; chance is that of a blind choice. Null where
    there are no features, or no patient of the drawn pictures has another study. `study_unknown` counts the drawn
    pictures left out since nobody knows whether the patient's other pictures are of the same study.

    Args:
        features: by method, rows and features (n, d); `real`: of all pictures.
        method: `method` or a control's name.
        base: the pictures as they are; `study_id` tells pictures of one study, empty where it is not known; without it
            each is a study.
        resamples, seed: of the bootstrap; the seed also draws the other patients.
    """
    section: Section = {
        **dict.fromkeys(NAMES),
        "study_unknown": None,
        "reidentification": dict.fromkeys(DIRECTIONS),
    }
    if method not in features or REAL not in features:
        return section
    sides = {group: _direction(features, method, group, base, resamples, seed) for group in DIRECTIONS}
    section["reidentification"] = sides
    section["study_unknown"] = _unknown(base, features[method][0])
    made = [side for side in sides.values() if side is not None]
    if made:
        poorer = min(made, key=lambda side: float(side["same_patient"]))
        section |= {name: poorer[name] for name in NAMES}
    return section


def _direction(
    features: Kept, method: str, group: str, base: pd.DataFrame, resamples: int, seed: int
) -> Section | None:
    """One direction, None where nobody there has another study."""
    rows, drawn = features[method]
    asked = base["group"].to_numpy()[rows] == group
    rows, drawn = rows[asked], drawn[asked]
    gallery = features[REAL][1]
    studies = _studies(base)
    compared = choosable(choices(base["patient_id"].to_numpy(), studies, rows, seed=seed), gallery)
    mine, real = (recognised(queries, rows, gallery, compared) for queries in (drawn, gallery[rows]))
    both = np.isfinite(mine) & np.isfinite(real)
    if not both.any():
        return None
    some = rows[both]
    chance = np.array([compared[int(row)].chance for row in some])
    boot = PatientBootstrap(base["patient_id"].to_numpy()[some], resamples, seed)
    values = dict(zip(NAMES, (mine[both], real[both], chance), strict=True))
    return figures(values, boot) | counts(base.iloc[some])


def _studies(base: pd.DataFrame) -> npt.NDArray[np.str_]:
    """(N,) study of each picture, empty where it is not known."""
    return base["study_id" if "study_id" in base else "image_id"].fillna("").to_numpy().astype(str)


def _unknown(base: pd.DataFrame, rows: Array) -> int:
    """Drawn pictures of unknown study whose patient has other pictures."""
    several = base["patient_id"].duplicated(keep=False).to_numpy()
    return int((several & (_studies(base) == ""))[rows].sum())


def unknown_studies(identity: Mapping[str, Any] | None) -> list[str]:
    """Return the warning that studies are not known, none where they are."""
    count = (identity or {}).get("study_unknown")
    if not count:
        return []
    return [
        f"same_patient: of {count} drawn pictures nobody knows whether the patient's other pictures are of the same "
        "study; they are left out (a table of data names its studies by data.source.study)"
    ]
