"""Examples for the report: best, median and worst progressions of each direction, by true and false calls."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from cfx.evaluation.given import Given
from cfx.evaluation.marking import png_info
from cfx.evaluation.rows import PictureSet, is_extreme
from cfx.evaluation.summary import clean
from cfx.explainers.base import Explainer
from cfx.files import write_atomic, write_json
from cfx.metrics.validity import DOWN, UP

RANKS = ("best", "median", "worst")
TARGETS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Example:
    """A picture whose progression is shown.

    Attributes:
        image_id: the picture.
        group: `up` or `down`.
        call: TP, FP, TN or FN by the black box at 0.5; None where the label is unknown.
        rank: `best`, `median` or `worst` by the mean distance of posterior and target.
    """

    image_id: str
    group: str
    call: str | None
    rank: str


def call_of(posterior: float, label: float) -> str | None:
    """TP, FP, TN or FN of the call at 0.5; None where the label is unknown."""
    if label not in (0.0, 1.0):
        return None
    right = (posterior >= 0.5) == (label == 1.0)
    return ("T" if right else "F") + ("P" if posterior >= 0.5 else "N")


def choose(rows: pd.DataFrame) -> list[Example]:
    """Choose examples from the rows of a method.

    Args:
        rows: as `evaluate` returns them.

    Returns:
        For each direction and call up to three pictures, no picture twice; a figure made of the best alone would
        show what the method can do, not what it does. Distances that could not be made count as the worst.
    """
    both = rows[rows["group"].isin([UP, DOWN])]
    error = (both["p_after"] - both["target"]).abs().fillna(1.0)
    mean = error.groupby(both["image_id"]).mean()
    first = both.drop_duplicates("image_id").set_index("image_id")
    call = pd.Series(
        [call_of(p, y) for p, y in zip(first["p_before"], first["label"], strict=True)],
        index=first.index,
        dtype=object,
    )
    chosen = []
    for group in (UP, DOWN):
        labelled = sorted({str(kind) for kind in call[first["group"] == group].dropna()})
        kinds: list[str | None] = [*labelled] or [None]
        for kind in kinds:
            some = first.index[(first["group"] == group) & ((call == kind) if kind else True)]
            order = mean.loc[some].sort_values(kind="stable").index
            places = dict(zip(RANKS, (0, (len(order) - 1) // 2, len(order) - 1), strict=True))
            taken: set[str] = set()
            for rank in RANKS:
                name = str(order[places[rank]]) if len(order) else ""
                if name and name not in taken:
                    taken.add(name)
                    chosen.append(Example(name, group, kind, rank))
    return chosen


def _save(path: Path, image: Tensor, note: bool) -> None:
    """Write (1, H, W) in [-1, 1] as 8-bit grey; `note` says inside the file that it is synthetic."""
    pixels = ((image[0].float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    picture = Image.fromarray(pixels)
    info = png_info() if note else None
    write_atomic(path, lambda beside: picture.save(beside, format="PNG", pnginfo=info))


def write_examples(
    folder: Path,
    explainer: Explainer | Given,
    dataset: PictureSet,
    table: pd.DataFrame,
    rows: pd.DataFrame,
    *,
    targets: Sequence[float] = TARGETS,
    device: torch.device | str = "cpu",
) -> list[dict[str, Any]]:
    """Draw the chosen examples once more and write their PNGs and `index.json`.

    Args:
        folder: `evaluation/examples`.
        explainer: the method, or the counterfactuals that one has drawn before.
        dataset: the pictures, in the order of `table`.
        table: one row a picture.
        rows: of the method; posteriors and measurements come from here.
        targets: those that are shown; ones that a picture was not drawn for are left out, and where fewer than two are
            left, its own are shown.
        device: where the networks are.

    Returns:
        The index: one entry an example.
    """
    place = {str(name): k for k, name in enumerate(table["image_id"])}
    index = []
    for number, example in enumerate(choose(rows)):
        own = rows[rows["image_id"] == example.image_id]
        asked = _shown(own["target"].to_numpy(dtype=np.float64), targets)
        at = own.assign(key=own["target"].round(6)).set_index("key").loc[[round(c, 6) for c in asked]]
        row = place[example.image_id]
        image = dataset.batch([row])["image"].to(device)
        if isinstance(explainer, Given):
            drawn = explainer.pictures(row, asked)
        else:
            wanted = torch.tensor([asked], dtype=torch.float32, device=device)
            drawn = explainer.explain(image, wanted).images[0]
        stem = f"{number:02d}-{example.group}-{(example.call or 'unknown').lower()}-{example.rank}"
        stem = re.sub(r"[^a-z0-9_-]", "-", stem)
        steps = [f"{stem}-c{round(100 * c):03d}.png" for c in asked]
        if len(set(steps)) < len(steps):  # targets that lie closer than a percent
            steps = [f"{stem}-{k}-{name.rpartition('-')[2]}" for k, name in enumerate(steps)]
        _save(folder / f"{stem}.png", image[0], note=False)
        for name, step in zip(steps, drawn, strict=True):
            _save(folder / name, step, note=True)
        index.append(_entry(example, own, at, asked, stem, steps))
    write_json(folder / "index.json", index)
    return index


def _shown(own: npt.NDArray[np.float64], targets: Sequence[float]) -> list[float]:
    """Return which targets are shown of a picture: those of `targets` that are its own, else up to six of its own."""
    known = {round(float(target), 6) for target in own}
    asked = [target for target in targets if round(target, 6) in known]
    if len(asked) >= min(2, len(known)):
        return asked
    every = np.sort(own)
    some = np.unique(np.linspace(0, len(every) - 1, min(len(every), len(TARGETS))).round().astype(int))
    return [float(target) for target in every[some]]


def _entry(
    example: Example, own: pd.DataFrame, at: pd.DataFrame, asked: list[float], stem: str, steps: list[str]
) -> dict[str, Any]:
    """One entry of the index."""
    first = own.iloc[0]
    extreme: npt.NDArray[np.bool_] = is_extreme(own["group"].to_numpy(), own["target"].to_numpy())
    entry = {
        "image_id": example.image_id,
        "patient_id": str(first["patient_id"]),
        "group": example.group,
        "call": example.call,
        "rank": example.rank,
        "label": float(first["label"]),
        "view": str(first["view"]),
        "sex": str(first["sex"]),
        "age": float(first["age"]),
        "p_before": float(first["p_before"]),
        "ctr_before": float(first["ctr_before"]),
        "targets": asked,
        "posterior": at["p_after"].tolist(),
        "ctr": at["ctr_after"].tolist(),
        "thorax_width": at["thorax_width_after"].tolist(),
        "ctr_oracle": at["ctr_oracle"].tolist(),
        "verdict": str(own["verdict"].to_numpy()[extreme][0]) if extreme.any() else "",
        "files": {"original": f"{stem}.png", "steps": steps},
    }
    cleaned: dict[str, Any] = clean(entry)
    return cleaned
