"""Explains image files one by one: progression, numbers, verdict, and the edit at the original's resolution.

A folder of files goes through to its end: a file that can not be read becomes a line in the table, what was
done before is kept, and every result appears whole or not at all (``numbers.json`` is written last).
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from cfx.classifiers.blackbox import BlackBox
from cfx.data.dicom import is_dicom
from cfx.data.reading import Float, read_image, to_square, to_tensor
from cfx.errors import BadImage, BadValue, MissingPath, UserError
from cfx.evaluation.explained import (
    DO_NOT,
    INTERPRET,
    Explained,
    FullResolution,
    Outcome,
    Reading,
    Step,
    outcome_line,
)
from cfx.evaluation.full_resolution import edit_original
from cfx.evaluation.marking import marked, png_info, unmarked
from cfx.evaluation.verdict import verdicts
from cfx.explainers.base import Counterfactual, Explainer
from cfx.files import read_json, write_atomic, write_json
from cfx.measurements import measure

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom"}
GRID = tuple(round(0.1 * step, 1) for step in range(11))

Array = npt.NDArray[np.float64]
Segment = Callable[[Tensor], Tensor]
Draw = Callable[[Explained, Path], object]
Familiar = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Tools:
    """What a run gives to explain with, all on one device.

    Attributes:
        explainer: the method.
        blackbox: what is explained.
        segmenter: pictures (B, 1, H, W) in [-1, 1] to soft masks (B, 3, h, w) of heart, left lung, right
            lung.
        transfer: the independent classifier, or None.
        size: side in pixels of the pictures that all of these know.
        run: the run's name, for the JSON.
        threshold: the posterior from which on the independent classifier calls the finding.
        familiar: whether pictures (B, 1, size, size) are like the training data; None where that is not
            known.
        draw: writes a PNG of a progression; None leaves it out.

    """

    explainer: Explainer
    blackbox: BlackBox
    segmenter: Segment
    transfer: BlackBox | None
    size: int
    run: str = ""
    threshold: float = 0.5
    familiar: Familiar | None = None
    draw: Draw | None = None


@dataclass(frozen=True)
class Settings:
    """What the user may set.

    Attributes:
        targets: posteriors asked for, each in [0, 1].
        full_resolution: those of them that are also drawn at the original's resolution.
        mark: whether pictures carry the visible mark.
        overwrite: explain again what has been explained with the same settings.

    """

    targets: tuple[float, ...] = GRID
    full_resolution: tuple[float, ...] = (0.0, 1.0)
    mark: bool = True
    overwrite: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse targets that are no posteriors, and full resolutions that are not among the targets.

        Raises:
            BadValue: see above.

        """
        if not self.targets or any(not 0.0 <= target <= 1.0 for target in self.targets):
            raise BadValue(
                "targets", list(self.targets), "are not posteriors", "give numbers between 0 and 1"
            )
        strangers = [c for c in self.full_resolution if not np.isclose(c, self.targets).any()]
        if strangers:
            raise BadValue("full_resolution", strangers, "are not among the targets", "add them to targets")
        object.__setattr__(self, "targets", tuple(sorted(set(self.targets))))


def find_images(place: Path, argument: str = "input") -> list[Path]:
    """The image files that ``input=`` names: the file itself, or all in a folder and its subfolders, sorted.

    In a folder a file counts by its name's end, one without any end by the letters of a DICOM file; hidden
    files and all others are passed over.

    Raises:
        MissingPath: there is nothing of that name.
        BadImage: the folder holds no image.

    """
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise MissingPath(argument, str(place), "there is no such file or folder", "check the path")
    found = [
        path
        for path in sorted(place.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(place).parts)
        and (path.suffix.lower() in SUFFIXES or (not path.suffix and is_dicom(path)))
    ]
    if not found:
        raise BadImage(argument, str(place), "holds no image", "give a folder of PNG, JPEG or DICOM files")
    return found


def folder_names(paths: Sequence[Path], root: Path) -> list[str]:
    """A folder name for each file: its path below the root without its end; with its end where two would
    collide.
    """
    relative = [path.relative_to(root) if path.is_relative_to(root) else Path(path.name) for path in paths]
    plain = ["__".join(path.with_suffix("").parts) for path in relative]
    folded = [name.casefold() for name in plain]
    return [
        name if folded.count(name.casefold()) == 1 else "__".join(path.parts).replace(".", "_")
        for name, path in zip(plain, relative, strict=True)
    ]


def _device(module: nn.Module) -> torch.device:
    """Where a module's weights are; the CPU for one without any."""
    first = next(iter([*module.parameters(), *module.buffers()]), None)
    return torch.device("cpu") if first is None else first.device


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


