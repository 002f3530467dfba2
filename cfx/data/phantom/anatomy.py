"""Who the phantom's patients are: every number a picture is drawn from, sampled once a patient.

A patient is a row of a table. Each row is a pure function of (seed, patient number): the number keys a
counter-based generator (Philox), so that asking for more patients never changes those already there.

Lengths are in *body units*: 1 is half the film's width at a zoom of one, x runs to the patient's left (the
right of the picture), y runs down, the spine at mid-height is the origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from cfx.data.phantom.findings import draw_findings
from cfx.errors import UnknownChoice, nearest

Array = NDArray[np.float64]

DRAWS = 160
"""Standard normals kept for each patient; more than are used, so that adding a parameter is cheap."""


@dataclass(frozen=True)
class Site:
    """Where pictures come from: how its patients, its tube and its detector are distributed.

    Attributes:
        ap: share of AP (mostly bedside) films.
        devices: share of patients with at least one support device.
        thorax: mean half-width of the inner thorax in body units, and its spread.
        zoom: mean zoom of the film and its spread (log).
        shift: spread of the patient's position on the film, in half-widths of the film.
        age: mean age in years and its spread.
        window: display window, the path lengths drawn black and white.
        gamma: display gamma.
        noise: standard deviation of the grey noise where the film is mid-grey, in [0, 1] units.
        scatter: share of scattered radiation.
    """

    ap: float
    devices: float
    thorax: tuple[float, float]
    zoom: tuple[float, float]
    shift: float
    age: tuple[float, float]
    window: tuple[float, float]
    gamma: float
    noise: float
    scatter: float


SITES: dict[str, Site] = {
    "A": Site(
        ap=0.45,
        devices=0.36,
        thorax=(0.76, 0.055),
        zoom=(0.97, 0.09),
        shift=0.085,
        age=(58.0, 16.0),
        window=(0.10, 2.55),
        gamma=0.95,
        noise=0.011,
        scatter=0.25,
    ),
    "B": Site(
        ap=0.65,
        devices=0.45,
        thorax=(0.72, 0.060),
        zoom=(0.92, 0.11),
        shift=0.10,
        age=(66.0, 13.0),
        window=(0.02, 2.75),
        gamma=1.15,
        noise=0.016,
        scatter=0.40,
    ),
}


def site(name: str) -> Site:
    """The named site; UnknownChoice with the nearest name otherwise."""
    if name not in SITES:
        close = nearest(name, list(SITES))
        raise UnknownChoice("data.source.site", name, "no such site", f"use {close or ' or '.join(SITES)}")
    return SITES[name]


class Draws:
    """Random numbers of many patients, handed out a column at a time.

    Args:
        seed: seed of the phantom.
        patients: patient numbers, each keying its own stream.
        stream: another stream of the same seed: sites have patients of their own.
    """

    def __init__(self, seed: int, patients: Sequence[int], stream: int = 0) -> None:
        self._table = np.empty((len(patients), DRAWS))
        for row, patient in enumerate(patients):
            key = np.array([seed % 2**64, patient + (stream << 32)], dtype=np.uint64)
            self._table[row] = np.random.Generator(np.random.Philox(key=key)).standard_normal(DRAWS)
        self._next = 0

    def normal(self, mean: float = 0.0, spread: float = 1.0, limit: float = 2.5) -> Array:
        """(N,) normals, cut at `limit` spreads so that no organ leaves the body."""
        column: Array = self._table[:, self._next]
        self._next += 1
        return mean + spread * np.clip(column, -limit, limit)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Array:
        """(N,) uniforms in (low, high)."""
        column: Array = self._table[:, self._next]
        self._next += 1
        return low + (high - low) * np.asarray(ndtr(column), dtype=np.float64)

    def chance(self, share: float | Array) -> NDArray[np.bool_]:
        """(N,) coin flips that are true for `share` of the patients."""
        return self.uniform() < share


def sample(
    seed: int, patients: Sequence[int], site_name: str = "A", correlated: bool = False
) -> pd.DataFrame:
    """Table of patients, one row a patient number, every column a number.

    Args:
        seed: seed of the phantom.
        patients: patient numbers (positive).
        site_name: one of SITES.
        correlated: whether findings go together (heart failure) instead of independently.

    Returns:
        frame with the columns of the functions below, `patient` first; see `findings.draw_findings` for the
        severities and labels. Nothing but the label and the severity columns depends on a finding.
    """
    where = site(site_name)
    draws = Draws(seed, patients, list(SITES).index(site_name))
    columns: dict[str, Array] = {"patient": np.asarray(patients, dtype=np.float64)}
    columns |= _person(draws, where)
    columns |= draw_findings(draws, correlated)
    columns |= _chest(draws, where, columns)
    columns |= _position(draws, where, columns)
    columns |= _heart_nuisances(draws, columns)
    columns |= _bones(draws)
    columns |= _exposure(draws, where, columns)
    columns |= _equipment(draws, where, columns)
    return pd.DataFrame(columns)


def _person(draws: Draws, where: Site) -> dict[str, Array]:
    female = draws.chance(0.46)
    age = np.clip(np.round(draws.normal(*where.age)), 18, 90)
    return {
        "female": female.astype(float),
        "age": age,
        "ap": draws.chance(where.ap).astype(float),
        "build": draws.normal(0.0, 0.5) + np.where(female, -0.2, 0.2),
    }


def _position(draws: Draws, where: Site, columns: dict[str, Array]) -> dict[str, Array]:
    """Zoom and place on the film; bedside films are less well centred, but both lungs are always on the film."""
    loose = 1.0 + 0.4 * columns["ap"]
    lean = draws.normal(0.0, 0.035) * loose
    wide = columns["thorax"] * 1.03 + 0.5 * np.abs(lean)
    zoom = np.minimum(np.exp(draws.normal(np.log(where.zoom[0]), where.zoom[1])), 0.95 / wide)
    zoom_y = zoom * np.exp(draws.normal(0.0, 0.04))
    room = 0.98 - zoom * wide
    low = columns["recess"] + np.maximum(columns["dome_left"], columns["dome_right"])
    least, most = -0.98 - columns["apex_y"] * zoom_y, 1.04 - low * zoom_y
    return {
        "zoom_x": zoom,
        "zoom_y": zoom_y,
        "shift_x": np.clip(draws.normal(0.0, where.shift) * loose, -room, room),
        "shift_y": np.clip(draws.normal(0.02, where.shift) * loose, np.minimum(least, most), most),
        "lean": lean,
        "tilt": draws.normal(0.0, 0.03) * loose,
        "rotation": draws.normal(0.0, 1.0),
    }


def _chest(draws: Draws, where: Site, columns: dict[str, Array]) -> dict[str, Array]:
    """Inner thorax, diaphragm, mediastinum. `inspiration` 0 is average, positive a deeper breath."""
    inspiration = draws.normal(0.25, 0.9) - 0.55 * columns["ap"]
    half = where.thorax[0] + where.thorax[1] * (0.8 * draws.normal() + 0.6 * columns["build"])
    half = half * (1.0 + 0.012 * inspiration)
    dome = 0.38 + 0.055 * inspiration + draws.normal(0.0, 0.03)
    age = (columns["age"] - 58.0) / 16.0
    return {
        "inspiration": inspiration,
        "thorax": half,
        "asymmetry": draws.normal(0.0, 0.012),
        "apex_y": draws.normal(-0.80, 0.03),
        "apex_x": draws.normal(0.30, 0.02),
        "widest_y": draws.normal(0.16, 0.05),
        "dome_right": dome,
        "dome_left": dome + draws.normal(0.045, 0.02),
        "recess": draws.normal(0.235, 0.025) + 0.02 * inspiration,
        "dome_x": draws.normal(0.40, 0.03),
        "mediastinum": draws.normal(0.125, 0.012) + 0.012 * columns["ap"] + 0.006 * age,
        "knob": np.clip(draws.normal(0.055, 0.018) + 0.016 * age, 0.015, 0.12),
        "depth": np.exp(0.12 * columns["build"] + draws.normal(0.0, 0.05)),
        "lung_density": draws.normal(0.21, 0.03) - 0.012 * inspiration,
        "stomach": np.where(draws.chance(0.6), draws.uniform(0.05, 0.13), 0.0),
        "stomach_x": draws.normal(0.40, 0.06),
        "breast": np.where(columns["female"] > 0, draws.uniform(0.08, 0.32), 0.04),
        "breast_y": draws.normal(0.42, 0.06),
    }


def _heart_nuisances(draws: Draws, columns: dict[str, Array]) -> dict[str, Array]:
    """What widens the heart's shadow without disease: `heart_factor` multiplies the ratio, `fat` adds to it.

    Shallow breath and AP projection widen the shadow, so does turning the patient; pericardial fat pads the left
    border. Together they spread the ratio by about 0.018 in patients of equal severity. The label knows none of them.
    """
    fat = np.clip(draws.normal(0.010, 0.008), 0.0, 0.04)
    factor = 1.0 + 0.045 * (columns["ap"] - 0.45)
    factor = factor - 0.020 * columns["inspiration"]
    factor = factor + 0.016 * (np.abs(columns["rotation"]) - 0.8)
    return {
        "heart_factor": factor,
        "fat": fat,
        "heart_right": draws.normal(0.33, 0.03),
        "heart_curve": draws.normal(0.72, 0.05),
        "heart_depth": draws.normal(0.98, 0.06),
    }


def _bones(draws: Draws) -> dict[str, Array]:
    return {
        "rib_gap": draws.normal(0.155, 0.008),
        "rib_phase": draws.uniform(0.0, 1.0),
        "rib_drop": draws.normal(0.20, 0.03),
        "rib_front": draws.normal(0.62, 0.05),
        "rib_size": draws.normal(0.030, 0.002),
        "rib_weight": draws.normal(1.0, 0.15),
        "spine": draws.normal(0.095, 0.006),
        "spine_phase": draws.uniform(0.0, 1.0),
        "clavicle_y": draws.normal(-0.60, 0.035),
        "clavicle_rise": draws.normal(0.16, 0.05),
        "scapula": draws.normal(0.0, 0.04),
        "vessel_phase": draws.uniform(0.0, 6.28),
        "vessel_phase_left": draws.uniform(0.0, 6.28),
        "vessel_wave": draws.normal(0.0, 0.5),
        "vessel_weight": draws.normal(1.0, 0.15),
    }


def _exposure(draws: Draws, where: Site, columns: dict[str, Array]) -> dict[str, Array]:
    """Display window, gamma and noise: automatic exposure follows the patient's thickness, not quite."""
    span = where.window[1] - where.window[0]
    return {
        "window_low": where.window[0] + draws.normal(0.0, 0.06),
        "window_span": span * np.exp(draws.normal(0.0, 0.08)) * (0.2 + 0.8 * columns["depth"]),
        "gamma": where.gamma * np.exp(draws.normal(0.0, 0.10)),
        "noise": where.noise * np.exp(draws.normal(0.0, 0.15)) * (1.0 + 0.15 * columns["ap"]),
        "scatter": np.clip(draws.normal(where.scatter, 0.05) + 0.06 * columns["ap"], 0.05, 0.6),
    }


