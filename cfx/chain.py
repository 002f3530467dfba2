"""What a run needs, in which order, and what of it exists already.

A run of an explainer needs a black box, an independent classifier that checks it (transfer), a segmenter for the loss
and another for the evaluation, detectors where the task or the user asks for them, and annotations. Each trained part
is a run of its own beside it, made by the same rules, so that another seed, loss or task finds and reuses it. `plan`
lists the stages, `execute` works through them; rank 0 of a distributed job decides, the other ranks read `plan.json`
and only join its trainings.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cfx.build import locate
from cfx.errors import MissingPath
from cfx.runs import Run, fingerprint, folder_name

Config = dict[str, Any]
# What a run's folder is named after; trainer, logger and places never count.
IDENTITY = ("task", "data", "model", "loss", "blackbox", "anatomy", "detector", "seed")
STATES = {
    "train": "to train",
    "resume": "half done, goes on",
    "reuse": "there already, used again",
    "make": "to make",
    "none": "nothing to train",
}


@dataclass(frozen=True)
class Stage:
    """One step of a plan.

    role: what it makes (`blackbox`, `transfer`, `segmenter`, `judge`, `detector`, `box_judge`, `annotations`,
    `explainer`, `evaluation`).
    folder: where its result lies. state: a key of `STATES`. needs: roles whose result it reads.
    """

    role: str
    folder: str
    state: str
    needs: tuple[str, ...] = ()


def rank() -> int:
    """Return this process's rank; 0 outside distributed jobs and in the process that starts one."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0


def identity(config: Mapping[str, Any]) -> Config:
    """Return the parts of a configuration that a run's fingerprint is taken over.

    A detector node that is not in effect changes nothing, so that it is left out.
    """
    kept = {key: config[key] for key in IDENTITY if config.get(key) is not None}
    return {key: value for key, value in kept.items() if key != "detector" or detects(config)}


def run_of(config: Mapping[str, Any], root: Path) -> Run:
    """Return the run folder that a configuration always finds: `<task>-<data>-<model>-<fingerprint>`."""
    task = (config.get("task") or {}).get("name", "anatomy")
    name = folder_name(task, config["data"]["name"], config["model"]["name"], fingerprint(identity(config)))
    return Run(root / name)


def part_configs(config: Config) -> dict[str, Config]:
    """Return the configuration of each part that an explainer's run trains for itself, by role, in order.

    A part's configuration holds only what the part depends on: a segmenter knows no task, so all tasks share it.
    """
    blackbox, anatomy = config["blackbox"], config["anatomy"]
    classifier = {"task": config["task"], "data": config["data"], "seed": config["seed"]}
    masks = {"data": mask_data(config), "seed": config["seed"]}
    parts: dict[str, Config] = {}
    if blackbox["kind"] == "trained":
        parts["blackbox"] = {**classifier, "model": blackbox["model"]}
    if blackbox.get("transfer"):
        parts["transfer"] = {**classifier, "model": blackbox["transfer"]}
    if anatomy.get("model"):
        parts["segmenter"] = {**masks, "model": anatomy["model"]}
    if anatomy.get("judge"):
        parts["judge"] = {**masks, "model": anatomy["judge"]}
    return parts | detector_configs(config)


def mask_data(config: Config) -> Config:
    """Return the data node that segmenters train on: another data set, published masks of this one, or its own."""
    anatomy = config["anatomy"]
    if anatomy.get("data"):
        return dict(anatomy["data"])
    return {**config["data"], "masks": anatomy["masks"]} if anatomy.get("masks") else dict(config["data"])


def detector_configs(config: Config) -> dict[str, Config]:
    """Return the configuration of each detector that a run trains: for the loss, and one that judges.

    The loss needs one only where it holds devices and the data set has no masks of them.
    """
    if not detects(config) or config["detector"]["kind"] != "trained":
        return {}
    node = config["detector"]
    boxes = {"data": box_data(config), "seed": config["seed"]}
    parts: dict[str, Config] = {}
    if node.get("model") and needs_device_boxes(config):
        parts["detector"] = {**boxes, "model": node["model"]}
    if node.get("judge"):
        parts["box_judge"] = {**boxes, "model": node["judge"]}
    return parts


def detects(config: Mapping[str, Any]) -> bool:
    """Whether a configuration has detectors: asked for, and trained before or with boxes to train them on.

    A task asks for them on any data; data without boxes goes without.
    """
    node = config.get("detector") or {}
    kind = node.get("kind", "none")
    if kind == "trained":
        return bool(node.get("data") or node.get("boxes")) or hasattr(source_class(config["data"]), "boxes")
    return bool(kind != "none")


