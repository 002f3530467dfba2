"""A shortcut planted in the phantom: a sign that is no disease and goes with the recorded label all the same.

A classifier that reads it is right for the wrong reason, as one is that knows a ward by its marker or the ill by their
pacemakers. Here the sign is planted, so that it is known whether an explanation of such a classifier shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfx.data.phantom import devices, geometry
from cfx.data.phantom.anatomy import SITES, Draws
from cfx.data.phantom.geometry import Values
from cfx.errors import BadValue, UnknownChoice, nearest

COLUMNS: dict[str, str] = {"marker": devices.SHORTCUT, "pacemaker": "pacemaker"}
"""Kinds of shortcut, and the column of the patient table that draws each."""

LABEL = "label_cardiomegaly"
"""What it goes with: the recorded label, flips included, as a classifier learns it from a hospital's records."""

_STREAM = 1 << 16
"""Keeps its coin flips apart from the sites' streams, so that nobody else's numbers change."""


@dataclass(frozen=True)
class Shortcut:
    """What is planted.

    Attributes:
        by: `marker`, a large letter of lead in the lower corner on the patient's right, or `pacemaker`.
        strength: 0 to 1. It is there in (1 + strength) / 2 of the patients whose recorded label is positive and in
            (1 - strength) / 2 of the others: in half of all, and knowing nothing at 0, knowing all at 1.
    """

    by: str
    strength: float


def shortcut_of(node: Mapping[str, Any] | None) -> Shortcut | None:
    """Return what `data.source.shortcut` asks for.

    Raises:
        BadValue, UnknownChoice: it is no mapping of a known `by` and of a `strength` from 0 to 1.
    """
    if node is None:
        return None
    argument, remedy = "data.source.shortcut", "give {by: marker, strength: 1.0}"
    if not isinstance(node, Mapping) or set(node) != {"by", "strength"}:
        raise BadValue(argument, node, "is not by and strength", remedy)
    by, strength = node["by"], node["strength"]
    if by not in COLUMNS:
        close = nearest(str(by), COLUMNS)
        raise UnknownChoice(f"{argument}.by", by, "no such shortcut", f"use {close or ' or '.join(COLUMNS)}")
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 1:
        raise BadValue(f"{argument}.strength", strength, "is no strength", "give a number from 0 to 1")
    return Shortcut(str(by), float(strength))


def plant(frame: pd.DataFrame, shortcut: Shortcut, seed: int, site: str) -> pd.DataFrame:
    """Return a patient table in which the shortcut goes with the recorded label.

    One uniform number a patient decides, whatever the strength: patients with a positive label keep it and others keep
    without it as the strength grows. A pacemaker takes the place of the patient's own.

    Args:
        frame: of `anatomy.sample`, with the labels as they are recorded.
        shortcut: what is planted.
        seed: of the phantom.
        site: of the phantom.
    """
    stream = _STREAM + list(SITES).index(site)
    luck = Draws(seed, frame["patient"].astype(int).tolist(), stream).uniform()
    share = np.where(frame[LABEL] == 1.0, 1.0 + shortcut.strength, 1.0 - shortcut.strength) / 2.0
    there = (luck < share).astype(np.float64)
    return frame.assign(**{"shortcut": there, COLUMNS[shortcut.by]: there})


def with_shortcut(values: Values, by: str, present: Tensor) -> dict[str, Tensor]:
    """Return the patients with the shortcut where `present` (B,) is true and without it elsewhere."""
    there = present.to(torch.float64)
    return {**values, "shortcut": there, COLUMNS[by]: there}


def regions(values: Values, by: str, size: int) -> NDArray[np.bool_]:
    """Where the shortcut stands in each patient, or would stand if it were there.

    Args:
        values: (B,) columns of the patient table.
        by: kind of shortcut.
        size: side of the pictures in pixels.

    Returns:
        (B, size, size): the marker's box, or the pacemaker's can and leads.
    """
    ones = torch.ones(len(values["patient"]), dtype=torch.float64)
    alone = {**values, **dict.fromkeys((*devices.SUPPORT, "marker", "portable"), 0.0 * ones)}
    fine = geometry.grid(values, 2 * size)
    cover = devices.draw(with_shortcut(alone, by, ones), fine).cover.any(dim=1, keepdim=True)
    found: NDArray[np.bool_] = torch.nn.functional.max_pool2d(cover.float(), 2)[:, 0].numpy() > 0
    return found
