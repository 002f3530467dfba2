"""The verb evaluate: what arguments for other data make of a run's own configuration."""

import re
import sys
from typing import Any

import pytest

import cfx.evaluate
from cfx.cli import compose, plain
from cfx.errors import BadValue
from cfx.evaluate import refuse_parts, with_overrides


def config(*overrides: str) -> dict[str, Any]:
    """The configuration that a run of these arguments stores."""
    return plain(compose("train", list(overrides)))


TABLE = ("seed=1", "data=table", "data.root=/their data, [all]", "data.splits.valid=0.25", "data.size=96")


def test_other_data_are_shared_out_by_the_runs_own_seed() -> None:
    own = config("seed=1", "task.views=[PA]")
    found = with_overrides(own, ["data=table", "data.root=/other", "data.source.table=new.csv"])
    assert found["data"]["splits"]["seed"] == found["seed"] == 1
    assert found["data"]["name"] == "table" and found["data"]["source"]["table"] == "new.csv"
    assert found["data"]["views"] == ["PA"] and found["data"]["size"] == own["data"]["size"]
    assert found["model"] == own["model"] and found["task"] == own["task"]


@pytest.mark.parametrize("views", ["[PA]", "[PA,AP]"])
def test_a_key_of_the_data_changes_the_runs_own_data(views: str) -> None:
    own = config(*TABLE, "data.views=[AP]")
    found = with_overrides(own, [f"data.views={views}"])
    assert found["data"].pop("views") == views.strip("[]").split(",")
    del own["data"]["views"]
    assert found == own


def test_what_follows_from_a_key_follows() -> None:
    own = config(*TABLE)
    found = with_overrides(own, ["data.root=/moved, here", "evaluation.split=valid"])
    assert found["data"]["root"] == found["data"]["source"]["root"] == "/moved, here"
    assert found["data"]["splits"] == own["data"]["splits"] and found["data"]["splits"]["valid"] == 0.25
    assert found["evaluation"] == own["evaluation"] | {"split": "valid"}


def test_another_seed_is_taken_where_it_is_asked_for() -> None:
    found = with_overrides(config(*TABLE), ["seed=3", "data.splits.fold=2"])
    assert found["data"]["splits"]["seed"] == found["seed"] == 3
    assert found["data"]["splits"]["fold"] == 2 and found["data"]["splits"]["valid"] == 0.25


@pytest.mark.parametrize(
    ("argument", "key"),
    [
        ("experiment=nih_cardiomegaly", "experiment"),
        ("+experiment=nih_cardiomegaly", "experiment"),
        ("trainer=cpu", "trainer"),
        ("logger.images=true", "logger.images"),
        ("loss.change=3", "loss.change"),
    ],
)
def test_what_only_a_training_can_follow_is_refused(argument: str, key: str) -> None:
    with pytest.raises(BadValue, match=rf"^{re.escape(key)}=.*means something to cfx.train alone"):
        with_overrides(config(), ["data.size=64", argument])


@pytest.mark.parametrize("wanted", ["pairs=x", "output=there", ""])
def test_an_experiment_is_refused_before_anything_is_loaded(
    wanted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["evaluate", "run=nowhere", "experiment=nih_cardiomegaly", *wanted.split()]
    )
    with pytest.raises(SystemExit) as stop:
        cfx.evaluate.main()
    assert stop.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("error: experiment='nih_cardiomegaly': means something to")


@pytest.mark.parametrize(
    "argument",
    ["model=xgem", "model.network.width=8", "blackbox=checkpoint", "anatomy.judge=null", "detector=none"],
)
def test_the_parts_of_a_finished_run_are_not_quietly_kept_where_others_are_asked_for(argument: str) -> None:
    with pytest.raises(BadValue, match="a part that the run brings with it"):
        refuse_parts(["data.size=64", argument])


def test_how_an_explainer_is_used_may_be_changed() -> None:
    refuse_parts(["model.explainer.knob=raw", "data.size=64"])
    own = config("model=singla2021")
    found = with_overrides(own, ["model.explainer.bins=5"])
    assert found["model"]["explainer"] == {**own["model"]["explainer"], "bins": 5}
    assert found["model"]["network"] == own["model"]["network"]
