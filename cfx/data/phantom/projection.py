"""The picture before the detector: path lengths through the chest, added up (Beer-Lambert).

A ray through a body whose cross-section is an ellipse travels 2 d sqrt(1 - (x / w)^2) inside it; through a tube
of radius r at distance q from its axis, 2 sqrt(r^2 - q^2). Every organ is one of these, so the whole chest is a
sum of closed forms, evaluated for a batch of patients at once. One unit of path is the soft tissue of a chest
half as thick as the film is wide.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cfx.data.phantom.geometry import Grid, Heart, Outlines, Values, plane

BODY_DEPTH = 1.02
"""Front-to-back half axis of the body in path units."""

THORAX_DEPTH = 0.86
"""Front-to-back half axis of the inner thorax."""


def path(values: Values, shape: Heart, lines: Outlines, where: Grid, texture: Tensor) -> Tensor:
    """Soft-tissue-equivalent path length (B, H, W) without devices, about 0 (air) to 3 (spine behind the heart).

    Args:
        values: the patients' parameters.
        shape: their hearts.
        lines: outlines on the grid.
        where: the grid.
        texture: (B, H, W) about -1 to 1, the patients' own fine lung structure.
    """
    depth = plane(values["depth"])
    total = _body(values, where) * depth
    aerated, wall = _aerated(values, lines, where)
    air = aerated * depth
    total += _spine(values, where)
    total += _ribs(values, where, wall)
    _add(total, _shoulder_girdle, values, where, (-1.1, 0.25))
    total += _abdomen(values, where, lines)
    _add(total, _airway, values, where, (-3.0, 0.0))
    _add(total, _soft_parts, values, where, (-0.1, 0.95))
    filled = (air.amax(dim=(0, 2)) > 0).nonzero().squeeze(1)
    if len(filled):
        rows = slice(int(filled[0]), int(filled[-1]) + 1)
        total[:, rows] += _chest(
            values, shape, lines.rows(rows), where.rows(rows), air[:, rows], texture[:, rows]
        )
    return total.clamp_min_(0.0)


def _chest(
    values: Values, shape: Heart, lines: Outlines, where: Grid, air: Tensor, texture: Tensor
) -> Tensor:
    """What the lungs take from a solid body's path, and what heart, great vessels and lung structure give back."""
    depth = plane(values["depth"])
    solid = 1.0 - plane(values["lung_density"])
    contents = torch.maximum(_mediastinum(where, lines), _heart_chord(shape, where, lines)) * depth
    # organs in the chest take the place of air: they never add more than the air there was
    contents *= (air / (0.30 * depth)).clamp_max_(1.0).mul_(solid)
    contents = torch.minimum(contents, air * (0.98 * solid))
    markings = _lung_markings(values, where)
    markings += texture * 0.035
    return contents - air * solid + (air - contents).clamp_min_(0.0).mul_(markings)


def _add(
    total: Tensor,
    organ: Callable[[Values, Grid], Tensor],
    values: Values,
    where: Grid,
    heights: tuple[float, float],
) -> None:
    """Add an organ to `total`, in place, looking only at the rows between two heights, where alone it can be."""
    inside = ((where.y > heights[0]) & (where.y < heights[1])).any(dim=0).squeeze(-1).nonzero().squeeze(1)
    if len(inside):
        rows = slice(int(inside[0]), int(inside[-1]) + 1)
        total[:, rows] += organ(values, where.rows(rows))


def _chord(offset: Tensor) -> Tensor:
    """sqrt(1 - offset^2), 0 outside: half the chord of a unit circle at a distance from its centre."""
    return (1.0 - offset.square()).clamp_min_(0.0).sqrt_()


