"""What to make of uncertain labels (-1), a finding at a time.

The names are those of Irvin et al. (CheXpert, AAAI 2019): U-Ignore, U-Ones, U-Zeros.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from cfx.errors import BadValue, TooFewPositives, UnknownChoice, nearest

POLICIES: Final = ("ignore", "ones", "zeros")
_VALUE: Final = {"ignore": float("nan"), "ones": 1.0, "zeros": 0.0}

CHEXPERT_FINDINGS: Final = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""The fourteen columns of CheXpert and of MIMIC-CXR's CheXpert table."""

TABLE_COLUMNS: Final = (
    "image_id",
    "path",
    "patient_id",
    "study_id",
    "view",
    "sex",
    "age",
    "split",
    "part",
    "mask_path",
    "device_path",
    "heart_rle",
    "left_rle",
    "right_rle",
    "mask_height",
    "mask_width",
)
"""Columns of a source's table that are never findings."""


def label_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns that can be labels: not one of the fixed ones, and of -1, 0, 1 and NaN alone."""
    found = []
    for column in frame.columns:
        if column in TABLE_COLUMNS or not pd.api.types.is_numeric_dtype(frame[column]):
            continue
        values = frame[column].dropna()
        if values.isin((-1.0, 0.0, 1.0)).all():
            found.append(str(column))
    return found


def check_findings(frame: pd.DataFrame, findings: Sequence[str], argument: str = "data.findings") -> None:
    """Refuse a finding that the table does not have, naming the nearest one.

    A table without a single label column passes: a black box can be explained on pictures that nobody has
    labelled.

    Raises:
        UnknownChoice: the table has labels, but not this one.

    """
    known = label_columns(frame)
    if not known:
        return
    for finding in findings:
        if finding not in known:
            near = nearest(finding, known)
            hint = f"did you mean {near!r}" if near else f"choose among {', '.join(known)}"
            raise UnknownChoice(argument, finding, "no such finding in this data set", hint)


def apply_policy(
    frame: pd.DataFrame, findings: Sequence[str], uncertain: str | Mapping[str, str] = "ignore"
) -> pd.DataFrame:
    """Return a copy whose columns `findings` hold 1, 0 or NaN alone.

    Args:
        frame: a source's table.
        findings: the columns; one the table lacks is added as NaN.
        uncertain: `ignore` (to NaN), `ones` or `zeros` for -1; or a mapping from finding to one of them,
            where the key `default` gives the rest (`ignore` without it).

    Raises:
        UnknownChoice: no such policy, or a policy for a finding that the data set does not have.
        BadValue: a label other than 1, 0, -1 and NaN.

    """
    policies = {"default": uncertain} if isinstance(uncertain, str) else dict(uncertain)
    known = [*findings, *label_columns(frame)]
    for finding, policy in policies.items():
        if policy not in POLICIES:
            near = nearest(str(policy), POLICIES)
            raise UnknownChoice(
                "data.uncertain", policy, "no such policy", f"use {near or ' or '.join(POLICIES)}"
            )
        if finding != "default" and finding not in known:
            near = nearest(finding, known)
            hint = f"did you mean {near!r}" if near else f"choose among {', '.join(known)}"
            raise UnknownChoice("data.uncertain", finding, "no such finding in this data set", hint)
    result = frame.copy()
    for finding in findings:
        if finding not in result:
            result[finding] = np.nan
            continue
        values = pd.to_numeric(result[finding], errors="coerce").astype(float)
        strange = values.dropna()[~values.dropna().isin((-1.0, 0.0, 1.0))]
        if len(strange):
            raise BadValue(
                f"label {finding!r}",
                strange.iloc[0],
                "a label must be 1, 0, -1 or empty",
                f"correct {len(strange)} rows of the table",
            )
        policy = policies.get(finding, policies.get("default", "ignore"))
        result[finding] = values.where(values != -1.0, _VALUE[policy])
    return result


def check_positives(frame: pd.DataFrame, findings: Sequence[str], where: str) -> None:
    """Refuse a part in which a labelled finding is never present.

    A finding whose labels are all unknown passes: then nothing is learnt from it.

    Raises:
        TooFewPositives: labels, but not one positive.

    """
    for finding in findings:
        values = frame[finding]
        if values.notna().any() and not (values == 1.0).any():
            raise TooFewPositives(
                "data.findings",
                finding,
                f"none of {int(values.notna().sum())} labelled images in {where} has it",
                "drop the finding, or take other views, splits or an uncertain policy of ones",
            )
