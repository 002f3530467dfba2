"""The figure of the progressions: one patient a row, one target a column, numbers under each picture.

It is read as a radiologist reads a series: dark around the pictures, the original first, then the pictures
that the explainer drew for rising targets, each with the posterior reached and what the task is read by,
measured on it, and last where it became brighter or darker. Drawn pictures carry a mark that says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten, wrap

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cfx.evaluation.explained import MARK
from cfx.evaluation.reading_words import MEASURES, signed_shift, written
from cfx.measurements import READING_FLOOR
from cfx.reporting.run_files import Example, GreyImage, read_grey
from cfx.reporting.style import NIGHT, NIGHT_QUIET, NIGHT_TEXT, UP, WARN, new_figure

CALLS = {
    "TP": "true positive call",
    "FP": "false positive call",
    "TN": "true negative call",
    "FN": "false negative call",
}
# Blue darker, orange brighter: legible over a radiograph and to colour-blind eyes.
_DARKER, _BRIGHTER = (0.345, 0.706, 1.0), (1.0, 0.612, 0.247)


_LEGEND = (
    "Bar: the classifier's posterior of the finding; white tick: the posterior asked for.{measured}"
    " Every picture but the first of a row was drawn by a model and is no radiograph."
)


@dataclass(frozen=True)
class Strip:
    """One progression ready to be drawn.

    Attributes:
        title: lines at the left of the row, the first one stressed.
        original: grey (H, W) in [0, 1].
        p_before: posterior of the original.
        measured_before: what the task is read by, of the original, or None.
        targets: posterior asked for, a step each.
        steps: grey (H, W) in [0, 1], a step each.
        posterior: posterior reached, a step each.
        measured: the same of each step.
        end: which step the difference map shows.
        mark: whether drawn pictures are marked.
        limits: where the method stops short of a target the posterior that it aims at, else None, a step each.
        read_by: which measurement that is: `ctr`, `scp` or `haze`; None writes the posterior alone.
        floor: least shift of it that is called a change, smaller ones are dimmed.

    """

    title: tuple[str, ...]
    original: GreyImage
    p_before: float
    measured_before: float | None
    targets: tuple[float, ...]
    steps: tuple[GreyImage, ...]
    posterior: tuple[float, ...]
    measured: tuple[float | None, ...]
    end: int
    mark: bool = True
    limits: tuple[float | None, ...] = ()
    read_by: str | None = "ctr"
    floor: float = READING_FLOOR


def thin_targets(targets: Sequence[float], most: int) -> list[int]:
    """Indices of at most ``most`` targets, evenly spread, the first and last always among them."""
    if len(targets) <= most:
        return list(range(len(targets)))
    wanted = np.linspace(targets[0], targets[-1], most)
    return sorted({int(np.argmin(np.abs(np.asarray(targets) - c))) for c in wanted})


def strip_of(example: Example, most: int = 6) -> Strip:
    """Reads an example's pictures into a strip with at most ``most`` targets."""
    kept = thin_targets(example.targets, most)
    end = kept.index(example.end) if example.end in kept else (0 if example.end == 0 else len(kept) - 1)
    heading = {"up": "grow the finding", "down": "take it away"}.get(example.group, "uncertain call")
    lines = [heading, shorten(example.patient_id, 22, placeholder="…"), example.note]
    lines += [CALLS.get(example.call or "", ""), f"{example.rank} of its group"]
    return Strip(
        title=tuple(line for line in lines if line),
        original=read_grey(example.original),
        p_before=example.p_before,
        measured_before=example.measured_before,
        targets=tuple(example.targets[i] for i in kept),
        steps=tuple(read_grey(example.steps[i]) for i in kept),
        posterior=tuple(example.posterior[i] for i in kept),
        measured=tuple(example.measured[i] for i in kept),
        end=end,
        read_by=example.read_by,
        floor=example.floor,
    )


