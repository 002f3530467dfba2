"""Measure how a finished run's edits, black box and CTR stand to a planted shortcut: for studies that plant one.

    python -m experiments.shortcut_runs runs/cardiomegaly-phantom_shortcut-explainer-0123abcd ...

Each run of an explainer, or multirun of such, is read with `cfx.loading`; what was measured is written beside its
metrics.json as evaluation/shortcut.json and not measured again. CTR is measured by the evaluation segmenter, never by
that of the loss, and the file says so. It is a script and no part of every evaluation, since only planted phantoms have
a shortcut, and since it draws only the pictures that it needs.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from cfx import assembly
from cfx.data.masks import read_devices
from cfx.data.phantom.oracle import PhantomOracle
from cfx.data.source import Source
from cfx.errors import BadValue, UserError
from cfx.evaluation.judging import in_batches, judge_images
from cfx.files import read_json, write_json
from cfx.loading import LoadedRun, load_explainer
from cfx.metrics.calibration import auroc, auroc_interval
from cfx.metrics.shortcut import arrangements, edit_share, reliance
from cfx.metrics.statistics import PatientBootstrap, interval
from cfx.metrics.validity import DOWN, UP, extreme_target, groups, reached
from cfx.runs import Run, jobs_of

Array = npt.NDArray[Any]
JUDGE = "judge"
"""Who measures CTR, by the part's name in the run."""
BATCH = 64
RESAMPLES = 1000
TAIL = 0.1
"""Where a black box calls nothing clearly, its groups are this share of the pictures from each end of its posterior."""
FEWEST = 10
"""Fewer pictures under 0.2 or over 0.8 are no group."""


class Everyone(NamedTuple):
    """CTR (N,), recorded label (N,) and patient (N,) of all pictures of the split."""

    ctr: Array
    label: Array
    patients: Array


def judge_of(loaded: LoadedRun) -> Any:
    """Return the segmenter that measures: the evaluation's own, which no loss has used.

    Raises:
        BadValue: the run has none, or it is the segmenter of the loss under another name. An explainer would then be
            measured by what it was trained to please.
    """
    remedy = "train with anatomy.judge, as experiment=small_phantom does"
    if loaded.judge is None:
        raise BadValue("run", loaded.run.name, "has no evaluation segmenter", remedy)
    files = [loaded.run.part(name).weights_file for name in ("judge", "segmenter")]
    if files[1].is_file() and files[0].read_bytes() == files[1].read_bytes():
        raise BadValue("run", loaded.run.name, "is judged by the segmenter of its own loss", remedy)
    return loaded.judge


def runs_of(places: Sequence[Path]) -> list[Run]:
    """Return the runs of multiruns, or runs themselves, in order and each once however often it is named."""
    runs = [run for place in places for run in jobs_of(place)]
    return [Run.open(path) for path in dict.fromkeys(run.path.resolve() for run in runs)]


def groups_of(posterior: Array) -> tuple[Array, str]:
    """Group of each picture, (N,) of up, down and middle, and the rule: by 0.2 and 0.8, or by tenths of the pictures.

    Tenths are taken where a group by posterior has fewer than `FEWEST` pictures, as of a black box that has learnt
    nothing and says the same of everyone.
    """
    found = groups(posterior)
    if min(int((found == UP).sum()), int((found == DOWN).sum())) >= FEWEST:
        return np.asarray(found, dtype=object), "posterior"
    count = max(1, round(TAIL * len(posterior)))
    order = np.argsort(posterior, kind="stable")
    tails = np.full(len(posterior), "middle", dtype=object)
    tails[order[:count]], tails[order[-count:]] = UP, DOWN
    return tails, "tenths"


