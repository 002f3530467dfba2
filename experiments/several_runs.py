"""What studies of several finished runs share: one black box, the same pictures of each, drawn again."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cfx import assembly
from cfx.errors import BadValue, UserError
from cfx.evaluation.rows import extremes
from cfx.loading import LoadedRun
from cfx.runs import Evaluation, Run

TEST = "test"


def answer(
    work: Callable[[list[str]], None], arguments: list[str], usage: str | None, fewest: int = 2
) -> int:
    """Do a study's work on its arguments and return its exit code.

    Args:
        work: takes the arguments; raises UserError for what is wrong with them.
        arguments: of the command line.
        usage: printed where there are fewer than `fewest` of them.
        fewest: the study's name among them.

    Returns:
        0, or 2 after the usage or one line of what is wrong.
    """
    if len(arguments) < fewest:
        print(usage, file=sys.stderr)
        return 2
    try:
        work(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def same_question(runs: list[Run]) -> None:
    """Refuse runs of different black boxes or data, and evaluations of other than test patients.

    Raises:
        BadValue: naming the run that differs, or where there is nothing to compare.
    """
    if len(runs) < 2:
        raise BadValue(
            "run", [run.name for run in runs], "are fewer than two runs", "name what is to be compared"
        )
    for run in runs:
        refuse_other_splits(run.evaluation)
    boxes = [(run.part("blackbox").path / "weights.safetensors").read_bytes() for run in runs]
    for run, box in zip(runs[1:], boxes[1:], strict=True):
        if box != boxes[0] or run.config["data"] != runs[0].config["data"]:
            problem = f"explains another black box or other data than {runs[0].name}"
            raise BadValue(
                "run", run.name, problem, "give runs of one black box, such as a multirun over model.seed"
            )


def refuse_other_splits(evaluation: Evaluation) -> None:
    """Refuse an evaluation of other than test patients: what is tuned on is not reported.

    Raises:
        BadValue: naming the split.
    """
    split = evaluation.metrics().get("split")
    if split != TEST:
        problem = f"was measured on the {split} patients"
        raise BadValue("run", str(evaluation.path), problem, "evaluate it with evaluation.split=test")


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
    """The data set of the test patients of a run."""
    config = run.config
    return assembly.data_module(config, part=config["model"]["part"], batch_size=64).dataset(TEST)


@torch.inference_mode()
def drawn_at(loaded: LoadedRun, images: Tensor, target: float) -> Tensor:
    """Counterfactuals (N, 1, H, W) of pictures (N, 1, H, W) at one target, on the CPU."""
    drawn = [
        loaded.explainer.explain(some, torch.full((len(some), 1), target)).images[:, 0].cpu()
        for some in torch.split(images, 50)
    ]
    return torch.cat(drawn)