@torch.no_grad()
def read_pictures(images: Tensor, tools: Tools) -> list[Reading]:
    """Asks the classifiers and measures the anatomy.

    Args:
        images: float (B, 1, size, size) in [-1, 1].
        tools: the run's parts.

    Returns:
        a reading for each picture.

    """
    posterior = tools.blackbox(images).float().cpu().numpy()
    measured = measure(tools.segmenter(images).float().cpu().numpy())
    other = None if tools.transfer is None else tools.transfer(images).float().cpu().numpy()
    return [
        Reading(
            posterior=float(posterior[i]),
            ctr=_finite(measured.ctr[i]),
            heart_width=_finite(measured.heart_width[i]),
            thorax_width=_finite(measured.thorax_width[i]),
            transfer=None if other is None else float(other[i]),
        )
        for i in range(len(images))
    ]


def _grey(image: Tensor) -> Float:
    """A picture (1, H, W) in [-1, 1] as grey (H, W) in [0, 1]."""
    result: Float = ((image[0].float().cpu() + 1.0) / 2.0).clamp(0.0, 1.0).numpy()
    return result


def _save(image: Float, path: Path, mark: bool) -> None:
    """Writes a drawn picture as a PNG, with the visible mark or with the note inside the file alone."""
    picture = marked(image) if mark else unmarked(image)
    write_atomic(path, lambda beside: picture.save(beside, format="PNG", pnginfo=png_info()))


def _full(
    image: Float, drawn: Counterfactual, index: int, target: float, folder: Path, tools: Tools, mark: bool
) -> FullResolution | None:
    """Draws one step's edit on the original, has it read again, and writes it; None where there is no edit."""
    if drawn.edits is None:
        return None
    large = edit_original(image, drawn.edits.field[0, index], drawn.edits.residual[0, index])
    name = f"full_resolution_c{round(100 * target):03d}.png"
    # Read before the mark is on it: the black box must not see letters.
    small = to_tensor(to_square(large, tools.size))[None].to(_device(tools.blackbox))
    reading = read_pictures(small, tools)[0]
    _save(large, folder / name, mark)
    return FullResolution(name, reading)


def reasons_against(redrawn: Reading, step: Step, tools: Tools, familiar: bool | None) -> tuple[str, ...]:
    """Why a step may not be interpreted (EVALUATION section 7); nothing where it may.

    Args:
        redrawn: reading of the method's own output at the original's posterior, which the shift is counted
            from.
        step: the picture in question.
        tools: the run's parts.
        familiar: whether the input is like the training data; None where that is not known.
    """

    def array(value: float | None) -> Array:
        return np.array([np.nan if value is None else value])

    text = verdicts(
        array(step.target),
        array(step.reading.posterior),
        array(redrawn.ctr),
        array(step.reading.ctr),
        transfer_after=None if tools.transfer is None else array(step.reading.transfer),
        threshold=tools.threshold,
        familiar=None if familiar is None else np.array([familiar]),
    )[0]
    _, _, reasons = text.partition(": ")
    return tuple(reasons.split(", ")) if reasons else ()


@dataclass(frozen=True)
class Drawn:
    """The progression of one picture in memory, before anything is written.

    Attributes:
        square: grey (size, size) in [0, 1], the padded picture that the run's parts saw.
        before: reading of it.
        redrawn: reading of the method's own output at the picture's posterior.
        steps: one a target, ascending, none at full resolution.
        end: index of the step that the verdict is about, the farther end of the scale.
        familiar: whether the picture is like the training data; None where that is not known.
        counterfactual: what the explainer gave: redrawn, then the steps.

    """

    square: Float
    before: Reading
    redrawn: Reading
    steps: tuple[Step, ...]
    end: int
    familiar: bool | None
    counterfactual: Counterfactual


def draw_steps(image: Float, tools: Tools, targets: Sequence[float]) -> Drawn:
    """Draws a picture at all targets in one batch, and reads what was drawn.

    Args:
        image: grey (H, W) in [0, 1], any size.
        tools: the run's parts.
        targets: posteriors asked for, ascending.

    """
    device = _device(tools.blackbox)
    square = to_square(image, tools.size)
    tensor = to_tensor(square)[None].to(device)
    before = read_pictures(tensor, tools)[0]
    # The method's own output at c = p(x) goes first: it tells what drawing alone does to the measurement.
    asked = torch.tensor([[before.posterior, *targets]], dtype=torch.float32, device=device)
    drawn = tools.explainer.explain(tensor, asked)
    readings = read_pictures(drawn.images[0], tools)
    steps = []
    for index, target in enumerate(targets, start=1):
        picture = _grey(drawn.images[0, index])
        l1 = float(np.mean(np.abs(picture - square)))
        steps.append(Step(target, picture, readings[index], l1))
    # The end of the scale that is farther away is the question a reader asks of this picture.
    end = len(steps) - 1 if before.posterior < 0.5 else 0
    familiar = None if tools.familiar is None else bool(tools.familiar(tensor)[0])
    return Drawn(square, before, readings[0], tuple(steps), end, familiar, drawn)


