"""Hold a run's evaluation segmenter against the radiologists' Cardiomegaly boxes of ChestX-ray14, and draw overlays.

    CFX_REAL_DATA=/folder python experiments/heart_boxes.py pretrained/nih_cardiomegaly nih_cardiomegaly

Writes `heart_boxes.json` (heart width by the masks against the width of the box, as shares of the picture's width) and
`overlays.png` (50 pictures of the test list with outlines of heart and lungs, to be looked at and counted by a reader).
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import pyplot as plt

from cfx.data.nih_cxr14 import NihCxr14
from cfx.data.reading import load_tensor
from cfx.evaluation.judging import judge_images
from cfx.files import write_json
from cfx.loading import load_segmenter
from cfx.runs import Run

ROOT = Path(__file__).resolve().parent
PICTURES, COLUMNS, SEED = 50, 10, 0
COLOURS = ("tab:red", "tab:cyan", "tab:orange")


def tensors(paths: list[Path], size: int) -> torch.Tensor:
    """Pictures (B, 1, size, size) in [-1, 1]."""
    return torch.stack([load_tensor(path, size) for path in paths]).reshape(len(paths), 1, size, size)


def compare(judge: Any, folder: Path, size: int) -> dict[str, Any]:
    """Width of the heart by the masks and by the boxes, for each box of Cardiomegaly whose picture is there."""
    boxes = NihCxr14(folder).boxes()
    boxes = boxes[boxes["finding"] == "Cardiomegaly"]
    boxes = boxes[[(folder / "images" / name).is_file() for name in boxes["image_id"]]]
    paths = [folder / "images" / name for name in boxes["image_id"]]
    width = judge_images(judge, tensors(paths, size)).heart_width
    box = (boxes["x1"] - boxes["x0"]).to_numpy()
    measurable = np.isfinite(width)
    difference = (width - box)[measurable]
    return {
        "n_boxes": len(box),
        "not_measurable": int((~measurable).sum()),
        "bias": float(difference.mean()),
        "mae": float(np.abs(difference).mean()),
        "limits": [float(difference.mean() + sign * 1.96 * difference.std(ddof=1)) for sign in (-1, 1)],
        "r": float(np.corrcoef(width[measurable], box[measurable])[0, 1]),
    }


def overlays(judge: Any, folder: Path, size: int, file: Path) -> list[str]:
    """Draw outlines on pictures of the test list, one a patient; returns their names in reading order."""
    names = sorted((folder / "test_list.txt").read_text().split())
    first = {name.split("_")[0]: name for name in reversed(names) if (folder / "images" / name).is_file()}
    random = np.random.default_rng(SEED)
    chosen: list[str] = random.choice(sorted(first.values()), PICTURES, replace=False).tolist()
    pictures = tensors([folder / "images" / name for name in chosen], size)
    masks, ctr = judge(pictures).cpu().numpy(), judge_images(judge, pictures).ctr
    rows = -(-PICTURES // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(1.6 * COLUMNS, 1.75 * rows), layout="constrained")
    for axis, picture, mask, ratio, name in zip(axes.flat, pictures, masks, ctr, chosen, strict=True):
        axis.imshow(picture[0], cmap="gray", vmin=-1, vmax=1, extent=(0, 1, 1, 0))
        for channel, colour in zip(mask, COLOURS, strict=True):
            axis.contour(channel, [0.5], colors=[colour], linewidths=0.8, extent=(0, 1, 0, 1))
        title = "not measurable" if np.isnan(ratio) else f"CTR {ratio:.2f}"
        axis.set_title(f"{name[:-4]}\n{title}", fontsize=6, pad=2)
        axis.set_axis_off()
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return chosen


def main(arguments: list[str]) -> int:
    """Measure and draw; exit code 2 where the arguments do not name a run and a study."""
    if len(arguments) != 2 or "CFX_REAL_DATA" not in os.environ:
        print(__doc__, file=sys.stderr)
        return 2
    run, study = Run.open(arguments[0]), ROOT / arguments[1]
    part = run.part("judge")
    judge, size = load_segmenter(part), int(part.config["data"]["size"])
    folder = Path(os.environ["CFX_REAL_DATA"]) / "nih_cxr14"
    result = {"run": run.name, **compare(judge, folder, size)}
    result["overlays"] = overlays(judge, folder, size, study / "overlays.png")
    write_json(study / "heart_boxes.json", result)
    print({key: value for key, value in result.items() if key != "overlays"})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
