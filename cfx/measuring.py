"""Measuring what was trained: a part on its test patients, and a whole explainer's run with its controls."""

import sys
from collections.abc import Sequence
from typing import Any

import pandas as pd
from tqdm import tqdm

from cfx import assembly
from cfx.assembly import Config
from cfx.data.datamodule import ChestXrayDataModule
from cfx.data.dataset import ChestXrayDataset
from cfx.data.splits import has_official
from cfx.evaluation import parts
from cfx.evaluation.detecting import detector_section
from cfx.evaluation.examples import write_examples
from cfx.evaluation.features import LastLinear
from cfx.evaluation.given import Given
from cfx.evaluation.posterior_histogram import (
    evaluated_posteriors,
    patients_apart,
    posterior_histogram,
    same_images,
    training_posteriors,
)
from cfx.evaluation.runner import evaluate
from cfx.evaluation.sections import counts
from cfx.evaluation.settings import Settings
from cfx.fitting import peak_mib
from cfx.instruments import Instruments, instruments_of_run
from cfx.loading import (
    LoadedRun,
    load_explainer,
    load_finder,
    load_segmenter,
    patient_warnings,
    refuse_phantoms,
    trained_with,
    wants_detector,
)
from cfx.naming import slug
from cfx.reporting.report import write_report
from cfx.runs import Evaluation, Run
from cfx.schema import EvaluationNode, Task, read

SMOKE_IMAGES = 32
FEATURES = "the last hidden layer of the independent (transfer) classifier"


def measure_part(run: Run, data: ChestXrayDataModule, smoke: bool = False) -> None:
    """Write how good a trained part is on test patients: a row an image, and metrics.json."""
    config = run.config
    dataset = data.dataset("test")
    split = {"data": config["data"]["name"], "split": "test"}
    if config["model"]["name"] == "classifier":
        finding, prior = assembly.findings(config)[0], float(config["model"].get("prior", 0.5))
        table = parts.classify(assembly.black_box_of(run, finding), dataset, finding)
        latent = latent_call(data.source, finding, table["image_id"])
        table = table.assign(latent=latent) if latent is not None else table
        metrics = {
            "schema": 1,
            "task": config["task"]["name"],
            **split,
            "blackbox": parts.classifier_metrics(table, prior),
        }
    elif config["model"]["name"] == "detector":
        finder = load_finder(run)
        assert finder is not None
        table, found = parts.detect(finder, dataset)
        figures = detector_section(found, dataset.boxes, config["data"]["name"])
        metrics = {"schema": 1, "task": None, **split, "detector": figures | counts(table)}
    else:
        table = parts.segment(load_segmenter(run), dataset)
        metrics = {"schema": 1, "task": None, **split, "anatomy": parts.segmenter_metrics(table)}
    metrics["run"] = run.environment()
    run.evaluation.write_counterfactuals(table)
    run.evaluation.write_metrics(metrics)


def latent_call(source: Any, finding: str, image_ids: pd.Series) -> Any:
    """Return a phantom's finding before label noise, float (N,) of 1 and 0; None for data whose truth nobody knows."""
    if not hasattr(source, "truth"):
        return None
    truth = source.truth().set_index("image_id")
    return truth.loc[image_ids.tolist(), f"call_{slug(finding)}"].to_numpy(dtype=float)


def measure_run(run: Run, *, device: str = "cpu", smoke: bool = False) -> None:
    """Evaluate a finished explainer on its test patients, unless that is done, and write its report."""
    if not run.evaluation.done:
        loaded = load_explainer(run, device=device)
        evaluate_into(run.evaluation, loaded, loaded.config, device=device, smoke=smoke)
    written = write_report(run)
    print(written.summary, flush=True)


