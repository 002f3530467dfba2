"""Support devices and text markers: metal and plastic over the chest, in the same place whatever the finding.

Wires, lines and tubes are polylines of given radius whose chord is that of a cylinder; cans and electrodes
are flat plates. Every class has a bit: 1 pacemaker (can and leads), 2 central line, 4 endotracheal tube, 8 ECG
wires, 16 text marker, 32 the marker that a shortcut is planted by (its box).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfx.data.phantom.geometry import Grid, Values, plane
from cfx.data.phantom.glyphs import bitmap

CLASSES: dict[int, str] = {
    1: "pacemaker",
    2: "central_line",
    4: "tube",
    8: "ecg",
    16: "text_marker",
    32: "shortcut_marker",
}
"""Bit of each class in the device files, and its name in boxes.csv."""

SUPPORT = ("pacemaker", "central_line", "tube", "ecg")
"""Columns that say whether a patient carries a support device (text markers are none)."""


SHORTCUT = "shortcut_marker"
"""Column of the patients with the marker of a planted shortcut, which ordinary phantoms do not have; and its class."""

SHORTCUT_TEXT, SHORTCUT_PLACE = "H", (-0.84, 0.78)
"""That marker: a letter which no other marker has, twice as large, in a corner where no other marker stands."""

_MARKERS = tuple(list(CLASSES.values()).index(name) for name in ("text_marker", SHORTCUT))

LARGEST_ZOOM = 1.4
"""Zoom up to which lines are drawn without gaps."""

_PLACES = (
    "pacemaker_x",
    "pacemaker_y",
    "pacemaker_angle",
    "line_side",
    "line_tip",
    "tube_tip",
    "ecg_bend",
    "ecg_y",
)


@dataclass(frozen=True)
class Equipment:
    """Devices of a batch on the film.

    Attributes:
        path: (B, H, W) added path length.
        cover: bool (B, 6, H, W) where each class is, in the order of CLASSES.
    """

    path: Tensor
    cover: Tensor


def draw(values: Values, where: Grid) -> Equipment:
    """Draw every patient's devices and markers on the grid; patients without cost nothing."""
    count, height, width = where.x.shape
    path = torch.zeros(count, height, width)
    cover = torch.zeros(count, len(CLASSES), height, width, dtype=torch.bool)
    for channel, (name, paint) in enumerate(
        (("pacemaker", _pacemaker), ("central_line", _central_line), ("tube", _tube), ("ecg", _ecg))
    ):
        rows = torch.nonzero(values[name] > 0).squeeze(1)
        if len(rows) == 0:
            continue
        some = {key: values[key][rows] for key in _PLACES}
        part = Grid(
            where.x[rows], where.y[rows], where.base_x[rows], where.film_x, where.film_y, where.pixel[rows]
        )
        drawn = paint(some, part)
        path.index_add_(0, rows, drawn)
        cover[rows, channel] = drawn > 0.04
    _markers(values, path, cover)
    return Equipment(path, cover)


def _tubes(where: Grid, points: Tensor, radius: float) -> Tensor:
    """Chord (0 to 1) through a bent cylinder along close points (B, N, 2); never thinner than pixels can show.

    Only the pixels about each point are looked at, and the nearest point stands for the line. All numbers of steps
    follow from the size of the grid alone, so that a patient's picture does not depend on who else is drawn.
    """
    count, height, width = where.x.shape
    walk = points.float()
    thick = where.pixel.clamp_min(radius)
    reach = math.ceil(max(0.5 * radius * width * LARGEST_ZOOM, 1.0)) + 1
    # rows are evenly spaced, and within a row columns are: the nearest pixel is found by division
    row = (
        ((walk[..., 1:] - where.y[:, :1]) / (where.y[:, 1:2] - where.y[:, :1])).round_().clamp_(0, height - 1)
    )
    row = row.long().squeeze(-1)
    first = torch.gather(where.x[:, :, 0], 1, row)
    column = ((walk[..., 0] - first) / where.pixel.squeeze(-1)).round_().clamp_(0, width - 1).long()
    span = torch.arange(-reach, reach + 1)
    rows = (row[..., None, None] + span.reshape(-1, 1)).clamp_(0, height - 1)
    columns = (column[..., None, None] + span.reshape(1, -1)).clamp_(0, width - 1)
    flat = (rows * width + columns).reshape(count, -1)
    near_x = torch.gather(where.x.reshape(count, -1), 1, flat).reshape(*row.shape, len(span), len(span))
    near_y = torch.gather(where.y[..., 0], 1, rows.reshape(count, -1)).reshape(*row.shape, len(span), 1)
    square = (near_x - walk[..., :1, None]).square_() + (near_y - walk[..., 1:, None]).square_()
    inside = (1.0 - square / thick.square().unsqueeze(-1)).clamp_min_(0.0).sqrt_()
    drawn = torch.zeros(count, height * width)
    drawn.scatter_reduce_(1, flat, inside.reshape(count, -1), "amax")
    # a wire thinner than a pixel loses contrast, as a real one does, but not all of it
    return drawn.reshape(count, height, width) * (radius / thick).sqrt()


def _curve(points: list[tuple[Tensor, Tensor]], where: Grid, radius: float, length: float) -> Tensor:
    """Bezier curve (Bernstein form) with the given corners, in steps of 0.4 radii of what is drawn: (B, N, 2).

    Args:
        points: corners, x and y (B,) each.
        where: the grid; it decides how thin a line can be.
        radius: radius of the line.
        length: greatest length of the curve.
    """
    corners = torch.stack([torch.stack(pair, dim=-1) for pair in points], dim=1)
    order = len(points) - 1
    thinnest = max(radius, 2.0 / (where.x.shape[-1] * LARGEST_ZOOM))
    t = torch.linspace(0.0, 1.0, math.ceil(length / (0.4 * thinnest)) + 1, dtype=corners.dtype)
    terms = [math.comb(order, k) * t**k * (1.0 - t) ** (order - k) for k in range(order + 1)]
    return torch.stack(terms, dim=-1) @ corners


