"""What validation patients tell before an explainer trains: a black box at its stated prior, a transfer threshold.

Both go into `calibration.json` of the part that they belong to, so that a moved run keeps them. Where the validation
patients have too few labels, nothing is changed and the file says why.
"""

from typing import Any

import numpy as np
import torch

from cfx.assembly import black_box_of
from cfx.classifiers import calibration
from cfx.classifiers.blackbox import BlackBox
from cfx.data.dataset import ChestXrayDataset
from cfx.loading import DEFAULT_THRESHOLD, load_black_box
from cfx.metrics.calibration import youden
from cfx.runs import Run

BATCH = 256


@torch.inference_mode()
def log_odds_and_labels(
    box: BlackBox, dataset: ChestXrayDataset, device: str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log odds and labels of a classifier's finding: both (N,) on the CPU, labels 1, 0 or NaN = unknown."""
    column = dataset.findings.index(box.finding)
    box = box.to(device)
    logits, labels = [], []
    for batch in dataset.batches(BATCH):
        logits.append(box.logit(batch["image"].to(device)).float().cpu())
        labels.append(batch["label"][:, column])
    return torch.cat(logits), torch.cat(labels)


def recalibrate(run: Run, dataset: ChestXrayDataset, device: str = "cpu") -> dict[str, Any] | None:
    """Bring a black box that was not trained here to the prior that `blackbox.prior` states.

    Platt scaling on validation patients, then Bayes' rule (see `classifiers.calibration`). A null prior leaves the
    model as it is, and so does a trained black box, which was calibrated when it was trained.

    Args:
        run: an explainer's run with its parts.
        dataset: pictures and labels of its validation patients.
        device: where the black box is asked.

    Returns:
        What was written to `parts/blackbox/calibration.json`: prior (null where too few patients told), scale and
        shift of the log odds, n_positive, n_negative and a note; None where nothing was asked for.
    """
    node = run.config["blackbox"]
    if node["kind"] == "trained" or node.get("prior") is None:
        return None
    prior = float(node["prior"])
    logits, labels = log_odds_and_labels(load_black_box(run, calibrated=False), dataset, device)
    fitted = calibration.fit(logits[:, None], labels[:, None], prior)
    counts = _counts(labels)
    told = bool(torch.isfinite(fitted.prior[0]))
    found = {
        "prior": prior if told else None,
        "scale": float(fitted.scale[0]),
        "shift": float(fitted.shift[0]),
        **counts,
        "note": None if told else f"black box left as it is, not at a prior of {prior:g}: {_too_few(counts)}",
    }
    run.part("blackbox").write_calibration(found)
    return found


def choose_threshold(run: Run, dataset: ChestXrayDataset, device: str = "cpu") -> dict[str, Any] | None:
    """Choose the threshold from which on the independent classifier calls the finding, by Youden's J.

    Args:
        run: an explainer's run with its parts.
        dataset: pictures and labels of its validation patients.
        device: where the classifier is asked.

    Returns:
        What was written to `parts/transfer/calibration.json`: threshold (0.5 where too few patients told), youden,
        n_positive, n_negative and a note; None where the run has no independent classifier.
    """
    part = run.part("transfer")
    if not part.weights_file.is_file():
        return None
    box = black_box_of(part, run.config["task"]["finding"])
    logits, labels = log_odds_and_labels(box, dataset, device)
    counts = _counts(labels)
    threshold, index = float("nan"), float("nan")
    if min(counts.values()) >= calibration.FEWEST:
        threshold, index = youden(torch.sigmoid(logits.double()).numpy(), labels.double().numpy())
    told = bool(np.isfinite(threshold))
    found = {
        "threshold": threshold if told else DEFAULT_THRESHOLD,
        "youden": index if told else None,
        **counts,
        "note": None
        if told
        else f"independent classifier's threshold is {DEFAULT_THRESHOLD}: {_too_few(counts)}",
    }
    part.write_calibration(found)
    return found


def notes(run: Run) -> list[str]:
    """What a reader must know of a run's calibration: what was left undone, and why."""
    found = [run.part("blackbox").calibration().get("note"), threshold_note(run.part("transfer"))]
    return [str(note) for note in found if note]


def threshold_note(part: Run) -> str | None:
    """What a reader must know of an independent classifier's threshold; None where validation patients chose it.

    part: the classifier; None also where it is not there.
    """
    note = part.calibration().get("note")
    if part.weights_file.is_file() and not part.calibration():
        note = f"independent classifier's threshold is {DEFAULT_THRESHOLD}: no validation patients were asked"
    return None if note is None else str(note)


def _counts(labels: torch.Tensor) -> dict[str, int]:
    return {"n_positive": int((labels == 1).sum()), "n_negative": int((labels == 0).sum())}


def _too_few(counts: dict[str, int]) -> str:
    return (
        f"{counts['n_positive']} validation images with the finding and {counts['n_negative']} without it, "
        f"{calibration.FEWEST} of each are needed"
    )
