"""Does the segmenter that measures see a heart that is wider or narrower by a known amount, and by how much?

    CFX_REAL_DATA=/folder python -m experiments.widened_hearts widened_hearts
    CFX_REAL_DATA=/folder python -m experiments.widened_hearts widened_hearts runs/cardiomegaly-phantom-explainer-01ab

X-rays of `wingspan_ctr` that neither segmenter of the shipped run was trained or validated on are warped together with
their contours, so that the heart is wider or narrower and the thorax as it was (`experiments/widening.py`); the true
change of the cardiothoracic ratio is read from the warped contours. The segmenter of the evaluation and that of the
loss measure the pictures before and after. Of a run of phantoms, phantoms of a seed that nothing else uses are drawn
again by the oracle with other hearts. Either part is left out where it is not given.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from torch import Tensor

from cfx import chain
from cfx.anatomy.masks import MEASURED_SIZE
from cfx.assembly import data_module
from cfx.data.dataset import ChestXrayDataset
from cfx.data.phantom.source import Phantom
from cfx.data.reading import as_seen
from cfx.environment import commit, versions
from cfx.errors import BadValue, MissingPath
from cfx.evaluation.judging import Judge, judge_images
from cfx.files import write_json
from cfx.loading import LoadedRun, load_explainer
from cfx.measurements import measure
from cfx.metrics.statistics import RESAMPLES, bootstrap_statistic, cluster_bootstrap
from cfx.runs import Run
from experiments.several_runs import TEST, answer
from experiments.shortcut_runs import judge_of
from experiments.widening import chest_of, sources, warped

Array = npt.NDArray[Any]
ROOT = Path(__file__).resolve().parent
SHIPPED = "pretrained/nih_cardiomegaly"
SET = "wingspan_ctr"
FINDING = "Cardiomegaly"
AMOUNTS = (-0.08, -0.04, 0.04, 0.08)
"""Changes of the cardiothoracic ratio that are asked for: of a narrower heart below 0, of a wider one above."""
PHANTOMS, SEED = 200, 7002
WITHIN = 0.01
"""Of the ratio: what the segmenter that measures must recover a change within."""
SHOWN = (0.25, 0.75)
"""Which X-rays are shown: those of these quantiles of the ratio, among those that every warp was possible on."""
ROLES = ("judge", "segmenter")
"""Parts of a run: the segmenter of the evaluation and that of the loss."""


class Pairs(NamedTuple):
    """Pictures before and after, with the truth.

    patients: (N,). before: (N, H, W) in [0, 1]. after: (A, N, H, W), a row for each of `AMOUNTS`, the picture before
    where there is none. ctr: (N,) true ratio before. change: (A, N) true change of it, NaN where no picture was made.
    """

    patients: Array
    before: Array
    after: Array
    ctr: Array
    change: Array


Panel = tuple[str, Pairs, Array]
"""Title, pictures, and what was measured (A, N) of them."""


def unseen(run: Run, folder: Path) -> ChestXrayDataset:
    """Contoured pictures that neither segmenter of a run was trained or validated on, at the size of their masks.

    Raises:
        UserError: the folder does not hold the set, or both together leave no picture.
    """
    found = []
    for role in ROLES:
        config = run.part(role).config
        source = {**config["data"]["source"], "root": str(folder)}
        data = {**config["data"], "root": str(folder), "source": source, "size": MEASURED_SIZE}
        found.append(data_module({**config, "data": data}, part=config["model"]["part"], batch_size=1))
    names = [set(each.table(TEST)["image_id"]) for each in found]
    if names[0] != names[1]:
        problem = "its two segmenters were tested on different pictures"
        raise BadValue("run", run.name, problem, "give segmenters trained with the same data.splits")
    return found[0].dataset(TEST)


def warped_pairs(pictures: Array, masks: Array, patients: Array) -> Pairs:
    """Warp contoured pictures by every amount.

    Args:
        pictures: (N, H, W) in [0, 1]. masks: (N, 3, H, W) in [0, 1]. patients: (N,).

    Raises:
        ValueError: masks that leave no ratio (see `chest_of`).
    """
    ctr = measure(masks).ctr
    after, change = np.stack([pictures] * len(AMOUNTS)), np.full((len(AMOUNTS), len(pictures)), np.nan)
    for place, (picture, its_masks) in enumerate(zip(pictures, masks, strict=True)):
        chest = chest_of(its_masks)
        for row, amount in enumerate(AMOUNTS):
            columns = sources(chest, amount)
            if columns is None:
                continue
            both = warped(np.concatenate([picture[None], its_masks]), columns)
            after[row, place] = both[0]
            change[row, place] = measure(both[None, 1:]).ctr[0] - ctr[place]
    return Pairs(patients, pictures, after, ctr, change)


def phantom_pairs(folder: Path, size: int, site: str) -> tuple[Pairs, Array]:
    """Phantoms, and the same drawn again with hearts whose ratio differs by every amount, where it can be drawn.

    Args:
        folder: where the phantom is written. size: side of the pictures in pixels. site: see `Phantom`.

    Returns:
        The pictures with the true change by their masks of that size, as every evaluation takes it, and the change
        (A, N) that was drawn.
    """
    source = Phantom(folder, size, {"train": 1, "valid": 1, "test": PHANTOMS}, SEED, site)
    frame = source.frame().query("split == 'test'")
    names, oracle = frame["image_id"].tolist(), source.oracle()
    own, bounds = oracle.severity(names, FINDING), oracle.bounds(FINDING)
    before = oracle.render(names, FINDING, own)
    ends = [oracle.render(names, FINDING, torch.full((len(names),), end)).ctr for end in bounds]
    slope = (ends[1] - ends[0]) / (bounds[1] - bounds[0])  # linear within .0001
    ctr = measure(before.masks.numpy()).ctr
    after, change, exact = [], [], []
    for amount in AMOUNTS:
        asked = own + amount / slope
        drawn = oracle.render(names, FINDING, asked)
        there = ((asked >= bounds[0]) & (asked <= bounds[1])).numpy()
        after.append(_grey(drawn.image))
        change.append(np.where(there, measure(drawn.masks.numpy()).ctr - ctr, np.nan))
        exact.append(np.where(there, (drawn.ctr - before.ctr).numpy(), np.nan))
    patients = frame["patient_id"].to_numpy()
    pairs = Pairs(patients, _grey(before.image), np.stack(after), ctr, np.stack(change))
    return pairs, np.stack(exact)


def _grey(images: Tensor) -> Array:
    """Pictures (N, 1, H, W) in [-1, 1] as grey values (N, H, W) in [0, 1]."""
    return (images[:, 0].double().numpy() + 1) / 2


def seen(pictures: Array, size: int) -> Tensor:
    """Pictures (N, H, W) in [0, 1] as the data module gives them to a network: (N, 1, size, size) in [-1, 1]."""
    return torch.stack([as_seen(each.astype(np.float32), size) for each in pictures])


def measured(judge: Judge, pairs: Pairs, size: int) -> Array:
    """Change (A, N) of the cardiothoracic ratio that a segmenter measures; NaN where it could not measure it."""
    before = judge_images(judge, seen(pairs.before, size)).ctr
    changes: Array = np.stack([judge_images(judge, seen(each, size)).ctr - before for each in pairs.after])
    return changes


def slope(true: Array, found: Array) -> float:
    """Least-squares slope of the measured on the true change (M,) each; NaN where the truth does not vary."""
    return float(np.polyfit(true, found, 1)[0]) if len(np.unique(true)) > 1 else float("nan")


def figures(pairs: Pairs, found: Array) -> dict[str, Any]:
    """How far measured changes (A, N) are from the true ones, by amount, and their slope over all amounts.

    Returns:
        By amount, written as `+0.04`: `n`, `n_patients`; `not_possible`, pictures that could not be made or whose masks
        leave no ratio; `not_measurable`, of the others; `true_change`; `bias`, the mean error of the change; `mae`, its
        mean absolute error; `within`, the share of pictures with an error of at most `WITHIN`; `ci95` of these three by
        patient. `slope` with `n` (pictures times amounts) and `ci95`.
    """
    sections: dict[str, Any] = {}
    for amount, true, each in zip(AMOUNTS, pairs.change, found, strict=True):
        error, possible = each - true, np.isfinite(true)
        known = np.isfinite(error)
        bias, *bias_ends = cluster_bootstrap(error, pairs.patients)
        mae, *mae_ends = cluster_bootstrap(np.abs(error), pairs.patients)
        close = np.where(known, np.abs(error) <= WITHIN, np.nan)
        within, *within_ends = cluster_bootstrap(close, pairs.patients)
        sections[f"{amount:+.2f}"] = {
            "n": int(known.sum()),
            "n_patients": len(set(pairs.patients[known].tolist())),
            "not_possible": int((~possible).sum()),
            "not_measurable": int((possible & ~known).sum()),
            "true_change": float(true[known].mean()) if known.any() else None,
            "bias": bias,
            "mae": mae,
            "within": within,
            "ci95": {"bias": bias_ends, "mae": mae_ends, "within": within_ends},
        }
    known = np.isfinite(pairs.change) & np.isfinite(found)
    true, measures = pairs.change[known], found[known]
    patients = np.broadcast_to(pairs.patients, known.shape)[known]
    ends = bootstrap_statistic(lambda rows: slope(true[rows], measures[rows]), patients, resamples=RESAMPLES)
    return {**sections, "slope": {"value": slope(true, measures), "n": len(true), "ci95": list(ends)}}


def draw(panels: Sequence[Panel], radiographs: tuple[Pairs, Array] | None, file: Path) -> None:
    """Draw measured against true change in panels, and two X-rays with narrower and wider hearts below.

    Args:
        panels: see `Panel`. radiographs: X-rays with their masks (N, 3, H, W), or None. file: the PNG.
    """
    rows = 1 + (len(SHOWN) if radiographs else 0)
    figure = plt.figure(figsize=(3.9 * len(panels), 4.1 * rows), layout="constrained")
    parts = figure.subfigures(rows, 1, squeeze=False)[:, 0]
    axes = parts[0].subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _scatter(axis, *panel)
    axes[0].set_ylabel("measured change")
    axes[0].legend(fontsize=8, loc="upper left", frameon=False)
    if radiographs:
        pairs, masks = radiographs
        whole = np.flatnonzero(np.isfinite(pairs.change).all(axis=0))
        order = whole[np.argsort(pairs.ctr[whole], kind="stable")]
        for part, share in zip(parts[1:], SHOWN, strict=True):
            place = order[round(share * (len(order) - 1))]
            _example(part.subplots(1, 3), pairs, masks[place], int(place))
    figure.savefig(file, dpi=80)
    plt.close(figure)


def _scatter(axis: Axes, title: str, pairs: Pairs, found: Array) -> None:
    """A dot a picture and amount, the diagonal, and the band about it."""
    line = np.array([-0.1, 0.1])
    low, high, label = line - WITHIN, line + WITHIN, f"within {WITHIN:.2f}"
    axis.fill_between(line, low, high, color="tab:green", alpha=0.25, linewidth=0, label=label)
    axis.plot(line, line, color="black", linewidth=0.8)
    axis.scatter(pairs.change, found, s=7, alpha=0.5, linewidths=0)
    axis.set(xlabel="true change of the CTR", xlim=(-0.1, 0.1), xticks=AMOUNTS)
    axis.set_yticks(AMOUNTS)
    axis.set_title(title, fontsize=9)


def _example(axes: Sequence[Axes], pairs: Pairs, masks: Array, place: int) -> None:
    """One X-ray with the narrowest heart, as taken, and with the widest, the heart's true outline dotted."""
    for axis, row in zip(axes, (0, None, len(AMOUNTS) - 1), strict=True):
        picture, outline, ratio, title = pairs.before[place], masks[0], pairs.ctr[place], "as taken"
        if row is not None:
            columns = sources(chest_of(masks), AMOUNTS[row])
            assert columns is not None  # since there is such a picture
            picture, outline = pairs.after[row, place], warped(masks[0], columns)
            ratio, title = ratio + pairs.change[row, place], f"warped by {AMOUNTS[row]:+.2f}"
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axis.contour(outline, [0.5], colors=["tab:red"], linewidths=0.8, linestyles="dotted")
        axis.set_title(f"{title}: true CTR {ratio:.3f}", fontsize=9)
        axis.set_axis_off()