def _equipment(draws: Draws, where: Site, columns: dict[str, Array]) -> dict[str, Array]:
    """Support devices (about twice as often on AP films) and the markers on the film."""
    share = where.devices * (0.65 + 0.78 * columns["ap"]) / (0.65 + 0.78 * where.ap)
    carries = draws.chance(share)
    bedside = columns["ap"] > 0
    pacemaker = carries & draws.chance(np.where(bedside, 0.30, 0.60))
    line = carries & draws.chance(np.where(bedside, 0.55, 0.25))
    tube = carries & bedside & draws.chance(0.45)
    wires = carries & draws.chance(np.where(bedside, 0.60, 0.25))
    wires |= carries & ~(pacemaker | line | tube)
    return {
        "pacemaker": pacemaker.astype(float),
        "pacemaker_x": draws.normal(0.48, 0.04),
        "pacemaker_y": draws.normal(-0.46, 0.04),
        "pacemaker_angle": draws.normal(0.0, 0.35),
        "central_line": line.astype(float),
        "line_side": np.where(draws.chance(0.7), -1.0, 1.0),
        "line_tip": draws.normal(-0.08, 0.06),
        "tube": tube.astype(float),
        "tube_tip": draws.normal(-0.44, 0.04),
        "ecg": wires.astype(float),
        "ecg_bend": draws.normal(0.0, 0.12),
        "ecg_y": draws.normal(-0.02, 0.08),
        "marker": draws.chance(0.75).astype(float),
        "marker_left": draws.chance(0.65).astype(float),
        "marker_x": draws.uniform(0.74, 0.92),
        "marker_y": draws.uniform(-0.95, -0.74),
        "portable": (bedside & draws.chance(0.6)).astype(float),
        "portable_y": draws.uniform(-0.97, -0.86),
    }
