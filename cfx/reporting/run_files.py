"""Reads what a finished evaluation left in a run's folder, for everything that draws or prints it.

The reader is forgiving where a file may be absent (a run moved without its logs still has a report) and
strict
where a report would be meaningless without it: ``metrics.json`` must be there and be JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from cfx.errors import BadValue, MissingPath
from cfx.files import read_json
from cfx.measurements import READING_FLOOR
from cfx.reporting.example_readings import floor_of, read_by_of, readings_of
from cfx.runs import Evaluation, Run

GreyImage = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """One progression of ``evaluation/examples``: one patient's picture at several targets.

    Attributes:
        image_id: the picture's name in its data set.
        patient_id: whose picture it is.
        group: 'up', 'down' or 'middle' (EVALUATION groups: p < 0.2, p > 0.8, between).
        call: 'TP', 'FP', 'TN', 'FN', or None where the label is unknown.
        rank: 'best', 'median' or 'worst' by the mean distance of posterior and target.
        targets: posteriors asked for, ascending, each in [0, 1].
        posterior: posteriors reached, same length.
        measured: what the task is read by, of each step, None where it could not be measured.
        p_before: posterior of the original.
        measured_before: the same of the original.
        original: path of the original's PNG.
        steps: paths of the steps' PNGs, same length as the targets.
        note: whatever else is known for the caption (view, sex, age).
        verdict: '' or 'interpret' where the picture may be read, else the reason why not.
        read_by: which measurement that is: `ctr`, `scp` or `haze`; None where the task is read by nothing.
        floor: least shift of it that is called a change.

    """

    image_id: str
    patient_id: str
    group: str
    call: str | None
    rank: str
    targets: tuple[float, ...]
    posterior: tuple[float, ...]
    measured: tuple[float | None, ...]
    p_before: float
    measured_before: float | None
    original: Path
    steps: tuple[Path, ...]
    note: str = ""
    verdict: str = ""
    read_by: str | None = "ctr"
    floor: float = READING_FLOOR

    @property
    def end(self) -> int:
        """The step that answers the group's question: the highest target for 'up', the lowest for 'down'.

        A picture of the middle group is shown at the end that is farther from where it began.
        """
        upward = self.group == "up" or (self.group != "down" and self.p_before < 0.5)
        return len(self.targets) - 1 if upward else 0


@dataclass(frozen=True)
class RunFiles:
    """An evaluation as its files tell it.

    Attributes:
        folder: the evaluation's folder (``<run>/evaluation`` or another ``output=`` of the evaluate verb).
        metrics: ``metrics.json``.
        table: ``counterfactuals.parquet``, empty where there is none.
        examples: the progressions that may be drawn.
        environment: ``environment.json`` of the run, or {}.
        config: ``config.yaml`` of the run, or {}.
        history: ``metrics.csv`` of the training, or None.

    """

    folder: Path
    metrics: dict[str, Any]
    table: pd.DataFrame
    examples: tuple[Example, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    history: pd.DataFrame | None = None

    def value(self, key: str) -> float | None:
        """The finite number at a dotted key of the metrics, or None: ``value('validity.up.reach')``."""
        return number_at(self.metrics, key)


def number_at(tree: Mapping[str, Any], key: str) -> float | None:
    """The finite number at a dotted key of nested mappings; None where it is absent, null or no number.

    The longest key wins, so that a name with a dot in it (``cv_0.8``) is found too.
    """
    if key in tree:
        value = tree[key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if np.isfinite(value) else None
    for cut in [i for i, letter in enumerate(key) if letter == "."]:
        inner = tree.get(key[:cut])
        if isinstance(inner, Mapping):
            found = number_at(inner, key[cut + 1 :])
            if found is not None:
                return found
    return None


def interval_at(tree: Mapping[str, Any], key: str, of: str) -> tuple[float, float] | None:
    """The 95 % interval of a figure.

    Args:
        tree: the metrics.
        key: dotted key of a mapping from figures to pairs; a bare pair there is the net shift's.
        of: the figure, such as 'shift_net'.

    Returns:
        low and high, None where there is no interval.
    """
    node: Any = tree
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    if isinstance(node, Mapping):
        node = node.get(of)
    elif of != "shift_net":
        return None
    if not isinstance(node, Sequence) or isinstance(node, str) or len(node) != 2 or None in node:
        return None
    low, high = float(node[0]), float(node[1])
    return (low, high) if np.isfinite(low) and np.isfinite(high) else None


def read_grey(path: Path) -> GreyImage:
    """A PNG of ``examples/`` as grey values in [0, 1], shape (H, W).

    Raises:
        BadValue: the file is no readable picture.

    """
    try:
        with Image.open(path) as picture:
            grey = np.asarray(picture.convert("L"), dtype=np.float32) / 255.0
    except OSError as error:
        raise BadValue(
            "run", str(path), f"can not be read as a picture ({error})", "evaluate the run again"
        ) from error
    return cast(GreyImage, grey)


def _note(entry: Mapping[str, Any]) -> str:
    """What the caption says of the patient: '63-year-old M, PA' with whatever of it is known."""
    age, sex, view = entry.get("age"), entry.get("sex"), entry.get("view")
    who = [str(sex)] if sex else []
    if isinstance(age, int | float) and np.isfinite(age):
        who.append(f"{age:.0f} y")
    return ", ".join([*who, str(view)] if view else who)


def parse_example(entry: Mapping[str, Any], folder: Path) -> Example | None:
    """One entry of ``examples/index.json``, not yet read by anything; None where one of its pictures is gone.

    Args:
        entry: the JSON object (keys as the attributes of `Example`, with ``files: {original, steps}``).
        folder: where the pictures lie.

    Raises:
        BadValue: a key is missing or the lengths of targets, posteriors and pictures differ.

    """
    try:
        files = entry["files"]
        targets = tuple(float(c) for c in entry["targets"])
        posterior = tuple(float(p) for p in entry["posterior"])
        steps = tuple(folder / str(name) for name in files["steps"])
        original = folder / str(files["original"])
        example = Example(
            image_id=str(entry["image_id"]),
            patient_id=str(entry["patient_id"]),
            group=str(entry["group"]),
            call=None if entry.get("call") is None else str(entry["call"]),
            rank=str(entry.get("rank", "median")),
            targets=targets,
            posterior=posterior,
            measured=(None,) * len(targets),
            p_before=float(entry["p_before"]),
            measured_before=None,
            original=original,
            steps=steps,
            note=_note(entry),
            verdict=str(entry.get("verdict") or ""),
            read_by=None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadValue(
            "run", str(folder / "index.json"), f"has an entry without {error}", "evaluate the run again"
        ) from error
    if not len(targets) == len(posterior) == len(steps):
        raise BadValue(
            "run",
            str(folder / "index.json"),
            f"has uneven lists for {example.image_id}",
            "evaluate the run again",
        )
    return example if all(path.is_file() for path in (original, *steps)) else None


def _read_as(example: Example, table: pd.DataFrame, metrics: Mapping[str, Any]) -> Example:
    """An example with what the evaluation's task is read by, of its rows of the table; without a table by nothing."""
    read_by = None if table.empty else read_by_of(metrics)
    before, after = readings_of(table, example.image_id, example.targets, read_by)
    floor = floor_of(metrics, read_by)
    return replace(example, measured=after, measured_before=before, read_by=read_by, floor=floor)


