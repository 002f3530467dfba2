"""The work behind each stage of a plan: train a part, gather parts, annotate, train the explainer, evaluate."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from cfx import assembly, calibrating, chain
from cfx.anatomy.detector import Detector
from cfx.build import build
from cfx.chain import Config, Stage, rank
from cfx.classifiers.module import Classifier
from cfx.data.annotations import Annotations
from cfx.data.datamodule import ChestXrayDataModule
from cfx.environment import describe
from cfx.evaluation.callback import ClinicalCallback
from cfx.evaluation.familiarity import Familiarity
from cfx.evaluation.rows import ctr_direction
from cfx.explainers.base import Explainer
from cfx.explainers.gan.losses import fill_boxes
from cfx.fitting import device_of, fit, peak_mib, shipped
from cfx.loading import check_given, external_part, load_black_box, load_finder, load_segmenter
from cfx.logs import log_evaluation
from cfx.measuring import measure_part, measure_run
from cfx.runs import Run
from cfx.schema import check

_POLL_SECONDS = 0.5
_SMOKE_PATIENTS = {"train": 240, "valid": 48, "test": 48}


class Session:
    """One execution of a plan with one trainer setting.

    Args:
        config: the resolved configuration of a train command.
        root: the folder of runs; a smoke test's runs go into `smoke` inside it, since they are never finished ones.

    Raises:
        UserError: a scalar of the configuration has a wrong name, type or value (see `cfx.schema`).
    """

    def __init__(self, config: Config, root: Path) -> None:
        check(config)
        self.trainer: Mapping[str, Any] = config["trainer"]
        self.logger: Mapping[str, Any] = config["logger"]
        self.smoke = bool(self.trainer.get("smoke"))
        self.root = root / "smoke" if self.smoke else root
        if self.smoke and "patients" in config["data"]["source"]:
            source = {**config["data"]["source"], "patients": _SMOKE_PATIENTS}
            config = {**config, "data": {**config["data"], "source": source}}
        self.config = config
        self.device = device_of(self.trainer)

    def run(self) -> Run:
        """Make whatever is missing, in order, and return the finished run."""
        for warning in self.refuse():
            _say(f"warning: {warning}")
        run, stages = chain.agreed_plan(self.config, self.root)
        with run.lock() if rank() == 0 else _Nothing():
            if rank() == 0:
                if run.finished:
                    print(f"{run.path} is finished already; nothing to do", flush=True)
                    return run
                print(chain.describe(stages), flush=True)
                run.write_config(chain.own_config(self.config))
            for stage in stages:
                self._work(stage, run)
            if rank() == 0:
                run.mark_finished()
        return run

    def refuse(self) -> list[str]:
        """Refuse what would only be noticed when something has been trained or written for it.

        Returns:
            Warnings, see `check_given`.

        Raises:
            UserError: a part that is given, the objective, or a data set that something is still to be made from.
        """
        warnings = []
        if not chain.is_part(self.config):
            assembly.check_explainer(self.config)
            warnings = check_given(self.config)
        if rank() == 0:
            self._check_data()
        return warnings

    def _check_data(self) -> None:
        """Read the tables of the data sets that unfinished stages need; a phantom is only written by them."""
        parts = {} if chain.is_part(self.config) else chain.part_configs(self.config)
        own = chain.own_config(self.config)
        needed: list[Config] = []
        for stage in chain.plan(self.config, self.root):
            data = parts.get(stage.role, own)["data"]
            if stage.state not in ("reuse", "none") and data not in needed and not chain.is_phantom(data):
                needed.append(data)
        for data in needed:
            assembly.source({"data": data}).frame()

    def _work(self, stage: Stage, run: Run) -> None:
        """Do one stage; the ranks beside 0 join trainings only, and wait for what rank 0 makes before them."""
        parts = {} if chain.is_part(self.config) else chain.part_configs(self.config)
        if stage.role in parts:
            part = Run(self.root / stage.folder)
            with part.lock() if rank() == 0 else _Nothing():
                if stage.state != "reuse" and not (rank() == 0 and part.finished):
                    Run.create(part.path)
                    self._train_part(parts[stage.role], part, stage.role)
        elif chain.is_part(self.config):
            self._train_part(chain.own_config(self.config), run, stage.role)
        elif stage.role == "annotations":
            self._annotate(run)
        elif stage.role == "explainer":
            if stage.state == "none":
                self._nothing_trained(run)
            elif stage.state != "reuse":
                self._train_explainer(run)
        elif stage.role == "evaluation" and rank() == 0:
            measure_run(run, device=self.device, smoke=self.smoke)
            log_evaluation(self.logger, run)

    def _train_part(self, config: Config, run: Run, role: str) -> None:
        """Train and measure one classifier, segmenter or detector in its own run folder."""
        _say(f"{role}: training {config['model']['name']} in {run.name}")
        if rank() == 0:
            run.write_config(config)
        pl.seed_everything(int(config["seed"]), workers=True, verbose=False)
        model = config["model"]
        data = self._data(config, model)
        network = assembly.network(config)
        extra = {"findings": assembly.findings(config)} if model["name"] == "classifier" else {}
        module = build(model, network, drop=assembly.CHAIN_KEYS, place="model", **extra)
        module = fit(
            config, run, module, data, trainer_node=self.trainer, logger_node=self.logger, title=role
        )
        if rank() == 0:
            if isinstance(module, Classifier):
                # not by val_dataloader(): under DDP that holds this process's share alone
                valid = data.dataset("valid").batches(calibrating.BATCH)
                module.calibrate(valid, prior=float(model.get("prior", 0.5)))
            elif isinstance(module, Detector):
                module.calibrate(data.dataset("valid").batches(calibrating.BATCH))
            run.write_weights(shipped(module).state_dict())
            measure_part(run, data, smoke=self.smoke)
            run.mark_finished()

    def _data(self, config: Config, model: Config, **extra: Any) -> ChestXrayDataModule:
        fit_node = model.get("fit") or {}
        balance = fit_node.get("balance")
        if self.smoke and balance == "extremes":
            balance = None  # after two steps a black box says the same of every picture
        return assembly.data_module(
            config,
            part=model["part"],
            batch_size=int(fit_node.get("batch_size", 32)),
            smoke=self.smoke,
            balance=balance,
            balance_share=float(fit_node.get("balance_share", 0.5)),
            **extra,
        )

    def _gather(self, run: Run) -> None:
        """Copy the parts that a run needs into it."""
        for role, config in chain.part_configs(self.config).items():
            run.copy_part(role, chain.run_of(config, self.root))
        for group, roles in (("anatomy", ("segmenter", "judge")), ("detector", ("detector", "box_judge"))):
            for role, value in zip(roles, ("path", "judge_path"), strict=True):
                if (self.config.get(group) or {}).get(value):
                    run.copy_part(role, Run.open(self.config[group][value], f"{group}.{value}"))
        kind = self.config["blackbox"]["kind"]
        if kind == "checkpoint":
            run.copy_part("blackbox", Run.open(self.config["blackbox"]["path"], "blackbox.path"))
        elif kind != "trained":
            external_part(self.config, run.part("blackbox"))

    def _annotate(self, run: Run) -> None:
        """Gather and calibrate the parts, then compute masks, devices and posteriors of training and validation images.

        Once: posteriors must be the calibrated black box's, and a resumed run must not calibrate it anew.
        """
        folder, done = run.path / "annotations", run.path / "annotations" / "done"
        if rank() != 0:
            while not done.is_file():
                time.sleep(_POLL_SECONDS)
            return
        if done.is_file():
            return
        self._gather(run)
        data = self._data(self.config, self.config["model"])
        published = self.config["anatomy"].get("masks")
        if published:
            data.masks_from = build(published, place="anatomy.masks")
        self._calibrate(run, data)
        if assembly.is_trained(self.config):
            self._annotate_images(run, data, folder, None if published else run.part("segmenter"))
        familiar = Familiarity.fit(data.dataset("train").images, data.dataset("valid").images)
        if familiar is not None:
            familiar.save(run)
        folder.mkdir(exist_ok=True)
        done.touch()

    def _annotate_images(
        self, run: Run, data: ChestXrayDataModule, folder: Path, segmenting: Run | None
    ) -> None:
        """Write the annotations that a training reads; masks by the segmenter, or published ones where it is None."""
        _say("annotations: masks, devices and posteriors, once an image")
        blackbox = load_black_box(run).to(self.device)
        segmenter = None if segmenting is None else load_segmenter(segmenting, self.device)
        finder = load_finder(run.part("detector"), self.device)

        def device_map(image: Tensor) -> Tensor:
            assert finder is not None
            return fill_boxes(finder.device_boxes(image), *image.shape[-2:])

        # A data set's own masks of devices come before boxes about them.
        boxes_stand_in = finder is not None and data.dataset("train").devices is None
        found = [
            Annotations.compute(
                data.dataset(split),
                segmenter,
                blackbox,
                device_map if boxes_stand_in else None,
                device=self.device,
            )
            for split in ("train", "valid")
        ]
        _joined(found).save(folder)

    def _nothing_trained(self, run: Run) -> None:
        """Say in environment.json what a method without weights was run with."""
        _say(f"explainer: {self.config['model']['name']} has nothing to train")
        if rank() == 0:
            made = describe(
                seed=self.config["seed"], steps=0, minutes=0.0, device=self.device, peak_mib=peak_mib()
            )
            run.write_environment(made)

    def _calibrate(self, run: Run, data: ChestXrayDataModule) -> None:
        """Bring a given black box to its stated prior and choose the independent classifier's threshold."""
        valid = data.dataset("valid")
        box = calibrating.recalibrate(run, valid, self.device)
        if box is not None and box["prior"] is not None:
            _say(f"black box: posterior brought to a prior of {box['prior']:g} by validation patients")
        other = calibrating.choose_threshold(run, valid, self.device)
        if other is not None and other["note"] is None:
            _say(f"transfer: calls the finding from {other['threshold']:.3f} on, by validation patients")
        for note in calibrating.notes(run):
            _say(f"warning: {note}")

    def _train_explainer(self, run: Run) -> None:
        """Train the explainer on annotated images and write its weights."""
        config, model = self.config, self.config["model"]
        _say(f"explainer: training {model['name']} in {run.name}")
        # another explainer of the same black box on the same pictures differs by model.seed alone
        pl.seed_everything(int(model.get("seed", config["seed"])), workers=True, verbose=False)
        data = self._data(config, model, annotations=Annotations.load(run.path / "annotations"))
        blackbox = load_black_box(run)
        module = assembly.explainer_module(config, blackbox, data.posteriors().tolist())

        def as_it_is(trained: pl.LightningModule) -> Explainer:
            return assembly.explainer_of(config, shipped(trained), blackbox)

        callbacks: list[Callback] = [
            ClinicalCallback(
                data.dataset("valid"),
                blackbox,
                load_segmenter(run.part("judge")),
                as_it_is,
                direction=ctr_direction(config["task"]["measurement"], config["task"]["direction"]),
                size=2 if self.smoke else int(model.get("watch", 16)),
                images=bool(self.logger.get("images")),
                folder=run.path / "progressions",
            )
        ]
        module = fit(
            config,
            run,
            module,
            data,
            trainer_node=self.trainer,
            logger_node=self.logger,
            title="explainer",
            callbacks=callbacks,
        )
        if rank() == 0:
            run.write_weights(shipped(module).state_dict())


def _joined(parts: list[Annotations]) -> Annotations:
    """Return the annotations of several splits as one."""

    def rows(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        return None if any(array is None for array in arrays) else np.concatenate(arrays)

    names = [name for part in parts for name in part.image_ids]
    return Annotations(names, rows("masks"), rows("devices"), rows("posterior"))


def _say(line: str) -> None:
    if rank() == 0:
        print(line, flush=True)


class _Nothing:
    """A lock that is none, for the ranks that take no lock."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