def ellipsoid(x: Tensor, y: Tensor, centre: tuple[Tensor, Tensor], axes: tuple[Tensor, Tensor]) -> Tensor:
    """Half chord (0 to 1) of an ellipsoid whose axes lie along the picture, at x (B, H, W), y (B, H, 1)."""
    across = ((x - centre[0]) / axes[0]).square_()
    across += ((y - centre[1]) / axes[1]).square()
    return across.neg_().add_(1.0).clamp_min_(0.0).sqrt_()


def _body(values: Values, where: Grid) -> Tensor:
    """Neck, shoulders and trunk: an elliptic tube whose half-width changes with the row."""
    y = where.y
    trunk = plane(values["thorax"]) * 1.13 + 0.10 * (plane(values["depth"]) - 1.0) + 0.02
    trunk = trunk + 0.05 * torch.sigmoid((y - 0.35) / 0.15)
    shoulder = torch.sigmoid((y - plane(values["clavicle_y"]) + 0.18) / 0.045)
    armpit = torch.sigmoid((y + 0.18 - 0.2 * plane(values["ap"])) / 0.07)
    arms = 0.62 * shoulder * (1.0 - armpit)
    half = 0.27 + (trunk - 0.27) * shoulder + arms
    thick = (
        BODY_DEPTH
        * (0.50 + 0.50 * torch.sigmoid((y + 0.62) / 0.13))
        * (1.0 + 0.16 * torch.sigmoid((y - 0.3) / 0.15))
    )
    # an ellipse rises too slowly at its edge for a chest, which is nearly flat at the sides: fourth power
    return 2.0 * thick * (1.0 - (where.x / half).square_().square_()).clamp_min_(0.0).sqrt_() * 0.92


def _aerated(values: Values, lines: Outlines, where: Grid) -> tuple[Tensor, Tensor]:
    """Path through air-filled lung (heart and vessels not yet taken off), and the offset from the wall (0 to 1)."""
    x, y, lungs = where.x, where.y, lines.lungs
    middle = 0.5 * (lungs.lateral_left - lungs.lateral_right)
    half = 0.5 * (lungs.lateral_left + lungs.lateral_right)
    offset = (x - middle) / half
    chord = _chord(offset) * (2.0 * THORAX_DEPTH)
    apex = plane(values["apex_y"])
    chord *= 0.25 + 0.75 * ((y - apex) / 0.55).clamp(0.0, 1.0).sqrt()
    # towards the middle the lung thins out before and behind the mediastinum; at the apex it ends at its own border
    left = x > 0
    width = plane(values["mediastinum"])
    inner = torch.where(left, x - lungs.medial_left, -x - lungs.medial_right)
    chord *= (inner / (0.55 * width)).add_(0.55).clamp_(0.0, 1.0)
    near_apex = ((y - apex) / 0.20).clamp(0.0, 1.0)
    chord *= (inner / (0.05 + 9.0 * near_apex**4)).add_(near_apex**4 * 9.0).clamp_(0.0, 1.0)
    chord *= 1.0 - ((y - lines.floor) / 0.08).clamp_(0.0, 1.0).sqrt_()
    chord *= 1.0 - 0.93 * ((y - lines.fluid) / 0.12).clamp_(0.0, 1.0).sqrt_()
    return chord, offset


def _heart_chord(shape: Heart, where: Grid, lines: Outlines) -> Tensor:
    """Path through the heart: elliptic cross-section between its borders, softer where fat pads them."""
    middle = 0.5 * (lines.heart_left + lines.heart_right)
    half = (0.5 * (lines.heart_left - lines.heart_right)).clamp_min(1e-4)
    inside = (1.0 - ((where.x - middle) / half).square_()).clamp_min_(0.0)
    # thickness follows the width of the row, so that top and bottom thin out instead of ending in a cliff
    row = (half / plane(0.5 * (shape.left + shape.right))).clamp_max(1.0).sqrt()
    return inside.pow_(plane(shape.soft)) * (row * plane(shape.depth) * 1.50)


