"""Do several explainers of one black box say the same? Sets finished runs side by side and freezes what it finds.

    python -m cfx.train -m name=stability model.seed=0,1,2
    python -m experiments.stability stability multirun/stability

Takes the pictures of both groups that every run's evaluation holds, draws them at the target they are asked for with
every explainer (at most 200 a direction) and writes `metrics.json` and `maps.png` into the study's folder: correlation
of the difference maps, agreement of the CTR shift's sign, its size by explainer and its spread over them, all by
patient with 95 % intervals, and each run's reach.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from matplotlib import pyplot as plt

from cfx.evaluation.rows import extremes
from cfx.files import write_json
from cfx.loading import LoadedRun, load_explainer
from cfx.metrics.stability import map_correlation, sign_agreement
from cfx.metrics.statistics import cluster_bootstrap
from cfx.metrics.validity import DOWN, UP, extreme_target
from cfx.runs import Run, jobs_of
from experiments.several_runs import (
    TEST,
    answer,
    drawn_at,
    pictures_of,
    places_of,
    same_question,
    shared_rows,
)

Array = npt.NDArray[Any]
ROOT = Path(__file__).resolve().parent
MOST, SHOWN, SEED = 200, 4, 0


def shift_section(shifts: Array, patients: Array) -> dict[str, Any]:
    """Agreement and size of the CTR shifts (K, N) of K explainers, by patient (N,), with 95 % intervals.

    Returns:
        `sign_agreement`; `not_measurable`, the share of pictures in which one of them left no CTR; of the others
        `shift_net`, one an explainer, and `spread_of_shift`, the standard deviation over explainers; `n_measured`.
    """
    agreement = sign_agreement(shifts)
    together = np.where(np.isfinite(shifts).all(axis=0), shifts, np.nan)
    figures = {
        "sign_agreement": agreement,
        "not_measurable": np.isnan(agreement).astype(float),
        "spread_of_shift": together.std(axis=0, ddof=1),
    }
    section: dict[str, Any] = {"n_measured": int(np.isfinite(agreement).sum()), "ci95": {}}
    for name, values in figures.items():
        section[name], *section["ci95"][name] = cluster_bootstrap(values, patients, seed=SEED)
    means = [cluster_bootstrap(each, patients, seed=SEED) for each in together]
    section["shift_net"] = [mean for mean, _, _ in means]
    section["ci95"]["shift_net"] = [[low, high] for _, low, high in means]
    return section


def difference_maps(loaded: LoadedRun, images: torch.Tensor, target: float) -> Array:
    """x_c - x of pictures (N, 1, H, W) at one target, float32 (N, H, W)."""
    maps: Array = (drawn_at(loaded, images, target) - images)[:, 0].numpy()
    return maps


def compare(runs: list[Run], group: str, tables: list[pd.DataFrame]) -> tuple[dict[str, Any], Any]:
    """Figures of one direction, and what the picture of it needs."""
    asked = shared_rows(tables, group)
    names = asked[0].index[:MOST].tolist()
    loaded = [load_explainer(run) for run in runs]
    data = pictures_of(runs[0])
    images = torch.stack([data[place]["image"] for place in places_of(data.table, names)])
    maps = np.stack([difference_maps(one, images, extreme_target(group)) for one in loaded])
    shifts = np.stack([(rows["ctr_after"] - rows["ctr_net_before"]).to_numpy() for rows in asked])
    patients = asked[0]["patient_id"].to_numpy()
    section = {
        "n_images": len(patients),
        "n_patients": len(set(patients)),
        "left_out": [len(extremes(table, group)) - len(patients) for table in tables],
        **shift_section(shifts, patients),
    }
    section["map_correlation"], *section["ci95"]["map_correlation"] = cluster_bootstrap(
        map_correlation(maps), patients[: len(names)], seed=SEED
    )
    section["n_maps"] = len(names)
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


def work(arguments: list[str]) -> None:
    """Compare the runs that the arguments name, and freeze."""
    runs = [run for place in arguments[1:] for run in jobs_of(Path(place))]
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
        "split": TEST,
        "reach": {g: [each["validity"][g]["reach"] for each in metrics] for g in (UP, DOWN)},
        **sections,
    }
    write_json(study / "metrics.json", result)
    draw(pictures, study / "maps.png")
    for group in (UP, DOWN):
        print(group, {key: value for key, value in sections[group].items() if key != "ci95"})


def main(arguments: list[str]) -> int:
    """See `answer`."""
    return answer(work, arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
