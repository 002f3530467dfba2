"""Where scalars go: always to the run's metrics.csv, and to TensorBoard or wandb where asked for.

In wandb each stage is a run of its own, named after its folder and grouped by the stage: what was logged in training
under `train/` and `valid/`, then one of the group `evaluation` whose summary is metrics.json.
"""

import contextlib
import os
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from cfx.chain import rank
from cfx.errors import UnknownChoice, nearest
from cfx.reporting.run_files import Example, read_grey, read_run
from cfx.runs import Run

KINDS = ("none", "tensorboard", "wandb")


class RunCsv(Logger):
    """Appends every logged scalar to the run's metrics.csv.

    Lightning's CSVLogger deletes the file of an earlier session; a resumed run must keep its rows.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.name

    @property
    def version(self) -> str:
        """There is one file only, so one version."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append one row with the step and the metrics."""
        self.run.append_metrics([{"step": step, **{key: float(value) for key, value in metrics.items()}}])

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them all."""


def further_loggers(node: Mapping[str, Any], run: Run, title: str) -> list[Logger]:
    """Return the loggers of a `logger` configuration beside metrics.csv.

    wandb starts offline unless `logger.mode` says otherwise, so nothing leaves the machine unasked.

    Raises:
        UnknownChoice: `logger.kind` is none of `KINDS`.
    """
    kind = node.get("kind", "none")
    if kind == "none":
        return []
    if kind == "tensorboard":
        return [TensorBoardLogger(save_dir=str(run.path), name="tensorboard", version=title)]
    if kind == "wandb":
        return [WandbLogger(**_wandb_settings(node, run, title))]
    near = nearest(str(kind), KINDS)
    raise UnknownChoice(
        "logger.kind",
        kind,
        "is no logger",
        f"did you mean {near!r}" if near else f"one of {', '.join(KINDS)}",
    )


def _wandb_settings(node: Mapping[str, Any], run: Run, title: str) -> dict[str, Any]:
    """What wandb is told of a stage: no paths, no code, and nothing of what is printed."""
    import wandb

    return {
        "project": node.get("project", "cfx"),
        "name": run.name,
        "group": title,
        "save_dir": str(run.path),
        "offline": node.get("mode", "offline") != "online",
        "log_model": False,
        "config": _facts(run),
        "settings": wandb.Settings(console="off", disable_git=True, disable_code=True, silent=True),
    }


def _facts(run: Run) -> dict[str, Any]:
    """What tells runs apart in wandb's table of runs: the choices by name, and the seed."""
    if not run.config_file.is_file():
        return {}
    config = run.config
    nodes = {group: config.get(group) or {} for group in ("task", "data", "model", "loss")}
    named = {group: node.get("name", node.get("kind")) for group, node in nodes.items()}
    return {**{group: name for group, name in named.items() if name is not None}, "seed": config.get("seed")}


def end_loggers(loggers: Sequence[Logger]) -> None:
    """Close what a stage logged to, or wandb would add the next stage of this process to the same run."""
    for logger in loggers:
        if isinstance(logger, WandbLogger) and rank() == 0:
            logger.experiment.finish()


def numbers(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | int | str]]:
    """Yield every number and word of a nested table by its path, such as `validity/up/reach`; nulls and lists are left
    out, and so are intervals.
    """
    for key, value in node.items():
        if isinstance(value, Mapping):
            if key != "ci95":
                yield from numbers(value, f"{prefix}{key}/")
        elif isinstance(value, int | float | str):
            yield f"{prefix}{key}", value


def log_evaluation(node: Mapping[str, Any], run: Run) -> None:
    """Hand the summary of metrics.json to wandb, and the progressions as a table where `logger.images` says so.

    Other loggers have no place for it. Names of pictures and patients stay here in any case.

    Args:
        node: the `logger` configuration.
        run: an evaluated run.
    """
    if node.get("kind") != "wandb" or not run.evaluation.done:
        return
    with _tables_within(run.path / "wandb"):
        logger = WandbLogger(**_wandb_settings(node, run, "evaluation"))
        logger.experiment.summary.update(dict(numbers(run.evaluation.metrics())))
        examples = read_run(run).examples if node.get("images") else ()
        if examples:
            logger.experiment.log({"progressions": _table(examples)})
        end_loggers([logger])


@contextlib.contextmanager
def _tables_within(folder: Path) -> Iterator[None]:
    """Let wandb keep a table's pictures in a folder until they are synced; by itself it puts them into the home."""
    before = os.environ.get("WANDB_DATA_DIR")
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["WANDB_DATA_DIR"] = str(folder.resolve())
    try:
        yield
    finally:
        os.environ.pop("WANDB_DATA_DIR")
        if before is not None:
            os.environ["WANDB_DATA_DIR"] = before


def _table(examples: Sequence[Example]) -> Any:
    """Progressions as a table of wandb: a row a patient, the original and each step as pictures."""
    import wandb

    targets = examples[0].targets
    names = [f"asked for {target:g}" for target in targets]
    table = wandb.Table(columns=["group", "call", "rank", "posterior", "verdict", "original", *names])
    for example in examples:
        if example.targets != targets:
            continue
        pictures = [
            wandb.Image(np.uint8(255 * read_grey(path))) for path in (example.original, *example.steps)
        ]
        facts = (example.group, example.call, example.rank, example.p_before, example.verdict)
        table.add_data(*facts, *pictures)
    return table
