"""From a run's folder to what it explains with: its black box, segmenters and explainer, ready to use.

Everything is read from the run's own `parts/`, so that a run can be moved and its neighbours removed.
"""

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from cfx import chain
from cfx.anatomy.detection import Finder
from cfx.anatomy.detection_networks import DetectionNetwork
from cfx.anatomy.masks import soft_masks
from cfx.assembly import black_box_of, explainer_of, trained_network
from cfx.classifiers.blackbox import BlackBox
from cfx.classifiers.exported import from_exported
from cfx.classifiers.torchxrayvision_box import from_torchxrayvision
from cfx.errors import BadValue, CheckpointMismatch, MissingPath, UnknownChoice
from cfx.explainers.base import Explainer
from cfx.files import write_atomic
from cfx.runs import Run

Config = dict[str, Any]
KINDS = ("trained", "checkpoint", "exported", "torchxrayvision")


@dataclass(frozen=True)
class LoadedRun:
    """A finished explainer's run in memory, on one device.

    explainer: draws counterfactuals. blackbox: what is explained. segmenter, judge: soft masks (B, 3, H, W) of images,
    the first for training, the second for measuring; None where the run has none. transfer: the independent classifier.
    finder: the detector that measures, None where the run has none; finder_data: the data node it was trained on.
    """

    run: Run
    config: Config
    explainer: Explainer
    blackbox: BlackBox
    segmenter: Any
    judge: Any
    transfer: BlackBox | None
    finder: Finder | None = None
    finder_data: Config | None = None


def check_given(config: Config) -> None:
    """Refuse a black box, segmenter or detector that is not there or does not fit, before anything is trained for it.

    Raises:
        MissingPath: naming `blackbox.path`, `anatomy.path`, `anatomy.judge_path` or their like of the detector.
        CheckpointMismatch: it is of another finding, or no detector. BadValue: phantoms would judge real X-rays.
    """
    blackbox, anatomy = config["blackbox"], config["anatomy"]
    if blackbox["kind"] == "checkpoint":
        black_box_of(Run.open(blackbox["path"], "blackbox.path"), config["task"]["finding"])
    elif blackbox["kind"] == "exported":
        _exported_file(blackbox)
    for key in ("path", "judge_path"):
        if anatomy.get(key):
            Run.open(anatomy[key], f"anatomy.{key}")
    _check_detector(config)


def _check_detector(config: Config) -> None:
    """Refuse detectors that are none, and those that only know phantoms where the data are X-rays."""
    if not chain.detects(config):
        return
    node = config["detector"]
    for key in ("path", "judge_path"):
        if node.get(key):
            given = Run.open(node[key], f"detector.{key}").config
            if given["model"]["name"] != "detector":
                problem = f"is a run of model={given['model']['name']}"
                raise CheckpointMismatch(f"detector.{key}", node[key], problem, "give the run of a detector")
            refuse_phantoms(given["data"], config["data"], f"detector.{key}", str(node[key]))
    for part in chain.detector_configs(config).values():
        refuse_phantoms(part["data"], config["data"], "detector.data", part["data"]["name"])


def refuse_phantoms(trained_on: Config, data: Config, argument: str, value: str) -> None:
    """Refuse a detector trained on phantoms for real X-rays: what it scores there means nothing.

    Raises:
        BadValue: naming the argument.
    """
    if chain.is_phantom(trained_on) and not chain.is_phantom(data):
        problem = f"a detector trained on phantoms does not score the real X-rays of data={data['name']}"
        raise BadValue(argument, value, problem, "give one trained on X-rays, or detector=none")


def _exported_file(node: Config) -> Path:
    origin = Path(str(node["path"])).expanduser()
    if not origin.is_file():
        remedy = "give a TorchScript or torch.export file"
        raise MissingPath("blackbox.path", str(node["path"]), "there is no such file", remedy)
    return origin


def external_part(config: Config, part: Run) -> None:
    """Copy a black box that is not trained here into `parts/blackbox`, so that the run needs it no longer.

    Raises:
        MissingPath: `blackbox.path` names nothing. UnknownChoice: an unknown kind.
    """
    node = config["blackbox"]
    if node["kind"] == "exported":
        origin = _exported_file(node)
        write_atomic(part.path / "model.pt", lambda beside: shutil.copyfile(origin, beside))
        part.write_config({"blackbox": node})
    elif node["kind"] == "torchxrayvision":
        box = from_torchxrayvision(finding=config["task"]["finding"], **_settings(node))
        part.write_config({"blackbox": node})
        part.write_weights(box.state_dict())
    else:
        raise UnknownChoice(
            "blackbox.kind", node["kind"], "is no kind of black box", f"one of {', '.join(KINDS)}"
        )


def _settings(node: Config) -> Config:
    return {
        key: value for key, value in node.items() if key not in ("kind", "path", "transfer", "model", "name")
    }


def load_black_box(run: Run) -> BlackBox:
    """Return the frozen black box of a run from `parts/blackbox`."""
    part = run.part("blackbox")
    config = run.config
    node, finding = config["blackbox"], config["task"]["finding"]
    if node["kind"] == "exported":
        return from_exported(part.path / "model.pt", finding=finding, **_settings(node))
    if node["kind"] == "torchxrayvision":
        # Built with random weights, since the run keeps its own and nothing is to be fetched.
        box = from_torchxrayvision(finding=finding, **{**_settings(node), "weights": None, "random": True})
        part.load_into(box, "blackbox")
        return box
    return black_box_of(part, finding)


def load_segmenter(part: Run, device: str | torch.device = "cpu") -> Any:
    """Return a function from images (B, 1, H, W) in [-1, 1] to soft masks (B, 3, H, W), None where there is no part."""
    if not part.weights_file.is_file():
        return None
    network = trained_network(part).requires_grad_(False).to(device)
    return partial(soft_masks, network, size=None, native=int(part.config["data"]["size"]))


def load_finder(part: Run, device: str | torch.device = "cpu") -> Finder | None:
    """Return a detector ready to find boxes on images (B, 1, H, W) in [-1, 1], None where there is no part."""
    if not part.weights_file.is_file():
        return None
    network = trained_network(part).requires_grad_(False).to(device)
    return Finder(cast(DetectionNetwork, network), native=int(part.config["data"]["size"]))


def load_explainer(value: str | Path | Run, *, device: str | torch.device = "cpu") -> LoadedRun:
    """Return a finished explainer's run, `pretrained/X` included, with everything on one device.

    Raises:
        UserError: the run is missing, unfinished, or not an explainer's.
    """
    run = value if isinstance(value, Run) else Run.open(value)
    config = run.config
    if "explainer" not in config["model"]:
        raise UnknownChoice(
            "run",
            str(run.path),
            f"is a run of model={config['model']['name']}, which explains nothing",
            "give the run of an explainer",
        )
    blackbox = load_black_box(run).to(device)
    made = explainer_of(config, trained_network(run), blackbox)
    transfer = run.part("transfer")
    detectors = [
        part for part in (run.part("box_judge"), run.part("detector")) if part.weights_file.is_file()
    ]
    return LoadedRun(
        run=run,
        config=config,
        explainer=made.to(device).eval(),
        blackbox=blackbox,
        segmenter=load_segmenter(run.part("segmenter"), device),
        judge=load_segmenter(run.part("judge"), device),
        transfer=black_box_of(transfer, config["task"]["finding"]).to(device)
        if transfer.weights_file.is_file()
        else None,
        finder=load_finder(detectors[0], device) if detectors else None,
        finder_data=detectors[0].config["data"] if detectors else None,
    )
