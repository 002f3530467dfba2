"""Do several explainers of one black box say the same? Sets finished runs side by side and freezes what it finds.

    python -m cfx.train -m name=stability model.seed=0,1,2
    python experiments/stability.py stability multirun/stability

Draws the pictures of both groups at the target they are asked for with every explainer (at most 200 a direction) and
writes `metrics.json` (correlation of the difference maps, agreement of the shift's sign, both by patient, and the
least reach and the range of CTR shifts of the runs) and `maps.png` into the study's folder.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt

from cfx import assembly
from cfx.errors import BadValue
from cfx.evaluation.rows import extremes
from cfx.files import write_json
from cfx.loading import LoadedRun, load_explainer
from cfx.metrics.stability import map_correlation, sign_agreement
from cfx.metrics.statistics import cluster_bootstrap
from cfx.metrics.validity import DOWN, UP, extreme_target
from cfx.runs import Run, jobs_of

ROOT = Path(__file__).resolve().parent
MOST, SHOWN, SEED = 200, 4, 0


def same_question(runs: list[Run]) -> None:
    """Refuse runs of different black boxes or data.

    Raises:
        BadValue: naming the run that differs.
    """
    boxes = [(run.part("blackbox").path / "weights.safetensors").read_bytes() for run in runs]
    for run, box in zip(runs[1:], boxes[1:], strict=True):
        if box != boxes[0] or run.config["data"] != runs[0].config["data"]:
            problem = f"explains another black box or other data than {runs[0].name}"
            raise BadValue(
                "run", run.name, problem, "give runs of one black box, such as a multirun over model.seed"
            )


@torch.inference_mode()
def difference_maps(loaded: LoadedRun, images: torch.Tensor, target: float) -> np.ndarray[Any, Any]:
    """x_c - x of pictures (N, 1, H, W) at one target, float32 (N, H, W)."""
    found = []
    for some in torch.split(images, 50):
        drawn = loaded.explainer.explain(some, torch.full((len(some), 1), target)).images[:, 0, 0]
        found.append((drawn - some[:, 0]).numpy())
    return np.concatenate(found)


def compare(runs: list[Run], group: str, tables: list[pd.DataFrame]) -> tuple[dict[str, Any], Any]:
    """Figures of one direction, and what the picture of it needs."""
    asked = [extremes(table, group).set_index("image_id") for table in tables]
    names = asked[0].index[:MOST]
    loaded = [load_explainer(run) for run in runs]
    config = runs[0].config
    data = assembly.data_module(config, part=config["model"]["part"], batch_size=64).dataset("test")
    places = pd.Index(data.table["image_id"]).get_indexer(names)
    images = torch.stack([data[int(place)]["image"] for place in places])
    maps = np.stack([difference_maps(one, images, extreme_target(group)) for one in loaded])
    shifts = np.stack([(rows["ctr_after"] - rows["ctr_net_before"]).to_numpy() for rows in asked])
    patients = asked[0]["patient_id"].to_numpy()
    agreement, correlation = sign_agreement(shifts), map_correlation(maps)
    figures = {
        "sign_agreement": agreement,
        "not_measurable": np.isnan(agreement).astype(float),
    }
    section: dict[str, Any] = {"n_images": len(agreement), "n_patients": len(set(patients)), "ci95": {}}
    for name, values in figures.items():
        section[name], *section["ci95"][name] = cluster_bootstrap(values, patients, seed=SEED)
    section["map_correlation"], *section["ci95"]["map_correlation"] = cluster_bootstrap(
        correlation, patients[: len(names)], seed=SEED
    )
    section["n_maps"] = len(names)
    section["shift_net"] = [float(np.nanmean(each)) for each in shifts]
    section["spread_of_shift"] = float(np.nanmean(np.nanstd(shifts, axis=0, ddof=1)))
    return section, (images[:SHOWN, 0].numpy(), maps[:, :SHOWN])


def draw(found: dict[str, Any], file: Path) -> None:
    """One row a patient: the picture, then what each explainer changes."""
    count = next(iter(found.values()))[1].shape[0]
    rows = [(group, k) for group in found for k in range(len(found[group][0]))]
    size = (1.7 * (count + 1), 1.75 * len(rows))
    figure, axes = plt.subplots(len(rows), count + 1, figsize=size, layout="constrained")
    for line, (group, k) in zip(axes, rows, strict=True):
        images, maps = found[group]
        line[0].imshow(images[k], cmap="gray", vmin=-1, vmax=1)
        line[0].set_ylabel("grow" if group == UP else "take away", fontsize=8)
        for place, one in enumerate(maps[:, k]):
            line[place + 1].imshow(one, cmap="RdBu_r", vmin=-0.6, vmax=0.6)
            if (group, k) == rows[0]:
                line[place + 1].set_title(f"explainer {place}", fontsize=8)
        for axis in line:
            axis.set(xticks=[], yticks=[])
    axes[0][0].set_title("picture", fontsize=8)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def main(arguments: list[str]) -> int:
    """Compare and freeze; exit code 2 where the arguments name no study and at least two runs."""
    runs = [run for place in arguments[1:] for run in jobs_of(Path(place))]
    if len(runs) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    same_question(runs)
    tables = [run.evaluation.counterfactuals() for run in runs]
    sections, pictures = {}, {}
    for group in (UP, DOWN):
        sections[group], pictures[group] = compare(runs, group, tables)
    metrics = [run.evaluation.metrics() for run in runs]
    study = ROOT / arguments[0]
    study.mkdir(exist_ok=True)
    environment = runs[0].environment()
    result = {
        "runs": [{"name": run.name, "model_seed": run.config["model"].get("seed")} for run in runs],
        "environment": {key: environment.get(key) for key in ("commit", "device", "seed")},
        "reach": {g: [each["validity"][g]["reach"] for each in metrics] for g in (UP, DOWN)},
        **sections,
    }
    write_json(study / "metrics.json", result)
    draw(pictures, study / "maps.png")
    for group in (UP, DOWN):
        print(group, {key: value for key, value in sections[group].items() if key != "ci95"})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
