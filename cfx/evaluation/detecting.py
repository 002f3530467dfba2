"""What the evaluation detector says of pictures: scores of healthy recesses, and devices kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cfx.evaluation.judging import Judge, jitter, judge_all
from cfx.measurements import costophrenic_angles
from cfx.metrics.boxes import CLASSES, BoxSet
from cfx.metrics.detection import ap50, mean_ap
from cfx.metrics.device_boxes import devices_of, kept_devices
from cfx.metrics.recess import recess_scores

Array = npt.NDArray[Any]

ANGLE_SIZE = 256
FOUND_NAMES = ("devices_found", "devices_found_kept", "devices_found_in_edit", "devices_found_in_edit_kept")


class Finder(Protocol):
    """The evaluation detector: pictures (B, 1, H, W) in [-1, 1] -> the boxes of each, low scores too."""

    threshold: Array
    """(C,) score from which on a box of each class of `CLASSES` counts."""

    def __call__(self, image: Tensor) -> list[BoxSet]:
        """Return one set of boxes a picture."""
        ...


def find_all(finder: Finder, images: Tensor, batch_size: int = 256) -> list[BoxSet]:
    """Boxes of pictures (N, 1, H, W), a batch at a time."""
    return [each for chunk in torch.split(images, batch_size) for each in finder(chunk)]


def scores_of(finder: Finder, images: Tensor, batch_size: int = 256) -> Array:
    """SCP (N, 2) of pictures, the patient's left then right; NaN where the recess was not found."""
    found = find_all(finder, images, batch_size)
    return np.array([recess_scores(each, finder.threshold) for each in found]).reshape(len(found), 2)


def angles_of(judge: Judge, images: Tensor, batch_size: int = 256) -> Array:
    """Costophrenic angles (N, 2) in degrees by the evaluation segmenter, the patient's left then right.

    Masks are enlarged to 256 px first, so that the borders that lines are fitted to are finer than a picture's pixels.
    """
    found = [np.zeros((0, 2))]
    with torch.inference_mode():
        for chunk in torch.split(images, batch_size):
            masks = judge(chunk).float()
            size = (ANGLE_SIZE, ANGLE_SIZE)
            fine = F.interpolate(masks, size=size, mode="bilinear", align_corners=False)
            found.append(costophrenic_angles(fine.cpu().numpy()))
    return np.concatenate(found)


def both_sides(values: Array) -> Array:
    """The mean (N,) of both sides (N, 2); a picture of which one side is not measurable is not measurable."""
    mean: Array = np.asarray(values, dtype=np.float64).mean(axis=1)
    return mean


def repeat_error_of(measure: Any, images: Tensor, seed: int = 0) -> float:
    """95 % repeat error of a measurement: the 95 % quantile of its change when a picture is seen again.

    Args:
        measure: pictures -> (N, 2) of both sides, of which the mean counts, or (N,).
        images: (N, 1, H, W), a sample of real pictures.
        seed: of the jitter, see `cfx.evaluation.judging.jitter`.

    Returns:
        In units of the measurement; NaN where nothing was measurable twice.
    """
    again = jitter(images, torch.Generator().manual_seed(seed))
    first, second = (np.asarray(measure(seen)) for seen in (images, again))
    change = np.abs(second - first) if first.ndim == 1 else np.abs(both_sides(second) - both_sides(first))
    change = change[np.isfinite(change)]
    return float(np.quantile(change, 0.95)) if len(change) else float("nan")


def reading_repeat_errors(
    finder: Finder | None, judge: Judge, images: Tensor, batch_size: int, *, angles: bool, haze: bool
) -> dict[str, float]:
    """95 % repeat errors of the recess score (`scp`), the angle and lung haze; NaN for what is not measured.

    Args:
        finder: evaluation detector, or None.
        judge: evaluation segmenter.
        images: (N, 1, H, W), a sample of real pictures.
        batch_size: pictures at a time.
        angles, haze: whether these are measured.
    """
    found = dict.fromkeys(("scp", "angle", "haze"), float("nan"))
    if finder is not None and len(images):
        found["scp"] = repeat_error_of(lambda seen: scores_of(finder, seen, batch_size), images)
    if angles and len(images):
        found["angle"] = repeat_error_of(lambda seen: angles_of(judge, seen, batch_size), images)
    if haze and len(images):
        found["haze"] = repeat_error_of(lambda seen: judge_all(judge, seen, batch_size, haze=True)[1], images)
    return found


def detector_section(
    found: Sequence[BoxSet], truth: Sequence[BoxSet | None] | None, trained_on: str | None = None
) -> dict[str, Any]:
    """How good the evaluation detector is on this split: `ap50` (mean over classes), by class, and the counts.

    Args:
        found: its boxes of the pictures as they are.
        truth: boxes drawn by hand or known of a phantom, None for a picture that nobody looked at; None: no boxes.
        trained_on: name of the data that it was trained on.
    """
    known = truth or [None] * len(found)
    pairs = [(mine, theirs) for mine, theirs in zip(found, known, strict=True) if theirs is not None]
    by_class = ap50([mine for mine, _ in pairs], [theirs for _, theirs in pairs])
    labels = np.concatenate([theirs.label for _, theirs in pairs]) if pairs else np.zeros(0, dtype=np.int64)
    return {
        "ap50": mean_ap(by_class),
        "by_class": by_class,
        "n_boxes": {name: int((labels == place).sum()) for place, name in enumerate(CLASSES)},
        "n_images": len(pairs),
        "trained_on": trained_on,
    }


@dataclass
class Detecting:
    """The evaluation detector at work on one split.

    Attributes:
        finder: the detector.
        batch_size: pictures at a time.
        own: boxes of the split's own pictures by their content, so that they are looked for once.
    """

    finder: Finder
    batch_size: int = 256
    own: dict[bytes, BoxSet] = field(default_factory=dict)

    def boxes(self, images: Tensor, keys: Sequence[bytes]) -> list[BoxSet]:
        """Boxes of pictures (N, 1, H, W), of which those with a known key are not looked for again."""
        new = [row for row, key in enumerate(keys) if key not in self.own]
        fresh = (
            dict(zip(new, find_all(self.finder, images[new], self.batch_size), strict=True)) if new else {}
        )
        return [fresh[row] if row in fresh else self.own[key] for row, key in enumerate(keys)]

    def survey(self, images: Tensor, keys: Sequence[bytes]) -> list[BoxSet]:
        """Look at the split's own pictures, keep their boxes and return them."""
        found = self.boxes(images, keys)
        self.own |= dict(zip(keys, found, strict=True))
        return found

    def scores(self, found: Sequence[BoxSet]) -> Array:
        """SCP (N, 2) of pictures whose boxes are known."""
        return np.array([recess_scores(each, self.finder.threshold) for each in found]).reshape(len(found), 2)

    def kept(self, before: Array, after: Array, there: BoxSet, found: BoxSet) -> Array:
        """Count devices: there before, kept, those in the edited region, and kept of these; (4,) float.

        Args:
            before, after: (H, H) the picture and its counterfactual, grey values in [0, 1].
            there, found: boxes of either.
        """
        devices = devices_of(there, self.finder.threshold)
        kept, edited = kept_devices(before, after, devices, found, self.finder.threshold)
        return np.array([len(devices), kept.sum(), edited.sum(), (kept & edited).sum()], dtype=np.float64)
