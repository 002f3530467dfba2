"""The objects of a run from its resolved configuration: data, networks, black box, modules.

A configuration here is plain dicts, as `runs.Run.config` stores it. Everything is made by `cfx.build.build`; this
module knows only which nodes belong together.
"""

import math
from typing import Any, cast

import pandas as pd
import pytorch_lightning as pl
from torch import nn

from cfx.build import build, check_targets, takes
from cfx.classifiers.blackbox import BlackBox
from cfx.data.attributes import ATTRIBUTES
from cfx.data.datamodule import ChestXrayDataModule
from cfx.errors import BadValue, CheckpointMismatch, UnknownChoice, nearest
from cfx.explainers.base import Explainer
from cfx.explainers.gan.explainer import KNOBS
from cfx.explainers.gan.losses import KINDS, LossWeights
from cfx.metrics.boxes import BoxSet
from cfx.runs import Run
from cfx.schema import read

Config = dict[str, Any]
# Keys of a model node that the chain reads; all others are its LightningModule's.
CHAIN_KEYS = (
    "name", "part", "fit", "network", "discriminator", "explainer", "prior", "transform", "watch", "attributes",
)  # fmt: skip


def source(config: Config) -> Any:
    """Return the data source of a run."""
    return build(config["data"]["source"], place="data.source")


def data_module(
    config: Config,
    *,
    part: str,
    batch_size: int,
    smoke: bool = False,
    **extra: Any,
) -> ChestXrayDataModule:
    """Return the one LightningDataModule, for the patients of `part`.

    Args:
        config: a run's configuration with `data` (and `seed`).
        part: share of the training patients to train on (`blackbox`, `explainer`, `anatomy`, `judge`).
        batch_size: images a step and process.
        smoke: keep a handful of images a split.
        extra: passed to the data module, over the configuration.
    """
    node = config["data"]
    transform = config["model"].get("transform") or node.get("transform")
    settings = {
        "size": node["size"],
        "findings": findings(config) if config.get("task") else [],
        "finding": config["task"]["finding"] if config.get("task") else None,
        "views": node.get("views"),
        "uncertain": node.get("uncertain", "ignore"),
        "splits": build(node["splits"], place="data.splits"),
        "workers": node.get("workers", 0),
        "on_error": node.get("on_error", "raise"),
        "transform": build(transform, place="transform") if transform else None,
        "limit": 48 if smoke else node.get("limit"),
        "seed": config["seed"],
        "masks_from": build(node["masks"], place="anatomy.masks") if node.get("masks") else None,
        "boxes_from": build(node["boxes"], place="detector.boxes") if node.get("boxes") else None,
    }
    if config["model"]["name"] == "detector":
        settings["extras"] = ("boxes",)
    return ChestXrayDataModule(source(config), part=part, batch_size=batch_size, **{**settings, **extra})


def true_boxes(config: Config, data: ChestXrayDataModule, table: pd.DataFrame) -> list[BoxSet | None] | None:
    """Return the boxes drawn by hand or known of a phantom, in the order of a table, None for a picture that nobody
    looked at; None alone where no boxes belong to these data.
    """
    node = (config.get("detector") or {}).get("boxes")
    origin = build(node, place="detector.boxes") if node else data.source
    if not hasattr(origin, "boxes"):
        return None
    known = origin.boxes(table)
    return [known.get(str(name)) for name in table["image_id"]]


def findings(config: Config) -> list[str]:
    """Return the data's findings with the task's own first, since balanced sampling and stopping look at that.

    A classifier whose model node has `attributes` learns these beside them, last.

    Raises:
        UnknownChoice: the data have no such finding, or there is no such attribute.
    """
    known = list(config["data"].get("findings") or [])
    finding = config["task"]["finding"]
    if known and finding not in known:
        near = nearest(finding, known)
        raise UnknownChoice(
            "task.finding",
            finding,
            f"is not a finding of data={config['data']['name']}",
            f"did you mean {near!r}" if near else f"it has {', '.join(known)}",
        )
    attributes = list((config.get("model") or {}).get("attributes") or [])
    for name in attributes:
        if name not in ATTRIBUTES.values():
            choices = list(ATTRIBUTES.values())
            near = nearest(str(name), choices)
            remedy = f"did you mean {near!r}" if near else f"choose from {', '.join(choices)}"
            raise UnknownChoice("model.attributes", name, "there is no such attribute", remedy)
    return [finding, *(name for name in known if name != finding), *attributes]


def network(config: Config) -> nn.Module:
    """Return the freshly initialised network whose state dict is the run's `weights.safetensors`."""
    extra: Config = {"findings": findings(config)} if config["model"]["name"] == "classifier" else {}
    return cast(nn.Module, build(config["model"]["network"], place="model.network", **extra))


def trained_network(run: Run) -> nn.Module:
    """Return a finished run's network with its weights, in eval mode.

    Raises:
        MissingPath: the run has no weights. CheckpointMismatch: they do not fit its configuration.
    """
    made = network(run.config)
    weights = run.load_weights()
    try:
        made.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointMismatch(
            "run",
            run.path,
            f"weights do not fit its configuration ({str(error).splitlines()[-1].strip()})",
            "use the weights.safetensors that were written with this config.yaml",
        ) from error
    return made.eval()


