"""Where the costophrenic recesses are, and whether fluid has blunted them: from the phantom's geometry alone.

The recess of a side ends where the chest wall meets the diaphragm (without fluid) or the fluid's surface (with it):
the lowest aerated point close to the wall. Nothing is drawn for it, so that a written phantom has its boxes too.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from cfx.data.boxes import Boxes
from cfx.data.phantom.geometry import BASE_Y, Values, diaphragm, fluid_level, lung_borders
from cfx.data.phantom.render import tensors
from cfx.metrics.boxes import BLUNTED, HEALTHY, BoxSet

FILLED = 0.5
"""Share of the recess's depth, from dome to tip, that fluid fills of a blunted one: about severity 0.4, at which the
label is as likely as not."""

DEVICES = {"pacemaker": "pacemaker", "central_line": "line", "tube": "tube"}
"""Class of a detector by the device's name in boxes.csv; wires cross the whole film and letters are no device."""

REACH = (0.23, 0.09, 0.20, 0.12)
"""How far a box goes from the tip in body units: inwards, outwards, upwards, downwards."""

ZONE = 0.20
"""How far inside the chest wall the lowest aerated point is looked for, in body units: at the wall itself the lung is
too thin to be seen."""

ROWS, LINES = 480, 9
"""Heights and lines along the wall that are followed: a row is a tenth of a pixel of 64."""

PORTION = 512
"""Patients looked at at once, which bounds the memory."""

LEAST = 0.5
"""A box of which less than this share is on the film is none: that recess is cut off."""


@dataclass(frozen=True)
class Recesses:
    """Both recesses of a batch of patients, the patient's left first.

    Attributes:
        tip: float64 (B, 2, 2), x and y of the lowest aerated point at the wall on the film, from -1 to 1.
        box: float64 (B, 2, 4), x0, y0, x1, y1 as shares of the film's side, cut at its border.
        filled: float64 (B, 2), share of the recess's depth that fluid has filled; may be beyond 1.
        on_film: bool (B, 2), whether enough of the box is on the film.
    """

    tip: Tensor
    box: Tensor
    filled: Tensor
    on_film: Tensor

    @property
    def blunted(self) -> Tensor:
        """Bool (B, 2): fluid fills at least `FILLED` of the recess."""
        return self.filled >= FILLED


def recesses(values: Values) -> Recesses:
    """Find both recesses of each patient of `values` ((B,) columns of the patient table)."""
    y = torch.linspace(-0.3, 1.3, ROWS, dtype=torch.float64).reshape(1, -1, 1)
    y = y.expand(len(values["lean"]), -1, 1)
    lean = values["lean"].reshape(-1, 1, 1) * y
    base = lean - values["lean"].reshape(-1, 1, 1) * BASE_Y
    lungs = lung_borders(values, y)
    tips, filled = [], []
    for sign, side, lateral in ((1.0, "left", lungs.lateral_left), (-1.0, "right", lungs.lateral_right)):
        inside = sign * (lateral - torch.linspace(0.0, ZONE, LINES, dtype=torch.float64))
        floor = diaphragm(values, inside + base)
        dry = _lowest(y < floor)
        wet = _lowest(y < torch.minimum(floor, fluid_level(values, inside + base)))
        heights = y[:, :, 0]
        ground, level = heights.gather(1, dry), heights.gather(1, wet)
        crest = values[f"dome_{side}"] + sign * values["tilt"] * values["dome_x"]
        filled.append(((ground - level) / (ground - crest.reshape(-1, 1)).clamp_min(0.02)).squeeze(1))
        x = (sign * lateral + lean)[:, :, 0].gather(1, wet)
        tips.append(torch.cat([x, level], dim=1))
    body = torch.stack(tips, dim=1)
    zoom = torch.stack([values["zoom_x"], values["zoom_y"]], dim=1).unsqueeze(1)
    tip = body * zoom + torch.stack([values["shift_x"], values["shift_y"]], dim=1).unsqueeze(1)
    whole = (_around(tip, zoom) + 1.0) / 2.0
    box = whole.clamp(0.0, 1.0)
    return Recesses(tip, box, torch.stack(filled, dim=1), _area(box) >= LEAST * _area(whole))


def _lowest(aerated: Tensor) -> Tensor:
    """Index (B, 1) of the lowest row that is aerated without a gap above it, over all lines of (B, R, L)."""
    run = aerated.to(torch.int64).cumprod(dim=1).sum(dim=1)
    return (run.amax(dim=1, keepdim=True) - 1).clamp_min(0)


def _around(tip: Tensor, zoom: Tensor) -> Tensor:
    """Boxes (B, 2, 4) about the tips on the film, from -1 to 1: outwards is away from the patient's middle."""
    inwards, outwards, up, down = REACH
    across = torch.tensor([[-inwards, outwards], [-outwards, inwards]], dtype=tip.dtype)
    x = tip[..., :1] + across * zoom[..., :1]
    y = tip[..., 1:] + torch.tensor([-up, down], dtype=tip.dtype) * zoom[..., 1:]
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)


def _area(box: Tensor) -> Tensor:
    return (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])


def boxes_of(truth: pd.DataFrame, devices: pd.DataFrame, size: int, frame: pd.DataFrame) -> Boxes:
    """Boxes of devices and recesses of the pictures of a table.

    Args:
        truth: the phantom's truth.parquet.
        devices: its boxes.csv, in pixels.
        size: side of its pictures in pixels.
        frame: the table whose `image_id` are asked for; others are left out.
    """
    wanted = truth[truth["image_id"].isin(set(frame["image_id"]))]
    rows: dict[str, list[tuple[str, float, float, float, float]]] = {name: [] for name in wanted["image_id"]}
    for name, label, *edges in devices.itertuples(index=False):
        if name in rows and label in DEVICES:
            x0, y0, x1, y1 = (float(edge) / size for edge in edges)
            rows[name].append((DEVICES[label], x0, y0, x1, y1))
    for start in range(0, len(wanted), PORTION):
        some = wanted.iloc[start : start + PORTION]
        found = recesses(tensors(some))
        for number, name in enumerate(some["image_id"]):
            for side in range(2):
                if bool(found.on_film[number, side]):
                    kind = BLUNTED if bool(found.blunted[number, side]) else HEALTHY
                    x0, y0, x1, y1 = found.box[number, side].tolist()
                    rows[name].append((kind, x0, y0, x1, y1))
    return {name: BoxSet.of(some) for name, some in rows.items()}
