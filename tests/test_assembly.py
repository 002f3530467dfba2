"""Objects of a run from its configuration and weights."""

from pathlib import Path

import torch

from cfx.assembly import black_box_of
from cfx.classifiers.networks import TransferNet
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
