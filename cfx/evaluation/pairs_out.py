"""Writes a method's counterfactuals as a folder of pairs (`cfx.data.pairs`), to be measured elsewhere."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from cfx.data.pairs import NAME, NEEDED, OPTIONAL
from cfx.evaluation.marking import png_info
from cfx.evaluation.rows import PictureSet
from cfx.explainers.base import Explainer
from cfx.files import write_atomic

Progress = Callable[[str, int, int], object]


def to_pixels(image: Tensor) -> npt.NDArray[np.uint8]:
    """A picture (1, H, W) in [-1, 1] as 8-bit grey (H, W)."""
    grey = (image[0].float().cpu().clamp(-1, 1) + 1) * 127.5
    pixels: npt.NDArray[np.uint8] = grey.round().to(torch.uint8).numpy()
    return pixels


def _save(folder: Path, name: str, image: Tensor, drawn: bool) -> str:
    """Write a picture below the folder and return its name; a drawn one says inside the file that it is synthetic."""
    info = png_info() if drawn else None
    picture = Image.fromarray(to_pixels(image))
    write_atomic(folder / name, lambda beside: picture.save(beside, format="PNG", pnginfo=info))
    return name


def write_pairs(
    folder: Path,
    explainer: Explainer,
    blackbox: Callable[[Tensor], Tensor],
    dataset: PictureSet,
    label: npt.NDArray[np.float64],
    targets: Sequence[float],
    *,
    split: str = "test",
    batch_size: int = 64,
    progress: Progress | None = None,
    device: torch.device | str = "cpu",
) -> int:
    """Draw every picture of a data set at every target, and once more at its own posterior, and write them.

    The redrawing at c = p(x) is a row as the others: it is known by its target. `pairs.csv` is written last, so that a
    folder without it is an unfinished one.

    Args:
        folder: where to.
        explainer: the method.
        blackbox: (B, 1, H, W) -> posterior (B,).
        dataset: the pictures, with a `table` of image_id, patient_id and as far as known view, sex, age.
        label: (N,) 1, 0 or NaN.
        targets: those asked of every picture.
        split: what the table says of all of them.
        batch_size: pictures that the method is given at a time.
        progress: called with what is drawn, how many are done, how many there are.
        device: where the networks are.

    Returns:
        The number of counterfactuals.
    """
    told = progress or (lambda what, done, count: None)
    table: pd.DataFrame = dataset.table  # type: ignore[attr-defined]
    rows: list[dict[str, Any]] = []
    for start in range(0, len(dataset), batch_size):
        told("pairs", start, len(dataset))
        places = list(range(start, min(start + batch_size, len(dataset))))
        image = dataset.batch(places)["image"].to(device)
        own = blackbox(image).float()
        grid = torch.tensor(targets, dtype=torch.float32, device=device).expand(len(places), -1)
        drawn = explainer.explain(image, torch.cat([grid, own.unsqueeze(1)], dim=1)).images
        for k, place in enumerate(places):
            about = _about(table.iloc[place], label[place], split)
            name = f"images/{place:06d}.png"
            about["image"] = _save(folder, name, image[k], drawn=False)
            asked = [*(float(target) for target in targets), round(float(own[k]), 7)]
            for number, target in enumerate(asked):
                which = "own" if number == len(targets) else f"{number:02d}"
                picture = f"counterfactuals/{place:06d}-{which}.png"
                _save(folder, picture, drawn[k, number], drawn=True)
                rows.append({**about, "counterfactual": picture, "target": target})
    columns = [*NEEDED, *OPTIONAL, "image_id"]
    made = pd.DataFrame(rows, columns=columns).drop_duplicates(["image", "target"])
    write_atomic(folder / NAME, partial(made.to_csv, index=False))
    return len(made)


def _about(row: "pd.Series[Any]", label: float, split: str) -> dict[str, Any]:
    """What is known of a picture, as cells; nothing where it is not known."""
    known = {name: row[name] for name in ("image_id", "patient_id", "view", "sex", "age") if name in row}
    known["study_id"] = row["study_id" if "study_id" in row else "image_id"]
    known |= {"label": label, "split": split}
    return {name: "" if pd.isna(value) else value for name, value in known.items()}
