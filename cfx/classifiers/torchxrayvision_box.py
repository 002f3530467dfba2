"""The DenseNets of torchxrayvision (Cohen et al., MIDL 2022) as black boxes: 224 px, grey values in [-1024,
1024].

The package is an extra (`pip install "cfx[xrv]"`) and is imported on use only. Weights are named as it names
them and fetched by it when asked for by name; a file that is already here is given by `path`.
"""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cfx.classifiers.blackbox import BlackBox
from cfx.errors import BadValue, CheckpointMismatch, MissingPath, UnknownChoice, nearest

SIDE = 224
RANGE = 1024.0
# CheXpert's name of a finding -> torchxrayvision's, where they differ.
NAMES = {
    "Pleural Effusion": "Effusion",
    "Pleural Thickening": "Pleural_Thickening",
    "Lung Opacity": "Lung Opacity",
    "Enlarged Cardiomediastinum": "Enlarged Cardiomediastinum",
}


def _package() -> Any:
    try:
        return importlib.import_module("torchxrayvision")
    except ImportError as error:
        raise MissingPath(
            "blackbox", "torchxrayvision", "the package is not installed", "pip install 'cfx[xrv]'"
        ) from error


def from_torchxrayvision(
    finding: str,
    weights: str | None = None,
    path: str | Path | None = None,
    prior: float | None = None,
    random: bool = False,
) -> BlackBox:
    """Return a torchxrayvision DenseNet as the frozen black box of one finding.

    Where the weights come with an operating point t, log odds are moved by `-logit(t)`, so that the posterior
    is 0.5 there as in the package; its own rescaling has a kink at t and is not used.

    Args:
        finding: by CheXpert's or torchxrayvision's name.
        weights: name such as `densenet121-res224-chex`; fetched by the package where it has it not.
        path: a file of weights instead: a state dict, or the whole network as the package stores it.
        prior: what the posterior is said to refer to; None until `BlackBox.recalibrate` by validation patients.
        random: random weights, for trying things out.

    Raises:
        MissingPath: the package or the file is not there. UnknownChoice: no such weights or finding.
        CheckpointMismatch: the file does not fit. BadValue: not exactly one of `weights`, `path`, `random`.

    """
    if sum([weights is not None, path is not None, random]) != 1:
        remedy = "give blackbox.weights=NAME, or blackbox.weights=null with blackbox.path=FILE or blackbox.random=true"
        raise BadValue("blackbox.weights", weights, "exactly one source of weights is needed", remedy)
    models = _package().models
    known = [name for name in models.model_urls if name.startswith("densenet")]
    if weights is not None and weights not in known:
        near = nearest(weights, known)
        hint = f"did you mean {near!r}" if near else f"use one of {', '.join(known)}"
        raise UnknownChoice("blackbox.weights", weights, "torchxrayvision has no such DenseNet", hint)
    network: Any = models.DenseNet(weights=weights)
    if path is not None:
        _load(network, path)
    targets: list[str] = list(network.targets)
    index = _index(finding, targets)
    shift = 0.0
    thresholds = getattr(network, "op_threshs", None)
    if thresholds is not None:
        threshold = float(thresholds.flatten()[index])
        if math.isnan(threshold):
            raise UnknownChoice(
                "task.finding", finding, f"was not trained in {weights}", "choose other weights"
            )
        shift = -math.log(threshold / (1 - threshold))
    # Set on the instance: its forward would map the logits to rescaled probabilities otherwise.
    network.op_threshs = None
    network.apply_sigmoid = False
    return BlackBox(
        network, finding=finding, index=index, scale=RANGE, size=SIDE, prior=prior, logit_shift=shift
    )


def _index(finding: str, targets: list[str]) -> int:
    name = NAMES.get(finding, finding)
    folded = {target.casefold().replace("_", " "): place for place, target in enumerate(targets) if target}
    place = folded.get(name.casefold().replace("_", " "))
    if place is None:
        near = nearest(name, targets)
        hint = f"did you mean {near!r}" if near else f"it has {', '.join(t for t in targets if t)}"
        raise UnknownChoice("task.finding", finding, "is no output of this network", hint)
    return place


def _load(network: nn.Module, path: str | Path) -> None:
    file = Path(path).expanduser()
    if not file.is_file():
        raise MissingPath("blackbox.path", str(path), "there is no such file", "give a file of weights")
    remedy = "give a state dict of torchxrayvision's DenseNet-121 with 18 outputs"
    try:
        # Whole networks are pickles; with these classes alone, loading one runs no code of the file's own.
        with torch.serialization.safe_globals(_classes()):
            stored = torch.load(file, map_location="cpu", weights_only=True)
        state = stored.state_dict() if isinstance(stored, nn.Module) else stored.get("state_dict", stored)
        state.pop("op_threshs", None)
        network.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointMismatch("blackbox.path", str(path), f"does not load ({reason})", remedy) from error


def _classes() -> list[Any]:
    """Return the classes that a DenseNet stored whole consists of."""
    models = _package().models
    layers = [nn.Sequential, nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.Linear]
    return [models.DenseNet, models._DenseBlock, models._DenseLayer, models._Transition, *layers, set]
