"""Writes a phantom to disk in CheXpert's layout, so that CheXpert's own reader reads it.

    CheXpert-v1.0-phantom/{train,valid,test}.csv     train/patient00001/study1/view1_frontal.jpg
                          masks/<same>.png           1 heart, 2 left lung, 4 right lung; finer than the picture
                          devices/<same>.png         1 pacemaker, 2 central line, 4 tube, 8 ECG wires, 16 text marker,
                                                     32 marker of a shortcut
                          boxes.csv truth.parquet phantom.json
                          shortcut/<same>.png        with a planted shortcut: where it stands, or would stand

The folder is written under another name and renamed when it is whole; a lock lets one process write it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from numpy.typing import NDArray

from cfx.data.labels import CHEXPERT_FINDINGS
from cfx.data.phantom import noise
from cfx.data.phantom.anatomy import sample
from cfx.data.phantom.devices import CLASSES, SUPPORT
from cfx.data.phantom.findings import FINDINGS, FLIPS, HALFWAY, PREVALENCE
from cfx.data.phantom.render import render, tensors
from cfx.data.phantom.shortcut import LABEL, Shortcut, plant, regions

FOLDER = "CheXpert-v1.0-phantom"
"""Name of the data set's folder."""

VERSION = 4
"""Raised whenever the same configuration gives other pictures or labels."""

FIRST: dict[str, int] = {"train": 1, "valid": 50001, "test": 70001}
"""Number of the first patient of each part: parts never share a patient, whatever their sizes."""

LARGEST = 20_000
"""Most patients a part can hold."""

PICTURES = 128
"""Patients drawn before their files are written."""


@dataclass(frozen=True)
class Recipe:
    """All that decides what a phantom looks like; two equal recipes give equal files.

    Attributes:
        size: side of the pictures in pixels.
        patients: number of patients of train, valid and test; one picture each.
        seed: seed of patients and noise.
        site: name of the site.
        correlated: whether findings go together.
        version: VERSION of the renderer.
        shortcut: what goes with the label of cardiomegaly beside the disease, or None.
        shuffle_labels: whether recorded labels are dealt out anew among the patients of training and of validation.
    """

    size: int
    patients: dict[str, int]
    seed: int
    site: str
    correlated: bool
    version: int = VERSION
    shortcut: Shortcut | None = None
    shuffle_labels: bool = False

    def record(self) -> dict[str, Any]:
        """Return the recipe as JSON; what is not asked for is left out, so that older phantoms keep their names."""
        left_out = {name for name in ("shortcut", "shuffle_labels") if not getattr(self, name)}
        return {name: value for name, value in asdict(self).items() if name not in left_out}


def folder(root: Path) -> Path:
    """The data set's folder under a root."""
    return root / FOLDER


def is_written(root: Path, recipe: Recipe) -> bool:
    """Whether the root holds the whole phantom of this very recipe."""
    record = folder(root) / "phantom.json"
    if not record.is_file():
        return False
    return bool(json.loads(record.read_text())["recipe"] == recipe.record())


def write(root: Path, recipe: Recipe) -> bool:
    """Write the phantom under `root` unless it is there; whether anything was written.

    A phantom of another recipe in the same place is replaced. Safe against other processes: one writes, the others
    wait; a reader sees the old folder or the new one, never half of one.
    """
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".phantom.lock"):
        if is_written(root, recipe):
            return False
        work = root / f".{FOLDER}.writing"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        _write(work, recipe)
        shutil.rmtree(folder(root), ignore_errors=True)
        work.rename(folder(root))
    return True


def population(recipe: Recipe) -> pd.DataFrame:
    """The patient table of all parts: `anatomy.sample` and the columns `split` and `image_id`.

    With shuffled labels the recorded ones and their hedges are other patients' in training and validation; severities,
    latent calls and all labels of the test part stay. A shortcut goes with the label as it is then recorded.
    """
    parts = []
    for part, count in recipe.patients.items():
        numbers = range(FIRST[part], FIRST[part] + count)
        frame = sample(recipe.seed, numbers, recipe.site, recipe.correlated)
        frame["split"] = part
        frame["image_id"] = [f"{part}/patient{number:05d}/study1/view1_frontal.jpg" for number in numbers]
        if recipe.shuffle_labels and part != "test":
            frame = _shuffled(frame, recipe.seed)
        parts.append(frame)
    everyone = pd.concat(parts, ignore_index=True)
    return everyone if recipe.shortcut is None else plant(everyone, recipe.shortcut, recipe.seed, recipe.site)