def counterfactuals(loaded: LoadedRun, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures (N, 1, H, W) at their targets (N,), and the method's own output at c = p(x)."""
    drawn, net = [], []
    for image, target in zip(torch.split(images, BATCH), torch.split(targets, BATCH), strict=True):
        own = loaded.blackbox(image).detach()
        made = loaded.explainer.explain(image, torch.stack([target, own], dim=1)).images.detach()
        drawn.append(made[:, 0])
        net.append(made[:, 1])
    return torch.cat(drawn), torch.cat(net)


def grey(images: Tensor) -> Array:
    """Pictures (N, 1, H, W) in [-1, 1] as grey values (N, H, W) in [0, 1]."""
    return (images[:, 0].double().numpy() + 1) / 2


def with_interval(values: Array, boot: PatientBootstrap) -> dict[str, Any]:
    """Patient mean of a figure, its 95 % interval and the number of patients; null where nothing was measured."""
    mean, samples = boot.mean(values)
    bounds = [float(bound) for bound in interval(samples)]
    return {
        "mean": mean if np.isfinite(mean) else None,
        "ci95": bounds if np.isfinite(bounds).all() else None,
        "n_patients": len(set(boot.patients[np.isfinite(values)].tolist())),
    }


def direction_section(
    group: str, loaded: LoadedRun, images: Tensor, table: pd.DataFrame, rows: Array, everyone: Everyone
) -> dict[str, Any]:
    """Figures of one group at the target it is asked for.

    Args:
        group: up or down. loaded: the run.
        images: (N, 1, H, W) of the group. table: of the group. rows: (N,) their places among everyone.
        everyone: of the split, whose gap a shift is divided by.
    """
    targets = torch.full((len(images),), extreme_target(group))
    after, net = counterfactuals(loaded, images, targets)
    judge = judge_of(loaded)
    shift = judge_images(judge, after).ctr - judge_images(judge, net).ctr
    boot = PatientBootstrap(table["patient_id"].to_numpy(), RESAMPLES)
    arrived = in_batches(loaded.blackbox, after, BATCH).numpy()
    section = {
        "n_images": len(table),
        "reach": with_interval(reached(arrived, group), boot),
        "p_after": with_interval(arrived, boot),
        "ctr_shift_net": with_interval(shift, boot),
        "gap_closed": closed(group, shift, rows, everyone),
    }
    if "shortcut_path" in table:
        size = images.shape[-1]
        region = np.stack([read_devices(path, size) for path in table["shortcut_path"]]) > 0
        share, over = edit_share(grey(images), grey(after), region)
        there = table["shortcut"].to_numpy() > 0
        section |= {"share": with_interval(share, boot), "share_over_area": with_interval(over, boot)}
        section["area"] = float(region.mean())
        for name, some in (("present", there), ("absent", ~there)):
            section[f"share_over_area_{name}"] = with_interval(np.where(some, over, np.nan), boot)
    return section


def closed(group: str, shift: Array, rows: Array, everyone: Everyone) -> dict[str, Any]:
    """Share of the gap between pictures with and without the recorded finding that a group's shift closes.

    The gap is of the finding and not of the black box's own groups: those of one that reads no heart do not differ.
    Positive towards the group asked for; patients are resampled for shift and gap together.
    """
    ctr, label = everyone.ctr, everyone.label
    boot = PatientBootstrap(everyone.patients, RESAMPLES)
    spread = np.full(len(ctr), np.nan)
    spread[rows] = shift
    moved, moves = boot.mean(spread)
    ill, ills = boot.mean(np.where(label == 1, ctr, np.nan))
    well, wells = boot.mean(np.where(label == 0, ctr, np.nan))
    sign = 1.0 if group == UP else -1.0
    bounds = [float(bound) for bound in interval(sign * moves / (ills - wells))]
    return {"mean": sign * moved / (ill - well), "ci95": bounds, "gap": ill - well}


def measure(run: Run) -> dict[str, Any]:
    """Measure one finished run of an explainer on its test patients.

    Raises:
        BadValue: it has no segmenter but that of its loss.
    """
    loaded = load_explainer(run)
    judge = judge_of(loaded)
    config = loaded.config
    data = assembly.data_module(config, part=config["model"]["part"], batch_size=BATCH)
    table, dataset = data.table("test"), data.dataset("test")
    images = dataset.batch(range(len(dataset)))["image"]
    posterior = in_batches(loaded.blackbox, images, BATCH).numpy().astype(np.float64)
    found, rule = groups_of(posterior)
    label = table[config["task"]["finding"]].to_numpy(dtype=np.float64)
    ctr = judge_images(judge, images).ctr
    everyone = Everyone(ctr, label, table["patient_id"].to_numpy())
    metrics: dict[str, Any] = {
        "groups": rule,
        "measured_by": JUDGE,
        "n_images": len(table),
        "blackbox": blackbox_section(loaded, data.source, table, label, posterior),
    }
    for group in (UP, DOWN):
        rows = np.flatnonzero(found == group)
        some = images[torch.from_numpy(rows)]
        metrics[group] = direction_section(group, loaded, some, table.iloc[rows], rows, everyone)
    return metrics


def blackbox_section(
    loaded: LoadedRun, source: Source, table: pd.DataFrame, label: Array, posterior: Array
) -> dict[str, Any]:
    """AUROC with 95 % interval: as is, with the shortcut swapped in every picture, with it dealt out by chance."""
    patients = table["patient_id"].to_numpy()
    oracle = source.oracle()
    if "shortcut" not in table or not isinstance(oracle, PhantomOracle):
        bounds = list(auroc_interval(posterior, label, patients))
        return {"auroc": auroc(posterior, label), "ci95": {"auroc": bounds}}
    names, there = table["image_id"].tolist(), table["shortcut"].to_numpy() > 0
    drawn = [oracle.with_shortcut(names, torch.full((len(names),), present)) for present in (True, False)]
    present, absent = (in_batches(loaded.blackbox, images, BATCH).numpy() for images in drawn)
    luck = np.random.default_rng(int(loaded.config["seed"])).random(len(names)) < 0.5
    figures = reliance(present, absent, label, there, luck)
    shown = arrangements(present, absent, there, luck)
    ends = {key: list(auroc_interval(value, label, patients)) for key, value in shown.items()}
    return {
        "auroc": figures.pop("as_is"),
        **{f"auroc_{key}": value for key, value in figures.items()},
        "ci95": {"auroc": ends.pop("as_is"), **{f"auroc_{key}": value for key, value in ends.items()}},
    }


def shortcut_file(run: Path) -> Path:
    """Return where a run's figures are kept."""
    return run / "evaluation" / "shortcut.json"


def measured(run: Run) -> dict[str, Any]:
    """Return a run's figures; measured where there are none yet, or none that say who measured them."""
    file = shortcut_file(run.path)
    if not file.is_file() or read_json(file).get("measured_by") != JUDGE:
        write_json(file, measure(run))
    found: dict[str, Any] = read_json(file)
    return found


def main(arguments: list[str]) -> int:
    """Measure the runs that the arguments name; exit code 2 where they name none."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    try:
        for run in runs_of([Path(place) for place in arguments]):
            measured(run)
            print(shortcut_file(run.path), flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