def needs_device_boxes(config: Mapping[str, Any]) -> bool:
    """Whether the loss holds devices in a data set that has no masks of them."""
    source = config["data"]["source"]
    has_masks = getattr(source_class(config["data"]), "device_masks", False) or bool(source.get("device"))
    return bool((config.get("loss") or {}).get("device_weight")) and not has_masks


def source_class(data: Mapping[str, Any]) -> Any:
    """Return the class of a data node's source."""
    return locate(str(data["source"]["_target_"]), "data.source")


def is_phantom(data: Mapping[str, Any]) -> bool:
    """Whether a data node is a phantom and not real X-rays."""
    return bool(getattr(source_class(data), "synthetic", False))


def box_data(config: Config) -> Config:
    """Return the data node that detectors train on: another data set, the run's with box files, or with its own.

    Pictures with boxes drawn by hand are few: those of the training patients are all shared out to the detectors.
    """
    node, data = config.get("detector") or {}, config["data"]
    if node.get("data"):
        return dict(node["data"])
    if not node.get("boxes"):
        return dict(data)
    splits = {**data["splits"], "shares": {"anatomy": 1, "judge": 1}}
    return {**data, "boxes": node["boxes"], "splits": splits}


def own_config(config: Config) -> Config:
    """Return what a run of its own stores: everything for an explainer, less for a part trained by itself."""
    name = config["model"]["name"]
    if name == "classifier":
        return {key: config[key] for key in ("task", "data", "model", "seed")}
    if name == "segmenter":
        return {"data": mask_data(config), "model": config["model"], "seed": config["seed"]}
    if name == "detector":
        data, model = box_data(config), config["model"]
        # alone or in a chain, a detector is made for the pictures that it is trained on
        network = {**model["network"], "size": data["size"]}
        return {"data": data, "model": {**model, "network": network}, "seed": config["seed"]}
    return {key: config[key] for key in (*IDENTITY, "evaluation") if key in config}


def is_part(config: Config) -> bool:
    """Whether the model needs no other parts."""
    return config["model"]["name"] in ("classifier", "segmenter", "detector")


def state_of(run: Run) -> str:
    """Return where a trained run stands."""
    if run.finished:
        return "reuse"
    return "resume" if run.last_checkpoint() is not None else "train"


def explainer_state(config: Config, run: Run) -> str:
    """Return where an explainer's own training stands; a method without a network has none."""
    if "network" not in config["model"]:
        return "none"
    return "reuse" if run.weights_file.is_file() else state_of(run)


def plan(config: Config, root: Path) -> list[Stage]:
    """List the stages of a run under the folder of runs, with what of them exists already."""
    own = own_config(config)
    run = run_of(own, root)
    if is_part(config):
        return [Stage(config["model"]["name"], run.name, state_of(run))]
    stages = []
    for role, part in part_configs(config).items():
        folder = run_of(part, root)
        stages.append(Stage(role, folder.name, state_of(folder)))
    needs = tuple(stage.role for stage in stages)
    made = "reuse" if (run.path / "annotations" / "done").is_file() else "make"
    used = tuple(role for role in ("segmenter", "detector", "blackbox") if role in needs)
    stages.append(Stage("annotations", f"{run.name}/annotations", made, used))
    stages.append(Stage("explainer", run.name, explainer_state(config, run), (*needs, "annotations")))
    measured = "reuse" if run.evaluation.done else "make"
    stages.append(Stage("evaluation", f"{run.name}/evaluation", measured, (*needs, "explainer")))
    return stages


def describe(stages: list[Stage]) -> str:
    """Return the plan as the few lines that are printed before anything starts."""
    lines = [
        f"  {number}. {stage.role:<12}{STATES[stage.state]:<26}{stage.folder}"
        for number, stage in enumerate(stages, start=1)
    ]
    return "\n".join(["Plan", *lines])


def agreed_plan(config: Config, root: Path) -> tuple[Run, list[Stage]]:
    """Return the run and its plan: rank 0 makes and writes it, every other rank reads it.

    Raises:
        MissingPath: a rank other than 0 finds no plan.
    """
    run = run_of(own_config(config), root)
    if rank() == 0:
        stages = plan(config, root)
        Run.create(run.path)
        run.write_plan({"stages": [asdict(stage) for stage in stages]})
        return run, stages
    if not (run.path / "plan.json").is_file():
        raise MissingPath(
            "runs",
            str(root),
            f"rank {rank()} finds no plan of {run.name}",
            "give all ranks the same folder of runs",
        )
    return run, [Stage(**{**stage, "needs": tuple(stage["needs"])}) for stage in run.plan()["stages"]]
