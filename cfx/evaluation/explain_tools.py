"""What image files are explained with: the parts of a run, and what the user may set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cfx.classifiers.blackbox import BlackBox
from cfx.errors import BadValue, UnknownChoice, nearest
from cfx.evaluation.detecting import Finder
from cfx.evaluation.explained import Explained
from cfx.evaluation.familiarity import ACCEPTED
from cfx.evaluation.verdict import BORDER_LEFT, THORAX_CHANGE
from cfx.explainers.base import Explainer
from cfx.measurements import READING_FLOOR

GRID = tuple(round(0.1 * step, 1) for step in range(11))
IDENTIFIERS = ("remove", "keep")
THRESHOLD_SOURCES = {
    "calibration": "validation patients, when the run was trained",
    "evaluation": "validation patients, when the run was evaluated",
    "default": "nobody: no validation patients were asked",
}
"""Where the threshold of the independent classifier can be from."""

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
        threshold_source: who chose it, a key of `THRESHOLD_SOURCES`.
        familiar: whether pictures (B, 1, size, size) are like the training data; None where that is not
            known.
        limits: the largest Q and T-squared that `familiar` takes for familiar; None where they are not known.
        draw: writes a PNG of a progression; None leaves it out.
        pictures: writes further files, by the name of each in an image's folder.
        views: the views that the run was trained on; empty where that is not known.
        read_by: what the task is read by, `ctr`, `scp` or `haze` (see `Reading.measured`); None where no verdict
            depends on a measurement.
        floor: least shift of that on one picture that is called a change; 0 where none is known.
        finder: detector of devices and costophrenic recesses, or None.
        overlooked: classes of devices that this is not known to find; empty without one.
        synthetic: whether the run was trained on phantoms, so that what it says of an X-ray means nothing.
        direction: 1 where what the task is read by rises with the finding, -1 where it falls, 0 where it tells nothing
            of it.

    """

    explainer: Explainer
    blackbox: BlackBox
    segmenter: Segment
    transfer: BlackBox | None
    size: int
    run: str = ""
    threshold: float = 0.5
    threshold_source: str = "default"
    familiar: Familiar | None = None
    limits: tuple[float, float] | None = None
    draw: Draw | None = None
    pictures: Mapping[str, Draw] = field(default_factory=dict)
    views: tuple[str, ...] = ()
    direction: int = 0
    read_by: str | None = "ctr"
    floor: float = READING_FLOOR
    finder: Finder | None = None
    overlooked: tuple[str, ...] = ()
    synthetic: bool = False

    @property
    def not_checked(self) -> tuple[str, ...]:
        """What a verdict says nothing of, since the run has nothing to tell it by."""
        lacking = {
            "whether devices stay (no detector)": self.finder,
            "whether an independent classifier agrees (none)": self.transfer,
            "whether the picture is like the training data (not known)": self.familiar,
        }
        missing = [what for what, part in lacking.items() if part is None]
        if self.overlooked:
            kinds = " and ".join(f"{name}s" for name in self.overlooked)
            missing.append(f"whether {kinds} stay (the detector misses too many)")
        if self.synthetic:
            missing.append("whether an X-ray means anything to this run (it knows phantoms alone)")
        return tuple(missing)

    @property
    def files(self) -> dict[str, Draw]:
        """All that is drawn of an image, by file name."""
        first = {} if self.draw is None else {"progression.png": self.draw}
        return {**first, **self.pictures}

    @property
    def device(self) -> torch.device:
        """Where the parts are."""
        return device_of(self.blackbox)


