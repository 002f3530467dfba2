"""From a run's folder to what it explains with: its black box, segmenters and explainer, ready to use.

Everything is read from the run's own `parts/`, so that a run can be moved and its neighbours removed.
"""

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cfx.anatomy.masks import soft_masks
from cfx.assembly import black_box_of, explainer_of, is_trained, trained_network
from cfx.classifiers.blackbox import BlackBox
from cfx.classifiers.exported import from_exported
from cfx.classifiers.torchxrayvision_box import from_torchxrayvision
from cfx.errors import MissingPath, UnknownChoice
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
    """

    run: Run
    config: Config
    explainer: Explainer
    blackbox: BlackBox
    segmenter: Any
    judge: Any
    transfer: BlackBox | None


def check_given(config: Config) -> None:
    """Refuse a black box or segmenter that is not there, before anything is trained for it.

    Raises:
        MissingPath: naming `blackbox.path`, `anatomy.path` or `anatomy.judge_path`.
    """
    blackbox, anatomy = config["blackbox"], config["anatomy"]
    if blackbox["kind"] == "checkpoint":
        black_box_of(Run.open(blackbox["path"], "blackbox.path"), config["task"]["finding"])
    elif blackbox["kind"] == "exported":
        exported_file(blackbox)
    for key in ("path", "judge_path"):
        if anatomy.get(key):
            Run.open(anatomy[key], f"anatomy.{key}")


def exported_file(node: Config) -> Path:
    """Return the file of a black box that comes as a program.

    Raises:
        MissingPath: naming `blackbox.path`.
    """
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
        origin = exported_file(node)
        write_atomic(part.path / "model.pt", lambda beside: shutil.copyfile(origin, beside))
        part.write_config({"blackbox": node})
    elif node["kind"] == "torchxrayvision":
        box = from_torchxrayvision(finding=config["task"]["finding"], **box_settings(node))
        part.write_config({"blackbox": node})
        part.write_weights(box.state_dict())
    else:
        raise UnknownChoice(
            "blackbox.kind", node["kind"], "is no kind of black box", f"one of {', '.join(KINDS)}"
        )


def box_settings(node: Config) -> Config:
    """Return those keys of a `blackbox` node that the black box's own constructor takes."""
    return {
        key: value for key, value in node.items() if key not in ("kind", "path", "transfer", "model", "name")
    }


def load_black_box(run: Run) -> BlackBox:
    """Return the frozen black box of a run from `parts/blackbox`."""
    part = run.part("blackbox")
    config = run.config
    node, finding = config["blackbox"], config["task"]["finding"]
    if node["kind"] == "exported":
        return from_exported(part.path / "model.pt", finding=finding, **box_settings(node))
    if node["kind"] == "torchxrayvision":
        # Built with random weights, since the run keeps its own and nothing is to be fetched.
        box = from_torchxrayvision(finding=finding, **{**box_settings(node), "weights": None, "random": True})
        part.load_into(box, "blackbox")
        return box
    return black_box_of(part, finding)


def load_segmenter(part: Run, device: str | torch.device = "cpu") -> Any:
    """Return a function from images (B, 1, H, W) in [-1, 1] to soft masks (B, 3, H, W), None where there is no part."""
    if not part.weights_file.is_file():
        return None
    network = trained_network(part).requires_grad_(False).to(device)
    return partial(soft_masks, network, size=None, native=int(part.config["data"]["size"]))


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
    made = explainer_of(config, trained_network(run) if is_trained(config) else None, blackbox)
    transfer = run.part("transfer")
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
    )
