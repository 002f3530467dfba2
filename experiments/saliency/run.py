"""Saliency maps beside the explainer's own difference map, on a finished run of the phantom.

    python experiments/saliency/run.py run=runs/cardiomegaly-phantom-explainer-0123abcd
    python experiments/saliency/run.py run=... images=60 output=folder device=cpu

Writes `metrics.json`, `maps.png` and `curves.png` into `output` (this folder unless told).
"""

import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cfx import assembly, environment
from cfx.attribution.layers import feature_layer
from cfx.attribution.maps import Settings
from cfx.errors import BadValue, UnknownChoice, UserError, nearest
from cfx.evaluation.saliency import Measured, Sample, all_maps, draw_sample, measure
from cfx.evaluation.saliency_summary import summarise
from cfx.files import jsonable, write_json
from cfx.fitting import peak_mib
from cfx.loading import LoadedRun, load_explainer
from cfx.metrics import overlap
from cfx.reporting.saliency_figure import Patient, curves_figure, maps_figure
from cfx.reporting.style import save_png

HERE = Path(__file__).resolve().parent
DEFAULTS = {"run": "", "images": "60", "output": str(HERE), "device": "cpu"}
SHOWN = (
    "oracle",
    "explainer",
    "gradient",
    "integrated_gradients",
    "smoothgrad",
    "grad_cam",
    "occlusion",
    "edges",
)


def settings_of(arguments: list[str]) -> dict[str, str]:
    """Return the settings with what was typed as key=value.

    Raises:
        UnknownChoice: another key. BadValue: no run, or no number of images.
    """
    settings = dict(DEFAULTS)
    for each in arguments:
        key, _, value = each.partition("=")
        if key not in settings:
            near = nearest(key, settings)
            raise UnknownChoice(
                key, value, "is no setting", f"did you mean {near}" if near else "see the top of the file"
            )
        settings[key] = value
    if not settings["run"]:
        raise BadValue("run", None, "names no run", "give run=FOLDER of a finished explainer on the phantom")
    if not settings["images"].isdigit() or int(settings["images"]) < 1:
        raise BadValue(
            "images", settings["images"], "is no number of pictures", "give 1 or more of each direction"
        )
    return settings


def sample_of(loaded: LoadedRun, images: int, device: str) -> Sample:
    """Draw held-out pictures of a run's own phantom.

    Raises:
        BadValue: the run's data have no oracle.
    """
    config = loaded.config
    data = assembly.data_module(config, part=config["model"]["part"], batch_size=64)
    dataset, oracle = data.dataset("test"), data.source.oracle()
    if oracle is None:
        problem = f"data={config['data']['name']} has no oracle, so nobody knows what truly changes"
        raise BadValue("run", str(loaded.run.path), problem, "give a run on the phantom")
    finding, seed = config["task"]["finding"], int(config["seed"])
    return draw_sample(
        loaded.explainer, loaded.blackbox, dataset.table, dataset, oracle, finding,
        images=images, seed=seed, device=device,
    )  # fmt: skip


def figures_of(
    loaded: LoadedRun, sample: Sample, measured: Measured, settings: Settings, minutes: float, device: str
) -> dict[str, Any]:
    """Return what metrics.json holds."""
    config, seed = loaded.config, int(loaded.config["seed"])
    layer = feature_layer(loaded.blackbox, sample.image.to(device), settings.least)
    figures = {
        "schema": 1,
        "study": "saliency",
        "task": config["task"]["name"],
        "data": config["data"]["name"],
        "run": {"name": loaded.run.name, "commit": loaded.run.environment().get("commit")},
        "threshold": overlap.THRESHOLD,
        "saliency": vars(settings),
        "grad_cam_layer": None if layer is None else {"name": layer.name, "size": layer.size},
        **summarise(sample, measured, seed=seed),
        "environment": environment.describe(
            seed=seed, steps=0, minutes=minutes, device=device, peak_mib=peak_mib(), threads=torch.get_num_threads(),
            captum=version("captum"),
        ),
    }  # fmt: skip
    plain: dict[str, Any] = jsonable(figures)
    return plain


def patients_of(sample: Sample, maps: dict[str, torch.Tensor], each: int = 2) -> list[Patient]:
    """The first patients of each group whose truth is known, chosen by nothing but the order of the table."""
    truth, found = overlap.changed(sample.oracle, sample.image), []
    for group in ("up", "down"):
        rows = np.flatnonzero(((sample.table["group"] == group) & sample.table["reached"]).to_numpy())[:each]
        for row in rows.tolist():
            entry = sample.table.iloc[row]
            found.append(
                Patient(
                    (sample.image[row, 0].numpy() + 1) / 2,
                    truth[row, 0].numpy(),
                    {name: values[row, 0].numpy() for name, values in maps.items()},
                    (
                        f"asked for {1 if group == 'up' else 0}",
                        f"p {entry['before']:.2f} → {entry['after']:.2f}",
                    ),
                )
            )
    return found


def main(arguments: list[str]) -> int:
    """Compare and write; exit code 2 after a user's mistake, in one line."""
    begun = time.monotonic()
    try:
        settings = settings_of(arguments)
        device, output = settings["device"], Path(settings["output"]).expanduser()
        loaded = load_explainer(settings["run"], device=device)
        sample = sample_of(loaded, int(settings["images"]), device)
        how = Settings(seed=int(loaded.config["seed"]))
        maps = all_maps(
            sample, loaded.blackbox, how, device=device, progress=lambda what: print(f"  {what}", flush=True)
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("  curves and overlaps", flush=True)
    measured = measure(sample, maps, loaded.blackbox, seed=how.seed, device=device)
    metrics = figures_of(loaded, sample, measured, how, (time.monotonic() - begun) / 60, device)
    save_png(
        maps_figure(patients_of(sample, maps), [name for name in SHOWN if name in maps]), output / "maps.png"
    )
    save_png(curves_figure(metrics), output / "curves.png")
    write_json(output / "metrics.json", metrics)
    print(output / "metrics.json")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
