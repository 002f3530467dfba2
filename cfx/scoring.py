"""Scoring anyone's counterfactuals from a folder of pairs, and writing a run's own as such a folder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from cfx import assembly
from cfx.assembly import Config
from cfx.data.pairs import read_pairs
from cfx.errors import BadValue
from cfx.evaluation.given import Given
from cfx.evaluation.pairs_out import write_pairs
from cfx.instruments import instruments_of_config, instruments_of_run
from cfx.loading import LoadedRun
from cfx.measuring import Progress, write_given
from cfx.reporting.report import Written, write_report
from cfx.runs import Evaluation, Run

KEPT = ("task", "blackbox", "anatomy", "detector", "evaluation", "seed")
"""What of a configuration a scoring depends on; it lies beside the figures."""


def score_pairs(
    folder: str | Path,
    place: Evaluation,
    config: Config,
    loaded: LoadedRun | None = None,
    *,
    method: str | None = None,
    device: str = "cpu",
) -> Written:
    """Measure the counterfactuals of a folder of pairs and write table, metrics and report.

    Args:
        folder: the pairs.
        place: where the evaluation goes.
        config: resolved, with task, evaluation, data and seed; black box and anatomy too where there is no run.
        loaded: the run that measures as it does its own, or None; by its detector only where that knows pictures of
            the configuration's data.
        method: who drew them, for the tables; the folder's name where None.
        device: where the networks go.

    Raises:
        UserError: the table, a picture, or what is to measure them is not as it must be.
    """
    split = str(config["evaluation"]["split"])
    pairs = read_pairs(folder, split)
    if pairs.left_out:
        print(f"{pairs.left_out} rows of other splits than {split} are left out", flush=True)
    root = Path(str(config.get("runs", "runs"))).expanduser()
    tools = (
        instruments_of_config(config, root, device)
        if loaded is None
        else instruments_of_run(loaded, config, device)
    )
    dataset = pairs.dataset(config["task"]["finding"], tools.size)
    grid = tuple(float(target) for target in config["evaluation"]["targets"])
    name = method or pairs.folder.name
    given = Given(pairs, name, tools.size, grid)
    write_given(place, given, tools, dataset, config, device=device, data="pairs", split=split)
    run = Run(place.path)
    run.write_config(
        {key: config[key] for key in KEPT if key in config}
        | {"pairs": str(folder), "run": None if loaded is None else loaded.run.name}
    )
    return write_report(run, place)


def export_pairs(folder: Path, loaded: LoadedRun, config: Config, device: str = "cpu") -> str:
    """Draw a run's counterfactuals of its test patients, or of other data, as a folder of pairs.

    Args:
        folder: where to; made where it is missing.
        loaded: the run. config: says which data, split and targets. device: where the networks are.

    Returns:
        A line that says what was written.

    Raises:
        BadValue: there are pairs in the folder already.
    """
    if (folder / "pairs.csv").is_file():
        raise BadValue("pairs_out", str(folder), "holds pairs already", "give another pairs_out=FOLDER")
    node = config["evaluation"]
    data = assembly.data_module(config, part=config["model"]["part"], batch_size=int(node["batch_size"]))
    dataset = data.dataset(node["split"])
    finding = assembly.findings(config).index(config["task"]["finding"])

    def posterior(image: torch.Tensor) -> Any:
        with torch.no_grad():
            return loaded.blackbox(image)

    count = write_pairs(
        folder,
        loaded.explainer,
        posterior,
        dataset,
        dataset.labels[:, finding].astype(np.float64),
        tuple(float(target) for target in node["targets"]),
        split=str(node["split"]),
        batch_size=int(node["batch_size"]),
        progress=Progress(),
        device=device,
    )
    return f"{count} counterfactuals of {len(dataset)} images written to {folder}"
