"""The chart of what the black box says of the explainer's training images, beside what it says of test images."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cfx.reporting.charts import EDGES, source_bins
from cfx.reporting.run_files import number_at
from cfx.reporting.style import BINS, INK, QUIET, new_figure, tidy
from cfx.reporting.tables import count, fixed

SIDES = ("train", "test")
"""The two histograms: of the explainer's training images and of the evaluated ones."""

_EVALUATED = {"test": "test images", "valid": "validation images"}
_APART = {
    True: "The black box was trained on other patients than the explainer.",
    False: (
        "The black box saw the explainer's training patients too: it may be surer of them than of patients it has "
        "never seen, and then the explainer learnt from surer posteriors than test images have."
    ),
    None: "Whether the black box saw the explainer's training patients too is not known.",
}
_LOW, _HIGH = EDGES[1], EDGES[-2]


def histogram_of(metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The section that is drawn here.

    Args:
        metrics: ``metrics.json``.

    Returns:
        ``blackbox.posterior_histogram``; None where it is null or was not written yet.
    """
    found = (metrics.get("blackbox") or {}).get("posterior_histogram")
    return found if isinstance(found, Mapping) else None


def seen_in_words(found: Mapping[str, Any]) -> str:
    """Whether the black box saw the training patients, and how far the two distributions differ.

    Args:
        found: see `histogram_of`.
    """
    told = (
        f"{_APART[found.get('apart')]} Kolmogorov-Smirnov distance of the two: {fixed(number_at(found, 'distance'))} "
        "(0 = alike, 1 = no overlap)."
    )
    train, test = (number_at(found, f"positive_{side}") for side in SIDES)
    if train is None or test is None:
        return told
    return f"{told} Of the labelled images {train:.1%} and {test:.1%} carry the finding; a difference moves it too."


def _shares(found: Mapping[str, Any], side: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Share of the images in each bin."""
    counts = np.asarray(found[side], dtype=np.float64)
    shares: np.ndarray[Any, np.dtype[np.float64]] = counts / counts.sum()
    return shares


def _panel(axes: Axes, found: Mapping[str, Any], side: str, name: str, top: float) -> None:
    """One histogram in the colours of the validity curve's source bins, with the outline of the other."""
    edges = np.asarray(found["edges"], dtype=np.float64)
    middle, shares = (edges[:-1] + edges[1:]) / 2, _shares(found, side)
    tidy(axes, f"{name}  (n={count(number_at(found, f'n_{side}'))})", "posterior", "share of images", pad=24)
    low, high = shares[middle < _LOW].sum(), shares[middle > _HIGH].sum()
    patients = count(number_at(found, f"n_patients_{side}"))
    told = f"{patients} patients;  below {_LOW}: {low:.1%},  from {_HIGH} on: {high:.1%}"
    axes.text(0.0, 1.03, told, transform=axes.transAxes, fontsize=8.4, color=INK, va="bottom")
    colours = [BINS[number] for number in source_bins(pd.Series(middle))]
    axes.bar(edges[:-1], shares, width=np.diff(edges), align="edge", color=colours, linewidth=0)
    other = _shares(found, SIDES[1 - SIDES.index(side)])
    axes.stairs(other, edges, color=INK, linewidth=1.2)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, top)


def posterior_figure(metrics: Mapping[str, Any], sides: Sequence[str] = SIDES) -> Figure | None:
    """Histograms of the black box's posterior, of training images on the left, of evaluated ones on the right.

    Args:
        metrics: ``metrics.json``.
        sides: which of `SIDES` to draw, a panel each; the axes are the same whichever are drawn. Only both together
            say in words what they tell.

    Returns:
        the figure, or None where there is nothing to compare.
    """
    found = histogram_of(metrics)
    if found is None:
        return None
    names = {
        "train": "Explainer's training images",
        "test": _EVALUATED.get(str(metrics.get("split")), "evaluated images").capitalize(),
    }
    top = 1.06 * max(float(_shares(found, side).max()) for side in SIDES)
    line = "Black line: the other histogram."
    told = f"{line} {seen_in_words(found)}" if len(sides) > 1 else line
    note = fill(told, 66 * len(sides))  # letters that fit under a panel
    panel, tall, left, gap = 3.9, 2.5, 0.72, 0.95
    over, foot = 0.6, 0.64 + 0.15 * len(note.splitlines())
    width, height = left + len(sides) * panel + (len(sides) - 1) * gap + 0.15, over + tall + foot
    figure = new_figure(width, height)
    for place, side in enumerate(sides):
        x = left + place * (panel + gap)
        axes = figure.add_axes((x / width, foot / height, panel / width, tall / height))
        _panel(axes, found, side, names[side], top)
    figure.text(left / width, 0.1 / height, note, fontsize=8.2, color=QUIET, va="bottom")
    return figure
