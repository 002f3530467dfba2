"""From a run's folder to what it explains with: its black box, segmenters and explainer, ready to use.

Everything is read from the run's own `parts/`, so that a run can be moved and its neighbours removed.
"""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from cfx import chain
from cfx.anatomy.detection import Finder
from cfx.anatomy.detection_networks import DetectionNetwork
from cfx.anatomy.masks import soft_masks
from cfx.assembly import black_box_of, data_module, explainer_of, is_trained, trained_network
from cfx.classifiers.blackbox import BlackBox
from cfx.classifiers.exported import from_exported
from cfx.classifiers.torchxrayvision_box import from_torchxrayvision
from cfx.data.splits import differences, has_official
from cfx.errors import BadValue, CheckpointMismatch, MissingPath, UnknownChoice
from cfx.explainers.base import Explainer
from cfx.files import write_atomic
from cfx.runs import Run

Config = dict[str, Any]
KINDS = ("trained", "checkpoint", "exported", "torchxrayvision")
# Of the independent classifier, where no validation patients were asked (see `cfx.calibrating`).
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class LoadedRun:
    """A finished explainer's run in memory, on one device.

    explainer: draws counterfactuals. blackbox: what is explained. segmenter, judge: soft masks (B, 3, H, W) of images,
    the first for training, the second for measuring; None where the run has none. transfer: the independent classifier.
    threshold: the posterior from which on that one calls the finding, by validation patients.
    finder: the detector that measures, None where the run has none; finder_data: the data node it was trained on.
    """

    run: Run
    config: Config
    explainer: Explainer
    blackbox: BlackBox
    segmenter: Any
    judge: Any
    transfer: BlackBox | None
    threshold: float = DEFAULT_THRESHOLD
    finder: Finder | None = None
    finder_data: Config | None = None

    def used_as(self, config: Config) -> "LoadedRun":
        """Return the run with its explainer made again as a configuration's `model.explainer` says, same weights.

        Raises:
            BadValue: a setting that this explainer does not have.
        """
        if config["model"]["explainer"] == self.config["model"]["explainer"]:
            return self
        trained = trained_network(self.run) if is_trained(self.config) else None
        device = next((each.device for each in self.blackbox.parameters()), torch.device("cpu"))
        try:
            made = explainer_of(config, trained, self.blackbox).to(device).eval()
        except ValueError as error:
            wanted = config["model"]["explainer"]
            changed = {k: v for k, v in wanted.items() if v != self.config["model"]["explainer"].get(k)}
            raise BadValue(
                "model.explainer", changed, str(error), "see its settings in conf/model"
            ) from error
        return replace(self, explainer=made, config=config)


def measuring_segmenter(loaded: LoadedRun) -> Any:
    """Return the segmenter that measures: the evaluation's own, which no loss has seen, else that of the loss.

    Raises:
        BadValue: the run has neither, so that nothing could be measured.
    """
    found = loaded.judge or loaded.segmenter
    if found is None:
        problem = "has no segmenter to measure with: it is not finished, or was trained without"
        remedy = (
            "go on with the command that trained it, train with anatomy=trained, or give another run=FOLDER"
        )
        raise BadValue("run", str(loaded.run.path), problem, remedy)
    return found


def measuring_finder(loaded: LoadedRun, config: Config) -> Finder | None:
    """Return the detector that measures pictures of a configuration's data.

    None where the run has none, the configuration wants none, or it knows phantoms alone and these are X-rays.
    """
    if loaded.finder is None or loaded.finder_data is None or not wants_detector(config):
        return None
    return loaded.finder if may_score(loaded.finder_data, config["data"]) else None


def wants_detector(config: Config) -> bool:
    """Whether a run's detector is to measure; `detector=none` says no."""
    return (config.get("detector") or {}).get("kind") != "none"


def may_score(trained_on: Config, data: Config) -> bool:
    """Whether a detector may score pictures of a data node: never X-rays where it knows phantoms alone."""
    return chain.is_phantom(data) or not chain.is_phantom(trained_on)


