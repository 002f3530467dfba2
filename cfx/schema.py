"""Schemas of our own scalars: what a task, a fit, a trainer, a logger and an evaluation may say.

Constructors check their own arguments; only nodes that no constructor takes whole are described here. `read`
turns a node into its dataclass, or names the key that does not fit; `check` does so for a whole configuration.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from cfx.errors import BadValue, UnknownChoice, UserError, nearest

T = TypeVar("T")


def _one_of(*choices: str) -> dict[str, tuple[str, ...]]:
    return {"choices": choices}


def _at_least(bound: float) -> dict[str, float]:
    return {"least": bound}


def _within(least: float, most: float) -> dict[str, float]:
    return {"least": least, "most": most}


@dataclasses.dataclass(frozen=True)
class Task:
    """One clinical question.

    name: the file of conf/task. finding: the label's name. views: which are used, all where empty. measurement: what
    a radiologist would measure, `none` where nothing here measures it. direction: which way that moves as the finding
    grows. regions: masks that the
    context-aware loss holds. residual: weight of the grey values that an edit adds. change: weight of every changed
    pixel.
    """

    name: str
    finding: str
    views: list[str] = dataclasses.field(default_factory=list, metadata=_one_of("PA", "AP", "LATERAL", ""))
    measurement: str = dataclasses.field(
        default="ctr", metadata=_one_of("ctr", "recess", "lung_haze", "none")
    )
    direction: str = dataclasses.field(default="up", metadata=_one_of("up", "down"))
    regions: list[str] = dataclasses.field(
        default_factory=list, metadata=_one_of("heart", "left_lung", "right_lung")
    )
    residual: float = dataclasses.field(default=4.0, metadata=_at_least(0))
    change: float = dataclasses.field(default=30.0, metadata=_at_least(0))


@dataclasses.dataclass(frozen=True)
class Fit:
    """How long and on what a model is trained; the rest of a model's node is its module's.

    max_steps, val_every: in batches. batch_size: images a step over all processes. balance: what the sampler balances,
    balance_share: the share of positives where that is the finding. monitor, mode, patience: the validation metric that
    picks the weights and stops training; null keeps the last.
    """

    max_steps: int = dataclasses.field(metadata=_at_least(1))
    val_every: int = dataclasses.field(metadata=_at_least(1))
    batch_size: int = dataclasses.field(metadata=_at_least(1))
    balance: str | None = dataclasses.field(
        default=None,
        metadata=_one_of("finding", "posterior", "posterior_root", "extremes", "devices"),
    )
    balance_share: float = dataclasses.field(default=0.5, metadata=_within(0, 1))
    monitor: str | None = None
    mode: str = dataclasses.field(default="max", metadata=_one_of("max", "min"))
    patience: int | None = dataclasses.field(default=None, metadata=_at_least(1))


@dataclasses.dataclass(frozen=True)
class Trainer:
    """Where a run trains; Lightning's names, and `smoke` for two steps a stage.

    threads: torch threads, as many as the cores that the process may use where null.
    """

    accelerator: str = dataclasses.field(
        default="auto", metadata=_one_of("auto", "cpu", "gpu", "cuda", "mps")
    )
    devices: int | str | list[int] = 1
    num_nodes: int = dataclasses.field(default=1, metadata=_at_least(1))
    strategy: str = "auto"
    precision: str | int = "32-true"
    threads: int | None = dataclasses.field(default=None, metadata=_at_least(1))
    deterministic: bool | str = False
    progress: bool = True
    smoke: bool = False


@dataclasses.dataclass(frozen=True)
class LoggerNode:
    """Where scalars go beside metrics.csv; pictures leave the run's folder only where `images` says so."""

    kind: str = dataclasses.field(default="none", metadata=_one_of("none", "tensorboard", "wandb"))
    images: bool = False
    project: str = "cfx"
    mode: str = dataclasses.field(default="offline", metadata=_one_of("offline", "online"))


@dataclasses.dataclass(frozen=True)
class EvaluationNode:
    """How a finished explainer is measured.

    split: which patients. targets: the grid of posteriors asked for, from 0 to 1. batch_size: images a network sees at
    a time. control_images, descent_images, return_images: images a direction for the controls, for pixel descent, for
    the way back. oracle_grid_images: for which the oracle answers the whole grid. resamples: bootstrap samples. oracle:
    whether a phantom's oracle is asked at all.

    Raises:
        BadValue: the targets do not rise from 0 to 1.
    """

    split: str = dataclasses.field(metadata=_one_of("train", "valid", "test"))
    targets: list[float] = dataclasses.field(metadata=_within(0, 1))
    batch_size: int = dataclasses.field(metadata=_at_least(1))
    control_images: int = dataclasses.field(metadata=_at_least(0))
    descent_images: int = dataclasses.field(metadata=_at_least(0))
    oracle_grid_images: int = dataclasses.field(metadata=_at_least(0))
    return_images: int = dataclasses.field(metadata=_at_least(0))
    resamples: int = dataclasses.field(metadata=_at_least(1))
    oracle: bool = True

    def __post_init__(self) -> None:
        """Refuse a grid that does not rise from 0 to 1."""
        grid = self.targets
        if len(grid) < 2 or grid != sorted(set(grid)) or (grid[0], grid[-1]) != (0, 1):
            raise BadValue("evaluation.targets", grid, "do not rise from 0 to 1", "give such as [0, 0.5, 1]")


