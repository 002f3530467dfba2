"""What studies of several finished runs share: one black box, the same pictures of each, drawn again."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cfx import assembly
from cfx.errors import BadValue
from cfx.evaluation.rows import extremes
from cfx.loading import LoadedRun
from cfx.runs import Evaluation, Run

SPLITS = ("train", "valid", "test")


def same_question(runs: list[Run]) -> None:
    """Refuse runs of different black boxes, data, or evaluated splits.

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
        if split_of(run) != split_of(runs[0]):
            problem = f"was evaluated on {split_of(run)}, {runs[0].name} on {split_of(runs[0])}"
            raise BadValue("run", run.name, problem, "give runs that were evaluated on one split")


def refuse_other_splits(evaluation: Evaluation) -> None:
    """Refuse an evaluation of other than test patients: what is tuned on is not reported.

    Raises:
        BadValue: naming the split.
    """
    split = evaluation.metrics().get("split")
    if split != "test":
        problem = f"was measured on the {split} patients"
        raise BadValue("run", str(evaluation.path), problem, "evaluate it with evaluation.split=test")


def split_of(run: Run) -> str:
    """Return the split that a run's own evaluation is of.

    Raises:
        BadValue: its metrics.json names none, as of an evaluation of pairs.
    """
    split = run.evaluation.metrics().get("split")
    if split not in SPLITS:
        raise BadValue("run", run.name, "has an evaluation that names no split", "evaluate it on one")
    return str(split)


def shared_rows(tables: list[pd.DataFrame], group: str) -> list[pd.DataFrame]:
    """Return one direction's rows of every table, by `image_id`: those that all of them hold, in one order.

    Raises:
        BadValue: there is no such picture.
    """
    asked = [extremes(table, group).set_index("image_id") for table in tables]
    ids = asked[0].index
    for rows in asked[1:]:
        ids = ids[ids.isin(rows.index)]
    if not len(ids):
        raise BadValue("run", None, f"the runs share no picture of group {group}", "evaluate them alike")
    return [rows.loc[ids] for rows in asked]


def places_of(table: pd.DataFrame, names: Sequence[str]) -> list[int]:
    """Return the rows of a data set's table that hold these pictures.

    Raises:
        BadValue: naming a picture that it does not have.
    """
    places = pd.Index(table["image_id"]).get_indexer(pd.Index(names))
    if (places < 0).any():
        missing = str(names[int(np.flatnonzero(places < 0)[0])])
        raise BadValue(
            "image_id", missing, "was evaluated and is not in the data set", "give the data of the runs"
        )
    return [int(place) for place in places]


def pictures_of(run: Run) -> Any:
    """The data set of the patients that a run was evaluated on."""
    config = run.config
    return assembly.data_module(config, part=config["model"]["part"], batch_size=64).dataset(split_of(run))


@torch.inference_mode()
def drawn_at(loaded: LoadedRun, images: Tensor, target: float) -> Tensor:
    """Counterfactuals (N, 1, H, W) of pictures (N, 1, H, W) at one target, on the CPU."""
    drawn = [
        loaded.explainer.explain(some, torch.full((len(some), 1), target)).images[:, 0].cpu()
        for some in torch.split(images, 50)
    ]
    return torch.cat(drawn)
