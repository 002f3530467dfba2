"""The pictures of one explained image file: its progression strip, and what changed on the original."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cfx.evaluation.explain_notes import limits_told
from cfx.evaluation.explained import INTERPRET, MARK, Explained
from cfx.evaluation.reading_words import written
from cfx.measurements import READING_FLOOR
from cfx.reporting.panels import Panel, panel_figure
from cfx.reporting.progressions import (
    Strip,
    difference_map,
    difference_scale,
    progression_figure,
    thin_targets,
)
from cfx.reporting.style import png_bytes


def headline_of(explained: Explained) -> str:
    """The finding, the verdict, the target it is about, and why; for above a figure."""
    finding = str(explained.about.get("finding", ""))
    said = explained.verdict + (f": {'; '.join(explained.reasons)}" if explained.reasons else "")
    judged = f"(judged at target {explained.steps[explained.end].asked})"
    return " ".join(part for part in (f"{finding} –" if finding else "", said, judged) if part)


def floor_of(explained: Explained) -> float:
    """The least shift of what the task is read by that is called a change; 0 where none is known."""
    return float(explained.about.get("reading_floor", READING_FLOOR))


def notes_of(explained: Explained) -> tuple[str, ...]:
    """What a reader should know of the file, a line each: its notes, what `limit` means, what nobody looked at."""
    told = (*explained.notes, limits_told(explained.steps))
    return (*(f"Note: {note}." for note in told if note), *explained.unchecked)


def title_of(explained: Explained) -> tuple[str, ...]:
    """Lines below a headline: the file's name with its size, and notes."""
    size = f"{explained.width} × {explained.height} px"
    return (f"{Path(explained.name).name}, {size}", *notes_of(explained))


def draw_explained(explained: Explained, path: Path, most: int = 6) -> None:
    """Writes the progression strip as a PNG; see `explained_png`."""
    path.write_bytes(explained_png(explained, most))


def explained_png(explained: Explained, most: int = 6) -> bytes:
    """The progression strip: original, at most ``most`` targets, what changed; the verdict above it.

    Args:
        explained: the record of the file.
        most: targets shown; the first and the last are always among them.

    """
    kept = thin_targets([step.target for step in explained.steps], most)
    # The target that the verdict is about is an end of the scale, so it is always among those shown.
    steps = [explained.steps[i] for i in kept]
    original, shown = explained.pictures()
    strip = Strip(
        title=(Path(explained.name).name, f"{explained.width} × {explained.height} px"),
        original=original,
        p_before=explained.before.posterior,
        measured_before=explained.before.measured(explained.read_by),
        targets=tuple(step.target for step in steps),
        steps=tuple(shown[i] for i in kept),
        posterior=tuple(step.reading.posterior for step in steps),
        measured=tuple(step.reading.measured(explained.read_by) for step in steps),
        end=kept.index(explained.end),
        mark=explained.mark,
        limits=tuple(step.limit for step in steps),
        read_by=explained.read_by,
        floor=floor_of(explained),
    )
    cell = float(np.clip(max(original.shape) / 64 * 1.1, 1.32, 1.9))
    figure = progression_figure(
        [strip],
        cell,
        headline=headline_of(explained),
        warn=explained.verdict != INTERPRET,
        notes=notes_of(explained),
    )
    return png_bytes(figure)


def ends_of(explained: Explained) -> list[int]:
    """Indices of the lowest and the highest target, or of the only one."""
    return sorted({0, len(explained.steps) - 1})


def draw_difference(explained: Explained, path: Path) -> None:
    """Writes the signed difference maps of the end points on the original, as large as the pictures allow.

    Args:
        explained: the record of the file.
        path: the PNG to write.

    """
    original, shown = explained.pictures()
    ends = ends_of(explained)
    scale = difference_scale([(original, shown[index]) for index in ends])
    panels = [Panel(original, ("original", *reading_lines(explained, None)))]
    for index in ends:
        overlay = np.clip(difference_map(original, shown[index], scale), 0.0, 1.0)
        lines = (f"what changed for {explained.steps[index].asked}", *reading_lines(explained, index))
        panels.append(Panel(overlay, lines, mark=MARK if explained.mark else ""))
    figure = panel_figure(
        panels,
        headline_of(explained),
        title_of(explained),
        warn=explained.verdict != INTERPRET,
        scale=scale,
    )
    path.write_bytes(png_bytes(figure))


def reading_lines(explained: Explained, index: int | None) -> Sequence[str]:
    """Posterior and measurement of the original (None) or of a step, a line."""
    reading = explained.before if index is None else explained.steps[index].reading
    measured = written(explained.read_by, reading.measured(explained.read_by))
    return (", ".join(part for part in (f"posterior {reading.posterior:.2f}", measured) if part),)