def sections(loaded: LoadedRun, pairs: Pairs, size: int) -> tuple[dict[str, Any], dict[str, Array]]:
    """Figures of both segmenters of a run on pictures of one size, and what each measured (A, N).

    Raises:
        BadValue: the run has no segmenter of its own for the evaluation.
    """
    segmenters = {"judge": judge_of(loaded), "segmenter": loaded.segmenter}
    found = {role: measured(segmenters[role], pairs, size) for role in ROLES}
    return {"size": size} | {role: figures(pairs, found[role]) for role in ROLES}, found


def of_radiographs(folder: Path) -> tuple[dict[str, Any], list[Panel], Array]:
    """Figures of the shipped run on X-rays, panels of the picture, and the masks (N, 3, H, W)."""
    loaded = load_explainer(SHIPPED)
    data = unseen(loaded.run, folder)
    assert data.masks is not None
    masks = data.masks / 255
    pairs = warped_pairs(data.images / 255, masks, data.table["patient_id"].to_numpy())
    section, found = sections(loaded, pairs, int(loaded.config["data"]["size"]))
    own = int(loaded.run.part("judge").config["data"]["size"])
    about = {"run": loaded.run.name, "n_images": len(masks), "n_patients": len(set(pairs.patients.tolist()))}
    panels = [("X-rays, segmenter of the evaluation", pairs, found["judge"])]
    panels.append(("X-rays, segmenter of the loss", pairs, found["segmenter"]))
    return about | section | {"own_size": sections(loaded, pairs, own)[0]}, panels, masks


