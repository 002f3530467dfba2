"""Configurations make objects of a few packages only, and live objects pass through unharmed."""

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from cfx.build import build, check_targets, locate
from cfx.errors import BadValue, UnknownChoice


class Holder(nn.Module):
    """Takes live objects and settings, as a LightningModule does."""

    def __init__(
        self, network: nn.Module, *, lr: float, names: list[str], extra: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.network, self.lr, self.names, self.extra = network, lr, names, extra


def test_a_node_and_what_is_nested_in_it_are_built() -> None:
    node = OmegaConf.create(
        {
            "width": 4,
            "net": {
                "_target_": "torch.nn.Sequential",
                "_args_": [
                    {
                        "_target_": "torch.nn.Conv2d",
                        "in_channels": 1,
                        "out_channels": "${width}",
                        "kernel_size": 3,
                    },
                    {"_target_": "torch.nn.ReLU"},
                ],
            },
        }
    )
    net = build(node.net)
    assert isinstance(net, nn.Sequential) and net[0].weight.shape == (4, 1, 3, 3)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.run",
        "builtins.eval",
        "torch.os.system",
        "torch.hub.load",
        "torch.load",
        "torch.serialization.load",
        "torch.jit.load",
        "torch.utils.cpp_extension.load",
        "cfx.cli.os.system",
        "cfx.build.importlib.import_module",
        "hydra.utils.call",
        "torchx.evil",
        "torch",
        "torch.nn",
        "torch.__version__",
    ],
)
def test_other_packages_and_what_runs_code_are_refused_before_anything_is_made(target: str) -> None:
    node = {
        "_target_": "torch.nn.Sequential",
        "_args_": [{"_target_": "torch.nn.ReLU"}, {"_target_": target}],
    }
    with pytest.raises(UnknownChoice, match=r"_args_\[1\]._target_"):
        build(node, place="model")


def test_a_target_is_found_in_a_module_that_was_not_imported() -> None:
    assert locate("cfx.classifiers.networks.SmallNet").__name__ == "SmallNet"
    assert locate("torch.optim.AdamW") is torch.optim.AdamW


def test_a_mistyped_target_names_the_nearest() -> None:
    with pytest.raises(UnknownChoice, match=r"model._target_='torch.nn.Conv2dd'.*'Conv2d'"):
        build({"_target_": "torch.nn.Conv2dd"}, place="model")


def test_a_mistyped_key_names_the_nearest() -> None:
    node = {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1, "kernel_sise": 3}
    with pytest.raises(UnknownChoice, match=r"model.kernel_sise=3.*'kernel_size'"):
        build(node, place="model")


def test_the_place_of_a_node_is_found_by_itself() -> None:
    tree = OmegaConf.create({"model": {"network": {"_target_": "os.system"}}})
    with pytest.raises(UnknownChoice, match=r"^model.network._target_='os.system'"):
        build(tree.model.network)


def test_live_objects_are_passed_as_they_are() -> None:
    network = nn.Linear(2, 2)
    node = OmegaConf.create(
        {
            "name": "holder",
            "_target_": f"{__name__}.Holder",
            "network": {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1},
            "lr": 0.1,
            "names": ["a"],
            "extra": {"b": {"c": 1}},
        }
    )
    made = build_holder(node, network)
    assert made.network is network
    assert type(made.names) is list and type(made.extra) is dict and type(made.extra["b"]) is dict


def build_holder(node: Any, network: nn.Module) -> Holder:
    """Build a class of this test module, as if its package were allowed."""
    import cfx.build

    allowed = cfx.build.ALLOWED
    cfx.build.ALLOWED = (*allowed, __name__.partition(".")[0])
    try:
        made = build(node, network=network, drop=("name",))
    finally:
        cfx.build.ALLOWED = allowed
    assert isinstance(made, Holder)
    return made


def test_a_partial_stays_one() -> None:
    made = build({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5})
    assert isinstance(made, functools.partial)
    optimizer = made(nn.Linear(1, 1).parameters())
    assert optimizer.defaults["lr"] == 0.5


def test_a_user_error_of_a_nested_constructor_comes_out_as_it_is() -> None:
    node = {
        "_target_": "torch.nn.Sequential",
        "_args_": [{"_target_": "cfx.errors.BadValue", "argument": 1}],
    }
    check_targets(node)
    splits = {
        "_target_": "cfx.data.splits.Splits",
        "apart": True,
        "shares": {"blackbox": 0.9, "explainer": 0.9},
        "valid": 0.1,
        "folds": 5,
        "fold": 9,
        "seed": 0,
    }
    with pytest.raises(BadValue):
        build({"_target_": "torch.nn.Sequential", "_args_": [splits]})


def test_another_error_of_a_nested_constructor_comes_out_as_it_is() -> None:
    node = {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 1, "kernel_size": 1, "groups": 2}
    with pytest.raises(ValueError, match="divisible by groups"):
        build({"_target_": "torch.nn.Sequential", "_args_": [node]})


def test_a_node_without_target_is_refused() -> None:
    with pytest.raises(UnknownChoice, match="_target_"):
        build({"a": 1})


def test_nothing_else_instantiates(repository: Path) -> None:
    for file in sorted((repository / "cfx").rglob("*.py")):
        if file.name != "build.py":
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"hydra\.utils|\binstantiate\(", text), file
