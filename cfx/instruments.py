"""What counterfactuals are measured with, a run's own and anyone's: a black box, a segmenter and what else there is.

Beside these two an independent classifier with its threshold, a detector, and what tells unfamiliar pictures.

They come from a finished explainer's run, or from a configuration as `cfx.train` composes it (`blackbox=...`,
`anatomy=...`). Nothing is trained here: what a configuration would train must be there.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfx import calibrating, chain
from cfx.anatomy.detection import Finder
from cfx.assembly import Config, black_box_of
from cfx.classifiers.blackbox import BlackBox
from cfx.classifiers.exported import from_exported
from cfx.classifiers.torchxrayvision_box import from_torchxrayvision
from cfx.errors import MissingPath
from cfx.evaluation.familiarity import Familiarity
from cfx.loading import (
    DEFAULT_THRESHOLD,
    LoadedRun,
    box_settings,
    check_given,
    chosen_threshold,
    exported_file,
    load_finder,
    load_segmenter,
    may_score,
    measuring_finder,
    measuring_segmenter,
    wants_detector,
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
        threshold: the posterior from which on `transfer` calls the finding.
        finder: the evaluation detector, or None.
        finder_trained_on: name of the data that it was trained on, or None.
        notes: what a reader of the figures must know of these.
    """

    blackbox: BlackBox
    judge: Any
    transfer: BlackBox | None
    familiar: Familiarity | None
    size: int
    threshold: float = DEFAULT_THRESHOLD
    finder: Finder | None = None
    finder_trained_on: str | None = None
    notes: tuple[str, ...] = ()


def instruments_of_run(loaded: LoadedRun, config: Config, device: str) -> Instruments:
    """Return what a run measures counterfactuals with, its own and anyone's.

    Args:
        loaded: the run.
        config: its own or another; `data` says what the pictures are, since not every detector knows every picture.
        device: where the networks are.

    Raises:
        BadValue: the run has no segmenter.
    """
    judge = measuring_segmenter(loaded)
    familiar = Familiarity.load(loaded.run)
    finder = measuring_finder(loaded, config)
    notes = calibrating.notes(loaded.run)
    if loaded.judge is None:
        notes.append(
            "there is no evaluation segmenter: the CTR was measured by the one of the loss, which the explainer may "
            "have been fitted to"
        )
    if loaded.finder is not None and finder is None and wants_detector(config):
        notes.append("the run's detector knows phantoms alone: it does not score these X-rays")
    return Instruments(
        loaded.blackbox,
        judge,
        loaded.transfer,
        None if familiar is None else familiar.to(device),
        int(config["data"]["size"]),
        loaded.threshold,
        finder,
        None if finder is None else (loaded.finder_data or {}).get("name"),
        tuple(notes),
    )


def instruments_of_config(config: Config, root: Path, device: str) -> Instruments:
    """Return what a configuration names: `blackbox`, `anatomy`, and independent classifier and detector where trained.

    Args:
        config: as `cfx.train` resolves it. root: the folder of runs. device: where the networks go.

    Raises:
        UserError: the black box or the segmenter is not there, or is of another finding.
    """
    check_given(config)
    parts = {role: chain.run_of(part, root) for role, part in chain.part_configs(config).items()}
    blackbox, data = _black_box(config, parts.get("blackbox"))
    size = int((data or config["data"])["size"])
    transfer = parts.get("transfer")
    if transfer is not None and not transfer.weights_file.is_file():
        transfer = None
    threshold = None if transfer is None else chosen_threshold(transfer)
    note = None if transfer is None else calibrating.threshold_note(transfer)
    detector = _detector(config, parts, data)
    return Instruments(
        blackbox.to(device),
        load_segmenter(_judge(config, parts), device),
        None if transfer is None else black_box_of(transfer, config["task"]["finding"]).to(device),
        None,
        size,
        DEFAULT_THRESHOLD if threshold is None else threshold,
        None if detector is None else load_finder(detector, device),
        None if detector is None else detector.config["data"]["name"],
        () if note is None else (note,),
    )


def _black_box(config: Config, trained: Run | None) -> tuple[BlackBox, Config | None]:
    """Return the black box with the data node that it was trained on, None where it was not trained here."""
    node, finding = config["blackbox"], config["task"]["finding"]
    if node["kind"] == "exported":
        return from_exported(
            exported_file(node), finding=finding, prior=node.get("prior"), **box_settings(node)
        ), None
    if node["kind"] == "torchxrayvision":
        return from_torchxrayvision(finding=finding, prior=node.get("prior"), **with_path(node)), None
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
    return black_box_of(run, finding), run.config["data"]


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


def _detector(config: Config, trained: dict[str, Run], data: Config | None) -> Run | None:
    """Return the detector that measures: the evaluation's own, else the one that there is; None without one.

    What the pictures are is not known here, but they are those of the black box: a detector of phantoms scores them
    only where that one was trained on phantoms too.
    """
    node = config.get("detector") or {}
    if not chain.detects(config):
        return None
    for key, role in (("judge_path", "box_judge"), ("path", "detector")):
        run = Run.open(node[key], f"detector.{key}") if node.get(key) else trained.get(role)
        if run is None or not run.weights_file.is_file():
            continue
        trained_on = run.config["data"]
        known = not chain.is_phantom(trained_on) if data is None else may_score(trained_on, data)
        return run if known else None
    return None