def choose_examples(examples: Sequence[Example], each: int = 3) -> list[Example]:
    """The rows of the run's main figure: for up, then down, the best, the median and the worst progression.

    True calls come first, since a correct call is what a reader understands first; the report shows all.

    Args:
        examples: all examples of the run.
        each: rows a direction.

    """
    ranks = {"median": 0, "best": 1, "worst": 2}
    order = {"best": 0, "median": 1, "worst": 2}
    rows: list[Example] = []
    for side, right_call in (("up", "TN"), ("down", "TP")):
        mine = [example for example in examples if example.group == side]
        mine.sort(key=lambda example: (example.call != right_call, ranks.get(example.rank, 3)))
        picked: list[Example] = []
        for example in mine:
            if all(example.image_id != other.image_id for other in picked):
                picked.append(example)
        rows += sorted(
            picked[:each], key=lambda example: (example.call != right_call, order.get(example.rank, 3))
        )
    return rows


def _show(axes: Axes, picture: GreyImage) -> None:
    """A radiograph on an axes of its own: grey, smooth, no frame."""
    axes.imshow(picture, cmap="gray", vmin=0.0, vmax=1.0, interpolation="bicubic", interpolation_stage="data")
    axes.set_axis_off()


def mark_axes(axes: Axes, fontsize: float, text: str = MARK) -> None:
    """Writes the synthetic mark along the lower edge of a drawn picture."""
    axes.text(
        0.5,
        0.0,
        text,
        transform=axes.transAxes,
        fontsize=fontsize,
        color=NIGHT_TEXT,
        ha="center",
        va="bottom",
        bbox={"facecolor": NIGHT, "alpha": 0.62, "linewidth": 0, "pad": 1.2},
    )


def _posterior_bar(
    figure: Figure, grid: "_Grid", x: float, y: float, posterior: float, target: float | None
) -> None:
    """A bar under a picture, filled to the posterior; a tick where it was asked to be."""
    height, tick = 0.045, 0.02
    parts = [(x, y + 0.02, grid.cell, height, "#2a2f35"), (x, y + 0.02, grid.cell * posterior, height, UP)]
    if target is not None:
        # Kept inside the bar, so that ticks at 0 and 1 do not stick out.
        place = x + min(max(grid.cell * target - tick / 2, 0.0), grid.cell - tick)
        parts.append((place, y, tick, height + 0.04, NIGHT_TEXT))
    for left, top, wide, tall, colour in parts:
        x0, y0, width, depth = grid.box(left, top, wide, tall)
        # Rectangles on the figure itself: an axes of its own for each bar would take most of the drawing time.
        figure.add_artist(
            Rectangle((x0, y0), width, depth, facecolor=colour, linewidth=0, transform=figure.transFigure)
        )


def legend_of(read_by: str | None, floor: float) -> str:
    """How a figure is read, with how what its task is read by was measured."""
    if read_by is None:
        return _LEGEND.format(measured="")
    measure = MEASURES[read_by]
    label = measure.label[0].upper() + measure.label[1:]
    dimmed = f", dimmed below {floor:.2g}: {measure.floor}" if floor > 0 else ""
    said = f" {label}: {measure.meaning}; shift against the original in brackets{dimmed}."
    return _LEGEND.format(measured=said)


def _measured_text(strip: Strip, column: int) -> tuple[str, str]:
    """The measurement under a picture and its colour: the shift is bright only beyond the floor."""
    if column == 0:
        return written(strip.read_by, strip.measured_before), NIGHT_TEXT
    value, before = strip.measured[column - 1], strip.measured_before
    text = written(strip.read_by, value)
    if value is None or before is None:
        return text, NIGHT_QUIET if value is None else NIGHT_TEXT
    bright = abs(value - before) >= strip.floor
    return f"{text} ({signed_shift(value, before)})", NIGHT_TEXT if bright else NIGHT_QUIET


def difference_map(original: GreyImage, changed: GreyImage, scale: float) -> npt.NDArray[np.float32]:
    """Where a picture became brighter (orange) or darker (blue), laid over the dimmed original.

    Args:
        original: grey (H, W) in [0, 1].
        changed: grey (H, W) in [0, 1].
        scale: the difference at which the colour is full.

    Returns:
        colours (H, W, 3) in [0, 1].

    """
    change = np.clip((changed - original) / scale, -1.0, 1.0)[..., None]
    colour = np.where(change > 0, np.asarray(_BRIGHTER), np.asarray(_DARKER))
    ground = np.repeat(0.42 * original[..., None], 3, axis=2)
    return np.asarray(ground + np.abs(change) * (colour - ground), dtype=np.float32)