def of_phantoms(place: str) -> tuple[dict[str, Any], list[Panel]]:
    """Figures of a run of phantoms, and a panel of the picture.

    Raises:
        UserError: there is no such run, or it is of other data.
    """
    loaded = load_explainer(place)
    data = loaded.config["data"]
    if not chain.is_phantom(data):
        problem = f"is a run of data={data['name']}, which no oracle can draw again"
        raise BadValue("run", place, problem, "give a run of phantoms")
    with tempfile.TemporaryDirectory() as folder:
        pairs, exact = phantom_pairs(Path(folder), int(data["size"]), data["source"].get("site", "A"))
    section, found = sections(loaded, pairs, int(data["size"]))
    about = {"run": loaded.run.name, "n_images": PHANTOMS, "n_patients": len(set(pairs.patients.tolist()))}
    section["masks_against_drawn"] = figures(pairs._replace(change=exact), pairs.change)
    return about | section, [("phantoms, segmenter of the evaluation", pairs, found["judge"])]


def work(arguments: list[str]) -> None:
    """Measure, freeze and draw into the study named first.

    Raises:
        UserError: no such study, run or data, nothing to measure, a run of other data than phantoms, or several runs.
    """
    study, *runs = arguments
    folder = ROOT / study
    if not folder.is_dir():
        raise MissingPath("study", study, "there is no such folder of experiments/", "give widened_hearts")
    real = os.environ.get("CFX_REAL_DATA")
    if len(runs) > 1:
        raise BadValue("run", runs, "are several runs", "give one of phantoms, or none")
    if not (runs or real):
        problem = "names no folder, and no run is given"
        raise BadValue("CFX_REAL_DATA", real, problem, "give X-rays, a run of phantoms, or both")
    torch.set_num_threads(1)
    made_by = {"commit": commit(), "seed": SEED, "device": "cpu", **versions()}  # before anything is written
    found: dict[str, Any] = {"schema": 1, "amounts": AMOUNTS}
    panels: list[Panel] = []
    radiographs = None
    if real:
        found[SET], panels, masks = of_radiographs(Path(real) / SET)
        radiographs = (panels[0][1], masks)
    if runs:
        found["phantom"], more = of_phantoms(runs[0])
        panels = panels + more
    draw(panels, radiographs, folder / "widened_hearts.png")
    write_json(folder / "metrics.json", found | {"environment": made_by})
    print(folder / "metrics.json")


def main(arguments: list[str]) -> int:
    """See `answer`; the study alone is enough where CFX_REAL_DATA names X-rays."""
    return answer(work, arguments, __doc__, fewest=1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
