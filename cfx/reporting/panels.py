"""Large pictures side by side on dark ground, each with lines above and below it: one image's close-ups."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import shorten, wrap
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cfx.reporting.progressions import difference_map, mark_axes
from cfx.reporting.style import NIGHT, NIGHT_QUIET, NIGHT_TEXT, WARN, new_figure

GAP, EDGE, ABOVE, BELOW = 0.16, 0.2, 0.36, 0.3
CELL = 3.4
"""Width of a picture in inches: 510 pixels at 150 dpi."""
LEGEND = 0.36
_LETTER = 0.072  # inches that a letter of size 8.2 takes at most


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes:
        picture: grey (H, W) or colours (H, W, 3), in [0, 1].
        lines: what stands above it, then what stands below it.
        mark: the synthetic mark, empty for none.
        paint: draws more on its axes, whose units are the picture's pixels.

    """

    picture: npt.NDArray[Any]
    lines: Sequence[str]
    mark: str = ""
    paint: Callable[[Axes], object] | None = None


def panel_figure(
    panels: Sequence[Panel],
    headline: str,
    title: Sequence[str],
    *,
    warn: bool = False,
    scale: float | None = None,
    legend: Sequence[tuple[str, str, str]] = (),
) -> Figure:
    """Draws panels beside each other.

    Args:
        panels: at least one, pictures of one size.
        headline: the line above everything.
        title: lines below it, such as the file's name; long ones are wrapped.
        warn: whether the headline is a warning.
        scale: grey value at which the colours of difference maps are full; None: no such maps.
        legend: further entries at the foot: text, colour, line style.

    Returns:
        the figure; its pictures keep their aspect.

    """
    height, width = panels[0].picture.shape[:2]
    # The longer side fills a cell, so that a narrow picture is not blown up.
    wide, tall = (CELL * side / max(height, width) for side in (width, height))
    wide = max(wide, 2.3)  # room for the lines above and below
    across = 2 * EDGE + len(panels) * wide + (len(panels) - 1) * GAP
    head = wrap(headline, max(30, int((across - 2 * EDGE) / 0.105)))[:3]
    texts = [line for text in title for line in wrap(text, max(30, int((across - 2 * EDGE) / _LETTER)))[:3]]
    top = 0.14 + 0.24 * len(head) + 0.17 * len(texts) + 0.08
    foot = LEGEND if legend or scale is not None else 0.0
    down = top + ABOVE + tall + BELOW + foot + 0.1
    figure = new_figure(across, down, NIGHT)

    def write(x: float, y: float, text: str, colour: str, size: float, **more: str) -> None:
        figure.text(x / across, 1 - y / down, text, color=colour, fontsize=size, va="top", **more)

    for number, line in enumerate(head):
        write(EDGE, 0.14 + 0.24 * number, line, WARN if warn else NIGHT_TEXT, 11, fontweight="bold")
    for number, line in enumerate(texts):
        write(EDGE, 0.16 + 0.24 * len(head) + 0.17 * number, line, NIGHT_QUIET, 8.2)
    for number, panel in enumerate(panels):
        left = EDGE + number * (wide + GAP)
        axes = figure.add_axes(
            (left / across, 1 - (top + ABOVE + tall) / down, wide / across, tall / down), facecolor=NIGHT
        )
        _show(axes, panel)
        middle = left + wide / 2
        write(middle, top + 0.1, panel.lines[0], NIGHT_TEXT, 10, ha="center")
        for row, line in enumerate(panel.lines[1:]):
            short = shorten(line, int(wide / _LETTER) + 6, placeholder="…")
            write(middle, top + ABOVE + tall + 0.08 + 0.17 * row, short, NIGHT_TEXT, 8.6, ha="center")
    _foot(figure, across, down, scale, legend)
    return figure


def _show(axes: Axes, panel: Panel) -> None:
    """A picture in its own aspect, grey or colour, with its mark and what is painted on it."""
    grey = panel.picture.ndim == 2
    axes.imshow(
        panel.picture, cmap="gray" if grey else None, vmin=0.0, vmax=1.0, interpolation="bicubic"
        if grey else "bilinear", interpolation_stage="data" if grey else "auto", aspect="equal",
    )  # fmt: skip
    height, width = panel.picture.shape[:2]
    if panel.paint is not None:
        panel.paint(axes)
    # What is painted must not widen the view beyond the picture.
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_axis_off()
    if panel.mark:
        mark_axes(axes, 7.0, panel.mark)


def _foot(
    figure: Figure, across: float, down: float, scale: float | None, legend: Sequence[tuple[str, str, str]]
) -> None:
    """The foot: a ramp of the difference colours, or lines of the legend from left to right."""
    y = down - 0.1 - LEGEND / 2
    x = EDGE
    if scale is not None:
        axes = figure.add_axes(((x + 0.62) / across, 1 - (y + 0.05) / down, 1.6 / across, 0.1 / down))
        ramp = np.linspace(-1.0, 1.0, 256, dtype=np.float32)[None, :]
        axes.imshow(difference_map(np.full_like(ramp, 0.2), 0.2 + ramp, 1.0), aspect="auto")
        axes.set_axis_off()
        words = f"darker −{scale:.2f}", f"brighter +{scale:.2f} of the grey range"
        figure.text(x / across, 1 - y / down, words[0], color=NIGHT_QUIET, fontsize=7.6, va="center")
        figure.text((x + 2.3) / across, 1 - y / down, words[1], color=NIGHT_QUIET, fontsize=7.6, va="center")
    for text, colour, style in legend:
        line = figure.add_axes((x / across, 1 - (y + 0.05) / down, 0.3 / across, 0.1 / down))
        line.plot([0, 1], [0, 0], color=colour, linestyle=style, linewidth=1.6)
        line.set_axis_off()
        figure.text((x + 0.36) / across, 1 - y / down, text, color=NIGHT_QUIET, fontsize=7.6, va="center")
        x += 0.36 + 0.066 * len(text) + 0.22