def _mediastinum(where: Grid, lines: Outlines) -> Tensor:
    """Great vessels: a tube between the lungs' medial borders, which hold the aortic knob."""
    lungs = lines.lungs
    middle = 0.5 * (lungs.medial_left - lungs.medial_right)
    half = 0.5 * (lungs.medial_left + lungs.medial_right)
    return _chord((where.x - middle) / half) * 0.80


def _spine(values: Values, where: Grid) -> Tensor:
    """Vertebral column, brighter at the bodies than at the discs; a turned patient's spine leaves the middle."""
    x = where.x + 0.018 * plane(values["rotation"])
    tube = _chord(x / plane(values["spine"]))
    phase = (where.y / 0.118 + plane(values["spine_phase"])) * (2.0 * torch.pi)
    return tube * (0.15 + 0.03 * torch.cos(phase))


def _ribs(values: Values, where: Grid, wall: Tensor) -> Tensor:
    """Back and front ribs: tubes one gap apart, along curves that fall to the side (back) or to the middle (front)."""
    x, y = where.x, where.y
    away = wall.abs()
    gap = plane(values["rib_gap"])
    size = plane(values["rib_size"])
    height = y - plane(values["tilt"]) * x
    back = (height - plane(values["rib_drop"]) * (away - 0.30).square_() * 2.0) / gap + plane(
        values["rib_phase"]
    )
    back = (back - back.round()) * (gap / size)
    bone = _chord(back) * (0.10 + 0.08 * away.square())
    front = (height + plane(values["rib_front"]) * away.clamp(0.25, 1.0)) / gap + plane(values["rib_phase"])
    front = (front - front.round()) * (gap / (1.15 * size))
    bone += _chord(front) * (0.055 * (away - 0.30).clamp(0.0, 1.0).sqrt() * 1.5)
    inside = ((1.05 - away) / 0.05).clamp_(0.0, 1.0)
    span = ((y - plane(values["apex_y"]) - 0.02) / 0.06).clamp(0.0, 1.0) * ((0.80 - y) / 0.25).clamp(0.0, 1.0)
    return bone * inside * (span * plane(values["rib_weight"]))


def _shoulder_girdle(values: Values, where: Grid) -> Tensor:
    """Clavicles, shoulder blades and the heads of the arm bones."""
    x, y = where.x, where.y
    away = x.abs()
    turn = 0.02 * plane(values["rotation"])
    level = plane(values["clavicle_y"]) + plane(values["tilt"]) * x
    run = (away - 0.06 - turn * torch.sign(x)).clamp(0.0, 0.9)
    curve = level - plane(values["clavicle_rise"]) * run + 0.06 * torch.sin(run * 5.5)
    bone = _chord((y - curve) / 0.034)
    start = away - 0.06 - turn * torch.sign(x)
    bone *= (start / 0.02).clamp_(0.0, 1.0) * ((0.86 - away) / 0.03).clamp_(0.0, 1.0) * 0.21
    # bedside films leave the blades over the lungs
    place = 0.86 - 0.12 * plane(values["ap"]) + plane(values["scapula"])
    slant = away - (place + 0.16 * (y + 0.3))
    blade = (1.0 - (slant / 0.12).square_() - ((y + 0.32) / 0.36).square()).clamp_min_(0.0).sqrt_()
    bone += blade * 0.10
    bone += _chord((slant + 0.09) / 0.022).mul_(blade > 0).mul_(0.05)
    head = (1.0 - ((away - 1.02) / 0.14).square_() - ((y + 0.58) / 0.16).square()).clamp_min_(0.0).sqrt_()
    bone += head * 0.22
    fade = ((y + 0.58) / 0.10).clamp(0.0, 1.0) * ((0.15 - y) / 0.3).clamp(0.0, 1.0)
    bone += _chord((away - (1.10 + 0.10 * (y + 0.58))) / 0.075) * (0.16 * fade)
    return bone


