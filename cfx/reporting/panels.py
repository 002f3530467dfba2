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
NARROWEST = 2.3
"""Width in inches that the lines above and below a picture need."""
_LETTER, _BOLD = 0.072, 0.105  # inches that a letter of the small lines and of the headline takes at most


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


class _Sheet:
    """A figure in inches from its upper left corner."""

    def __init__(self, across: float, down: float) -> None:
        self.across, self.down = across, down
        self.figure = new_figure(across, down, NIGHT)

    def write(self, x: float, y: float, text: str, colour: str, size: float, **more: Any) -> None:
        """Text whose upper edge is at (x, y), unless told."""
        more = {"va": "top", **more}
        self.figure.text(x / self.across, 1 - y / self.down, text, color=colour, fontsize=size, **more)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes whose upper left corner is at (x, y)."""
        box = (x / self.across, 1 - (y + height) / self.down, width / self.across, height / self.down)
        return self.figure.add_axes(box, facecolor=NIGHT)


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
    wide = max(wide, NARROWEST)
    across = 2 * EDGE + len(panels) * wide + (len(panels) - 1) * GAP
    head = wrap(headline, int((across - 2 * EDGE) / _BOLD))[:3]
    texts = [line for text in title for line in wrap(text, int((across - 2 * EDGE) / _LETTER))[:3]]
    top = 0.22 + 0.24 * len(head) + 0.17 * len(texts) + ABOVE
    foot = LEGEND if legend or scale is not None else 0.0
    sheet = _Sheet(across, top + tall + BELOW + foot + 0.1)
    for number, line in enumerate(head):
        sheet.write(EDGE, 0.14 + 0.24 * number, line, WARN if warn else NIGHT_TEXT, 11, fontweight="bold")
    for number, line in enumerate(texts):
        sheet.write(EDGE, 0.16 + 0.24 * len(head) + 0.17 * number, line, NIGHT_QUIET, 8.2)
    for number, panel in enumerate(panels):
        left = EDGE + number * (wide + GAP)
        _show(sheet.axes(left, top, wide, tall), panel)
        above, *below = (shorten(line, int(wide / _LETTER) + 6, placeholder="…") for line in panel.lines)
        sheet.write(left + wide / 2, top - 0.26, above, NIGHT_TEXT, 10, ha="center")
        for row, line in enumerate(below):
            sheet.write(left + wide / 2, top + tall + 0.08 + 0.17 * row, line, NIGHT_TEXT, 8.6, ha="center")
    _foot(sheet, scale, legend)
    return sheet.figure


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
        # A narrow picture gets smaller letters rather than a mark that runs out of it.
        mark_axes(axes, 7.0 * min(1.0, CELL * width / max(height, width) / 1.35), panel.mark)


def _foot(sheet: _Sheet, scale: float | None, legend: Sequence[tuple[str, str, str]]) -> None:
    """The foot: a ramp of the difference colours, or lines of the legend from left to right."""
    x, y = EDGE, sheet.down - 0.1 - LEGEND / 2
    if scale is not None:
        axes = sheet.axes(x + 0.86, y - 0.05, 1.4, 0.1)
        ramp = np.linspace(-1.0, 1.0, 256, dtype=np.float32)[None, :]
        axes.imshow(difference_map(np.full_like(ramp, 0.2), 0.2 + ramp, 1.0), aspect="auto")
        axes.set_axis_off()
        sheet.write(x + 0.8, y, f"darker −{scale:.2f}", NIGHT_QUIET, 7.6, va="center", ha="right")
        sheet.write(x + 2.32, y, f"brighter +{scale:.2f}", NIGHT_QUIET, 7.6, va="center")
    for text, colour, style in legend:
        axes = sheet.axes(x, y - 0.05, 0.3, 0.1)
        axes.plot([0, 1], [0, 0], color=colour, linestyle=style, linewidth=1.6)
        axes.set_axis_off()
        sheet.write(x + 0.36, y, text, NIGHT_QUIET, 7.6, va="center")
        x += 0.36 + 0.066 * len(text) + 0.22
