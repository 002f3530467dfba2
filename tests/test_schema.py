"""Our own scalars are checked by name, type, range and choice."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cfx.errors import BadValue, UnknownChoice
from cfx.schema import Fit, LoggerNode, Task, Trainer, read


@pytest.mark.parametrize(
    ("schema", "node", "match"),
    [
        (Task, {"name": "a", "finding": "b", "regoins": []}, r"task.regoins=.*'regions'"),
        (Task, {"name": "a", "finding": "b", "regions": ["hart"]}, r"task.regions='hart'.*'heart'"),
        (Task, {"name": "a", "finding": "b", "direction": "left"}, r"task.direction='left'.*up, down"),
        (Task, {"name": "a"}, r"task.finding=null.*needed"),
        (Task, {"name": 3, "finding": "b"}, r"task.name=3.*a text"),
        (Fit, {"max_steps": 0, "val_every": 1, "batch_size": 1}, r"task.max_steps=0.*too small"),
        (Fit, {"max_steps": 1.5, "val_every": 1, "batch_size": 1}, r"task.max_steps=1.5.*a whole number"),
        (Fit, {"max_steps": True, "val_every": 1, "batch_size": 1}, r"task.max_steps=True.*a whole number"),
        (Trainer, {"accelerator": "gpuu"}, r"task.accelerator='gpuu'.*'gpu'"),
        (Trainer, {"devices": 1.5}, r"task.devices=1.5"),
        (LoggerNode, {"kind": "wand"}, r"task.kind='wand'.*'wandb'"),
    ],
)
def test_what_does_not_fit_is_named(schema: type[Any], node: dict[str, Any], match: str) -> None:
    with pytest.raises((BadValue, UnknownChoice), match=match):
        read(schema, node, "task")


def test_a_node_becomes_its_dataclass() -> None:
    task = read(Task, {"name": "edema", "finding": "Edema", "views": ["PA"]}, "task")
    assert task == Task("edema", "Edema", views=["PA"])
    fit = read(
        Fit, {"max_steps": 10, "val_every": 5, "batch_size": 2, "balance": None, "monitor": None}, "model.fit"
    )
    assert fit.patience is None and fit.mode == "max"


def test_every_shipped_task_and_logger_fits(repository: Path) -> None:
    for folder, schema in (("task", Task), ("logger", LoggerNode)):
        files = sorted((repository / "conf" / folder).glob("*.yaml"))
        assert files
        for file in files:
            node = yaml.safe_load(file.read_text())
            node.pop("defaults", None)  # composed before anybody reads the node
            read(schema, node, folder)
