"""One picture at every step of the knob, as it is looked at: at the original's sharpness, with outlines and verdicts.

The numbers are those of the pictures that the black box knows, exactly as `cfx.explain` gives them. What is looked at
is sharper where the edit can be carried onto the original; the black box is asked about those pictures too, and where
it says something else the reader is told.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cfx.data.reading import Float, to_square, to_tensor
from cfx.evaluation.explain_tools import Segment, Settings, Tools, about
from cfx.evaluation.explained import Explained, Step, cut_padding
from cfx.evaluation.explaining import Drawn, draw_steps, explained_of, reasons_at_both_sizes
from cfx.evaluation.full_resolution import edit_series
from cfx.viewer.outlines import Overlay, overlays

STEPS = tuple(round(0.05 * step, 2) for step in range(21))
"""Posteriors that the knob stops at."""
VIEW = 640
"""Pixels along the longer side of what is looked at."""


@dataclass(frozen=True)
class Shown:
    """A progression ready to be looked at; lists have the original first, then a step each.

    Attributes:
        explained: the record with all numbers.
        pictures: grey (H, W) in [0, 1], the longer side `VIEW` pixels, without a mark.
        overlays: outlines and lines.
        reasons: why each step may not be interpreted; one entry less, as there is none for the original.
        seen: the black box's posterior of the pictures looked at, where they are sharper than what it knows.

    """

    explained: Explained
    pictures: tuple[Float, ...]
    overlays: tuple[Overlay, ...]
    reasons: tuple[tuple[str, ...], ...]
    seen: tuple[float | None, ...]


@dataclass
class _Watched:
    """A segmenter that keeps what it gave, so that outlines need no second look."""

    segment: Segment
    masks: list[Tensor] = field(default_factory=list)

    def __call__(self, images: Tensor) -> Tensor:
        """Soft masks (B, 3, h, w) of pictures (B, 1, H, W)."""
        found = self.segment(images)
        self.masks.append(found.detach().float().cpu())
        return found


def show(image: Float, name: str, tools: Tools, targets: Sequence[float] = STEPS) -> Shown:
    """Draws and measures a picture at all targets, in one batch.

    Args:
        image: grey (H, W) in [0, 1], any size.
        name: what it is called in the record.
        tools: the run's parts.
        targets: posteriors that the knob stops at, ascending.

    """
    began = time.perf_counter()
    watched = _Watched(tools.segmenter)
    drawn = draw_steps(image, replace(tools, segmenter=watched), targets)
    height, width = image.shape
    # The second batch starts with the redrawn original, which is not looked at.
    masks = torch.cat([watched.masks[0], watched.masks[1][1:]]).numpy()
    pictures, sharper = _looked_at(image, drawn, tools.size)
    seen = _posteriors(pictures, tools) if sharper else [None] * len(pictures)
    reasons = reasons_at_both_sizes(drawn, drawn.steps, _sharper(drawn.steps, seen[1:]), tools)
    settings = Settings(targets=tuple(targets), full_resolution=())
    explained = explained_of(
        drawn, image.shape, tools, name=name, output=Path(), about=about(tools, settings),
        seconds=time.perf_counter() - began,
    )  # fmt: skip
    large = tuple(_at_view(picture, height, width) for picture in pictures)
    return Shown(explained, large, tuple(overlays(masks, height, width)), tuple(reasons), tuple(seen))


def _looked_at(image: Float, drawn: Drawn, size: int) -> tuple[list[Float], bool]:
    """The original and its steps without padding, and whether they are sharper than what the black box knows."""
    height, width = image.shape
    edits = drawn.counterfactual.edits
    if edits is None or max(height, width) <= size:
        squares = [drawn.square, *(step.picture for step in drawn.steps)]
        return [cut_padding(square, height, width) for square in squares], False
    factor = VIEW / max(height, width)
    if factor < 1.0:
        small = (max(1, round(width * factor)), max(1, round(height * factor)))
        image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), dtype=np.float32)
    return [image, *edit_series(image, edits.field[0, 1:], edits.residual[0, 1:], size)], True


def _sharper(steps: Sequence[Step], seen: Sequence[float | None]) -> list[Step]:
    """The steps as the black box sees the picture that is looked at: where it says something else, they fail by it."""
    return [
        step if says is None else replace(step, reading=replace(step.reading, posterior=says))
        for step, says in zip(steps, seen, strict=True)
    ]


@torch.no_grad()
def _posteriors(pictures: list[Float], tools: Tools) -> list[float | None]:
    """What the black box says of pictures of any size."""
    batch = torch.stack([to_tensor(to_square(picture, tools.size)) for picture in pictures])
    device = next(iter([*tools.blackbox.parameters(), *tools.blackbox.buffers()]), batch).device
    return [float(value) for value in tools.blackbox(batch.to(device))]


def _at_view(picture: Float, height: int, width: int) -> Float:
    """The picture with its longer side at `VIEW` pixels and the file's aspect.

    A small one is enlarged, or the mark could not be read.
    """
    factor = VIEW / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if picture.shape == (size[1], size[0]):
        return picture
    large = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(large, dtype=np.float32), 0.0, 1.0)
