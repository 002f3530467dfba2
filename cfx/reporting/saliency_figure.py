"""Two figures of a comparison of saliency maps: the maps of a few patients, and curves with overlaps of all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from cfx.reporting.style import INK, NIGHT, NIGHT_QUIET, NIGHT_TEXT, QUIET, UP, new_figure, tidy

Array = npt.NDArray[Any]
NAMES = {
    "oracle": "truth (oracle)",
    "explainer": "explainer",
    "gradient": "gradient",
    "integrated_gradients": "integrated gradients",
    "smoothgrad": "SmoothGrad",
    "grad_cam": "Grad-CAM",
    "occlusion": "occlusion",
    "edges": "edges (control)",
    "same_for_all": "same for all (control)",
    "random": "random (control)",
}
_COLOURS = {
    "oracle": INK, "explainer": UP, "gradient": "#1f6fb4", "integrated_gradients": "#2a9d8f", "smoothgrad": "#7b5ea7",
    "grad_cam": "#c9a227", "occlusion": "#8c564b", "edges": QUIET, "same_for_all": QUIET, "random": QUIET,
}  # fmt: skip
_DASHES = {"edges": "--", "same_for_all": "-.", "random": ":"}
_FULL = 99.5


@dataclass(frozen=True)
class Patient:
    """One row of the maps' figure.

    Attributes:
        picture: grey (H, W) in [0, 1].
        changed: bool (H, W), the pixels that truly change.
        maps: (H, W) >= 0 by method.
        lines: what stands beside the picture.

    """

    picture: Array
    changed: Array
    maps: Mapping[str, Array]
    lines: Sequence[str]


def shown(map_: Array) -> Array:
    """A map for the eye: from 0 to its 99.5th percentile (its largest value where that is 0), as [0, 1]."""
    top = float(np.percentile(map_, _FULL)) or float(map_.max()) or 1.0
    result: Array = np.clip(map_ / top, 0.0, 1.0)
    return result


def maps_figure(patients: Sequence[Patient], methods: Sequence[str]) -> Figure:
    """Draws patients below each other: the picture, then each map, each scaled to itself.

    A thin line bounds what truly changes, on every map alike.

    Args:
        patients: at least one.
        methods: which maps, from left to right.

    """
    columns, cell, gap, left, top, foot = len(methods) + 1, 1.3, 0.06, 1.0, 0.46, 0.3
    width = left + columns * (cell + gap) + gap
    height = top + len(patients) * (cell + gap) + foot
    figure = new_figure(width, height, NIGHT)
    for row, patient in enumerate(patients):
        y = 1 - (top + row * (cell + gap) + cell) / height
        text: dict[str, Any] = {"color": NIGHT_TEXT, "fontsize": 7.5, "va": "center", "linespacing": 1.6}
        figure.text(0.1 / width, y + cell / height / 2, "\n".join(patient.lines), **text)
        for column, name in enumerate(["picture", *methods]):
            x = (left + column * (cell + gap)) / width
            axes = figure.add_axes((x, y, cell / width, cell / height), facecolor=NIGHT)
            axes.set_axis_off()
            if name == "picture":
                axes.imshow(patient.picture, cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
            else:
                axes.imshow(
                    shown(patient.maps[name]), cmap="inferno", vmin=0, vmax=1, interpolation="nearest"
                )
            if name != "picture" and patient.changed.any():
                axes.contour(patient.changed, [0.5], colors=["#7fd7ff"], linewidths=0.5, alpha=0.9)
            if row == 0:
                title = NAMES.get(name, name)
                axes.set_title(
                    title.replace(" (", "\n(").replace("integrated ", "integrated\n"),
                    fontsize=8,
                    color=NIGHT_TEXT,
                    pad=4,
                )
    note = (
        "Each map from 0 (black) to its own 99.5th percentile. Blue line: what truly changes when the same patient is "
        "drawn again at the other end of the posterior."
    )
    figure.text(left / width, 0.1 / height, note, fontsize=7, color=NIGHT_QUIET, va="bottom")
    return figure


def curves_figure(metrics: Mapping[str, Any]) -> Figure:
    """Draws mean deletion and insertion curves, and the overlap of every method, for both groups.

    Args:
        metrics: as `cfx.evaluation.saliency_summary.summarise` gives them.

    """
    figure = new_figure(11.5, 7.8)
    groups = {"up": "under 0.2: the call is absent", "down": "over 0.8: the call is present"}
    names = [name for name in NAMES if name in metrics["methods"]]
    for row, (group, called) in enumerate(groups.items()):
        bottom = 0.585 - 0.46 * row
        for column, kind in enumerate(("deletion", "insertion")):
            axes = figure.add_axes((0.06 + 0.265 * column, bottom, 0.215, 0.335))
            for name in names:
                values = [np.nan if v is None else v for v in metrics["curves"][name][group][kind]]
                at = np.linspace(0, 1, len(values))
                style: dict[str, Any] = {"color": _COLOURS[name], "linestyle": _DASHES.get(name, "-")}
                axes.plot(
                    at, values, linewidth=2.2 if name == "explainer" else 1.2, label=NAMES[name], **style
                )
            axes.set_ylim(-0.02, 1.02)
            better = "lower is better" if kind == "deletion" else "higher is better"
            y = "posterior of the call" if column == 0 else ""
            tidy(axes, f"{kind.capitalize()}, {better}", "share of pixels replaced", y)
        _overlaps(figure, (0.72, bottom, 0.26, 0.335), metrics, group, names)
        figure.text(
            0.015, bottom + 0.38, f"Posterior of the finding {called}", fontsize=10, color=QUIET, va="bottom"
        )
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=5, fontsize=8, frameon=False, loc="lower center", labelcolor=INK)
    return figure


def _overlaps(
    figure: Figure,
    box: tuple[float, float, float, float],
    metrics: Mapping[str, Any],
    group: str,
    names: Sequence[str],
) -> None:
    """Average precision of each map with its interval, and that of knowing nothing."""
    axes = figure.add_axes(box)
    some = [name for name in names if name != "oracle"]
    for place, name in enumerate(reversed(some)):
        found = metrics["methods"][name][group]["auprc"]
        if found["mean"] is None:
            continue
        axes.plot([found["low"], found["high"]], [place, place], color=_COLOURS[name], linewidth=2)
        axes.plot([found["mean"]], [place], "o", color=_COLOURS[name], markersize=5)
    if metrics["groups"][group]["changed_share"] is not None:
        axes.axvline(metrics["groups"][group]["changed_share"], color=QUIET, linewidth=0.8, linestyle=":")
    axes.set_xlim(0, 1)
    tidy(axes, "Overlap with the truth", "average precision (dotted: chance)", "")
    axes.set_yticks(range(len(some)), [NAMES[name] for name in reversed(some)], fontsize=8, color=INK)