def chosen_threshold(part: Run) -> float | None:
    """Return the posterior from which on an independent classifier calls the finding, as validation patients chose it.

    Args:
        part: the classifier, a run's `parts/transfer` or a run of its own.

    Returns:
        None where nobody was asked (see `cfx.calibrating`).
    """
    found = part.calibration().get("threshold")
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None


def check_given(config: Config) -> list[str]:
    """Refuse a black box, segmenter or detector that is not there or does not fit, before anything is trained for it.

    Returns:
        Warnings of given runs that may have been trained on patients whom this run tests.

    Raises:
        MissingPath: naming `blackbox.path`, `anatomy.path`, `anatomy.judge_path` or their like of the detector.
        CheckpointMismatch: it is of another finding, or of another kind of model; a program takes no such pictures.
        WrongLayout: the file of an exported black box is neither of TorchScript nor of torch.export.
        BadValue: `blackbox.prior`, an output that a program has not got, or a detector that knows phantoms alone would
            score real X-rays.
    """
    blackbox, anatomy = config["blackbox"], config["anatomy"]
    prior = blackbox.get("prior")
    if prior is not None and not (isinstance(prior, float) and 0 < prior < 1):
        raise BadValue("blackbox.prior", prior, "is no prevalence", "give a number between 0 and 1, or null")
    given: dict[str, Config] = {}
    if blackbox["kind"] == "checkpoint":
        run = Run.open(blackbox["path"], "blackbox.path")
        black_box_of(run, config["task"]["finding"])
        given["blackbox"] = run.config
    elif blackbox["kind"] == "exported":
        # Tried as it will be, or a file of something else would be refused when the other classifier is trained.
        from_exported(exported_file(blackbox), finding=config["task"]["finding"], **box_settings(blackbox))
    elif blackbox["kind"] == "torchxrayvision" and blackbox.get("path"):
        _given_file(blackbox, "give a file of weights")
    for role, key in (("segmenter", "path"), ("judge", "judge_path")):
        if anatomy.get(key):
            given[role] = _config_of_given(anatomy[key], f"anatomy.{key}", "segmenter")
    given |= _check_detector(config)

    def official() -> bool:
        data = data_module(config, part=config["model"]["part"], batch_size=1)
        data.prepare_data()
        return has_official(data.source.frame())

    return patient_warnings(config, given, official)


def _config_of_given(path: str, argument: str, kind: str) -> Config:
    """Return the configuration of a run that was named for a part, if it is one of that kind of model.

    Raises:
        MissingPath: there is no such run. CheckpointMismatch: it is of another model.
    """
    config = Run.open(path, argument).config
    name = config["model"]["name"]
    if name != kind:
        raise CheckpointMismatch(argument, path, f"is a run of model={name}", f"give the run of a {kind}")
    return config


def _check_detector(config: Config) -> dict[str, Config]:
    """Refuse detectors that are none, and those that only know phantoms where the data are X-rays.

    Returns:
        The configurations that given ones were trained with, by role.
    """
    given: dict[str, Config] = {}
    if not chain.detects(config):
        return given
    node = config["detector"]
    for role, key in (("detector", "path"), ("box_judge", "judge_path")):
        if node.get(key):
            given[role] = _config_of_given(node[key], f"detector.{key}", "detector")
            refuse_phantoms(given[role]["data"], config["data"], f"detector.{key}", str(node[key]))
    for part in chain.detector_configs(config).values():
        refuse_phantoms(part["data"], config["data"], "detector.data", part["data"]["name"])
    return given


def refuse_phantoms(trained_on: Config, data: Config, argument: str, value: str) -> None:
    """Refuse a detector for pictures that it may not score (see `may_score`).

    Raises:
        BadValue: naming the argument.
    """
    if not may_score(trained_on, data):
        problem = f"a detector trained on phantoms does not score the real X-rays of data={data['name']}"
        raise BadValue(argument, value, problem, "give one trained on X-rays, or detector=none")