def _pacemaker(values: Values, where: Grid) -> Tensor:
    """A can below the left clavicle and two leads, into the right atrium and the right ventricle."""
    px, py = values["pacemaker_x"], values["pacemaker_y"]
    angle = plane(values["pacemaker_angle"])
    dx, dy = where.x - plane(px), where.y - plane(py)
    u = (dx * torch.cos(angle) + dy * torch.sin(angle)) / 0.105
    v = (dy * torch.cos(angle) - dx * torch.sin(angle)) / 0.085
    can = (1.0 - u.square().square() - v.square().square()).clamp(0.0, 1.0).pow(0.25) * 1.1
    zero = torch.zeros_like(px)
    vein = (zero + 0.10, zero - 0.58)
    lines = [_curve([(px - 0.08, py - 0.03), (px - 0.16, py - 0.17), vein], where, 0.012, 0.5)]
    for end in ((zero - 0.06, zero + 0.16), (zero + 0.20, zero + 0.30)):
        corners = [vein, (zero - 0.14, zero - 0.42), (zero - 0.20, zero + 0.18), end]
        lines.append(_curve(corners, where, 0.012, 1.2))
    return torch.maximum(can, _tubes(where, torch.cat(lines, dim=1), 0.012) * 0.65)


def _central_line(values: Values, where: Grid) -> Tensor:
    """A catheter from the neck or under a clavicle down the superior vena cava."""
    side, tip = values["line_side"], values["line_tip"]
    zero = torch.zeros_like(side)
    start = (side * 0.20, zero - 1.02)
    corners = [start, (side * 0.22, zero - 0.62), (zero - 0.12, zero - 0.60), (zero - 0.10, tip)]
    return _tubes(where, _curve(corners, where, 0.012, 1.3), 0.012) * 0.42


def _tube(values: Values, where: Grid) -> Tensor:
    """An endotracheal tube in the trachea."""
    tip = values["tube_tip"]
    zero = torch.zeros_like(tip)
    corners = [(zero + 0.01, zero - 1.15), (zero - 0.004, tip)]
    return _tubes(where, _curve(corners, where, 0.024, 0.8), 0.024) * 0.34


def _ecg(values: Values, where: Grid) -> Tensor:
    """Three electrodes, each with its wire to the edge of the film."""
    bend, level = values["ecg_bend"], values["ecg_y"]
    zero = torch.zeros_like(bend)
    wires, discs = [], []
    for x, y, end_x, end_y in (
        (-0.55, -0.45, -0.20, -1.1),
        (0.58, -0.38, 0.25, -1.1),
        (0.60, 0.55, 1.3, 0.15),
    ):
        place = (zero + x, level + y)
        corners = [place, (zero + x + bend, level + y - 0.25), (zero + end_x, zero + end_y)]
        wires.append(_curve(corners, where, 0.009, 1.1))
        square = (where.x - plane(place[0])).square_() + (where.y - plane(place[1])).square()
        discs.append((1.0 - (square / 0.042**2).pow_(3)).clamp_min_(0.0))
    nearest = torch.maximum(torch.maximum(discs[0], discs[1]), discs[2]) * 0.50
    return torch.maximum(nearest, _tubes(where, torch.cat(wires, dim=1), 0.009) * 0.55)


def _markers(values: Values, path: Tensor, cover: Tensor) -> None:
    """Stamp letters of lead on the film, in place: L or R by the shoulder, AP PORTABLE along the top, a shortcut's."""
    size = path.shape[-1]
    shortcut = values.get(SHORTCUT)
    for row in range(len(path)):
        if float(values["marker"][row]) > 0:
            left = float(values["marker_left"][row]) > 0
            x = float(values["marker_x"][row]) * (1.0 if left else -1.0)
            _stamp(
                path,
                cover,
                row,
                "L" if left else "R",
                (x, float(values["marker_y"][row])),
                max(1, size // 64),
            )
        if float(values["portable"][row]) > 0:
            _stamp(
                path,
                cover,
                row,
                "AP PORTABLE",
                (-0.42, float(values["portable_y"][row])),
                max(1, size // 128),
            )
        if shortcut is not None and float(shortcut[row]) > 0:
            _stamp(path, cover, row, SHORTCUT_TEXT, SHORTCUT_PLACE, max(1, size // 32), boxed=True)


def _stamp(
    path: Tensor,
    cover: Tensor,
    row: int,
    text: str,
    centre: tuple[float, float],
    dot: int,
    boxed: bool = False,
) -> None:
    """Stamp a text; what is covered are its letters, or where `boxed` the whole box, as the marker of a shortcut."""
    size = path.shape[-1]
    letters: NDArray[np.float32] = np.kron(bitmap(text), np.ones((dot, dot), dtype=np.float32))
    height, width = letters.shape
    top = min(max(round((centre[1] + 1.0) / 2.0 * size - height / 2), 0), size - height)
    left = min(max(round((centre[0] + 1.0) / 2.0 * size - width / 2), 0), size - width)
    lead = torch.from_numpy(letters)
    path[row, top : top + height, left : left + width] += 2.0 * lead
    channel = _MARKERS[1] if boxed else _MARKERS[0]
    cover[row, channel, top : top + height, left : left + width] |= (lead > 0) | boxed
