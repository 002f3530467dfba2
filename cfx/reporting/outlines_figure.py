"""Heart and lung outlines of the original and the end points, with what was measured; lines where that is the CTR."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from cfx.evaluation.explained import INTERPRET, MARK, Edges4, Explained, Reading
from cfx.evaluation.reading_words import written
from cfx.reporting.explained_figure import ends_of, headline_of, title_of
from cfx.reporting.panels import Panel, panel_figure
from cfx.reporting.style import png_bytes

Array = npt.NDArray[Any]

HEART, LUNGS, BEFORE, RECESS = "#ff9c3f", "#58b4ff", "#e6e8eb", "#6ee7a0"
LEVEL = 0.5


def draw_outlines(explained: Explained, path: Path) -> None:
    """Writes the outlines that CTR and lung haze are measured on, and the boxes of the recesses that SCP scores.

    Nothing else shows whether those can be believed. A task that is read by nothing has the posterior under them.

    Args:
        explained: the record of the file; readings without masks are shown without outlines.
        path: the PNG to write.

    """
    original, shown = explained.pictures()
    ends = ends_of(explained)
    readings = [explained.before, *(explained.steps[index].reading for index in ends)]
    names = ["original", *(f"target {explained.steps[index].asked}" for index in ends)]
    panels = []
    for number, (picture, reading, name) in enumerate(
        zip([original, *(shown[index] for index in ends)], readings, names, strict=True)
    ):
        before = explained.before if number else None
        panels.append(
            Panel(
                picture,
                (name, measured(reading, explained.read_by)),
                mark=MARK if number and explained.mark else "",
                paint=_painter(reading, before, picture.shape, explained.read_by),
            )
        )
    legend = [
        ("heart", HEART, "-"),
        ("lungs", LUNGS, "-"),
        ("heart of the original", BEFORE, ":"),
    ]
    if explained.read_by == "scp":
        legend.append(("costophrenic recess", RECESS, "-"))
    figure = panel_figure(
        panels,
        headline_of(explained),
        title_of(explained),
        warn=explained.verdict != INTERPRET,
        legend=legend,
    )
    path.write_bytes(png_bytes(figure))


def measured(reading: Reading, read_by: str | None = "ctr") -> str:
    """The measurement with what it is made of; the posterior where a task is read by nothing.

    The CTR is heart over thorax width, in hundredths of the padded picture's side; the score of healthy recesses is
    the mean of the patient's two sides.
    """
    if read_by is None:
        return f"posterior {reading.posterior:.2f}"
    if read_by == "scp":
        sides = (("left", reading.scp_left), ("right", reading.scp_right))
        each = ", ".join(f"{side} {'not found' if v is None else f'{v:.2f}'}" for side, v in sides)
        return f"{written(read_by, reading.measured(read_by))} ({each})"
    if read_by != "ctr":
        return written(read_by, reading.measured(read_by))
    if reading.ctr is None or reading.heart_width is None or reading.thorax_width is None:
        return written(read_by, None)
    return f"CTR {reading.ctr:.2f} = heart {reading.heart_width:.2f} / thorax {reading.thorax_width:.2f}"


def _painter(reading: Reading, before: Reading | None, shape: tuple[int, ...], read_by: str | None) -> Any:
    """What draws a reading's outlines, and what the task is read by, on the axes of a picture (H, W)."""

    def paint(axes: Axes) -> None:
        if before is not None and before.masks is not None:
            _contour(axes, before.masks[0], shape, BEFORE, "dotted", 1.1)
        if reading.masks is None:
            return
        for lung in reading.masks[1:]:
            _contour(axes, lung, shape, LUNGS, "solid", 1.2)
        _contour(axes, reading.masks[0], shape, HEART, "solid", 1.5)
        if read_by == "scp":
            for box in reading.recesses:
                _frame(axes, box, shape)
        if read_by == "ctr" and reading.ctr is not None:
            _width_line(axes, reading.masks[:1], reading.heart_edges, shape, HEART)
            _width_line(axes, reading.masks[1:], reading.thorax_edges, shape, LUNGS)

    return paint


def _place(values: Array, size: int, shape: tuple[int, ...], axis: int) -> Array:
    """Positions on the padded square, fractions times `size`, as pixels of the picture that fills its middle."""
    side = max(shape)
    return values / size * side - (side - shape[axis]) / 2 - 0.5


def _contour(axes: Axes, mask: Array, shape: tuple[int, ...], colour: str, style: str, width: float) -> None:
    """The outline at 0.5, where the measurement has its edges too: between pixels, linearly."""
    if not (mask >= LEVEL).any():
        return
    # A margin of zeros closes an outline that reaches the border.
    closed = np.pad(mask, 1)
    rows, columns = (np.arange(n) - 0.5 for n in closed.shape)
    x = _place(columns, mask.shape[1], shape, 1)
    y = _place(rows, mask.shape[0], shape, 0)
    axes.contour(x, y, closed, levels=[LEVEL], colors=[colour], linestyles=[style], linewidths=[width])


def _frame(axes: Axes, box: Edges4 | None, shape: tuple[int, ...]) -> None:
    """The box that the detector found a costophrenic recess in, edges as shares of the padded square's side."""
    if box is None:
        return
    x, y = (_place(np.asarray(box[axis::2]), 1, shape, 1 - axis) for axis in (0, 1))
    axes.plot(x[[0, 1, 1, 0, 0]], y[[0, 0, 1, 1, 0]], color=RECESS, linewidth=1.3)


def _width_line(
    axes: Axes,
    masks: Sequence[Array] | Array,
    edges: tuple[float, float] | None,
    shape: tuple[int, ...],
    colour: str,
) -> None:
    """A horizontal line from the left to the right edge, with dotted plumb lines from where those edges lie."""
    if edges is None:
        return
    inside = np.any(np.asarray(masks) >= LEVEL, axis=0)
    columns = np.flatnonzero(inside.any(axis=0))
    rows = [float(np.flatnonzero(inside[:, column]).mean()) + 0.5 for column in (columns[0], columns[-1])]
    y = _place(np.asarray(rows), inside.shape[0], shape, 0)
    x = _place(np.asarray(edges), 1, shape, 1)
    level = float(y.max())
    axes.plot(x, [level, level], color=colour, linewidth=1.0, marker="|", markersize=7)
    for at, start in zip(x, y, strict=True):
        axes.plot([at, at], [start, level], color=colour, linewidth=0.8, linestyle=":")
