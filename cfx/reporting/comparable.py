"""Whether two evaluations are of one black box and the same pictures, read off the posteriors of pictures as they are.

Names, counts and AUROC of a black box may agree by chance or be missing; posteriors of every shared picture do not.
"""

import numpy as np
import pandas as pd

from cfx.reporting.methods import Entry
from cfx.reporting.run_files import number_at

SAME = 1e-4
"""Largest difference of one network's posteriors of one picture: other batch sizes and devices round otherwise."""


def not_comparable(
    first: Entry, second: Entry, own: pd.DataFrame | None, table: pd.DataFrame | None
) -> str | None:
    """Return why two runs can not be compared picture by picture, None where they can.

    Args:
        first, second: the evaluations. own, table: their `counterfactuals.parquet`, None where there is none.
    """
    if own is None or table is None:
        return "without counterfactuals.parquet it is known by its numbers alone"
    if second.setting != first.setting:
        return "it does not explain the same black box on the same pictures"
    one, two = _shared(own, table)
    if not len(one):
        return "the two runs share no picture"
    if not _alike(one["p_before"], two["p_before"]):
        return "the black box says something else of the same pictures, so one of them is another"
    return None


def _shared(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What both runs say of the pictures, as they are, that both have: a row a picture, in one order."""
    one, two = (table.drop_duplicates("image_id").set_index("image_id") for table in (first, second))
    shared = one.index.intersection(two.index)
    return one.loc[shared], two.loc[shared]


def _alike(first: "pd.Series[float]", second: "pd.Series[float]") -> bool:
    """Whether posteriors are those of one network; a picture that neither has one of tells nothing."""
    return bool(np.allclose(first, second, rtol=0.0, atol=SAME, equal_nan=True))


def common_threshold(first: Entry, second: Entry, own: pd.DataFrame, table: pd.DataFrame) -> float | None:
    """Return the threshold of the independent classifier where the same one judged both runs, else None."""
    one, two = (number_at(entry.metrics, "transfer.threshold") for entry in (first, second))
    if one is None or one != two:
        return None
    before = [each["p_transfer_before"] for each in _shared(own, table)]
    return one if _alike(*before) else None


def has_transfer(entry: Entry) -> bool:
    """Whether an independent classifier judged a run."""
    return number_at(entry.metrics, "transfer.threshold") is not None