def black_box_of(run: Run, finding: str) -> BlackBox:
    """Return a trained classifier run as the frozen black box of one finding, at the prior that its weights hold.

    That is None for a finding which too few validation patients had: its output was left as it came.

    Raises:
        CheckpointMismatch: the run is no classifier, or was not trained for that finding.
    """
    kind = run.config["model"]["name"]
    if kind != "classifier":
        problem, remedy = (
            f"is a run of model={kind}",
            "give the run of a classifier, such as the run's own parts/blackbox",
        )
        raise CheckpointMismatch("blackbox", run.path.name, problem, remedy)
    known = findings(run.config)
    if finding not in known:
        raise CheckpointMismatch(
            "blackbox",
            run.path.name,
            f"was trained for {', '.join(known)}, not {finding}",
            "choose a classifier of this finding",
        )
    trained, index = trained_network(run), known.index(finding)
    prior = float(trained.get_buffer("prior")[index])
    # float32 holds .1 as .100000001
    stated = None if math.isnan(prior) else round(prior, 6)
    return BlackBox(trained, finding=finding, index=index, prior=stated, names=known)


def is_trained(config: Config) -> bool:
    """Whether an explainer has anything to train; pixel descent has not."""
    return "network" in config["model"]


def check_explainer(config: Config) -> None:
    """Refuse what would only be noticed when everything that an explainer needs has been trained.

    That is a finding that the data do not have, a key that the explainer does not take, a knob that does not exist,
    ends that are none, a loss for an explainer that has an objective of its own, none for one that needs it, and
    wrong weights.

    Raises:
        BadValue, UnknownChoice: naming `task.finding`, the key in `model`, `loss` or the key in it.
    """
    findings(config)
    model, kind = config["model"], config["loss"].get("kind")
    check_targets(model["explainer"], "model.explainer")
    for place, node in (("model", model), ("model.explainer", model["explainer"])):
        limit = node.get("target_limit", 0.0)
        if not isinstance(limit, int | float) or not 0 <= limit < 0.5:
            problem = "0 and 1 can not stand for this and 1 minus it"
            raise BadValue(f"{place}.target_limit", limit, problem, "give a number from 0 to under 0.5")
    knob = model["explainer"].get("knob", KNOBS[0])
    if knob not in KNOBS:
        raise UnknownChoice(
            "model.explainer.knob", knob, "there is no such knob", f"choose of {', '.join(KNOBS)}"
        )
    wanted = "loss" in takes(model, "model")
    if wanted and kind == "none":
        raise BadValue("loss", kind, f"model={model['name']} needs an objective", "give loss=context_aware")
    if not wanted and kind != "none":
        problem = f"model={model['name']} has no use for it: what it minimises is in its own file"
        raise BadValue("loss", kind, problem, "leave loss=... out")
    if wanted:
        _check_weights(config["loss"])


def _check_weights(node: Config) -> None:
    """Refuse a weight that would only be noticed when the black box has been trained.

    Raises:
        BadValue, UnknownChoice: naming the key in `loss`.
    """
    kind = node.get("kind")
    if kind not in KINDS:
        near = nearest(str(kind), KINDS)
        listed = ", ".join(KINDS)
        remedy = f"did you mean {near!r}, of {listed}" if near else f"choose of {listed}"
        raise UnknownChoice("loss.kind", kind, "there is no such choice", remedy)
    weights = {key: value for key, value in node.items() if key != "name"}
    for key, value in weights.items():
        if isinstance(value, int | float) and value < 0:
            raise BadValue(f"loss.{key}", value, "is negative", "give 0 to leave the term out, or more")
    read(LossWeights, weights, "loss")


def explainer_module(config: Config, blackbox: BlackBox, posteriors: list[float]) -> pl.LightningModule:
    """Return the LightningModule that trains an explainer, given what its constructor asks for and nothing else.

    posteriors: quantiles of what the black box says of training pictures, rising.
    """
    model = config["model"]
    wanted = takes(model, "model")
    offered: Config = {"blackbox": blackbox, "regions": config["task"]["regions"], "posteriors": posteriors}
    offered["loss"] = {key: value for key, value in config["loss"].items() if key != "name"}
    if model.get("discriminator"):
        offered["discriminator"] = build(model["discriminator"], place="model.discriminator")
    extra = {name: value for name, value in offered.items() if name in wanted}
    return cast(pl.LightningModule, build(model, network(config), drop=CHAIN_KEYS, place="model", **extra))


def explainer_of(config: Config, trained: nn.Module | None, blackbox: BlackBox) -> Explainer:
    """Return the explainer that a run's `model.explainer` describes, with its trained network where it has one."""
    networks = [] if trained is None else [trained]
    made = build(config["model"]["explainer"], *networks, blackbox, place="model.explainer")
    return cast(Explainer, made)
