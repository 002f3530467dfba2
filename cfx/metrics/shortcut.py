"""How much of an edit lies on a shortcut, and whether a black box reads one.

A shortcut is a sign beside the disease that goes with the label, such as a ward's marker. Its region is where it stands
or would stand. An edit spread evenly over the picture has as much of its change there as the region has of the
picture: `share_over_area` is 1, whatever the region's size.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from cfx.metrics.calibration import auroc

Array = npt.NDArray[Any]


def edit_share(before: Array, after: Array, region: Array) -> tuple[Array, Array]:
    """Share of an edit that lies in a region, and that over the region's share of the picture.

    Args:
        before: (N, H, W) grey values of the pictures.
        after: (N, H, W) of their counterfactuals.
        region: (N, H, W) bool.

    Returns:
        share (N,) = sum of |after - before| in the region over the sum in the picture, in [0, 1], NaN where nothing was
        changed; and share_over_area (N,), NaN besides where the region is empty.

    Raises:
        ValueError: the shapes differ.
    """
    inside = np.asarray(region, dtype=bool)
    if not np.shape(before) == np.shape(after) == inside.shape or inside.ndim != 3:
        raise ValueError(f"{np.shape(before)}, {np.shape(after)} and {inside.shape} must be one (N, H, W)")
    change = np.abs(np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64))
    total, there = change.sum(axis=(1, 2)), (change * inside).sum(axis=(1, 2))
    share = np.divide(there, total, out=np.full(len(total), np.nan), where=total > 0)
    area = inside.mean(axis=(1, 2))
    return share, np.divide(share, area, out=np.full(len(area), np.nan), where=area > 0)


def arrangements(present: Array, absent: Array, there: Array, luck: Array) -> dict[str, Array]:
    """Posteriors (N,) of the same pictures by where the shortcut stands; arguments as of `reliance`.

    Returns:
        `as_is`; `swapped`, every picture the other way round; `independent`, dealt out by chance.
    """
    there, luck = np.asarray(there, dtype=bool), np.asarray(luck, dtype=bool)
    return {
        "as_is": np.where(there, present, absent),
        "swapped": np.where(there, absent, present),
        "independent": np.where(luck, present, absent),
    }


def reliance(present: Array, absent: Array, label: Array, there: Array, luck: Array) -> dict[str, float]:
    """AUROC of a black box whose pictures all exist with and without the shortcut.

    Args:
        present: (N,) posterior of each picture with the shortcut.
        absent: (N,) posterior without it.
        label: (N,) 1/0, NaN left out.
        there: (N,) bool, whether the picture had it.
        luck: (N,) bool, whether it has it where it is dealt out by chance.

    Returns:
        `as_is`; `swapped`, every picture the other way round, so that what went with the label goes against it;
        `independent`, dealt out by chance; `effect`, the mean of present less absent.
    """
    shown = arrangements(present, absent, there, luck)
    found = {name: auroc(posterior, label) for name, posterior in shown.items()}
    return found | {"effect": float(np.mean(np.asarray(present) - np.asarray(absent)))}
