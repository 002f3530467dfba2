"""What does the context-aware loss keep of devices, against a plain L1 of the same total weight?

    python -m experiments.context_aware context_aware runs/cardiomegaly-phantom-singla2021-... runs/...

Takes finished runs of one black box that come in pairs: the same model and `model.seed`, once with `loss.kind`
context_aware and once plain. Every picture of both groups that has a device is drawn at its extreme target by both. A
device counts if it lies in the edited region of either picture, for both alike. Frozen by model and direction: the
share of its contrast that is left where it stood, under either loss, and their difference (context-aware less plain) by
patient with a 95 % interval, several seeds of one patient counting as one; reach and devices kept of every run.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from cfx.errors import BadValue
from cfx.evaluation.device_files import read_devices
from cfx.files import write_json
from cfx.loading import LoadedRun, load_explainer
from cfx.metrics.devices import find, in_edit, kept_contrast, visible
from cfx.metrics.statistics import cluster_bootstrap, effect_size, paired_wilcoxon
from cfx.metrics.validity import DOWN, UP, extreme_target
from cfx.runs import Run, jobs_of
from experiments.interval_figure import draw_study
from experiments.several_runs import answer, drawn_at, pictures_of, places_of, same_question, shared_rows

Array = npt.NDArray[Any]
ROOT = Path(__file__).resolve().parent
AWARE, PLAIN = "context_aware", "plain"
FIGURES = ("contrast_aware", "contrast_plain", "difference", "kept_aware", "kept_plain")


class Pair(NamedTuple):
    """Two runs that differ in the kind of their loss alone."""

    model: str
    seed: int
    aware: Run
    plain: Run


def pairs_of(runs: list[Run]) -> list[Pair]:
    """Sort runs into pairs, by model and seed.

    Raises:
        BadValue: a run has no counterpart, or two, or one whose configuration differs in more than `loss.kind`.
    """
    known: dict[tuple[str, int], dict[str, Run]] = {}
    for run in runs:
        config = run.config
        key = (str(config["model"]["name"]), int(config["model"]["seed"]))
        kinds = known.setdefault(key, {})
        if config["loss"]["kind"] in kinds:
            raise BadValue("run", run.name, "is the second of its model, seed and loss", "give each once")
        kinds[str(config["loss"]["kind"])] = run
    found = []
    for (model, seed), kinds in sorted(known.items()):
        if set(kinds) != {AWARE, PLAIN}:
            name = next(iter(kinds.values())).name
            raise BadValue(
                "run", name, f"has no counterpart among {AWARE} and {PLAIN}", "give both of each seed"
            )
        first, second = ({**kinds[kind].config["loss"], "kind": None} for kind in (AWARE, PLAIN))
        if first != second or kinds[AWARE].config["model"] != kinds[PLAIN].config["model"]:
            raise BadValue("run", kinds[PLAIN].name, "differs in more than loss.kind", "train both alike")
        found.append(Pair(model, seed, kinds[AWARE], kinds[PLAIN]))
    return found


def device_rows(before: Array, aware: Array, plain: Array, path: Any) -> list[dict[str, float]]:
    """One row a device that lies in the edited region of either picture.

    Args:
        before, aware, plain: (H, W) in [0, 1].
        path: the picture's file of devices.
    """
    rows = []
    for device in read_devices(path, before.shape[-1]):
        edited = in_edit(before, aware, device.mask) or in_edit(before, plain, device.mask)
        if not edited or not visible(before, device):
            continue
        first, second = (kept_contrast(before, after, device.mask) for after in (aware, plain))
        rows.append(
            {
                "contrast_aware": first,
                "contrast_plain": second,
                "difference": first - second,
                "kept_aware": float(find(before, aware, device).kept),
                "kept_plain": float(find(before, plain, device).kept),
            }
        )
    return rows


def grey(images: Tensor) -> Array:
    """Pictures (N, 1, H, W) in [-1, 1] as (N, H, W) in [0, 1]."""
    values: Array = (images[:, 0].double().numpy() + 1) / 2
    return values


def measure(pair: Pair, loaded: dict[str, LoadedRun], group: str) -> pd.DataFrame:
    """Every device of one pair and direction, with its patient."""
    asked = shared_rows([run.evaluation.counterfactuals() for run in (pair.aware, pair.plain)], group)[0]
    data = pictures_of(pair.aware)
    asked = asked[asked["devices_before"] > 0]
    places = places_of(data.table, asked.index.tolist())
    images = torch.stack([data[place]["image"] for place in places])
    drawn = [grey(drawn_at(loaded[kind], images, extreme_target(group))) for kind in (AWARE, PLAIN)]
    rows: list[dict[str, Any]] = []
    for number, (place, before) in enumerate(zip(places, grey(images), strict=True)):
        path = data.table["device_path"].iloc[place]
        whose = {"patient_id": asked["patient_id"].iloc[number], "seed": pair.seed}
        found = device_rows(before, drawn[0][number], drawn[1][number], path)
        rows.extend({**whose, **row} for row in found)
    return pd.DataFrame(rows, columns=["patient_id", "seed", *FIGURES])


def figures(rows: pd.DataFrame) -> dict[str, Any]:
    """Every figure of some devices by patient, with its interval; null where there is no device at all."""
    patients = rows["patient_id"].to_numpy()
    made: dict[str, Any] = {"n_devices": len(rows), "n_patients": len(set(patients))}
    for name in FIGURES:
        mean, low, high = cluster_bootstrap(rows[name].to_numpy(), patients) if len(rows) else (np.nan,) * 3
        known = np.isfinite(mean)
        made[name] = {"mean": mean if known else None, "ci95": [low, high] if known else None}
    columns = (rows["contrast_plain"].to_numpy(), rows["contrast_aware"].to_numpy())
    made["p"] = paired_wilcoxon(*columns, patients) if len(rows) else None
    effect = effect_size(*columns, patients) if len(rows) else np.nan
    made["effect"] = effect if np.isfinite(effect) else None
    return made


def measured_by_itself(metrics: dict[str, Any]) -> dict[str, Any]:
    """What stands beside the comparison: reach and share of the gap closed by direction, devices kept of all."""
    gap = {group: metrics["clinical"]["ctr"][group]["gap_closed"] for group in (UP, DOWN)}
    reach = {group: metrics["validity"][group]["reach"] for group in (UP, DOWN)}
    return {"reach": reach, "gap_closed": gap, "fop": metrics["identity"]["fop"]}


def study(runs: list[Run]) -> dict[str, Any]:
    """Compare all pairs of the runs; figures by model and direction, then the runs.

    Raises:
        BadValue: see `pairs_of` and `same_question`.
    """
    same_question(runs)
    pairs = pairs_of(runs)
    found: dict[str, Any] = {}
    for model in dict.fromkeys(pair.model for pair in pairs):
        parts: dict[str, list[pd.DataFrame]] = {UP: [], DOWN: []}
        for pair in (each for each in pairs if each.model == model):
            loaded = {AWARE: load_explainer(pair.aware), PLAIN: load_explainer(pair.plain)}
            for group, tables in parts.items():
                tables.append(measure(pair, loaded, group))
        found[model] = {group: figures(pd.concat(tables)) for group, tables in parts.items()}
        for group, tables in parts.items():
            found[model][group]["difference_by_seed"] = [
                figures(each)["difference"]["mean"] for each in tables
            ]
    found["runs"] = [
        {
            "model": run.config["model"]["name"],
            "model_seed": run.config["model"]["seed"],
            "loss": run.config["loss"]["kind"],
            **measured_by_itself(run.evaluation.metrics()),
            **{key: run.environment().get(key) for key in ("commit", "device", "seed")},
        }
        for pair in pairs
        for run in (pair.aware, pair.plain)
    ]
    return found


def work(arguments: list[str]) -> None:
    """Compare the runs that the arguments name, and freeze."""
    found = study([run for place in arguments[1:] for run in jobs_of(Path(place))])
    write_json(ROOT / arguments[0] / "metrics.json", found)
    draw_study(ROOT / arguments[0])
    for model, groups in found.items():
        for group in groups if model != "runs" else ():
            print(model, group, groups[group])


def main(arguments: list[str]) -> int:
    """See `answer`."""
    return answer(work, arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
