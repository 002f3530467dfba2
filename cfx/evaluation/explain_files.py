"""Explains image files, several in a network call: a folder of results each, resumed where it stopped.

A folder of files goes through to its end: a file that can not be read becomes a line in the table, what was
done before is kept, and every result appears whole or not at all (``numbers.json`` is written last). In memory
are at most a batch of originals and one picture at full resolution.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from cfx.data.dicom_header import header_problem
from cfx.data.reading import Float, read_image
from cfx.errors import BadImage, BadValue, UserError
from cfx.evaluation.explain_tools import Draw, Familiar, Segment, Settings, Tools, about
from cfx.evaluation.explained import Explained, Outcome, outcome_line
from cfx.evaluation.explaining import (
    Drawn,
    draw_batch,
    draw_steps,
    explained_of,
    read_pictures,
)
from cfx.evaluation.image_files import find_images, folder_names
from cfx.evaluation.large_pictures import check_dicom, write_large
from cfx.files import new_folder, read_json, write_atomic, write_json

MOST_PIXELS = 48_000_000
"""Pixels of originals from which on a batch is not filled any further: four large detectors, 192 MB."""


@dataclass(frozen=True)
class Opened:
    """A file that has been read and waits for its batch.

    Attributes:
        path: the file.
        name: what it is called in the JSON and on the figure.
        folder: where its results go.
        image: grey (H, W) in [0, 1].
        notes: what a reader should know of the file.
        place: its number among all files, from 0.

    """

    path: Path
    name: str
    folder: Path
    image: Float
    notes: tuple[str, ...] = ()
    place: int = 0


def open_file(
    path: Path, name: str, folder: Path, tools: Tools, settings: Settings, place: int = 0
) -> Opened:
    """Reads a file, and refuses one that is far smaller than what the run was trained on, or whose header says that it
    is no chest radiograph, unless that is forced.

    Raises:
        UserError: the file can not be read, or is refused.

    """
    problem = header_problem(path, tools.views)
    if problem is not None and not settings.force:
        raise BadImage("input", str(path), problem, "give force=true to explain it all the same")
    image = read_image(path, "input")
    least = tools.size // 2
    if max(image.shape) < least and not settings.force:
        size = f"{image.shape[1]} x {image.shape[0]} px are too few for a chest radiograph"
        raise BadImage(
            "input", str(path), size, f"give one of {least} or more, or force=true to explain it all the same"
        )
    notes = () if problem is None else (f"forced: {problem}",)
    return Opened(path, name, folder, 1.0 - image if settings.invert else image, notes, place)


def explain_one(path: Path, name: str, folder: Path, tools: Tools, settings: Settings) -> Explained:
    """Explains one file and writes its folder.

    Args:
        path: the file.
        name: what it is called in the JSON and on the figure.
        folder: where the pictures and ``numbers.json`` go.
        tools: the run's parts.
        settings: what the user set.

    Returns:
        the record that the files were written from.

    Raises:
        UserError: the file can not be read, or is refused.

    """
    began = time.perf_counter()
    opened = open_file(path, name, folder, tools, settings)
    drawn = draw_steps(opened.image, tools, settings.targets)
    return _write(opened, drawn, tools, settings, time.perf_counter() - began)


def _write(opened: Opened, drawn: Drawn, tools: Tools, settings: Settings, spent: float) -> Explained:
    """Writes a file's folder: what was there before goes first, ``numbers.json`` comes last; none is left empty."""
    try:
        return _write_all(opened, drawn, tools, settings, spent)
    except BaseException:
        with suppress(OSError):  # a folder with something in it, or none
            opened.folder.rmdir()
        raise


def _write_all(opened: Opened, drawn: Drawn, tools: Tools, settings: Settings, spent: float) -> Explained:
    began = time.perf_counter()
    _clear(opened.folder)
    sha256 = _digest(opened.path)
    steps, files = write_large(
        opened.image, drawn, opened.folder, tools, settings, source=opened.path, sha256=sha256
    )
    explained = explained_of(
        drawn,
        opened.image.shape,
        tools,
        steps=steps,
        name=opened.name,
        output=opened.folder,
        about={"sha256": sha256, **about(tools, settings)},
        mark=settings.mark,
        notes=opened.notes,
        source=opened.path,
    )
    for file, draw in tools.files.items():
        write_atomic(opened.folder / file, partial(draw, explained))
        files.append(file)
    seconds = spent + time.perf_counter() - began
    explained = replace(explained, files=(*sorted(files), "numbers.json"), seconds=seconds)
    write_json(opened.folder / "numbers.json", explained.numbers())
    return explained


def _record(folder: Path) -> dict[str, Any]:
    """The ``numbers.json`` of a folder; empty where there is none that can be read."""
    try:
        found = read_json(folder / "numbers.json")
    except (UserError, OSError):
        return {}  # an unreadable record is written anew
    return found if isinstance(found, dict) else {}


def _clear(folder: Path) -> None:
    """Removes what an earlier explanation wrote, its record first: half of it would pass for a whole."""
    known = _record(folder).get("files")
    (folder / "numbers.json").unlink(missing_ok=True)
    for name in known if isinstance(known, list) else []:
        place = folder / str(name)
        if place.resolve().is_relative_to(folder.resolve()):  # a record is a file like any other
            with suppress(OSError):
                place.unlink()


