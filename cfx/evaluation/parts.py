"""How good a trained part is by itself, on its test patients.

A classifier's ranking and calibration, a segmenter's overlap and CTR, a detector's boxes.

Each gives a table with a row an image, which studies pool over folds, and the `metrics.json` keys that it can fill.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cfx.data.batch import MASK_NAMES
from cfx.data.dataset import ChestXrayDataset
from cfx.evaluation.detecting import Finder
from cfx.evaluation.judging import dice
from cfx.measurements import measure
from cfx.metrics.boxes import BoxSet
from cfx.metrics.calibration import auprc, auroc, auroc_interval, brier, calibration_error
from cfx.metrics.recess import recess_scores

KEPT = ("image_id", "patient_id", "view", "sex", "age", "part")
# Columns of a table of contours that hold a ratio somebody else measured.
REFERENCES = ("ctr_reference", "ctr_mask256")


@torch.inference_mode()
def classify(
    posterior: Callable[[Tensor], Tensor], dataset: ChestXrayDataset, finding: str, batch_size: int = 128
) -> pd.DataFrame:
    """Return one row an image: who it is, its label of the finding (1, 0, NaN) and the posterior."""
    values = [posterior(batch["image"]).float().cpu().numpy() for batch in dataset.batches(batch_size)]
    table = dataset.table[[name for name in KEPT if name in dataset.table]].copy()
    table["label"] = dataset.table[finding].to_numpy(dtype=np.float64)
    table["posterior"] = np.concatenate(values)
    if "latent" in dataset.table:
        table["latent"] = dataset.table["latent"]
    return table


def classifier_metrics(table: pd.DataFrame, prior: float) -> dict[str, Any]:
    """Return AUROC with its 95 % interval by patient, AUPRC, ECE and Brier score at the stated prior."""
    posterior, label = table["posterior"].to_numpy(float), table["label"].to_numpy(float)
    return {
        "auroc": auroc(posterior, label),
        "auroc_ci95": list(auroc_interval(posterior, label, table["patient_id"].to_numpy())),
        "auroc_latent": auroc(posterior, table["latent"].to_numpy(float)) if "latent" in table else None,
        "auprc": auprc(posterior, label),
        "ece": calibration_error(posterior, label, prior),
        "brier": brier(posterior, label, prior),
        "prior": prior,
        "n_images": len(table),
        "n_patients": int(table["patient_id"].nunique()),
        "n_positive": int((label == 1).sum()),
        "n_high": int((posterior > 0.8).sum()),
        "n_low": int((posterior < 0.2).sum()),
    }


@torch.inference_mode()
def segment(
    segmenter: Callable[[Tensor], Tensor], dataset: ChestXrayDataset, batch_size: int = 64
) -> pd.DataFrame:
    """Return one row an image: Dice of each structure, CTR by segmenter and true masks, any reference."""
    found: dict[str, list[Any]] = {"ctr": [], "ctr_true": [], **{f"dice_{name}": [] for name in MASK_NAMES}}
    for batch in dataset.batches(batch_size):
        masks = segmenter(batch["image"]).float().cpu()
        truth = torch.nn.functional.interpolate(
            batch["masks"], masks.shape[-2:], mode="bilinear", align_corners=False
        )
        found["ctr"].extend(measure(masks.numpy()).ctr)
        found["ctr_true"].extend(measure(truth.numpy()).ctr)
        overlap = dice(masks.numpy(), truth.numpy())
        for channel, name in enumerate(MASK_NAMES):
            found[f"dice_{name}"].extend(overlap[:, channel])
    table = dataset.table[[name for name in (*KEPT, *REFERENCES) if name in dataset.table]].copy()
    for name, values in found.items():
        table[name] = np.asarray(values, dtype=np.float64)
    return table


def detect(
    finder: Finder, dataset: ChestXrayDataset, batch_size: int = 64
) -> tuple[pd.DataFrame, list[BoxSet]]:
    """Return one row an image - boxes there are, boxes that reach their threshold, recess scores - and its boxes."""
    found = [box for batch in dataset.batches(batch_size) for box in finder(batch["image"])]
    table = dataset.table[[name for name in KEPT if name in dataset.table]].copy()
    table["boxes"] = [len(each) for each in dataset.boxes] if dataset.boxes else 0
    table["found"] = [int((each.score >= finder.threshold[each.label]).sum()) for each in found]
    scores = np.array([recess_scores(each, finder.threshold) for each in found]).reshape(len(found), 2)
    table["scp_left"], table["scp_right"] = scores[:, 0], scores[:, 1]
    return table, found


def segmenter_metrics(table: pd.DataFrame) -> dict[str, Any]:
    """Return Dice, and the CTR's error and 95 % limits of agreement against the reference, else the true masks."""
    name = (
        "ctr_reference" if "ctr_reference" in table and table["ctr_reference"].notna().any() else "ctr_true"
    )
    reference = table[name].to_numpy(float)
    both = np.isfinite(reference) & table["ctr"].notna().to_numpy()
    error = table["ctr"].to_numpy(float)[both] - reference[both]
    spread = 1.96 * error.std(ddof=1) if len(error) > 1 else float("nan")
    correlation = (
        float(np.corrcoef(table["ctr"].to_numpy(float)[both], reference[both])[0, 1])
        if len(error) > 2
        else float("nan")
    )
    return {
        **{f"dice_{structure}": float(table[f"dice_{structure}"].mean()) for structure in MASK_NAMES},
        "ctr_against": name,
        "ctr_mae": float(np.abs(error).mean()) if len(error) else float("nan"),
        "ctr_bias": float(error.mean()) if len(error) else float("nan"),
        "ctr_limits": [float(error.mean() - spread), float(error.mean() + spread)]
        if len(error)
        else [None, None],
        "ctr_r": correlation,
        "not_measurable": float(table["ctr"].isna().mean()),
        "n_images": len(table),
        "n_patients": int(table["patient_id"].nunique()),
    }
