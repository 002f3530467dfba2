"""Explains pictures in memory, several in a network call: draws their progressions, reads them, judges them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cfx.data.reading import Float, as_seen
from cfx.evaluation.detecting import find_all
from cfx.evaluation.explain_notes import border_unknown, heart_moves, recess_gone, seen_sharper, wrong_way
from cfx.evaluation.explain_tools import Tools
from cfx.evaluation.explained import (
    AT_FULL,
    DO_NOT,
    INTERPRET,
    Edges4,
    Explained,
    Reading,
    Step,
    cut_padding,
)
from cfx.evaluation.full_resolution import edit_series, shrunk
from cfx.evaluation.ghosts import OldBorder
from cfx.evaluation.judging import haze_by
from cfx.evaluation.verdict import FLOOR, NOT_MADE, UNMEASURED, thorax_change, verdicts
from cfx.explainers.base import Counterfactual, Edits
from cfx.measurements import measure
from cfx.metrics.device_boxes import devices_of, kept_devices
from cfx.metrics.recess import recess_places, recess_scores

CHUNK = 128
"""Pictures that are read at once: 11 targets of 8 images are 96."""

Array = npt.NDArray[np.float64]


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
        counterfactual: what the explainer gave for this picture (B = 1): redrawn, then the steps.
        shown: the picture at the size of the steps' `shown`, grey (h, w) in [0, 1].
        notes: what a reader should know of the file.

    """

    square: Float
    before: Reading
    redrawn: Reading
    steps: tuple[Step, ...]
    end: int
    familiar: bool | None
    counterfactual: Counterfactual
    shown: Float
    notes: tuple[str, ...] = ()


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _edges(values: npt.NDArray[Any]) -> tuple[float, float] | None:
    return (float(values[0]), float(values[1])) if np.isfinite(values).all() else None


def _box(values: npt.NDArray[Any]) -> Edges4 | None:
    x0, y0, x1, y1 = map(float, values)
    return (x0, y0, x1, y1) if np.isfinite(values).all() else None


@torch.no_grad()
def read_pictures(images: Tensor, tools: Tools) -> list[Reading]:
    """Asks the classifiers and measures the anatomy, `CHUNK` pictures at a time.

    Args:
        images: float (B, 1, size, size) in [-1, 1].
        tools: the run's parts.

    Returns:
        a reading for each picture.

    """
    return [reading for chunk in torch.split(images, CHUNK) for reading in _read_chunk(chunk, tools)]


def _read_chunk(images: Tensor, tools: Tools) -> list[Reading]:
    posterior = tools.blackbox(images).float().cpu().numpy()
    soft = tools.segmenter(images).float().cpu()
    masks = soft.numpy()
    measured = measure(masks)
    haze = haze_by(soft, images) if tools.read_by == "haze" else np.full(len(images), np.nan)
    scp, places = np.full((len(images), 2), np.nan), np.full((len(images), 2, 4), np.nan)
    boxes = None if tools.finder is None else find_all(tools.finder, images)
    if tools.finder is not None and boxes is not None:
        scp = np.array([recess_scores(each, tools.finder.threshold) for each in boxes])
        places = np.array([recess_places(each, tools.finder.threshold) for each in boxes])
    other = None if tools.transfer is None else tools.transfer(images).float().cpu().numpy()
    return [
        Reading(
            posterior=float(posterior[i]),
            ctr=_finite(measured.ctr[i]),
            heart_width=_finite(measured.heart_width[i]),
            thorax_width=_finite(measured.thorax_width[i]),
            transfer=None if other is None else float(other[i]),
            masks=masks[i],
            heart_edges=_edges(measured.heart_edges[i]),
            thorax_edges=_edges(measured.thorax_edges[i]),
            scp_left=_finite(scp[i, 0]),
            scp_right=_finite(scp[i, 1]),
            haze=_finite(haze[i]),
            recesses=(_box(places[i, 0]), _box(places[i, 1])),
            boxes=None if boxes is None else boxes[i],
        )
        for i in range(len(images))
    ]


def _grey(image: Tensor) -> Float:
    """A picture (1, H, W) in [-1, 1] as grey (H, W) in [0, 1]."""
    result: Float = ((image[0].float().cpu() + 1.0) / 2.0).clamp(0.0, 1.0).numpy()
    return result


def draw_steps(image: Float, tools: Tools, targets: Sequence[float]) -> Drawn:
    """Draws one picture at all targets; see `draw_batch`."""
    return draw_batch([image], tools, targets)[0]


