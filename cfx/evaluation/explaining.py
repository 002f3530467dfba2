"""Explains pictures in memory, several in a network call: draws their progressions, reads them, judges them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cfx.data.reading import Float, bytes_to_tensor, to_bytes, to_square
from cfx.evaluation.detecting import scores_of
from cfx.evaluation.explain_tools import Tools
from cfx.evaluation.explained import AT_FULL, DO_NOT, INTERPRET, Explained, Reading, Step, cut_padding
from cfx.evaluation.full_resolution import edit_series, shrunk
from cfx.evaluation.judging import haze_by
from cfx.evaluation.verdict import FLOOR, NOT_MADE, verdicts
from cfx.explainers.base import Counterfactual, Edits
from cfx.measurements import measure

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
    scp = np.full((len(images), 2), np.nan)
    if tools.finder is not None:
        scp = scores_of(tools.finder, images)
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
        )
        for i in range(len(images))
    ]


def small_tensor(image: Float, tools: Tools) -> Tensor:
    """A picture of any size as the run's parts see it, by way of 8 bits as in training: (1, size, size) in [-1, 1]."""
    return bytes_to_tensor(to_bytes(to_square(image, tools.size))).unsqueeze(0)


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
    tensor = torch.stack([small_tensor(image, tools) for image in images]).to(tools.device)
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
        steps = tuple(
            Step(
                target,
                picture,
                reading,
                float(np.mean(np.abs(picture - square))),
                shown=at_size,
                aimed=min(max(target, low), high),
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
    return original, edit_series(original, drawn.edits.field[0, 1:], drawn.edits.residual[0, 1:])


def _notes_of(image: Float, familiar: bool | None, tools: Tools) -> tuple[str, ...]:
    """Tells a negative: a picture unlike the training data whose inverse is like them."""
    if familiar is not False or tools.familiar is None:
        return ()
    negative = small_tensor(1.0 - image, tools)[None].to(tools.device)
    if not bool(tools.familiar(negative)[0]):
        return ()
    return ("looks like a negative; invert=true turns it round",)


def all_reasons(
    redrawn: Reading, steps: Sequence[Step], tools: Tools, familiar: bool | None
) -> list[tuple[str, ...]]:
    """Why each step may not be interpreted (EVALUATION section 7); nothing where it may.

    Args:
        redrawn: reading of the method's own output at the original's posterior, which the shift is counted
            from.
        steps: the pictures in question.
        tools: the run's parts.
        familiar: whether the input is like the training data; None where that is not known.
    """

    def array(values: Sequence[float | None]) -> Array:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    texts = verdicts(
        array([step.target for step in steps]),
        array([step.reading.posterior for step in steps]),
        None if tools.read_by is None else array([redrawn.measured(tools.read_by)] * len(steps)),
        None if tools.read_by is None else array([step.reading.measured(tools.read_by) for step in steps]),
        transfer_after=None if tools.transfer is None else array([step.reading.transfer for step in steps]),
        threshold=tools.threshold,
        familiar=None if familiar is None else np.full(len(steps), familiar),
        floor=tools.floor,
    )
    reasons = [text.partition(": ")[2] for text in texts]
    return [tuple(each.split(", ")) if each else () for each in reasons]


def at_full(steps: Sequence[Step]) -> list[Step]:
    """The steps with what was read from their pictures at the original's resolution, where there is one."""
    return [step if step.full is None else replace(step, reading=step.full.reading) for step in steps]


def reasons_at_both_sizes(
    redrawn: Reading, steps: Sequence[Step], sharper: Sequence[Step], tools: Tools, familiar: bool | None
) -> list[tuple[str, ...]]:
    """`all_reasons`, and those that only the sharper pictures give: they are the ones that are looked at.

    Args:
        redrawn, tools, familiar: as for `all_reasons`.
        steps: as the black box sees them. sharper: the same with what was read from the original's resolution.
    """
    found, again = (all_reasons(redrawn, each, tools, familiar) for each in (steps, sharper))
    return [
        small + tuple(f"{reason}{AT_FULL}" for reason in full if reason not in small)
        for small, full in zip(found, again, strict=True)
    ]


def wrong_way(redrawn: Reading, step: Step, before: Reading, direction: int) -> str:
    """A note where the measurement clearly moves against the finding; an empty text where it does not.

    Args:
        redrawn: reading that the shift is counted from.
        step: the picture that the verdict is about.
        before: reading of the original.
        direction: as `Tools.direction`.
    """
    if direction == 0 or redrawn.ctr is None or step.reading.ctr is None:
        return ""
    move = step.reading.ctr - redrawn.ctr
    more = step.target > before.posterior
    if (move > 0) == (more == (direction > 0)):
        return ""
    way = "rises" if move > 0 else "falls"
    return f"CTR {way} although {'more' if more else 'less'} of the finding was asked for, see the outlines"


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
    found = reasons_at_both_sizes(drawn.redrawn, own, at_full(own), tools, drawn.familiar)
    steps = tuple(replace(step, reasons=reasons) for step, reasons in zip(own, found, strict=True))
    reasons = found[drawn.end]
    notes = [*known.pop("notes", ()), *drawn.notes]
    if not {FLOOR, NOT_MADE} & set(reasons):
        notes.append(wrong_way(drawn.redrawn, steps[drawn.end], drawn.before, tools.direction))
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