def _digest(path: Path) -> str:
    """SHA-256 of a file, by which a result is known to be of it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _kept(path: Path, folder: Path, tools: Tools, settings: Settings) -> dict[str, Any] | None:
    """The numbers of an earlier, finished explanation of the same file with the same settings, else None."""
    if settings.overwrite or not (folder / "numbers.json").is_file():
        return None
    numbers = _record(folder)
    wanted = {"sha256": _digest(path), "synthetic_mark": settings.mark, **about(tools, settings)}
    files = numbers.get("files")
    there = isinstance(files, list) and all((folder / str(name)).is_file() for name in files)
    same = all(numbers.get(key) == value for key, value in wanted.items())
    return numbers if same and there and set(tools.files) <= set(map(str, files or [])) else None


def explain_files(
    paths: Sequence[Path],
    root: Path,
    output: Path,
    tools: Tools,
    settings: Settings,
    echo: Callable[[str], object] = print,
) -> list[Outcome]:
    """Explains files in order; one that fails never ends the others.

    Args:
        paths: the image files (`find_images`).
        root: the folder that their names are told from; the file's own folder for a single file.
        output: one folder a file is made in it, and ``summary.csv`` at the end; it is not left behind empty.
        tools: the run's parts.
        settings: what the user set.
        echo: told a line after each file.

    Returns:
        an outcome a file, in the order of the paths.

    Raises:
        UserError: a single file was given and could not be read, or nothing can be written to the output, or
            DICOM is asked for and can not be written here.
        KeyboardInterrupt: as it came, with a line on how many were done; ``summary.csv`` tells of these.

    """
    if settings.dicom:
        check_dicom()
    outcomes: dict[int, Outcome] = {}
    with ExitStack() as stack:
        try:
            # Made before the first picture is drawn, so that a place that can not be written to is told at once.
            stack.enter_context(new_folder(output))
        except OSError as error:
            problem = f"can not be made ({error.strerror})"
            raise BadValue("output", str(output), problem, "give a folder you may write in") from error
        try:
            for place, outcome in _outcomes(paths, root, output, tools, settings):
                outcomes[place] = outcome
                echo(f"{len(outcomes)}/{len(paths)} {outcome_line(outcome)}")
        except KeyboardInterrupt:
            _summarise(outcomes, output)
            done = f"{len(outcomes)} of {len(paths)} images done"
            raise KeyboardInterrupt(f"interrupted: {done}; the same command goes on from there") from None
        return _summarise(outcomes, output)


def _summarise(outcomes: Mapping[int, Outcome], output: Path) -> list[Outcome]:
    """Writes ``summary.csv`` of what became of files so far, and returns it in the order of the paths."""
    ordered = [outcomes[place] for place in sorted(outcomes)]
    table = pd.DataFrame([outcome.row() for outcome in ordered])
    if ordered:
        write_atomic(output / "summary.csv", lambda beside: table.to_csv(beside, index=False))
    return ordered


def _outcomes(
    paths: Sequence[Path], root: Path, output: Path, tools: Tools, settings: Settings
) -> Iterator[tuple[int, Outcome]]:
    """Reads files one by one, explains them as soon as they fill a batch, and tells what became of each."""
    alone = len(paths) == 1
    waiting: list[Opened] = []
    for place, (path, folder) in enumerate(zip(paths, folder_names(paths, root), strict=True)):
        name = str(path.relative_to(root)) if path.is_relative_to(root) else path.name
        try:
            kept = _kept(path, output / folder, tools, settings)
            if kept is None:
                waiting.append(open_file(path, name, output / folder, tools, settings, place))
        except Exception as error:  # whatever a file holds, the folder goes on
            if alone:
                raise
            yield place, _failed(name, error)
            continue
        if kept is not None:
            yield place, Outcome(name, "kept", folder, kept)
        if len(waiting) >= settings.batch or sum(each.image.size for each in waiting) >= MOST_PIXELS:
            yield from _explain_batch(waiting, tools, settings, alone)
            waiting = []
    if waiting:
        yield from _explain_batch(waiting, tools, settings, alone)


def _explain_batch(
    opened: Sequence[Opened], tools: Tools, settings: Settings, alone: bool
) -> Iterator[tuple[int, Outcome]]:
    """Draws a batch in one call and writes its files one by one."""
    began = time.perf_counter()
    try:
        drawn = draw_batch([each.image for each in opened], tools, settings.targets)
    except Exception as error:
        if alone:
            raise
        if len(opened) == 1:
            yield opened[0].place, _failed(opened[0].name, error)
            return
        # One picture of a batch, or a batch too large for the memory, does not take the others along.
        for each in opened:
            yield from _explain_batch([each], tools, settings, alone)
        return
    spent = (time.perf_counter() - began) / len(opened)
    for each, progression in zip(opened, drawn, strict=True):
        try:
            explained = _write(each, progression, tools, settings, spent)
        except Exception as error:
            if alone:
                raise
            yield each.place, _failed(each.name, error)
            continue
        yield each.place, Outcome(each.name, "done", each.folder.name, explained.numbers())


def _failed(name: str, error: Exception) -> Outcome:
    """What is told of a file that could not be explained; the type tells a defect from a broken file."""
    told = error.problem if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    if isinstance(error, UserError) and "force=true" in error.remedy:
        told = f"{told}; {error.remedy}"
    return Outcome(name, "failed", problem=" ".join(str(told).split()))


__all__ = [
    "Draw",
    "Drawn",
    "Familiar",
    "Segment",
    "Settings",
    "Tools",
    "about",
    "draw_steps",
    "explain_files",
    "explain_one",
    "explained_of",
    "find_images",
    "folder_names",
    "read_pictures",
]
