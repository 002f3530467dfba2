"""Objects of a run from its configuration and weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cfx.assembly import black_box_of, check_explainer
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
    config = explainer_config()
    check_explainer(config)
    with pytest.raises((BadValue, UnknownChoice), match=match):
        check_explainer({**config, "loss": {**config["loss"], **changed}})


def test_a_knob_or_a_finding_that_is_none_is_told_before_anything_is_trained() -> None:
    config = explainer_config()
    wrong = {**config["model"], "explainer": {"knob": "wrong"}}
    with pytest.raises(UnknownChoice, match=r"model\.explainer\.knob='wrong'.*choose of calibrated, raw"):
        check_explainer({**config, "model": wrong})
    with pytest.raises(UnknownChoice, match=r"task\.finding='Oedema'.*did you mean 'Edema'"):
        check_explainer({**config, "task": {"finding": "Oedema"}})


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"target_limit": 0.5}, r"model\.explainer\.target_limit=0\.5.*from 0 to under 0\.5"),
        ({"target_limit": -0.1}, r"model\.explainer\.target_limit=-0\.1"),
        ({"target_limit": "low"}, r"model\.explainer\.target_limit='low'"),
        ({"stesp": 5}, r"model\.explainer.*stesp"),
    ],
)
@pytest.mark.parametrize("name", ["xgem.explainer.Xgem", "pixel.explainer.Pixel", "gan.explainer.Gan"])
def test_what_an_explainer_can_not_be_used_with_is_told_before_anything_is_trained(
    changed: dict[str, Any], match: str, name: str
) -> None:
    config, node = explainer_config(), {"_target_": f"cfx.explainers.{name}Explainer", "target_limit": 0.1}
    check_explainer({**config, "model": {**config["model"], "explainer": node}})
    with pytest.raises((BadValue, UnknownChoice), match=match):
        check_explainer({**config, "model": {**config["model"], "explainer": {**node, **changed}}})


def explainer_config() -> dict[str, Any]:
    """As much of a configuration as is looked at."""
    model = {"name": "explainer", "_target_": "cfx.explainers.gan.module.CounterfactualGAN", "explainer": {}}
    loss = {"kind": "context_aware", "change": 30.0, "residual": 4}
    return {
        "model": model,
        "loss": loss,
        "data": {"name": "toy", "findings": ["Edema"]},
        "task": {"finding": "Edema"},
    }