def read_run(run: Run, evaluation: Evaluation | None = None) -> RunFiles:
    """Reads a run's evaluation.

    Args:
        run: the run; its config, environment and training curve may be missing (``pairs=`` has no run).
        evaluation: the evaluation to read; the run's own unless told.

    Returns:
        what was found; nothing is computed.

    Raises:
        MissingPath: it has not been evaluated.
        UserError: a file is there and can not be read.

    """
    found = evaluation if evaluation is not None else run.evaluation
    if not found.done:
        remedy = "evaluate it first: python -m cfx.evaluate run=..."
        raise MissingPath("run", str(run.path), f"has no {found.path.name}/metrics.json", remedy)
    index_path = found.examples / "index.json"
    entries = read_json(index_path) if index_path.is_file() else []
    parsed = [parse_example(entry, found.examples) for entry in entries]
    has_table = (found.path / "counterfactuals.parquet").is_file()
    table = found.counterfactuals() if has_table else pd.DataFrame()
    metrics = found.metrics()
    has_history = run.metrics_file.is_file() and run.metrics_file.stat().st_size > 0
    return RunFiles(
        folder=found.path,
        metrics=metrics,
        table=table,
        examples=tuple(_read_as(example, table, metrics) for example in parsed if example is not None),
        environment=run.environment(),
        config=run.config if run.config_file.is_file() else {},
        history=pd.read_csv(run.metrics_file) if has_history else None,
    )
