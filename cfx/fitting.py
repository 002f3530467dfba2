"""Training one model of a plan: Lightning's trainer, checkpoints that resume, weights and environment at the end."""

import contextlib
import logging
import os
import resource
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import Logger
from torch import nn

from cfx.chain import Config, rank
from cfx.environment import describe
from cfx.logs import RunCsv, end_loggers, further_loggers
from cfx.runs import Run

SMOKE_STEPS = 2


class Clock(Callback):
    """Counts the minutes of a training over all its sessions, by way of the checkpoint."""

    def __init__(self) -> None:
        self.before, self.begun = 0.0, time.monotonic()

    @property
    def minutes(self) -> float:
        """Minutes trained so far, those of interrupted sessions up to their last checkpoint included."""
        return self.before + (time.monotonic() - self.begun) / 60

    def state_dict(self) -> dict[str, Any]:
        """The minutes, for the checkpoint."""
        return {"minutes": self.minutes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting from a checkpoint."""
        self.before, self.begun = float(state_dict["minutes"]), time.monotonic()


class Lines(Callback):
    """One line a validation where the output is no terminal, in place of a progress bar."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.begun = title, total, time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Print the step and the validation metrics."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        shown = {
            k.removeprefix("valid/"): float(v)
            for k, v in trainer.callback_metrics.items()
            if k.startswith("valid/")
        }
        numbers = "  ".join(f"{key} {value:.3f}" for key, value in list(shown.items())[:6])
        seconds = time.monotonic() - self.begun
        print(
            f"  {self.title} {batches_seen(trainer)}/{self.total} after {seconds:.0f} s  {numbers}",
            flush=True,
        )


class Bar(TQDMProgressBar):
    """A progress bar that names the stage and leaves one line behind."""

    def __init__(self, title: str) -> None:
        super().__init__(refresh_rate=10)
        self.title = title

    def on_train_epoch_start(self, trainer: pl.Trainer, *arguments: Any) -> None:
        """Write the stage's name where Lightning writes `Epoch n`."""
        super().on_train_epoch_start(trainer, *arguments)
        self.train_progress_bar.set_description(f"  {self.title}, pass {trainer.current_epoch + 1}")


def batches_seen(trainer: pl.Trainer) -> int:
    """Return how many training batches this fit has seen, earlier sessions of it included."""
    return trainer.fit_loop.epoch_loop.total_batch_idx + 1


def threads(node: Mapping[str, Any]) -> int:
    """Return the torch threads of a trainer configuration: as given, or one a core that this process may use."""
    return int(node.get("threads") or len(os.sched_getaffinity(0)))


def device_of(node: Mapping[str, Any]) -> str:
    """Return the device on which one process of a trainer configuration evaluates."""
    return "cuda" if node["accelerator"] in ("auto", "gpu", "cuda") and torch.cuda.is_available() else "cpu"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what Lightning tells on every start and a user can do nothing about."""
    for name in (
        "pytorch_lightning",
        "lightning.pytorch",
        "lightning.fabric",
        "pytorch_lightning.utilities.rank_zero",
    ):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning|torch)\..*")
        warnings.filterwarnings(
            "ignore", message=r".*(does not have many workers|LeafSpec|isinstance\(treespec).*"
        )
        yield


def make_trainer(
    node: Mapping[str, Any],
    fit: Mapping[str, Any],
    run: Run,
    module: pl.LightningModule,
    *,
    title: str,
    loggers: list[Logger],
    callbacks: list[Callback],
) -> pl.Trainer:
    """Return the trainer of one stage.

    Args:
        node: the `trainer` configuration. fit: the model's `fit` (max_steps, val_every, monitor, patience).
        run: where checkpoints go. module: what is trained. title: the stage's name for the progress bar.
        loggers, callbacks: beside the standard ones.
    """
    smoke = bool(node.get("smoke"))
    steps = SMOKE_STEPS if smoke else int(fit["max_steps"])
    every = SMOKE_STEPS if smoke else min(int(fit["val_every"]), steps)
    watch: list[Callback] = [
        ModelCheckpoint(
            run.checkpoints,
            filename="last",
            save_top_k=1,
            monitor=None,
            every_n_epochs=1,
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        ),
    ]
    # Lightning counts every optimiser's steps; a module of two optimisers says how many that makes.
    optimizer_steps = getattr(module, "optimizer_steps", lambda batches: batches)
    if fit.get("monitor") and not smoke:
        watch.append(
            ModelCheckpoint(
                run.checkpoints,
                filename="best",
                monitor=fit["monitor"],
                mode=fit.get("mode", "max"),
                save_on_train_epoch_end=False,
                enable_version_counter=False,
                save_weights_only=True,
            )
        )
        if fit.get("patience"):
            watch.append(
                EarlyStopping(fit["monitor"], mode=fit.get("mode", "max"), patience=int(fit["patience"]))
            )
    bar = bool(node.get("progress", True)) and sys.stderr.isatty()
    watch.append(Bar(title) if bar else Lines(title, steps))
    torch.set_num_threads(threads(node))
    return pl.Trainer(
        accelerator=node["accelerator"],
        devices=node["devices"],
        num_nodes=node["num_nodes"],
        strategy=node["strategy"],
        precision=node["precision"],
        deterministic=node.get("deterministic", False),
        max_epochs=-1,
        max_steps=optimizer_steps(steps),
        val_check_interval=every,
        check_val_every_n_epoch=None,
        limit_val_batches=2 if smoke else None,
        num_sanity_val_steps=0,
        log_every_n_steps=1 if smoke else 20,
        logger=loggers or False,
        callbacks=[*watch, *callbacks],
        enable_progress_bar=bar,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=str(run.path),
    )


def fit(
    config: Config,
    run: Run,
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    *,
    trainer_node: Mapping[str, Any],
    logger_node: Mapping[str, Any],
    title: str,
    callbacks: list[Callback] | None = None,
) -> pl.LightningModule:
    """Train a module, or go on where an interrupted session stopped, and write its weights and environment.

    Returns:
        The trained module (the best by `fit.monitor`, where one is named).
    """
    node, clock = config["model"]["fit"], Clock()
    with quiet():
        loggers: list[Logger] = [RunCsv(run), *further_loggers(logger_node, run, title)]
        trainer = make_trainer(
            trainer_node,
            node,
            run,
            module,
            title=title,
            loggers=loggers,
            callbacks=[clock, *(callbacks or [])],
        )
        last = run.checkpoints / "last.ckpt"
        try:
            trainer.fit(module, datamodule=data, ckpt_path=str(last) if last.is_file() else None)
        finally:
            end_loggers(loggers)
        if trainer.interrupted:
            raise KeyboardInterrupt
        steps = batches_seen(trainer)
        best = run.checkpoints / "best.ckpt"
        if best.is_file():
            module.load_state_dict(torch.load(best, map_location="cpu", weights_only=True)["state_dict"])
    if rank() == 0:
        run.write_environment(
            describe(
                seed=config["seed"],
                steps=steps,
                minutes=clock.minutes,
                device=str(trainer.strategy.root_device),
                peak_mib=peak_mib(),
                threads=torch.get_num_threads(),
            )
        )
    return module


def shipped(module: Any) -> nn.Module:
    """Return the network that a trained module of ours ships: its `inference()`."""
    network: nn.Module = module.inference()
    return network


def peak_mib() -> float:
    """Return this process's largest resident memory so far, in MiB."""
    scale = 1024 if sys.platform == "darwin" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / scale
