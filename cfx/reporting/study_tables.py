"""A study's answers as two tidy tables: a row a rating, and a row a picture on which a reader drew lines."""

from typing import Any

import numpy as np
import pandas as pd

from cfx.reporting.study_design import QUESTIONS
from cfx.reporting.study_files import Item, Study

RATING_COLUMNS = (
    "reader", "position", "repeat", "item", "kind", "arm", "image", "patient", "group", "question", "about", "score",
    "seconds",
)  # fmt: skip
LINE_COLUMNS = (
    "reader", "position", "repeat", "item", "kind", "arm", "image", "patient", "group", "picture", "role", "ctr",
    "ctr_automatic", "heart_left", "heart_right", "thorax_left", "thorax_right",
)  # fmt: skip
ORIGINAL, OTHER = "original", "other"


def _known(record: dict[str, Any], item: Item) -> dict[str, Any]:
    return {
        "reader": record["reader"],
        "position": record["position"],
        "repeat": bool(record["repeat"]),
        "item": item.item,
        "kind": item.kind,
        "arm": item.arm,
        "image": item.image_id,
        "patient": item.patient_id,
        "group": item.group,
    }


def _roles(record: dict[str, Any]) -> dict[str, str]:
    """Which picture stood left and right."""
    return (
        {"left": ORIGINAL, "right": OTHER} if record["original_left"] else {"left": OTHER, "right": ORIGINAL}
    )


def ratings(study: Study) -> pd.DataFrame:
    """Every answer on a scale.

    Returns:
        columns `RATING_COLUMNS`: question is one of the five, `same_patient` or `real`; about says for `real` which
        picture was judged (`original` or `other`); score is 1 to 5.

    """
    rows = []
    for reader in study.readers():
        for record in study.answers(reader):
            item = study.items[record["item"]]
            known = {**_known(record, item), "seconds": record.get("seconds"), "about": ""}
            answers = record["answers"]
            asked = [name for name in (*QUESTIONS, "same_patient") if name in answers]
            rows += [{**known, "question": name, "score": answers[name]} for name in asked]
            for side, role in _roles(record).items():
                if f"real_{side}" in answers:
                    rows.append(
                        {**known, "question": "real", "about": role, "score": answers[f"real_{side}"]}
                    )
    return pd.DataFrame(rows, columns=list(RATING_COLUMNS))


def readings(study: Study) -> pd.DataFrame:
    """Every pair of lines.

    Returns:
        columns `LINE_COLUMNS`: role is `original` or `other`; ctr is the reader's, ctr_automatic the segmenter's, NaN
        where one could not tell; edges are fractions of the picture's width.

    """
    rows = []
    for reader in study.readers():
        for record in study.answers(reader):
            item = study.items[record["item"]]
            for side, role in _roles(record).items():
                if "lines" not in record["answers"]:
                    continue
                lines = record["answers"]["lines"][side]
                automatic = item.ctr[0 if role == ORIGINAL else 1]
                row = {
                    **_known(record, item),
                    "picture": item.original if role == ORIGINAL else item.other,
                    "role": role,
                    "ctr_automatic": np.nan if automatic is None else automatic,
                    "ctr": np.nan,
                }
                if lines is not None:
                    (h0, h1), (t0, t1) = lines["heart"], lines["thorax"]
                    row |= {"heart_left": h0, "heart_right": h1, "thorax_left": t0, "thorax_right": t1}
                    row["ctr"] = (h1 - h0) / (t1 - t0)
                rows.append(row)
    return pd.DataFrame(rows, columns=list(LINE_COLUMNS))
