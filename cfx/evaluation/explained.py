"""One explained image file: its pictures, its numbers and what is written of them. Knows no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cfx.evaluation.reading_words import label_of, value_in
from cfx.metrics.boxes import BoxSet

Picture = npt.NDArray[np.float32]
Edges4 = tuple[float, float, float, float]

SCHEMA = 1
MARK = "synthetic counterfactual"
"""Written on every drawn picture, so that none is taken for a radiograph."""
SHORT = 0.02 + 1e-6
"""How far from 0 and 1 a method may aim without a word: no logit of either is finite."""
INTERPRET, DO_NOT = "interpret", "do not interpret"
AT_FULL = " at full resolution"
"""Ends a reason that only the picture at the original's sharpness gives."""


def cut_padding(square: Picture, height: int, width: int) -> Picture:
    """The part of a padded, shrunken square that a picture fills (the inverse of `cfx.data.reading.to_square`).

    Args:
        square: (size, size), or (size, size, channels).
        height, width: of the picture before it was padded, any unit.

    Returns:
        the part at the square's own scale, at least one pixel; exactly the picture's shape where size is its
        longer side.
    """
    size, side = square.shape[0], max(height, width)
    top, left = (round((side - n) // 2 * size / side) for n in (height, width))
    rows, columns = (max(1, round(n * size / side)) for n in (height, width))
    return square[top : top + rows, left : left + columns]


@dataclass(frozen=True)
class Reading:
    """What the black box says of a picture and what is measured on it; None where it could not be made.

    Attributes:
        posterior: the black box's posterior of the finding, at its prior.
        ctr: cardiothoracic ratio.
        heart_width: fraction of the padded square's width.
        thorax_width: the same of the inner thorax.
        transfer: posterior of the independent classifier, where the run has one.
        masks: soft (3, h, w) of heart, left lung, right lung on the padded square, where they are kept.
        heart_edges: left and right edge of the heart, fractions of the square's width.
        thorax_edges: the same of the two lungs together.
        scp_left, scp_right: the detector's score of a healthy costophrenic recess, where the run has a detector.
        haze: brightness of the lungs against the heart, where the task is read by it.
        recesses: edges x0, y0, x1, y1 of the recess of the patient's left and right as shares of the square's side;
            None for one that was not found, or without a detector.
        boxes: all that the detector found.

    """

    posterior: float
    ctr: float | None
    heart_width: float | None
    thorax_width: float | None
    transfer: float | None
    masks: Picture | None = field(default=None, repr=False, compare=False)
    heart_edges: tuple[float, float] | None = None
    thorax_edges: tuple[float, float] | None = None
    scp_left: float | None = None
    scp_right: float | None = None
    haze: float | None = None
    recesses: tuple[Edges4 | None, Edges4 | None] = (None, None)
    boxes: BoxSet | None = field(default=None, repr=False, compare=False)

    def measured(self, read_by: str | None) -> float | None:
        """What a task is read by: `ctr`, `haze`, `scp` (the mean of both sides); None where it was not measured."""
        return value_in(self.numbers(), read_by)

    def numbers(self) -> dict[str, float | None]:
        """The reading as JSON."""
        return {
            "posterior": self.posterior,
            "ctr": self.ctr,
            "heart_width": self.heart_width,
            "thorax_width": self.thorax_width,
            "transfer": self.transfer,
            "scp_left": self.scp_left,
            "scp_right": self.scp_right,
            "haze": self.haze,
        }


@dataclass(frozen=True)
class FullResolution:
    """The edit of a step carried onto the original, and the reading made of that picture again.

    Attributes:
        file: name of its PNG, empty where none was asked for.
        reading: of the drawn picture, shrunk as any file is.
        dicom: name of its DICOM file, empty where none was asked for.

    """

    file: str
    reading: Reading
    dicom: str = ""

    def numbers(self) -> dict[str, Any]:
        """The files that there are, and the reading, as JSON."""
        files = {"file": self.file, "dicom": self.dicom}
        return {**{key: name for key, name in files.items() if name}, **self.reading.numbers()}


@dataclass(frozen=True)
class Step:
    """The picture drawn for one target.

    Attributes:
        target: posterior asked for.
        picture: grey (size, size) in [0, 1].
        reading: what was reached and measured.
        l1: mean absolute difference to the original, grey values of [0, 1].
        full: the same edit at the original's resolution, where it was drawn.
        shown: the picture as it is looked at: without padding and as sharp as the method allows; grey (h, w).
        reasons: why this picture may not be interpreted, empty where it may.
        aimed: the posterior that the method aims at for this target; None: the target itself.
        devices: how many devices the detector found in the original, and how many are kept; None: nobody looked.
        border_left: share of the old heart border's contrast left on `shown`, see `cfx.evaluation.ghosts`; None where
            that can not be told.

    """

    target: float
    picture: Picture
    reading: Reading
    l1: float
    full: FullResolution | None = None
    shown: Picture | None = None
    reasons: tuple[str, ...] = ()
    aimed: float | None = None
    devices: tuple[int, int] | None = None
    border_left: float | None = None

    @property
    def limit(self) -> float | None:
        """The run's limit where it clearly stops short of the target, else None."""
        short = self.aimed is not None and abs(self.aimed - self.target) > SHORT
        return self.aimed if short else None

    @property
    def asked(self) -> str:
        """The target in words, with the run's limit where it stops short: `1`, or `1, limit 0.9`."""
        return f"{self.target:g}" + ("" if self.limit is None else f", limit {self.limit:g}")


@dataclass(frozen=True)
class Explained:
    """An image file and its progression.

    Attributes:
        name: the file's name below the input folder.
        output: the folder that its files are written into.
        height, width: of the file's picture in pixels.
        original: grey (size, size) in [0, 1], padded to a square.
        before: reading of the original.
        redrawn: reading of the method's own output at the original's posterior.
        steps: one a target, ascending.
        end: index of the step that the verdict is about, the farther end of the scale.
        verdict: 'interpret' or 'do not interpret'.
        reasons: why not, empty where it may be interpreted.
        about: how it was made: run, method, black box, prior, settings; copied into the JSON.
        mark: whether drawn pictures carry the mark.
        seconds: the time it took.
        shown: the original as it is looked at, of the steps' size; grey (h, w) in [0, 1].
        notes: what a reader should know besides the verdict.
        source: the image file.
        files: names of all files written, below the output.

    """

    name: str
    output: Path
    height: int
    width: int
    original: Picture
    before: Reading
    redrawn: Reading
    steps: tuple[Step, ...]
    end: int
    verdict: str
    reasons: tuple[str, ...]
    about: dict[str, Any] = field(default_factory=dict)
    mark: bool = True
    seconds: float = 0.0
    shown: Picture | None = None
    notes: tuple[str, ...] = ()
    source: Path | None = None
    files: tuple[str, ...] = ()

    @property
    def read_by(self) -> str | None:
        """What the task is read by, which stands under its pictures; see `Tools.read_by`."""
        return _read_by(self.about)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """A sentence on what the verdict says nothing of, see `Tools.not_checked`; none where that is nothing."""
        missing = "; ".join(self.about.get("not_checked") or ())
        return (f"Not checked: {missing}.",) if missing else ()

    def pictures(self) -> tuple[Picture, tuple[Picture, ...]]:
        """The original and the steps as they are looked at, all of one size, without padding."""
        sharp = [step.shown for step in self.steps if step.shown is not None]
        if self.shown is not None and len(sharp) == len(self.steps):
            return self.shown, tuple(sharp)
        size = (self.height, self.width)
        return cut_padding(self.original, *size), tuple(
            cut_padding(step.picture, *size) for step in self.steps
        )

    def numbers(self) -> dict[str, Any]:
        """All numbers as they go to ``numbers.json``.

        Of the original, of its redrawing and of each step the posterior, what was measured, and for a step its verdict;
        what all of it went by beside them: `read_by` with `reading_floor`, and `thresholds` of the independent
        classifier and of familiarity, each with its source (see `cfx.evaluation.explain_tools.thresholds`).
        """
        steps = []
        for step in self.steps:
            row: dict[str, Any] = {"target": step.target, "limit": step.limit}
            row |= {**step.reading.numbers(), "l1": step.l1}
            found, kept = step.devices or (None, None)
            row |= {"devices_found": found, "devices_kept": kept, "old_border_left": step.border_left}
            row["verdict"] = DO_NOT if step.reasons else INTERPRET
            row["reasons"] = list(step.reasons)
            if step.full is not None:
                row["full_resolution"] = step.full.numbers()
            steps.append(row)
        return {
            "schema": SCHEMA,
            "image": self.name,
            "height": self.height,
            "width": self.width,
            **self.about,
            "synthetic_mark": self.mark,
            "original": self.before.numbers(),
            "redrawn": self.redrawn.numbers(),
            "steps": steps,
            "verdict": self.verdict,
            "verdict_target": self.steps[self.end].target,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "files": list(self.files),
            "seconds": round(self.seconds, 3),
        }


def _read_by(about: Mapping[str, Any]) -> str | None:
    found = about.get("read_by", "ctr")  # records that are older than the key are of the heart
    return None if found is None else str(found)


@dataclass(frozen=True)
class Outcome:
    """What became of one file, for the table at the end.

    Attributes:
        name: the file's name below the input folder.
        status: 'done', 'kept' (it had been done before) or 'failed'.
        folder: its folder's name below the output, '' where it failed.
        numbers: ``numbers.json``, or None where it failed.
        problem: why it failed.

    """

    name: str
    status: str
    folder: str = ""
    numbers: dict[str, Any] | None = None
    problem: str = ""

    @property
    def read_by(self) -> str | None:
        """What the file's task is read by; None where it is read by nothing, or the file failed."""
        return None if self.numbers is None else _read_by(self.numbers)

    def row(self) -> dict[str, Any]:
        """The outcome as a row of ``summary.csv``."""
        numbers = self.numbers or {}
        before = numbers.get("original") or {}
        after: dict[str, Any] = {}
        for step in numbers.get("steps") or []:
            if step["target"] == numbers.get("verdict_target"):
                after = step
        full: dict[str, Any] = after.get("full_resolution") or {}
        return {
            "image": self.name,
            "status": self.status,
            "posterior": before.get("posterior"),
            "target": after.get("target"),
            "posterior_after": after.get("posterior"),
            "posterior_full_resolution": full.get("posterior"),
            "ctr": before.get("ctr"),
            "ctr_after": after.get("ctr"),
            "read_by": self.read_by,
            "measured": value_in(before, self.read_by),
            "measured_after": value_in(after, self.read_by),
            "measured_full_resolution": value_in(full, self.read_by),
            "verdict": numbers.get("verdict"),
            "reasons": "; ".join(numbers.get("reasons") or []) or self.problem,
            "notes": "; ".join(numbers.get("notes") or []),
            "folder": self.folder,
        }


def outcome_line(outcome: Outcome) -> str:
    """One line about a file: posterior and measurement before and after, and the verdict, or why it failed."""
    if outcome.numbers is None:
        return f"{outcome.name}: failed, {outcome.problem}"
    row = outcome.row()

    def show(value: Any) -> str:
        return "?" if value is None else f"{value:.2f}"

    said = row["verdict"] + (f" ({row['reasons']})" if row["reasons"] else "")
    said += f"; note: {row['notes']}" if row["notes"] else ""
    kept = " [done before]" if outcome.status == "kept" else ""
    read_by, measured = outcome.read_by, ""
    if read_by is not None:
        measured = f"{label_of(read_by)} {show(row['measured'])} -> {show(row['measured_after'])}, "
    return (
        f"{outcome.name}: posterior {show(row['posterior'])} -> {show(row['posterior_after'])}, "
        f"{measured}{said}{kept}"
    )


def outcome_table(outcomes: list[Outcome]) -> str:
    """The table at the end of a folder, failures last, with the counts under it."""

    def pair(before: Any, after: Any) -> str:
        return " -> ".join("?" if value is None else f"{value:.2f}" for value in (before, after))

    # The files of a run have one task.
    read_by = next((outcome.read_by for outcome in outcomes if outcome.read_by is not None), None)
    lines: list[tuple[str, ...]] = [
        ("image", "posterior", "" if read_by is None else label_of(read_by), "verdict")
    ]
    for outcome in sorted(outcomes, key=lambda outcome: outcome.status == "failed"):
        row = outcome.row()
        if outcome.numbers is None:
            lines.append((outcome.name, "", "", f"failed: {outcome.problem}"))
            continue
        said = row["verdict"] + (f": {row['reasons']}" if row["reasons"] else "")
        said += f" (note: {row['notes']})" if row["notes"] else ""
        posterior = pair(row["posterior"], row["posterior_after"])
        measured = "" if read_by is None else pair(row["measured"], row["measured_after"])
        lines.append((outcome.name, posterior, measured, said))
    if read_by is None:
        lines = [(name, posterior, verdict) for name, posterior, _, verdict in lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]) - 1)]
    text = [
        "  ".join([*(c.ljust(w) for c, w in zip(line[:-1], widths, strict=True)), line[-1]]) for line in lines
    ]
    counts = {status: sum(o.status == status for o in outcomes) for status in ("done", "kept", "failed")}
    may = sum((o.numbers or {}).get("verdict") == INTERPRET for o in outcomes)
    text.append(
        f"{len(outcomes)} files: {counts['done']} explained, {counts['kept']} done before, "
        f"{counts['failed']} failed; {may} may be interpreted"
    )
    return "\n".join(text)
