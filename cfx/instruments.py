"""What anyone's counterfactuals are measured with: a black box, a segmenter and, if there is one, a second classifier.

They come from a finished explainer's run, or from a configuration as `cfx.train` composes it (`blackbox=...`,
`anatomy=...`). Nothing is trained here: what a configuration would train must be there.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfx import chain
from cfx.assembly import Config, black_box_of
from cfx.classifiers.blackbox import BlackBox
from cfx.classifiers.exported import from_exported
from cfx.classifiers.torchxrayvision_box import from_torchxrayvision
from cfx.errors import MissingPath
from cfx.evaluation.familiarity import Familiarity
from cfx.loading import (
    LoadedRun,
    box_settings,
    check_given,
    exported_file,
    load_segmenter,
    measuring_segmenter,
    with_path,
)
from cfx.runs import Run


@dataclass(frozen=True)
class Instruments:
    """Everything on one device.

    Attributes:
        blackbox: what is explained.
        judge: (B, 1, H, W) -> soft masks (B, 3, h, w).
        transfer: the independent classifier, or None.
        familiar: whether pictures are like the training data, or None.
        size: side in pixels that they know.
    """

    blackbox: BlackBox
    judge: Any
    transfer: BlackBox | None
    familiar: Familiarity | None
    size: int


def instruments_of_run(loaded: LoadedRun, device: str) -> Instruments:
    """Return what a run's own counterfactuals are measured with.

    Raises:
        BadValue: the run has no segmenter.
    """
    judge = measuring_segmenter(loaded)
    familiar = Familiarity.load(loaded.run)
    return Instruments(
        loaded.blackbox,
        judge,
        loaded.transfer,
        None if familiar is None else familiar.to(device),
        int(loaded.config["data"]["size"]),
    )


def instruments_of_config(config: Config, root: Path, device: str) -> Instruments:
    """Return what a configuration names: `blackbox`, `anatomy`, and the independent classifier where it is trained.

    Args:
        config: as `cfx.train` resolves it. root: the folder of runs. device: where the networks go.

    Raises:
        UserError: the black box or the segmenter is not there, or is of another finding.
    """
    check_given(config)
    parts = {role: chain.run_of(part, root) for role, part in chain.part_configs(config).items()}
    blackbox, size = _black_box(config, parts.get("blackbox"))
    transfer = parts.get("transfer")
    finding = config["task"]["finding"]
    known = transfer is not None and transfer.weights_file.is_file()
    return Instruments(
        blackbox.to(device),
        load_segmenter(_judge(config, parts), device),
        black_box_of(transfer, finding).to(device) if transfer is not None and known else None,
        None,
        size,
    )


def _black_box(config: Config, trained: Run | None) -> tuple[BlackBox, int]:
    """Return the black box with the side of the pictures that it was trained on."""
    node, finding = config["blackbox"], config["task"]["finding"]
    size = int(config["data"]["size"])
    if node["kind"] == "exported":
        return from_exported(
            exported_file(node), finding=finding, prior=node.get("prior"), **box_settings(node)
        ), size
    if node["kind"] == "torchxrayvision":
        return from_torchxrayvision(finding=finding, prior=node.get("prior"), **with_path(node)), size
    if trained is None:
        run = Run.open(node["path"], "blackbox.path")
    elif trained.weights_file.is_file():
        run = trained
    else:
        raise MissingPath(
            "blackbox",
            node["kind"],
            f"no such classifier has been trained ({trained.path} is not there)",
            "give blackbox=checkpoint blackbox.path=RUN, or train it: python -m cfx.train model=classifier ...",
        )
    return black_box_of(run, finding), int(run.config["data"]["size"])


def _judge(config: Config, trained: dict[str, Run]) -> Run:
    """Return the segmenter that measures: the evaluation's own, else the one that there is."""
    node = config["anatomy"]
    for key, role in (("judge_path", "judge"), ("path", "segmenter")):
        if node.get(key):
            return Run.open(node[key], f"anatomy.{key}")
        if role in trained and trained[role].weights_file.is_file():
            return trained[role]
    places = ", ".join(str(trained[role].path) for role in ("judge", "segmenter") if role in trained)
    raise MissingPath(
        "anatomy",
        node.get("kind"),
        f"no segmenter has been trained to measure with ({places} are not there)",
        "give anatomy=pretrained, or anatomy=checkpoint anatomy.path=RUN",
    )
