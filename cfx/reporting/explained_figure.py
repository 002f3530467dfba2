"""The progression of one explained image file as a picture."""

from pathlib import Path

import numpy as np

from cfx.evaluation.explained import INTERPRET, Explained, cut_padding
from cfx.reporting.progressions import Strip, progression_figure, thin_targets
from cfx.reporting.style import png_bytes


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
    steps = [explained.steps[i] for i in kept]
    verdict = explained.verdict + (f": {'; '.join(explained.reasons)}" if explained.reasons else "")
    strip = Strip(
        title=(Path(explained.name).name, f"{explained.width} x {explained.height} px"),
        original=cut_padding(explained.original, explained.height, explained.width),
        p_before=explained.before.posterior,
        ctr_before=explained.before.ctr,
        targets=tuple(step.target for step in steps),
        steps=tuple(cut_padding(step.picture, explained.height, explained.width) for step in steps),
        posterior=tuple(step.reading.posterior for step in steps),
        ctr=tuple(step.reading.ctr for step in steps),
        end=kept.index(explained.end),
        mark=explained.mark,
    )
    cell = float(np.clip(explained.original.shape[0] / 64 * 1.1, 1.32, 1.9))
    figure = progression_figure([strip], cell, headline=verdict, warn=explained.verdict != INTERPRET)
    return png_bytes(figure)
