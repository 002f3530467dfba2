"""Where training's scalars go: always to the run's metrics.csv, and to TensorBoard or wandb where asked for."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from cfx.errors import UnknownChoice, nearest
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
        return [
            WandbLogger(
                project=node.get("project", "cfx"),
                name=run.name,
                group=title,
                save_dir=str(run.path),
                offline=node.get("mode", "offline") != "online",
                log_model=False,
            )
        ]
    near = nearest(str(kind), KINDS)
    raise UnknownChoice(
        "logger.kind",
        kind,
        "is no logger",
        f"did you mean {near!r}" if near else f"one of {', '.join(KINDS)}",
    )