@torch.no_grad()
def draw_batch(images: Sequence[Float], tools: Tools, targets: Sequence[float]) -> list[Drawn]:
    """Draws pictures at all targets in one call of the explainer, and reads what was drawn.

    Args:
        images: grey (H, W) in [0, 1], any sizes; B of them.
        tools: the run's parts.
        targets: posteriors asked for, ascending.

    Returns:
        a progression for each picture.

    """
    tensor = torch.stack([as_seen(image, tools.size) for image in images]).to(tools.device)
    before = read_pictures(tensor, tools)
    # The method's own output at c = p(x) goes first: it tells what drawing alone does to the measurement.
    asked = torch.tensor(
        [[reading.posterior, *targets] for reading in before], dtype=torch.float32, device=tensor.device
    )
    drawn = tools.explainer.explain(tensor, asked)
    readings = read_pictures(drawn.images.flatten(0, 1), tools)
    familiar = None if tools.familiar is None else tools.familiar(tensor).cpu().tolist()
    low, high = tools.explainer.ends
    made = []
    for row, image in enumerate(images):
        first = row * (1 + len(targets))
        own = readings[first : first + 1 + len(targets)]
        known = None if familiar is None else bool(familiar[row])
        one = _part(drawn, row)
        square, original, shown = _grey(tensor[row]), *_shown(image, tensor[row], one)
        border = _border(original, before[row], tools.size)
        steps = tuple(
            Step(
                target,
                picture,
                reading,
                float(np.mean(np.abs(picture - square))),
                shown=at_size,
                aimed=min(max(target, low), high),
                devices=_devices(square, before[row], picture, reading, tools),
                border_left=_border_left(border, at_size, reading),
            )
            for target, picture, reading, at_size in zip(
                targets, map(_grey, one.images[0, 1:]), own[1:], shown, strict=True
            )
        )
        # The end of the scale that is farther away is the question a reader asks of this picture.
        end = len(steps) - 1 if before[row].posterior < 0.5 else 0
        notes = _notes_of(image, known, tools)
        made.append(Drawn(square, before[row], own[0], steps, end, known, one, original, notes))
    return made


def _devices(
    square: Float, before: Reading, picture: Float, after: Reading, tools: Tools
) -> tuple[int, int] | None:
    """Devices that the detector finds in the original, and how many of them a picture keeps; None without one."""
    if tools.finder is None or before.boxes is None or after.boxes is None:
        return None
    there = devices_of(before.boxes, tools.finder.threshold)
    kept, _ = kept_devices(square, picture, there, after.boxes, tools.finder.threshold)
    return len(there), int(kept.sum())


def _border(original: Float, before: Reading, size: int) -> OldBorder | None:
    """The heart's border on a picture that is looked at.

    None where that is no sharper than what the black box sees, or the heart was not looked for.
    """
    if max(original.shape) <= size or before.masks is None:
        return None
    return OldBorder(original, before.masks[0])


def _border_left(border: OldBorder | None, shown: Float, after: Reading) -> float | None:
    """How much of the original's heart border shows through on a step; None where that can not be told."""
    return None if border is None or after.masks is None else _finite(border.left(shown, after.masks[0]))


def _part(drawn: Counterfactual, row: int) -> Counterfactual:
    """What the explainer gave for one picture of a batch, with B = 1."""
    rows = slice(row, row + 1)
    edits = drawn.edits
    return Counterfactual(
        drawn.images[rows],
        drawn.targets[rows],
        drawn.posterior[rows],
        None if edits is None else Edits(edits.field[rows], edits.residual[rows]),
    )


def _shown(image: Float, small: Tensor, drawn: Counterfactual) -> tuple[Float, list[Float]]:
    """The picture and its steps as they are looked at: without padding and, where there are edits, sharper."""
    height, width = image.shape
    if drawn.edits is None:
        pictures = [cut_padding(_grey(each), height, width) for each in drawn.images[0, 1:]]
        return cut_padding(_grey(small), height, width), pictures
    original = shrunk(image)
    return original, edit_series(
        original, drawn.edits.field[0, 1:], drawn.edits.residual[0, 1:], small.shape[-1]
    )


def _notes_of(image: Float, familiar: bool | None, tools: Tools) -> tuple[str, ...]:
    """Tells a negative: a picture unlike the training data whose inverse is like them."""
    if familiar is not False or tools.familiar is None:
        return ()
    negative = as_seen(1.0 - image, tools.size)[None].to(tools.device)
    if not bool(tools.familiar(negative)[0]):
        return ()
    return ("looks like a negative; invert=true turns it round",)