def patient_warnings(
    config: Config, trained: Mapping[str, Config], official: Callable[[], bool], split: str = "test"
) -> list[str]:
    """Say which trained networks may have seen the patients that are evaluated.

    Args:
        config: names the data that are evaluated, and how their patients are shared out.
        trained: the configuration that each network was trained with, by what it is called in the message.
        official: tells whether these data name their own test part; asked only where that matters.
        split: the part that is evaluated.
    """
    data, found = config["data"], []
    for name, other in trained.items():
        theirs = other.get("data") or {}
        # of a phantom, another seed draws other patients
        if theirs.get("name") != data["name"] or _patients(theirs) != _patients(data):
            continue
        splits = theirs.get("splits") or {}, data.get("splits") or {}
        differing, folds = differences(*splits), any(node.get("fold") is not None for node in splits)
        if split == "train" and name == "explainer":
            found.append(
                f"evaluation.split=train: the explainer was trained on this part of data={data['name']}"
            )
        elif differing and (folds or not official()):
            found.append(
                f"{name}: trained with data.splits of {', '.join(differing)}, so it may have seen images that are "
                "evaluated here"
            )
    return found


def _patients(data: Config) -> tuple[Any, ...]:
    source = data.get("source") or {}
    return tuple(source.get(key) for key in ("_target_", "seed", "site", "correlated"))


def trained_with(run: Run) -> dict[str, Config]:
    """Return the configuration that an explainer's run and each of its parts was trained with, by name."""
    parts = {name: run.part(name) for name in run.part_names()}
    # what is fitted rather than trained (familiarity) has no configuration
    return {"explainer": run.config} | {
        name: part.config for name, part in parts.items() if part.config_file.is_file()
    }


def exported_file(node: Config) -> Path:
    """Return the file of a black box that comes as a program.

    Raises:
        MissingPath: naming `blackbox.path`.
    """
    return _given_file(node, "give a TorchScript or torch.export file")


def _given_file(node: Config, remedy: str) -> Path:
    origin = Path(str(node["path"])).expanduser()
    if not origin.is_file():
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
        box = from_torchxrayvision(finding=config["task"]["finding"], **with_path(node))
        part.write_config({"blackbox": node})
        part.write_weights(box.state_dict())
    else:
        raise UnknownChoice(
            "blackbox.kind", node["kind"], "is no kind of black box", f"one of {', '.join(KINDS)}"
        )


def box_settings(node: Config) -> Config:
    """Return how an external network is asked: all keys of its node but those of the chain and of the file's place."""
    chains = ("kind", "path", "transfer", "model", "name", "prior")
    return {key: value for key, value in node.items() if key not in chains}


def with_path(node: Config) -> Config:
    """Return the same for a torchxrayvision network, whose constructor reads the file itself."""
    return {**box_settings(node), "path": node.get("path")}


def load_black_box(run: Run, *, calibrated: bool = True) -> BlackBox:
    """Return the frozen black box of a run from `parts/blackbox`.

    Args:
        run: an explainer's run.
        calibrated: at the prior that `calibrating.recalibrate` brought it to; False: as it came.
    """
    part = run.part("blackbox")
    box = _black_box(part, run.config["blackbox"], run.config["task"]["finding"])
    found = part.calibration() if calibrated else {}
    if found.get("prior") is not None:
        box.recalibrate(float(found["scale"]), float(found["shift"]), float(found["prior"]))
    return box


def _black_box(part: Run, node: Config, finding: str) -> BlackBox:
    """Return a black box as it came."""
    if node["kind"] == "exported":
        return from_exported(part.path / "model.pt", finding=finding, **box_settings(node))
    if node["kind"] == "torchxrayvision":
        # Built with random weights, since the run keeps its own: nothing is fetched, no file outside is read.
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
    made = explainer_of(config, trained_network(run) if is_trained(config) else None, blackbox)
    transfer = run.part("transfer")
    threshold = chosen_threshold(transfer)
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
        threshold=DEFAULT_THRESHOLD if threshold is None else threshold,
        finder=load_finder(detectors[0], device) if detectors else None,
        finder_data=detectors[0].config["data"] if detectors else None,
    )