def _shuffled(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Deal out all recorded labels of a part anew, those of one patient together."""
    names = [f"{kind}_{short}" for kind in ("label", "uncertain") for short in FINDINGS.values()]
    order = np.random.default_rng([seed, int(frame["patient"].iloc[0])]).permutation(len(frame))
    return frame.assign(**{name: frame[name].to_numpy()[order] for name in names})


def _write(work: Path, recipe: Recipe) -> None:
    frame = population(recipe)
    boxes: list[tuple[str, str, int, int, int, int]] = []
    ratios: list[NDArray[np.float64]] = []
    with ThreadPoolExecutor(max_workers=max(1, torch.get_num_threads())) as pool:
        for rows in _portions(len(frame)):
            some = frame.iloc[rows]
            drawn = render(tensors(some), recipe.seed, recipe.size)
            grey = noise.to_bytes(drawn.grey)
            bits = _bits(drawn.masks.numpy())
            covers = drawn.devices.numpy() if drawn.devices is not None else None
            gear = _bits(covers) if covers is not None else np.zeros_like(grey)
            ratios.append(drawn.ctr.numpy())
            names = some["image_id"].tolist()
            list(pool.map(_write_one, [work] * len(names), names, grey, bits, gear))
            if recipe.shortcut is not None:
                where = regions(tensors(some), recipe.shortcut.by, recipe.size).astype(np.uint8)
                list(pool.map(_write_png, [_png(work / "shortcut", name) for name in names], where))
            for name, picture in zip(names, gear, strict=True):
                boxes += _boxes(name, picture)
    frame["ctr_true"] = np.concatenate(ratios) if ratios else np.empty(0)
    for part in FIRST:
        _chexpert_table(frame[frame["split"] == part]).to_csv(work / f"{part}.csv", index=False)
    pd.DataFrame(boxes, columns=["path", "class", "x0", "y0", "x1", "y1"]).to_csv(
        work / "boxes.csv", index=False
    )
    frame.to_parquet(work / "truth.parquet", index=False)
    record = {"recipe": recipe.record(), "summary": summary(frame)}
    (work / "phantom.json").write_text(json.dumps(record, indent=1) + "\n")


def _portions(count: int) -> Iterator[slice]:
    for start in range(0, count, PICTURES):
        yield slice(start, min(start + PICTURES, count))


def _bits(layers: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Bool (B, C, H, W) to bit fields (B, H, W), channel k as bit 2^k."""
    bits = np.zeros(layers.shape[:1] + layers.shape[2:], dtype=np.uint8)
    for channel in range(layers.shape[1]):
        bits |= layers[:, channel].astype(np.uint8) << channel
    return bits


def _write_one(
    work: Path, name: str, grey: NDArray[np.uint8], bits: NDArray[np.uint8], gear: NDArray[np.uint8]
) -> None:
    """Write one patient's picture, masks and devices."""
    (work / name).parent.mkdir(parents=True, exist_ok=True)
    (work / name).write_bytes(noise.encode(grey))
    for folder_, picture in (("masks", bits), ("devices", gear)):
        _write_png(_png(work / folder_, name), picture)


def _png(place: Path, name: str) -> Path:
    """The picture that belongs to a film of that name, in a folder of its own."""
    return place / (os.path.splitext(name)[0] + ".png")


def _write_png(place: Path, picture: NDArray[np.uint8]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())


def _boxes(name: str, gear: NDArray[np.uint8]) -> list[tuple[str, str, int, int, int, int]]:
    """Boxes of the devices in a bit field, one a class; x1 and y1 lie one past the last pixel."""
    found = []
    for bit, label in CLASSES.items():
        rows, columns = np.nonzero(gear & bit)
        if len(rows):
            found.append(
                (
                    name,
                    label,
                    int(columns.min()),
                    int(rows.min()),
                    int(columns.max()) + 1,
                    int(rows.max()) + 1,
                )
            )
    return found


def _chexpert_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of CheXpert's tables. Labels are uncertain (-1) in training alone, as in CheXpert."""
    table = pd.DataFrame({"Path": FOLDER + "/" + frame["image_id"].astype(str)})
    table["Sex"] = np.where(frame["female"] > 0, "Female", "Male")
    table["Age"] = frame["age"].astype(int)
    table["Frontal/Lateral"] = "Frontal"
    table["AP/PA"] = np.where(frame["ap"] > 0, "AP", "PA")
    findings = pd.DataFrame(np.nan, index=frame.index, columns=list(CHEXPERT_FINDINGS))
    training = frame["split"] == "train"
    nothing = pd.Series(True, index=frame.index)
    for name, short in FINDINGS.items():
        label = frame[f"label_{short}"]
        findings[name] = label.mask(training & (frame[f"uncertain_{short}"] > 0), -1.0)
        nothing &= label == 0
    gear = frame[list(SUPPORT)].max(axis=1)
    findings["Support Devices"] = gear
    findings["No Finding"] = (nothing & (gear == 0)).astype(float).where(lambda given: given > 0)
    return pd.concat([table, findings], axis=1)


def summary(frame: pd.DataFrame) -> dict[str, Any]:
    """What the phantom holds, in numbers: shares, ratios and the range of the Bayes posterior of each finding.

    The Bayes posterior is the probability of a positive label given the latent severity: with flipped labels no
    classifier can be right beyond it.
    """
    result: dict[str, Any] = {
        "patients": {part: int((frame["split"] == part).sum()) for part in FIRST},
        "devices": round(float(frame[list(SUPPORT)].max(axis=1).mean()), 4),
        "ap": round(float(frame["ap"].mean()), 4),
        "flips": FLIPS,
        "halfway": HALFWAY,
        "findings": {},
    }
    if "shortcut" in frame:
        for call, word in ((0.0, "without"), (1.0, "with")):
            some = frame.loc[frame[LABEL] == call, "shortcut"]
            result[f"shortcut_{word}_label"] = round(float(some.mean()), 4) if len(some) else None
    for name, short in FINDINGS.items():
        bayes, label = frame[f"bayes_{short}"], frame[f"label_{short}"]
        result["findings"][name] = {
            "ill": PREVALENCE[short],
            "positive": round(float(label.mean()), 4),
            "uncertain": round(float(frame[f"uncertain_{short}"].mean()), 4),
            "bayes_posterior": [round(float(bayes.min()), 4), round(float(bayes.max()), 4)],
            "bayes_posterior_5_95": [round(float(bayes.quantile(q)), 4) for q in (0.05, 0.95)],
            "bayes_under_.02_or_over_.98": round(float(((bayes < 0.02) | (bayes > 0.98)).mean()), 4),
        }
    for call, word in ((0.0, "without"), (1.0, "with")):
        chosen = frame.loc[frame["call_cardiomegaly"] == call, "ctr_true"]
        if len(chosen) > 1:
            result[f"ctr_{word}_cardiomegaly"] = [
                round(float(chosen.mean()), 4),
                round(float(chosen.std()), 4),
            ]
    return result
