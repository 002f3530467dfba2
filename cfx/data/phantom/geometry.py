"""Where the organs are: borders of heart and lungs row by row, the diaphragm and fluid column by column.

Every organ is a tube whose cross-section changes with the row (heart, mediastinum, thorax) or a surface that changes
with the column (diaphragm, fluid level). That makes borders exact functions, from which masks of any size and the
cardiothoracic ratio follow without drawing the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cfx.data.phantom.findings import RATIO

Values = Mapping[str, Tensor]
"""Columns of the patient table as float64 tensors (B,)."""

CONTOUR_ROWS = 400
"""Rows at which borders are sampled for the ratio: half a row moves an extreme by less than 1e-4."""


def plane(column: Tensor) -> Tensor:
    """(B,) column of the table as float32 (B, 1, 1), to go with rows and columns of a picture."""
    return column.float().reshape(-1, 1, 1)


@dataclass(frozen=True)
class Grid:
    """Body coordinates of pixel centres.

    Attributes:
        x: (B, H, W) to the patient's left, y: (B, H, 1) downwards, base_x: (B, 1, W) x at the height of the
        diaphragm (a leaning patient's x differs from row to row; surfaces below take it at the base).
        film_x: (W,), film_y: (H,) from -1 to 1 across the film. pixel: (B, 1, 1) width of a pixel in body units.
    """

    x: Tensor
    y: Tensor
    base_x: Tensor
    film_x: Tensor
    film_y: Tensor
    pixel: Tensor

    def rows(self, rows: slice) -> Grid:
        """Part of the grid: some of its rows."""
        return Grid(self.x[:, rows], self.y[:, rows], self.base_x, self.film_x, self.film_y[rows], self.pixel)


BASE_Y = 0.4
"""Height at which surfaces that change with the column are placed."""


def grid(values: Values, size: int) -> Grid:
    """Body coordinates of a film of `size` by `size` pixels, for each patient of `values`."""
    film = (torch.arange(size, dtype=torch.float64) + 0.5) * (2.0 / size) - 1.0
    axis = film.float()
    across = (axis.reshape(1, 1, -1) - plane(values["shift_x"])) / plane(values["zoom_x"])
    y = (axis.reshape(1, -1, 1) - plane(values["shift_y"])) / plane(values["zoom_y"])
    lean = plane(values["lean"])
    pixel = 2.0 / size / plane(values["zoom_x"])
    return Grid(across - lean * y, y, across - lean * BASE_Y, axis, axis, pixel)


@dataclass(frozen=True)
class Heart:
    """The heart's shadow: left and right border about a line, between two heights. All (B,) float64.

    Attributes:
        middle: x of the line, top, bottom: heights, left, right: greatest distance of either border from the line,
        curve_left, curve_right: how low the border is widest, depth: front-to-back axis, soft: exponent of the chord
        (0.5 an ellipse; more where fat pads the border).
    """

    middle: Tensor
    top: Tensor
    bottom: Tensor
    left: Tensor
    right: Tensor
    curve_left: Tensor
    depth: Tensor
    soft: Tensor


def heart(values: Values) -> Heart:
    """The heart at the severity of `values`: its ratio by severity, then breath, projection, rotation and fat.

    Of every unit of added width about three quarters go to the patient's left, and the apex sinks.
    """
    severity = values["severity_cardiomegaly"]
    healthy = RATIO[0] * values["heart_factor"] + values["fat"]
    ratio = (RATIO[0] + RATIO[1] * severity) * values["heart_factor"] + values["fat"]
    span = 2.0 * values["thorax"]
    width, normal = ratio * span, healthy * span
    right = values["heart_right"] * normal + 0.26 * (width - normal)
    dome = 0.5 * (values["dome_left"] + values["dome_right"])
    growth = (width - normal) / normal
    return Heart(
        middle=0.028 * values["rotation"],
        top=values["apex_y"] + 0.50 * (dome - values["apex_y"]) - 0.04 * growth,
        bottom=dome + 0.075 + 0.16 * growth,
        left=width - right,
        right=right,
        curve_left=values["heart_curve"] + 0.25 * growth,
        depth=values["heart_depth"] * (1.0 + 0.35 * growth),
        soft=0.42 + 9.0 * values["fat"],
    )


def _border(t: Tensor, rise: Tensor, fall: float) -> Tensor:
    """Distance of a border from the heart's line, greatest 1, at the share `t` (0 top, 1 bottom) of its height.

    t^rise (1 - t^fall)^(1/2), scaled by its greatest value, which is at t^fall = rise / (rise + fall / 2).
    """
    peak = (rise / (rise + 0.5 * fall)) ** (1.0 / fall)
    top = peak**rise * (1.0 - peak**fall).sqrt()
    t = t.clamp(0.0, 1.0)
    return t**rise * (1.0 - t**fall).sqrt() / top


def heart_borders(shape: Heart, y: Tensor) -> tuple[Tensor, Tensor]:
    """The heart's right and left border as x, (B, R, 1) each, at heights y (B, R, 1); equal outside the heart."""
    column = shape.middle.to(y.dtype).reshape(-1, 1, 1)
    top = shape.top.to(y.dtype).reshape(-1, 1, 1)
    t = (y - top) / (shape.bottom.to(y.dtype).reshape(-1, 1, 1) - top)
    rise = shape.curve_left.to(y.dtype).reshape(-1, 1, 1)
    left = column + shape.left.to(y.dtype).reshape(-1, 1, 1) * _border(t, rise, 5.0)
    right = column - shape.right.to(y.dtype).reshape(-1, 1, 1) * _border(t, 0.55 * rise, 3.2)
    return right, left


@dataclass(frozen=True)
class Lungs:
    """Borders of both lungs at given rows, (B, R, 1) each, as distances from the spine.

    Attributes:
        lateral_left, lateral_right: chest wall, medial_left, medial_right: mediastinum without the heart.
    """

    lateral_left: Tensor
    lateral_right: Tensor
    medial_left: Tensor
    medial_right: Tensor

    def rows(self, rows: slice) -> Lungs:
        """The borders at some of the rows."""
        return Lungs(
            self.lateral_left[:, rows],
            self.lateral_right[:, rows],
            self.medial_left[:, rows],
            self.medial_right[:, rows],
        )


def lung_borders(values: Values, y: Tensor) -> Lungs:
    """Chest wall and mediastinum at heights y (B, R, 1); above the apex a lung is empty (lateral = medial)."""

    def at(name: str) -> Tensor:
        return values[name].to(y.dtype).reshape(-1, 1, 1)

    apex, tip = at("apex_y"), at("apex_x")
    rise = ((y - apex) / (at("widest_y") - apex)).clamp(0.0, 1.0)
    arc = (1.0 - (1.0 - rise) ** 2.0).clamp_min(0.0).sqrt()
    below = ((y - at("widest_y")) / 0.6).clamp_min(0.0)
    wall = (tip + (at("thorax") - tip) * arc) * (1.0 - 0.035 * below**2)
    closing = ((y - apex) / 0.22).clamp(0.0, 1.0)
    flare = tip * (1.0 - (1.0 - (1.0 - closing) ** 2).clamp_min(0.0).sqrt())
    turn = 0.030 * at("rotation")
    pedicle = at("mediastinum")
    knob = at("knob") * torch.exp(-(((y - apex - 0.42) / 0.085) ** 2))
    hilum = 0.02 * torch.exp(-(((y - apex - 0.72) / 0.12) ** 2))
    asymmetry = at("asymmetry")
    lateral_left, lateral_right = wall * (1.0 + asymmetry), wall * (1.0 - asymmetry)
    medial_left = torch.minimum(torch.maximum(flare, pedicle + turn + knob + hilum), lateral_left)
    medial_right = torch.minimum(torch.maximum(flare, pedicle - 0.012 - turn + hilum), lateral_right)
    return Lungs(lateral_left, lateral_right, medial_left, medial_right)


def diaphragm(values: Values, x: Tensor) -> Tensor:
    """Height of the diaphragm's outline at x (any shape after B): a dome a side, falling into the recess."""

    def at(name: str) -> Tensor:
        return values[name].to(x.dtype).reshape(-1, *([1] * (x.dim() - 1)))

    side = torch.sigmoid(x / 0.02)
    top = at("dome_right") + (at("dome_left") - at("dome_right")) * side + at("tilt") * x
    away = x.abs()
    crest = at("dome_x")
    out = ((away - crest) / (at("thorax") - crest)).clamp(0.0, 1.0)
    inwards = ((crest - away) / crest).clamp_min(0.0)
    fall = at("recess") * (1.0 - (1.0 - out**2.4).clamp_min(0.0).sqrt())
    return top + fall + 0.06 * inwards**2


def fluid_level(values: Values, x: Tensor) -> Tensor:
    """Height of the fluid's upper outline at x (as in `diaphragm`): higher towards the wall (meniscus).

    Fluid of severity 0.2 just fills the recess; more blunts the costophrenic angle, then hides the dome.
    """

    def at(name: str) -> Tensor:
        return values[name].to(x.dtype).reshape(-1, *([1] * (x.dim() - 1)))

    left = (x > 0).to(x.dtype)
    present = left * at("fluid_left") + (1.0 - left) * at("fluid_right")
    floor = torch.where(left > 0, at("dome_left"), at("dome_right")) + at("recess")
    level = floor + 0.07 - 0.50 * at("severity_pleural_effusion") * at("fluid_slope").clamp(0.8, 1.2)
    gap = (at("thorax") - x.abs()).clamp_min(0.0)
    meniscus = 0.16 * torch.exp(-gap / 0.14)
    return level + 0.10 - meniscus + 4.0 * (1.0 - present)


@dataclass(frozen=True)
class Outlines:
    """Everything that bounds heart and lungs on a grid: rows (B, R, 1), columns (B, 1, W)."""

    heart_right: Tensor
    heart_left: Tensor
    lungs: Lungs
    floor: Tensor
    fluid: Tensor

    def rows(self, rows: slice) -> Outlines:
        """The outlines on some of the grid's rows."""
        return Outlines(
            self.heart_right[:, rows], self.heart_left[:, rows], self.lungs.rows(rows), self.floor, self.fluid
        )


def outlines(values: Values, shape: Heart, where: Grid) -> Outlines:
    """Borders of heart and lungs on the rows and columns of a grid."""
    right, left = heart_borders(shape, where.y)
    return Outlines(
        right,
        left,
        lung_borders(values, where.y),
        diaphragm(values, where.base_x),
        fluid_level(values, where.base_x),
    )


def masks(lines: Outlines, where: Grid) -> Tensor:
    """Bool (B, 3, H, W): heart, left lung, right lung (aerated, beside the heart), at pixel centres."""
    x, y = where.x, where.y
    air = (y < torch.minimum(lines.floor, lines.fluid)).expand_as(x)
    lungs = lines.lungs
    inner_left = torch.maximum(lungs.medial_left, lines.heart_left)
    inner_right = -torch.maximum(lungs.medial_right, -lines.heart_right)
    heart_mask = (x > lines.heart_right) & (x < lines.heart_left)
    left = (x > inner_left) & (x < lungs.lateral_left) & air
    right = (x < inner_right) & (x > -lungs.lateral_right) & air
    return torch.stack([heart_mask, left, right], dim=1)


def ratio(values: Values, shape: Heart) -> Tensor:
    """Cardiothoracic ratio as drawn, float64 (B,): extents of the outlines on the film, without any picture.

    Widest extent of the heart over the widest span of the aerated lungs, both along the film's horizontal (which
    a leaning patient tilts), as `masks` would give them with infinitely fine pixels.
    """
    top, bottom = -1.2, 1.2
    y = torch.linspace(top, bottom, CONTOUR_ROWS, dtype=torch.float64).reshape(1, -1, 1)
    y = y.expand(len(shape.top), -1, 1)
    lean = values["lean"].reshape(-1, 1, 1) * y
    right, left = heart_borders(shape, y)
    inside = (y > shape.top.reshape(-1, 1, 1)) & (y < shape.bottom.reshape(-1, 1, 1))
    heart_width = _highest(left + lean, inside) + _highest(-right - lean, inside)
    lungs = lung_borders(values, y)
    base = lean - values["lean"].reshape(-1, 1, 1) * BASE_Y
    spans = []
    for sign, lateral, medial in (
        (1.0, lungs.lateral_left, lungs.medial_left),
        (-1.0, lungs.lateral_right, lungs.medial_right),
    ):
        x = sign * lateral
        floor = torch.minimum(diaphragm(values, x + base), fluid_level(values, x + base))
        border = left if sign > 0 else -right
        seen = (y < floor) & (lateral > torch.maximum(medial, border) + 1e-6)
        spans.append(_highest(sign * (x + lean), seen))
    return heart_width / (spans[0] + spans[1])


def _highest(values: Tensor, where: Tensor) -> Tensor:
    """Greatest of (B, R, 1) where allowed, (B,); the greatest of all if nothing is allowed."""
    low = values.masked_fill(~where, -torch.inf).amax(dim=(1, 2))
    return torch.where(torch.isinf(low), values.amax(dim=(1, 2)), low)
