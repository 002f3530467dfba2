"""View, sex and age as labels, so that a classifier can learn to tell them beside its findings.

A counterfactual of one finding should leave all three as they are. Only a network that reads them can tell.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

OLDER_THAN: Final = 55
"""Years: near the median of adults who get a chest X-ray, so that both sides have enough of them."""

ATTRIBUTES: Final = {"view": "View AP", "sex": "Sex female", "age": f"Age over {OLDER_THAN}"}
"""The label made of each column of a source's table."""

_YES_NO: Final = {"view": ("AP", "PA"), "sex": ("F", "M")}


def attribute_labels(table: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """Return one attribute as a label.

    Args:
        table: rows with `view`, `sex` and `age` as far as they are known (see `cfx.data.source.Source`).
        name: one of the values of `ATTRIBUTES`.

    Returns:
        (N,) 1, 0, or NaN where it is not known; a lateral view is neither AP nor PA.

    Raises:
        KeyError: no such attribute.
    """
    column = {label: column for column, label in ATTRIBUTES.items()}[name]
    found = np.full(len(table), np.nan)
    if column not in table:
        return found
    if column == "age":
        years = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64)
        return np.where(np.isfinite(years), (years > OLDER_THAN).astype(np.float64), np.nan)
    values = table[column].fillna("").astype(str).to_numpy()
    yes, no = _YES_NO[column]
    found[values == yes], found[values == no] = 1.0, 0.0
    return found


def with_attributes(frame: pd.DataFrame, findings: list[str]) -> pd.DataFrame:
    """Return the table with a column for each attribute among the findings; a column that is there already stays."""
    wanted = [name for name in findings if name in ATTRIBUTES.values() and name not in frame]
    return frame.assign(**{name: attribute_labels(frame, name) for name in wanted}) if wanted else frame