def evaluate_into(
    place: Evaluation,
    loaded: LoadedRun,
    config: Config,
    *,
    device: str = "cpu",
    smoke: bool = False,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Evaluate a loaded run on a configuration's data and write everything into one evaluation folder.

    Args:
        place: where to. loaded: the explainer with its parts.
        config: says which data, split and sizes; the run's own or another.
        device: where the networks are. smoke: a handful of images.
        overrides: what was given over the run's own configuration, kept in metrics.json.

    Returns:
        The metrics.

    Raises:
        UserError: the configuration's `evaluation` does not fit its schema, or the run's detector was trained on
            phantoms and the data are X-rays.
    """
    node = read(EvaluationNode, config["evaluation"], "evaluation")
    if loaded.finder_data is not None and wants_detector(config):
        refuse_phantoms(loaded.finder_data, config["data"], "data", config["data"]["name"])
    instruments = instruments_of_run(loaded, config, device)
    data = assembly.data_module(config, part=config["model"]["part"], batch_size=node.batch_size, smoke=smoke)
    dataset = data.dataset(node.split)
    table = dataset.table
    settings = settings_of(node, config, smoke)
    finding = config["task"]["finding"]
    trained = trained_with(loaded.run)
    seen = None
    if node.split != "train" and same_images(trained["explainer"]["data"], config["data"]):
        seen = training_posteriors(loaded.run.path / "annotations", data.rows("train"), finding)
    rows, metrics = evaluate(
        loaded.explainer,
        instruments.blackbox,
        table,
        dataset,
        **measured_by(instruments),
        task=read(Task, config["task"], "task"),
        boxes=None if instruments.finder is None else assembly.true_boxes(config, data, table),
        oracle=data.source.oracle() if node.oracle else None,
        settings=settings,
        latent=latent_call(data.source, finding, table["image_id"]),
        write_part=place.write_part,
        finished={number: pd.read_parquet(path) for number, path in enumerate(place.parts())},
        progress=Progress(),
        device=device,
        data=config["data"]["name"],
        split=node.split,
        run={**run_figures(loaded.run), "overrides": list(overrides) or None},
    )
    if place.parts():
        place.merge_parts()
    else:
        place.write_counterfactuals(rows)
    if seen is not None:
        metrics["blackbox"]["posterior_histogram"] = posterior_histogram(
            seen, evaluated_posteriors(rows), patients_apart(trained)
        )
    metrics["warnings"] += instruments.notes
    metrics["warnings"] += patient_warnings(
        config, trained, lambda: has_official(data.source.frame()), node.split
    )
    write_examples(place.examples, loaded.explainer, dataset, table, rows, device=device)
    place.write_metrics(metrics)
    return metrics


def measured_by(instruments: Instruments) -> dict[str, Any]:
    """Return what `evaluate` measures with, as it takes it: one and the same for a run's own pictures and anyone's."""
    transfer = instruments.transfer
    return {
        "judge": instruments.judge,
        "transfer": transfer,
        "transfer_threshold": instruments.threshold,
        "finder": instruments.finder,
        "finder_trained_on": instruments.finder_trained_on,
        "features": None if transfer is None else LastLinear(transfer),
        "features_name": FEATURES,
        "familiar": instruments.familiar,
    }


def write_given(
    place: Evaluation,
    given: Given,
    instruments: Instruments,
    dataset: ChestXrayDataset,
    config: Config,
    *,
    device: str = "cpu",
    **about: Any,
) -> dict[str, Any]:
    """Measure counterfactuals that are there already, and write what an evaluation of a run writes.

    They are measured as a run's own are. Oracles, the way back, true masks of organs and devices, and true boxes to
    judge the detector by need more than a table of pairs holds: what is made of these is null. Recess scores and
    devices are there by the detector, where there is one.

    Args:
        place: where to. given: the counterfactuals. instruments: what measures them.
        dataset: the pictures they belong to, with their labels. config: task, evaluation and seed.
        device: where the networks are. **about: data, split and run, for the metrics.

    Returns:
        The metrics.
    """
    table = dataset.table
    rows, metrics = evaluate(
        given,
        instruments.blackbox,
        table,
        dataset,
        **measured_by(instruments),
        task=read(Task, config["task"], "task"),
        settings=settings_of(read(EvaluationNode, config["evaluation"], "evaluation"), config, smoke=False),
        write_part=place.write_part,
        finished={number: pd.read_parquet(path) for number, path in enumerate(place.parts())},
        progress=Progress(),
        device=device,
        **about,
    )
    place.merge_parts()
    metrics["warnings"] += instruments.notes
    write_examples(place.examples, given, dataset, table, rows, device=device)
    if rows["p_net"].isna().any():
        without = int(rows.loc[rows["p_net"].isna(), "image_id"].nunique())
        metrics["warnings"].append(
            f"{without} of {metrics['n_images']} images come without a redrawing at their own posterior: their net "
            "shifts are counted from the image itself, and the null test leaves them out"
        )
    place.write_metrics(metrics)
    return metrics


def settings_of(node: EvaluationNode, config: Config, smoke: bool) -> Settings:
    """Return the evaluation's sizes from its configuration; a handful of images for a smoke test."""
    sizes = {
        "control_images": node.control_images,
        "descent_images": node.descent_images,
        "oracle_grid_images": node.oracle_grid_images,
        "return_images": node.return_images,
        "resamples": node.resamples,
    }
    if smoke:
        sizes = {key: min(value, SMOKE_IMAGES // 4) for key, value in sizes.items()} | {"resamples": 50}
    return Settings(
        targets=tuple(float(t) for t in node.targets),
        batch_size=node.batch_size,
        seed=int(config["seed"]),
        **sizes,
    )


def run_figures(run: Run) -> dict[str, Any]:
    """Return how a run was trained, for metrics.json: its time and steps, commit, device and seed.

    `peak_mib` is the greater of the training's and of this process's.
    """
    environment = run.environment()
    return {**environment, "peak_mib": max(peak_mib(), float(environment.get("peak_mib") or 0))}


class Progress:
    """One progress bar for each thing that an evaluation draws; a line each where the output is no terminal."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.what = ""

    def __call__(self, what: str, done: int, count: int) -> None:
        """Show that `done` of `count` images of `what` are drawn."""
        if what != self.what:
            if self.bar is not None:
                self.bar.close()
            self.what = what
            self.bar = tqdm(total=count, desc=f"  {what}", leave=False, disable=not sys.stderr.isatty())
            if not sys.stderr.isatty():
                print(f"  evaluation: {what}", flush=True)
        if self.bar is not None:
            self.bar.n = done
            self.bar.refresh()
