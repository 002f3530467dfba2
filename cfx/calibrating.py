"""What validation patients tell before an explainer trains: a black box at its stated prior.

It goes into `calibration.json` of the part that it belongs to, so that a moved run keeps it. Where the validation
patients have too few labels, nothing is changed and the file says why.
"""

from typing import Any

import torch

from cfx.classifiers import calibration
from cfx.classifiers.blackbox import BlackBox
from cfx.data.dataset import ChestXrayDataset
from cfx.loading import load_black_box
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


def notes(run: Run) -> list[str]:
    """What a reader must know of a run's calibration: what was left undone, and why."""
    note = run.part("blackbox").calibration().get("note")
    return [note] if note else []


def _counts(labels: torch.Tensor) -> dict[str, int]:
    return {"n_positive": int((labels == 1).sum()), "n_negative": int((labels == 0).sum())}


def _too_few(counts: dict[str, int]) -> str:
    return (
        f"{counts['n_positive']} validation images with the finding and {counts['n_negative']} without it, "
        f"{calibration.FEWEST} of each are needed"
    )
