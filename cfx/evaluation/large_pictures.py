"""A progression at the original's resolution: PNG files and a DICOM series, each picture read again."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from cfx.data.reading import Float, as_seen
from cfx.evaluation.dicom_series import Series, check_dicom
from cfx.evaluation.explain_tools import Settings, Tools
from cfx.evaluation.explained import FullResolution, Step, cut_padding
from cfx.evaluation.explaining import Drawn, read_pictures
from cfx.evaluation.full_resolution import edits_on
from cfx.evaluation.marking import marked, png_info, unmarked
from cfx.files import write_atomic

__all__ = ["check_dicom", "write_large"]


def write_large(
    image: Float,
    drawn: Drawn,
    folder: Path,
    tools: Tools,
    settings: Settings,
    *,
    source: Path,
    sha256: str,
) -> tuple[tuple[Step, ...], list[str]]:
    """Draws the targets that are wanted at the original's resolution, one at a time, and writes them.

    Where the method gives no edits nothing can be carried over: no PNG is written, and a DICOM series holds the
    pictures at the size they were drawn in.

    Args:
        image: the original, grey (H, W) in [0, 1].
        drawn: its progression.
        folder: where the files go.
        tools: the run's parts.
        settings: what the user set.
        source: the image file, to which a DICOM series refers.
        sha256: of that file.

    Returns:
        the steps with what was drawn and read of them, and the names of the files.

    """
    series = Series(source, sha256, tools, settings.identifiers) if settings.dicom else None
    edits = drawn.counterfactual.edits is not None
    wanted = [
        index
        for index, step in enumerate(drawn.steps)
        if series is not None or (edits and settings.large(step.target))
    ]
    stems = file_stems([step.target for step in drawn.steps])
    made: dict[int, FullResolution] = {}
    small = []
    for index, picture in zip(wanted, _pictures(image, drawn, wanted), strict=True):
        stem = stems[index]
        png = f"full_resolution_{stem}.png" if edits and settings.large(drawn.steps[index].target) else ""
        if png:
            _save(picture, folder / png, settings.mark)
        dicom = ""
        if series is not None:
            dicom = f"dicom/{stem}.dcm"
            series.write(picture, folder / dicom, index, drawn.steps[index], whole=edits)
        # Read before the mark is on it: the black box must not see letters.
        small.append(as_seen(picture, tools.size))
        made[index] = FullResolution(png, drawn.steps[index].reading, dicom)
    if edits and small:
        readings = read_pictures(torch.stack(small).to(tools.device), tools)
        made = {
            index: replace(each, reading=reading)
            for (index, each), reading in zip(made.items(), readings, strict=True)
        }
    files = [name for each in made.values() for name in (each.file, each.dicom) if name]
    steps = tuple(replace(step, full=made.get(index)) for index, step in enumerate(drawn.steps))
    return steps, files


def file_stems(targets: Sequence[float]) -> list[str]:
    """What the files of each target are called: c000 to c100, with more digits where two would be alike."""
    for digits in range(2, 9):
        stems = [f"c{round(10**digits * target):0{digits + 1}d}" for target in targets]
        if len(set(stems)) == len(stems):
            break
    return stems


def _pictures(image: Float, drawn: Drawn, wanted: Sequence[int]) -> Iterator[Float]:
    """The pictures of some steps: the edits on the original, or without edits the pictures as they were drawn."""
    edits = drawn.counterfactual.edits
    if edits is None:
        yield from (cut_padding(drawn.steps[index].picture, *image.shape) for index in wanted)
        return
    rows = torch.tensor([1 + index for index in wanted], dtype=torch.long, device=edits.field.device)
    yield from edits_on(image, edits.field[0, rows], edits.residual[0, rows], len(drawn.square))


def _save(image: Float, path: Path, mark: bool) -> None:
    """Writes a drawn picture as a PNG, with the visible mark or with the note inside the file alone."""
    picture = marked(image) if mark else unmarked(image)
    write_atomic(path, lambda beside: picture.save(beside, format="PNG", pnginfo=png_info()))
