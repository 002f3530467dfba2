"""The figures of saliency show each map scaled to itself, the truth's outline on all, and every method's curve."""

from typing import Any

import numpy as np
import pytest

from cfx.reporting.saliency_figure import NAMES, Patient, curves_figure, maps_figure, shown


def test_a_map_is_scaled_to_itself() -> None:
    ramp = np.linspace(0, 8, 1001).reshape(7, 143)
    assert shown(ramp).max() == 1 and shown(ramp)[0, 100] == pytest.approx(
        ramp[0, 100] / np.percentile(ramp, 99.5)
    )
    lonely = np.zeros((64, 64))
    lonely[3, 3] = 5.0
    assert shown(lonely)[3, 3] == 1 and shown(lonely).sum() == 1
    assert not shown(np.zeros((4, 4))).any()


def test_a_row_a_patient_and_a_column_a_map() -> None:
    changed = np.zeros((16, 16), dtype=bool)
    changed[4:9, 4:9] = True
    maps = {name: np.random.default_rng(0).random((16, 16)) for name in NAMES}
    patient = Patient(np.full((16, 16), 0.5), changed, maps, ("asked for 1", "p 0.04 → 0.98"))
    figure = maps_figure([patient, patient], ["oracle", "explainer", "grad_cam"])
    assert len(figure.axes) == 8
    assert [axes.get_title() for axes in figure.axes[:4]] == [
        "picture",
        "truth\n(oracle)",
        "explainer",
        "Grad-CAM",
    ]
    assert [bool(axes.collections) for axes in figure.axes[:4]] == [False, True, True, True]
    assert sum(text.get_text() == "asked for 1\np 0.04 → 0.98" for text in figure.texts) == 2


def metrics(names: tuple[str, ...]) -> dict[str, Any]:
    value = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 3}
    both = ("up", "down")
    return {
        "groups": {group: {"changed_share": 0.05} for group in both},
        "methods": {name: {group: {"auprc": dict(value)} for group in both} for name in names},
        "curves": {
            name: {group: {"deletion": [1.0, 0.5, None], "insertion": [0.0, 0.5, 1.0]} for group in both}
            for name in names
        },
    }


def test_every_method_has_its_curves_and_its_overlap() -> None:
    names = ("oracle", "explainer", "gradient", "random")
    figure = curves_figure(metrics(names))
    assert len(figure.axes) == 6
    assert len(figure.axes[0].lines) == 4 and len(figure.axes[1].lines) == 4
    overlaps = figure.axes[2]
    labels = [text.get_text() for text in overlaps.get_yticklabels()]
    assert labels == [
        "random (control)",
        "gradient",
        "explainer",
    ]  # of the truth with itself nothing is shown
    assert len(overlaps.lines) == 2 * 3 + 1


def test_what_was_not_measured_is_left_out() -> None:
    found = metrics(("explainer", "gradient"))
    found["methods"]["gradient"]["up"]["auprc"] = {"mean": None, "low": None, "high": None, "n": 0}
    assert len(curves_figure(found).axes[2].lines) == 2 * 1 + 1
