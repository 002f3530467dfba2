"""Objects of a run from its configuration and weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cfx.assembly import black_box_of, check_objective
from cfx.classifiers.networks import TransferNet
from cfx.errors import BadValue, UnknownChoice
from cfx.runs import Run


def test_the_prior_is_the_one_that_each_finding_was_calibrated_to(tmp_path: Path) -> None:
    network = TransferNet(3, width=8, stages=2)
    nan = float("nan")
    network.set_calibration(torch.ones(3), torch.zeros(3), torch.tensor([0.5, 0.1, nan]))
    node = {"_target_": "cfx.classifiers.networks.TransferNet", "width": 8, "stages": 2}
    run = Run.create(tmp_path / "classifier")
    run.write_config(
        {
            "task": {"name": "cardiomegaly", "finding": "Cardiomegaly"},
            "data": {"name": "x", "findings": ["Cardiomegaly", "Edema", "Pneumothorax"]},
            "model": {"name": "classifier", "network": node, "prior": 0.5},
        }
    )
    run.write_weights(network.state_dict())
    found = {name: black_box_of(run, name).prior for name in ("Cardiomegaly", "Edema", "Pneumothorax")}
    assert found == {"Cardiomegaly": 0.5, "Edema": 0.1, "Pneumothorax": None}


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"change": -1}, r"loss\.change=-1: is negative; give 0"),
        ({"change": True}, r"loss\.change=True: is not a number"),
        ({"change": "much"}, r"loss\.change='much': is not a number"),
        ({"chagne": 1.0}, r"loss\.chagne=1\.0: there is no such key; did you mean 'change'"),
        ({"kind": "plane"}, r"loss\.kind='plane'.*did you mean 'plain'"),
        ({"kind": "none"}, r"loss='none'.*needs an objective"),
    ],
)
def test_a_wrong_weight_is_told_before_anything_is_trained(changed: dict[str, Any], match: str) -> None:
    model = {"name": "explainer", "_target_": "cfx.explainers.gan.module.CounterfactualGAN"}
    config = {"model": model, "loss": {"kind": "context_aware", "change": 30.0, "residual": 4}}
    check_objective(config)
    with pytest.raises((BadValue, UnknownChoice), match=match):
        check_objective({**config, "loss": {**config["loss"], **changed}})