def explain_one(path: Path, name: str, folder: Path, tools: Tools, settings: Settings) -> Explained:
    """Explains one file and writes its folder.

    Args:
        path: the file.
        name: what it is called in the JSON and on the figure.
        folder: where ``progression.png``, the full-resolution pictures and ``numbers.json`` go.
        tools: the run's parts.
        settings: what the user set.

    Returns:
        the record that the files were written from.

    Raises:
        UserError: the file can not be read.

    """
    began = time.perf_counter()
    image = read_image(path, "input")
    drawn = draw_steps(image, tools, settings.targets)
    steps = []
    for index, step in enumerate(drawn.steps, start=1):
        wanted = bool(settings.full_resolution) and np.isclose(step.target, settings.full_resolution).any()
        full = (
            _full(image, drawn.counterfactual, index, step.target, folder, tools, settings.mark)
            if wanted
            else None
        )
        steps.append(replace(step, full=full))
    explained = explained_of(
        drawn,
        image.shape,
        tools,
        name=name,
        output=folder,
        steps=tuple(steps),
        about={"sha256": _digest(path), **about(tools, settings)},
        mark=settings.mark,
        seconds=time.perf_counter() - began,
    )
    if tools.draw is not None:
        write_atomic(folder / "progression.png", partial(tools.draw, explained))
    write_json(folder / "numbers.json", explained.numbers())
    return explained


def explained_of(drawn: Drawn, shape: tuple[int, ...], tools: Tools, **known: Any) -> Explained:
    """The record of a progression with its verdict.

    Args:
        drawn: the progression.
        shape: height and width of the picture before it was padded.
        tools: the run's parts.
        known: the other fields of `Explained`, such as its name; the progression's own steps unless told.

    """
    reasons = reasons_against(drawn.redrawn, drawn.steps[drawn.end], tools, drawn.familiar)
    fields: dict[str, Any] = {"steps": drawn.steps, **known}
    return Explained(
        height=shape[0],
        width=shape[1],
        original=drawn.square,
        before=drawn.before,
        redrawn=drawn.redrawn,
        end=drawn.end,
        verdict=DO_NOT if reasons else INTERPRET,
        reasons=reasons,
        **fields,
    )


def about(tools: Tools, settings: Settings) -> dict[str, Any]:
    """What a result depends on besides the file; another value means that the file is explained again."""
    return {
        "run": tools.run,
        "method": tools.explainer.name,
        "finding": tools.blackbox.finding,
        "prior": tools.blackbox.prior,
        "size": tools.size,
        "targets": list(settings.targets),
        "full_resolution_targets": list(settings.full_resolution),
        **settings.about,
    }


def _digest(path: Path) -> str:
    """SHA-256 of a file, by which a result is known to be of it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _kept(path: Path, folder: Path, tools: Tools, settings: Settings) -> dict[str, Any] | None:
    """The numbers of an earlier, finished explanation of the same file with the same settings, else None."""
    if settings.overwrite or not (folder / "numbers.json").is_file():
        return None
    try:
        numbers = read_json(folder / "numbers.json")
    except UserError:
        return None  # an unreadable record is written anew
    wanted = {"sha256": _digest(path), "synthetic_mark": settings.mark, **about(tools, settings)}
    same = isinstance(numbers, dict) and all(numbers.get(key) == value for key, value in wanted.items())
    return numbers if same else None


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
        output: one folder a file is made in it, and ``summary.csv`` at the end.
        tools: the run's parts.
        settings: what the user set.
        echo: told a line after each file.

    Returns:
        an outcome a file, in the order of the paths.

    Raises:
        UserError: a single file was given and could not be read, or nothing can be written to the output.

    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadValue(
            "output", str(output), f"can not be made ({error.strerror})", "give a folder you may write in"
        ) from error
    outcomes = []
    for number, (path, folder) in enumerate(zip(paths, folder_names(paths, root), strict=True), start=1):
        name = str(path.relative_to(root)) if path.is_relative_to(root) else path.name
        outcome = _attempt(path, name, output / folder, tools, settings, alone=len(paths) == 1)
        outcomes.append(outcome)
        echo(f"{number}/{len(paths)} {outcome_line(outcome)}")
    table = pd.DataFrame([outcome.row() for outcome in outcomes])
    write_atomic(output / "summary.csv", lambda beside: table.to_csv(beside, index=False))
    return outcomes


def _attempt(path: Path, name: str, folder: Path, tools: Tools, settings: Settings, alone: bool) -> Outcome:
    """Explains one file or tells why it could not be."""
    try:
        kept = _kept(path, folder, tools, settings)
        if kept is not None:
            return Outcome(name, "kept", folder.name, kept)
        explained = explain_one(path, name, folder, tools, settings)
    except (UserError, OSError, RuntimeError, ValueError, MemoryError) as error:
        if alone:
            raise
        # A folder goes on whatever a file does; the type tells a defect from a broken file.
        told = error.problem if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        return Outcome(name, "failed", problem=" ".join(str(told).split()))
    return Outcome(name, "done", folder.name, explained.numbers())