def all_reasons(
    before: Reading, redrawn: Reading, steps: Sequence[Step], tools: Tools, familiar: bool | None
) -> list[tuple[str, ...]]:
    """Why each step may not be interpreted (EVALUATION section 7); nothing where it may.

    Args:
        before: reading of the original, whose thorax, devices and heart border should stay or go.
        redrawn: reading of the method's own output at the original's posterior, which the shift is counted
            from.
        steps: the pictures in question.
        tools: the run's parts.
        familiar: whether the input is like the training data; None where that is not known.
    """
    texts = verdicts(
        _array([step.target for step in steps]),
        _array([step.reading.posterior for step in steps]),
        None if tools.read_by is None else _array([redrawn.measured(tools.read_by)] * len(steps)),
        None if tools.read_by is None else _array([step.reading.measured(tools.read_by) for step in steps]),
        transfer_after=None if tools.transfer is None else _array([step.reading.transfer for step in steps]),
        threshold=tools.threshold,
        familiar=None if familiar is None else np.full(len(steps), familiar),
        floor=tools.floor,
        thorax_change=thorax_change(
            _array([before.thorax_width]),
            _array([step.reading.thorax_width for step in steps]),
            tools.read_by,
        ),
        devices_lost=_array(
            [None if step.devices is None else step.devices[0] - step.devices[1] for step in steps]
        ),
        border_left=_array([step.border_left for step in steps]),
    )
    reasons = [text.partition(": ")[2] for text in texts]
    return [tuple(each.split(", ")) if each else () for each in reasons]


def _array(values: Sequence[float | None]) -> Array:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def at_full(steps: Sequence[Step]) -> list[Step]:
    """The steps with what was read from their pictures at the original's resolution, where there is one."""
    return [step if step.full is None else replace(step, reading=step.full.reading) for step in steps]


def reasons_at_both_sizes(
    drawn: Drawn, steps: Sequence[Step], sharper: Sequence[Step], tools: Tools
) -> list[tuple[str, ...]]:
    """`all_reasons`, and those that only the sharper pictures give: they are the ones that are looked at.

    Args:
        drawn: the progression that the steps are of.
        steps: as the black box sees them. sharper: the same with what was read from the original's resolution.
        tools: the run's parts.
    """
    found, again = (
        all_reasons(drawn.before, drawn.redrawn, each, tools, drawn.familiar) for each in (steps, sharper)
    )
    return [
        small + tuple(f"{reason}{AT_FULL}" for reason in full if reason not in small)
        for small, full in zip(found, again, strict=True)
    ]


def explained_of(drawn: Drawn, shape: tuple[int, ...], tools: Tools, **known: Any) -> Explained:
    """The record of a progression with its verdict.

    Args:
        drawn: the progression.
        shape: height and width of the picture before it was padded.
        tools: the run's parts.
        known: the other fields of `Explained`, such as its name; the progression's own steps unless told. Notes
            are added to the progression's.

    """
    own: Sequence[Step] = known.pop("steps", drawn.steps)
    found = reasons_at_both_sizes(drawn, own, at_full(own), tools)
    steps = tuple(replace(step, reasons=reasons) for step, reasons in zip(own, found, strict=True))
    reasons = found[drawn.end]
    notes = [*known.pop("notes", ()), *drawn.notes]
    end, read_by = steps[drawn.end], tools.read_by
    if not {FLOOR, NOT_MADE, UNMEASURED} & set(reasons):
        notes.append(wrong_way(drawn.redrawn, end, drawn.before, tools.direction, read_by))
    # without edits to carry over, what is looked at is no larger than what the black box sees
    sharper = max(drawn.shown.shape) > tools.size and read_by == "ctr"
    notes += [
        recess_gone(end, drawn.before, read_by),
        heart_moves(end, drawn.redrawn, read_by),
        seen_sharper(end, read_by, tools.floor),
        border_unknown(end, drawn.before, sharper),
    ]
    return Explained(
        height=shape[0],
        width=shape[1],
        original=drawn.square,
        before=drawn.before,
        redrawn=drawn.redrawn,
        steps=steps,
        end=drawn.end,
        verdict=DO_NOT if reasons else INTERPRET,
        reasons=reasons,
        shown=drawn.shown,
        notes=tuple(note for note in notes if note),
        **known,
    )