@dataclass(frozen=True)
class Settings:
    """What the user may set.

    Attributes:
        targets: posteriors asked for, each in [0, 1].
        full_resolution: those of them that are also drawn at the original's resolution; None: the lowest and the
            highest; see `enlarged`.
        mark: whether pictures carry the visible mark; DICOM files always do.
        overwrite: explain again what has been explained with the same settings.
        about: further facts for the JSON; a result with others is made again.
        batch: images that go through the networks at once.
        force: explain a DICOM file whose header says that it is no chest radiograph.
        invert: take the negative, for files that are tagged with the wrong photometric interpretation.
        dicom: write every target as a DICOM secondary capture too.
        identifiers: what becomes of the source's patient and study in those: removed or kept.

    """

    targets: tuple[float, ...] = GRID
    full_resolution: tuple[float, ...] | None = None
    mark: bool = True
    overwrite: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 8
    force: bool = False
    invert: bool = False
    dicom: bool = False
    identifiers: str = "remove"

    def __post_init__(self) -> None:
        """Refuse targets that are no posteriors, and full resolutions that are not among the targets.

        Raises:
            BadValue: see above, or a batch of none.
            UnknownChoice: of `identifiers`.

        """
        if not self.targets or any(not 0.0 <= target <= 1.0 for target in self.targets):
            raise BadValue(
                "targets", list(self.targets), "are not posteriors", "give numbers between 0 and 1"
            )
        strangers = [c for c in self.enlarged if not np.isclose(c, self.targets).any()]
        if strangers:
            raise BadValue("full_resolution", strangers, "are not among the targets", "add them to targets")
        if self.batch < 1:
            raise BadValue("batch", self.batch, "is no number of images", "give 1 or more")
        if self.identifiers not in IDENTIFIERS:
            near = nearest(str(self.identifiers), IDENTIFIERS)
            remedy = f"did you mean {near!r}" if near else f"use {' or '.join(IDENTIFIERS)}"
            raise UnknownChoice("identifiers", self.identifiers, "is no choice", remedy)
        object.__setattr__(self, "targets", tuple(sorted(set(self.targets))))

    @property
    def enlarged(self) -> tuple[float, ...]:
        """Targets that are drawn at the original's resolution as a PNG."""
        ends = tuple(sorted({min(self.targets), max(self.targets)}))
        return ends if self.full_resolution is None else self.full_resolution

    def large(self, target: float) -> bool:
        """Whether a target is among them."""
        return bool(np.isclose(target, self.enlarged).any())


def device_of(module: nn.Module) -> torch.device:
    """Where a module's weights are; the CPU for one without any."""
    first = next(iter([*module.parameters(), *module.buffers()]), None)
    return torch.device("cpu") if first is None else first.device


def thresholds(tools: Tools) -> dict[str, Any]:
    """What a verdict's yes or no of the other classifier and of familiarity went by, with where each is from.

    Returns:
        `transfer`: `value`, the posterior from which on the independent classifier calls the finding, and `source`, a
        value of `THRESHOLD_SOURCES`; None without such a classifier. `familiarity`: `q` and `t_squared`, above either
        of which a picture is unlike the training data (see `cfx.evaluation.familiarity`), and `source`; None where the
        run can not tell. `thorax_change` and `old_border_left`, above which a picture is not interpreted (see
        `cfx.evaluation.verdict`).
    """
    transfer, familiarity = None, None
    if tools.transfer is not None:
        transfer = {"value": tools.threshold, "source": THRESHOLD_SOURCES[tools.threshold_source]}
    if tools.familiar is not None and tools.limits is not None:
        q, t_squared = tools.limits
        source = f"{ACCEPTED:.0%} of the run's validation pictures lie under each"
        familiarity = {"q": q, "t_squared": t_squared, "source": source}
    own = {"thorax_change": THORAX_CHANGE, "old_border_left": BORDER_LEFT}
    return {"transfer": transfer, "familiarity": familiarity, **own}


def about(tools: Tools, settings: Settings) -> dict[str, Any]:
    """What a result depends on besides the file; another value means that the file is explained again.

    The verdict's own figures are among them: `read_by` with its `reading_floor`, and `thresholds` (see there).
    """
    return {
        "run": tools.run,
        "method": tools.explainer.name,
        "finding": tools.blackbox.finding,
        "prior": tools.blackbox.prior,
        "read_by": tools.read_by,
        "reading_floor": tools.floor,
        "thresholds": thresholds(tools),
        "not_checked": list(tools.not_checked),
        "limits": list(tools.explainer.ends),
        "size": tools.size,
        "targets": list(settings.targets),
        "full_resolution_targets": list(settings.enlarged),
        "inverted": settings.invert,
        "dicom": settings.identifiers if settings.dicom else None,
        **settings.about,
    }