NODES: dict[str, type[Any]] = {
    "task": Task,
    "model.fit": Fit,
    "blackbox.model.fit": Fit,
    "blackbox.transfer.fit": Fit,
    "anatomy.model.fit": Fit,
    "anatomy.judge.fit": Fit,
    "detector.model.fit": Fit,
    "detector.judge.fit": Fit,
    "trainer": Trainer,
    "logger": LoggerNode,
    "evaluation": EvaluationNode,
}
"""The schema of each place in a configuration of cfx.train; a place may be missing or null."""

WHOLE = {"seed": (0, 2**32 - 1), "data.size": (16, 4096), "data.workers": (0, 1024)}
"""Whole numbers outside of those nodes, with the least and the most of each; a seed is what NumPy takes."""


def check(config: Mapping[str, Any]) -> None:
    """Refuse a resolved configuration whose own scalars do not fit, before anything is made from it.

    Raises:
        UnknownChoice, BadValue: see `read`; any number, however deep, that is not finite.
    """
    _check_finite(config, "")
    for place, (least, most) in WHOLE.items():
        value = _at(config, place)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValue(place, value, "is not a whole number", f"give one from {least} to {most}")
        if not least <= value <= most:
            raise BadValue(place, value, "is out of range", f"give a whole number from {least} to {most}")
    for place, schema in NODES.items():
        node = _at(config, place)
        if node is not None:
            read(schema, node, place)


def _at(config: Mapping[str, Any], place: str) -> Any:
    """Return what stands at a dotted place, None where nothing does."""
    node: Any = config
    for key in place.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _check_finite(node: Any, place: str) -> None:
    """Refuse a number that is NaN or infinite: no setting means one, and no comparison with a bound would notice."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            _check_finite(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, list):
        for value in node:
            _check_finite(value, place)
    elif isinstance(node, float) and not math.isfinite(node):
        raise BadValue(place, node, "is not a finite number", "give a number")


def read(schema: type[T], node: Mapping[str, Any], argument: str) -> T:
    """Return a node as its dataclass.

    Args:
        schema: one of the dataclasses above.
        node: plain values by key.
        argument: where the node stands, such as `task` or `model.fit`, for the message.

    Raises:
        UnknownChoice: a key or a choice that does not exist; the nearest is named.
        BadValue: a value of the wrong type, out of its range, or missing.
    """
    if not isinstance(node, Mapping):
        raise BadValue(argument, node, "is no table of keys", f"give such as {argument}.KEY=VALUE")
    fields = {field.name: field for field in dataclasses.fields(schema)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(schema)
    for key, value in node.items():
        place = f"{argument}.{key}"
        if key not in fields:
            near = nearest(str(key), fields)
            remedy = f"did you mean {near!r}" if near else f"its keys are {', '.join(fields)}"
            raise UnknownChoice(place, value, "there is no such key", remedy)
        _check(fields[key], hints[key], value, place)
    for name, field in fields.items():
        if (
            name not in node
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ):
            raise BadValue(f"{argument}.{name}", None, "this is needed", f"give {argument}.{name}=...")
    return schema(**{str(key): value for key, value in node.items()})


def _check(field: "dataclasses.Field[Any]", hint: Any, value: Any, place: str) -> None:
    if not _fits(hint, value):
        raise BadValue(place, value, f"is not {_spell(hint)}", "give a value of that type")
    if value is None:
        return
    _check_finite(value, place)
    least, most, choices = (field.metadata.get(name) for name in ("least", "most", "choices"))
    for item in value if isinstance(value, list) else [value]:
        if least is not None and item < least:
            raise BadValue(place, value, "is too small", f"give {least:g} or more")
        if most is not None and item > most:
            raise BadValue(place, value, "is too large", f"give {most:g} or less")
        if choices is not None and item not in choices:
            raise _no_choice(place, item, choices)


def _no_choice(place: str, item: object, choices: tuple[str, ...]) -> UserError:
    near = nearest(str(item), choices)
    listed = ", ".join(choice for choice in choices if choice)
    return UnknownChoice(
        place,
        item,
        "there is no such choice",
        f"did you mean {near!r}, of {listed}" if near else f"choose of {listed}",
    )


def _fits(hint: Any, value: Any) -> bool:
    """Tell whether a plain value is of a type: scalars, None, unions of them, and lists of one."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(part, value) for part in typing.get_args(hint))
    if origin is list:
        return isinstance(value, list) and all(_fits(typing.get_args(hint)[0], item) for item in value)
    if hint is types.NoneType:
        return value is None
    if isinstance(value, bool):  # a bool is an int to Python, not to a reader of YAML
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _spell(hint: Any) -> str:
    words = {
        str: "a text",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        types.NoneType: "null",
    }
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_spell(part) for part in typing.get_args(hint))
    if origin is list:
        return f"a list of {_spell(typing.get_args(hint)[0]).removeprefix('a ')}s"
    return words.get(hint, str(hint))
