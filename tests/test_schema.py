"""Our own scalars are checked by name, type, range and choice."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cfx.chain import part_configs
from cfx.cli import compose, plain
from cfx.errors import BadValue, UnknownChoice
from cfx.schema import EvaluationNode, Fit, LoggerNode, Task, Trainer, check, read
from cfx.stages import Session

CONF = Path(__file__).parent.parent / "conf"
MEASURED = {
    "split": "test", "targets": [0, 0.5, 1], "batch_size": 8, "control_images": 1, "descent_images": 1,
    "oracle_grid_images": 1, "return_images": 1, "resamples": 1,
}  # fmt: skip


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
        (Fit, {"max_steps": 1, "val_every": 1, "batch_size": 1, "balance_share": 1.5}, r"1.5.*too large"),
        (EvaluationNode, MEASURED | {"split": "tset"}, r"task.split='tset'.*'test'"),
        (EvaluationNode, MEASURED | {"targets": [0, 1.5]}, r"task.targets=.*too large"),
        (EvaluationNode, MEASURED | {"targets": [0, "half", 1]}, r"task.targets=.*a list of numbers"),
        (EvaluationNode, MEASURED | {"targets": [0, 0.6, 0.4, 1]}, r"evaluation.targets=.*rise"),
        (EvaluationNode, MEASURED | {"targets": [0.1, 0.9]}, r"evaluation.targets=.*from 0 to 1"),
        (EvaluationNode, MEASURED | {"control_images": -1}, r"task.control_images=-1.*too small"),
        (Task, {"name": "a", "finding": "b", "residual": float("nan")}, r"task.residual=nan.*finite"),
        (Task, ["cardiomegaly"], r"no table of keys"),
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


def config(*overrides: str) -> dict[str, Any]:
    return plain(compose("train", list(overrides)))


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("task.direction=left", r"task\.direction='left'"),
        ("model.fit.max_steps=-3", r"model\.fit\.max_steps=-3: is too small; give 1 or more"),
        ("model.fit.batch_size=many", r"model\.fit\.batch_size='many': is not a whole number"),
        ("+model.fit.patients=3", r"model\.fit\.patients=3: there is no such key; did you mean 'patience'"),
        ("blackbox.model.fit.val_every=0", r"blackbox\.model\.fit\.val_every=0"),
        ("blackbox.transfer.fit.balance=findings", r"blackbox\.transfer\.fit\.balance='findings'.*'finding'"),
        ("anatomy.judge.fit.max_steps=1.5", r"anatomy\.judge\.fit\.max_steps=1\.5"),
        ("trainer.num_nodes=0", r"trainer\.num_nodes=0"),
        ("+trainer.gradient_clip_val=1", r"trainer\.gradient_clip_val=1: there is no such key"),
        ("logger.kind=wandbb", r"logger\.kind='wandbb'.*'wandb'"),
        ("logger.images=maybe", r"logger\.images='maybe': is not true or false"),
        ("evaluation.targets=[0,2]", r"evaluation\.targets"),
        ("evaluation.resamples=0", r"evaluation\.resamples=0"),
        ("model.fit.val_every=-1", r"model\.fit\.val_every=-1: is too small"),
        ("data.size=nan", r"data\.size=nan: is not a finite number"),
        ("data.size=64.5", r"data\.size=64\.5: is not a whole number; give one from 16"),
        ("data.size=0", r"data\.size=0: is out of range; give a whole number from 16"),
        ("seed=true", r"seed=True: is not a whole number; give one from 0"),
        ("seed=-1", r"seed=-1: is out of range"),
        ("loss.change=nan", r"loss\.change=nan: is not a finite number"),
        ("model.explainer.overshoot=inf", r"model\.explainer\.overshoot=inf: is not a finite number"),
        ("evaluation.targets=[0,nan,1]", r"evaluation\.targets=nan: is not a finite number"),
    ],
)
def test_a_session_refuses_what_does_not_fit_before_it_makes_anything(
    override: str, match: str, tmp_path: Path
) -> None:
    with pytest.raises((BadValue, UnknownChoice), match=match):
        Session(config(override), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


CHOICES = [
    f"{group}={file.stem}"
    for group in (
        "task",
        "model",
        "trainer",
        "logger",
        "evaluation",
        "blackbox",
        "anatomy",
        "detector",
        "experiment",
    )
    for file in sorted((CONF / group).glob("*.yaml"))
]


@pytest.mark.parametrize("choice", CHOICES)
def test_every_shipped_choice_fits(choice: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CFX_REAL_DATA", str(tmp_path))
    needed = {
        "blackbox=checkpoint": ["blackbox.path=x"], "blackbox=exported": ["blackbox.path=x"],
        "anatomy=checkpoint": ["anatomy.path=x"], "anatomy=chexmask": ["anatomy.root=x"],
        "detector=checkpoint": ["detector.path=x"], "detector=boxes": ["detector.boxes.path=x"],
        "detector=boxes_folder": ["detector.data.root=x"],
    }.get(choice, [])  # fmt: skip
    made = config(choice, *needed)
    check(made)
    assert made["task"]["finding"], "a choice that leaves no finding was not checked at all"


def test_shipped_runs_fit() -> None:
    files = sorted((CONF.parent / "cfx/pretrained").glob("*/config.yaml"))
    assert [file.parent.name for file in files] == ["nih_cardiomegaly"]
    for file in files:
        check(yaml.safe_load(file.read_text()))


def test_the_share_of_positives_that_a_fit_asks_for_reaches_the_sampler(tmp_path: Path) -> None:
    made = config("blackbox.model.fit.balance=finding", "+blackbox.model.fit.balance_share=0.3")
    part = part_configs(made)["blackbox"]
    data = Session(made, tmp_path)._data(part, part["model"])
    assert (data.balance, data.balance_share) == ("finding", 0.3)