def difference_scale(pairs: Sequence[tuple[GreyImage, GreyImage]]) -> float:
    """The difference at which the colours of several maps are full: all but half a percent of the pixels lie below."""
    changes = np.concatenate([np.abs(changed - original).ravel() for original, changed in pairs])
    return max(0.05, float(np.percentile(changes, 99.5)))


def asked_for(strip: Strip) -> list[str]:
    """The heading of each step: what was asked for, and the run's limit where it stops short of that."""
    limits = strip.limits or (None,) * len(strip.targets)
    return [
        f"asked for {target:g}" if limit is None else f"asked {target:g}, limit {limit:g}"
        for target, limit in zip(strip.targets, limits, strict=True)
    ]


class _Grid:
    """Places cells in inches on a figure, from the top left."""

    label, gap, caption, edge = 1.72, 0.09, 0.56, 0.14

    def __init__(self, columns: int, rows: int, aspect: float, cell: float, lines: int, legend: str) -> None:
        """``aspect`` = height over width of the pictures; ``cell`` = a picture's width in inches; ``lines`` above."""
        self.header = 0.46 + (0.36 if lines else 0.0) + 0.18 * max(lines - 1, 0)
        self.cell, self.tall = cell, cell * aspect
        self.columns, self.rows = columns, rows
        # The difference map stands a little apart from the pictures.
        self.width = self.edge + self.label + columns * (cell + self.gap) + 0.12 + self.edge
        # A strip of few pictures has room for fewer letters beside the scale of the difference map.
        self.legend = wrap(legend, int((self.x(columns - 1) - self.edge - 0.15) / 0.06))
        self.footer = 0.3 + 0.16 * max(2, len(self.legend))
        self.height = self.header + rows * (self.tall + self.caption) + self.footer

    def x(self, column: int) -> float:
        """Left edge of a column, inches from the left."""
        apart = 0.12 if column == self.columns - 1 else 0.0
        return self.edge + self.label + column * (self.cell + self.gap) + apart

    def top(self, row: int) -> float:
        """Upper edge of a row's pictures, inches from the top."""
        return self.header + row * (self.tall + self.caption)

    def box(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        """A box given from the top left, in inches, as matplotlib wants it."""
        return (x / self.width, 1.0 - (y + height) / self.height, width / self.width, height / self.height)

    def write(
        self, figure: Figure, x: float, y: float, text: str, colour: str, size: float, **more: str
    ) -> None:
        """Text whose upper edge is at inches (x, y) from the top left."""
        figure.text(
            x / self.width,
            1.0 - y / self.height,
            text,
            color=colour,
            fontsize=size,
            va="top",
            ha=more.get("ha", "left"),
            fontweight=more.get("weight", "normal"),
        )


def _captions(figure: Figure, grid: _Grid, column: int, row: int, texts: Sequence[tuple[str, str]]) -> None:
    """The two lines under a picture, each with its colour."""
    middle = grid.x(column) + grid.cell / 2
    y = grid.top(row) + grid.tall + 0.14
    letters = int(grid.cell / 0.066)  # what fits under a picture in the usual size
    for line, (text, colour) in enumerate(texts):
        size = 8.2 * min(1.0, letters / max(len(text), 1))
        grid.write(figure, middle, y + 0.165 * line, text, colour, size, ha="center")


def _row(figure: Figure, grid: _Grid, row: int, strip: Strip, scale: float) -> None:
    """Draws one patient."""
    top = grid.top(row)
    # Letters that fit beside the pictures; a name without spaces is broken where it must be.
    lines = [(text, True) for text in wrap(strip.title[0], 17)[:4]]
    lines += [(text, False) for more in strip.title[1:] for text in wrap(more, 25)[:2]]
    for line, (text, first) in enumerate(lines):
        size, colour, weight = (9.5, NIGHT_TEXT, "bold") if first else (8.2, NIGHT_QUIET, "normal")
        grid.write(figure, grid.edge, top + 0.04 + 0.185 * line, text, colour, size, weight=weight)
    pictures = [strip.original, *strip.steps]
    posteriors = [strip.p_before, *strip.posterior]
    for column, (picture, posterior) in enumerate(zip(pictures, posteriors, strict=True)):
        axes = figure.add_axes(grid.box(grid.x(column), top, grid.cell, grid.tall))
        _show(axes, picture)
        target = None if column == 0 else strip.targets[column - 1]
        if target is not None and strip.mark:
            mark_axes(axes, 5.6 * min(1.0, grid.cell / 1.3))
        _posterior_bar(figure, grid, grid.x(column), top + grid.tall + 0.03, posterior, target)
        said = (f"posterior {posterior:.2f}", NIGHT_TEXT)
        _captions(figure, grid, column, row, [said, _measured_text(strip, column)])
    axes = figure.add_axes(grid.box(grid.x(len(pictures)), top, grid.cell, grid.tall))
    overlay = np.clip(difference_map(strip.original, strip.steps[strip.end], scale), 0.0, 1.0)
    axes.imshow(overlay, interpolation="bilinear")
    axes.set_axis_off()
    _captions(figure, grid, len(pictures), row, [(f"at target {strip.targets[strip.end]:g}", NIGHT_QUIET)])


def _legend(figure: Figure, grid: _Grid, scale: float) -> None:
    """The foot of the figure: how to read it, and the scale of the difference maps."""
    y = grid.height - grid.footer + 0.16
    for number, line in enumerate(grid.legend):
        grid.write(figure, grid.edge, y + 0.16 * number, line, NIGHT_QUIET, 7.6)
    x = grid.x(grid.columns - 1)
    axes = figure.add_axes(grid.box(x, y + 0.02, grid.cell, 0.09))
    ramp = np.linspace(-1.0, 1.0, 256, dtype=np.float32)[None, :]
    axes.imshow(difference_map(np.full_like(ramp, 0.2), 0.2 + ramp, 1.0), aspect="auto")
    axes.set_axis_off()
    grid.write(figure, x, y + 0.15, "darker", NIGHT_QUIET, 7.2)
    grid.write(figure, x + grid.cell, y + 0.15, "brighter", NIGHT_QUIET, 7.2, ha="right")
    grid.write(figure, x + grid.cell / 2, y + 0.15, f"±{scale:.2f}", NIGHT_QUIET, 7.2, ha="center")


def progression_figure(
    strips: Sequence[Strip],
    cell: float = 1.32,
    headline: str = "",
    warn: bool = False,
    notes: Sequence[str] = (),
) -> Figure:
    """Draws strips below each other.

    Args:
        strips: at least one; all with the same number of targets.
        cell: width of a picture in inches (at 150 dpi: 1.32 = 198 pixels).
        headline: a line above everything, such as the verdict of one image.
        warn: whether the headline is a warning.
        notes: lines below the headline.

    Returns:
        the figure; save it with `cfx.reporting.style.save_png`.

    Raises:
        ValueError: no strip, or strips of different lengths.

    """
    if not strips or len({len(strip.steps) for strip in strips}) != 1:
        raise ValueError("a figure of progressions needs strips, all of one length")
    height, width = strips[0].original.shape
    above = (1 + len(notes)) if headline else 0
    legend = legend_of(strips[0].read_by, strips[0].floor)
    grid = _Grid(len(strips[0].steps) + 2, len(strips), height / width, cell, above, legend)
    figure = new_figure(grid.width, grid.height, NIGHT)
    if headline:
        letters = int(grid.width * 9)  # what fits in a line of this size
        text = shorten(headline, letters, placeholder=" …")
        grid.write(figure, grid.edge, 0.14, text, WARN if warn else NIGHT_TEXT, 11, weight="bold")
        for number, note in enumerate(notes):
            text = shorten(note, int(grid.width * 13), placeholder=" …")
            grid.write(figure, grid.edge, 0.4 + 0.18 * number, text, NIGHT_QUIET, 8.6)
    headings = ["original", *asked_for(strips[0]), "what changed"]
    for column, heading in enumerate(headings):
        grid.write(
            figure, grid.x(column) + grid.cell / 2, grid.header - 0.29, heading, NIGHT_TEXT, 9.5, ha="center"
        )
    # One scale for all rows, or a row without any change would look like the others; of both ends of the knob, so that
    # the maps of a picture's other steps, drawn elsewhere, have the same.
    ends = [(strip.original, strip.steps[end]) for strip in strips for end in (0, -1)]
    scale = difference_scale(ends)
    for row, strip in enumerate(strips):
        _row(figure, grid, row, strip, scale)
    _legend(figure, grid, scale)
    return figure