def _lung_markings(values: Values, where: Grid) -> Tensor:
    """Vessels and hila of the lung, and the haze of edema, as extra density a unit of air.

    Vessels are tubes that fan out from either hilum, bent and thinning on their way; the angle tells which tube
    is nearest and how far it is, so that a whole tree costs a few steps. Edema widens them and lays a cloud
    about the hila.
    """
    x, y = where.x, where.y
    sick = torch.nn.functional.softplus(values["severity_edema"] / 0.18) * 0.18
    haze, engorged = plane(sick), 1.0 + 0.28 * plane(sick)
    side = (x > 0).float()
    dx = x.abs() - 0.15
    dy = (y - plane(values["apex_y"]) - 0.76) + 0.04 * side
    square = dx.square() + dy.square()
    near = (square + 1e-6).sqrt()
    phase = plane(values["vessel_phase"]) + side * plane(values["vessel_phase_left"])
    angle = (
        torch.atan2(dy, dx) + (near * 6.0 + phase).sin_() * 0.22 + plane(values["vessel_wave"]) * 0.35 * near
    )
    fade = (near * -3.0).exp_()
    trees = torch.zeros_like(x)
    for branches, start, radius, weight in _TREES:
        turn = angle * (branches / 6.2832) + phase * branches
        index = turn.round()
        # no two branches are alike: some start late and stay thin
        own = (index * 2.4 + phase * branches).sin_() * 0.5 + 0.5
        width = (fade + 0.30) * (own * 0.5 + 0.6) * (radius * engorged)
        arc = (turn - index).mul_(6.2832 / branches).mul_(near).div_(width)
        grows = ((near - start - 0.12 * own) / 0.10).clamp_(0.0, 1.0)
        trees += _chord(arc).mul_(grows).mul_(width * (weight / radius))
    density = trees * (0.115 * plane(values["vessel_weight"])) * engorged
    density += (square * -55.0).exp_() * (0.16 * engorged)
    density += (square * -5.5).exp_() * (0.24 * haze)
    return density + 0.03 * haze


_TREES = ((7.0, 0.02, 0.026, 1.0), (13.0, 0.14, 0.017, 0.8), (23.0, 0.30, 0.011, 0.7))
"""Generations of vessels: branches around, distance from the hilum at which they start, radius and weight."""


def _abdomen(values: Values, where: Grid, lines: Outlines) -> Tensor:
    """Liver and other organs under the diaphragm, and the gas in the stomach under the left dome."""
    x, y = where.x, where.y
    under = ((y - lines.floor) / 0.15).clamp_(0.0, 1.0)
    organs = under * 0.16
    radius = plane(values["stomach"]).clamp_min(1e-3)
    middle = plane(values["dome_left"]) + radius * 0.75 + 0.05
    gas = ellipsoid(x, y, (plane(values["stomach_x"]), middle), (1.45 * radius, 0.8 * radius))
    return organs - gas * (radius * 7.0) * (y > lines.floor)


def _airway(values: Values, where: Grid) -> Tensor:
    """Trachea and the two main bronchi: air in the mediastinum, a negative path."""
    x, y = where.x + 0.004, where.y
    fork = plane(values["apex_y"]) + 0.50
    trachea = _chord(x / 0.046) * ((fork - y) / 0.03).clamp(0.0, 1.0)
    down = (y - fork).clamp_min(0.0)
    bronchi = _chord((x.abs() - 0.02 - 0.85 * down) / 0.040) * (
        ((y - fork) / 0.02).clamp(0.0, 1.0) * ((0.20 - down) / 0.1).clamp(0.0, 1.0)
    )
    return trachea * -0.26 - bronchi * 0.10


def _soft_parts(values: Values, where: Grid) -> Tensor:
    """Breasts and the muscle of the chest wall."""
    x, y = where.x, where.y
    one = torch.ones_like(plane(values["breast_y"]))
    away = x.abs()
    breast = ellipsoid(away, y, (0.47 * one, plane(values["breast_y"])), (0.34 * one, 0.30 * one))
    return breast * plane(values["breast"])
