"""A run is one folder that can be moved, written and read in one place."""

import os
import shutil
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

import cfx.runs
from cfx.errors import BadValue, CheckpointMismatch, MissingPath, WrongLayout
from cfx.runs import Evaluation, Run, resolve


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run.create(tmp_path / "runs" / "edema-phantom-explainer-0123456789")
    made.write_config({"task": {"name": "edema"}, "seed": 0})
    return made


def test_making_the_object_touches_nothing(tmp_path: Path) -> None:
    assert not Run(tmp_path / "x").finished and not (tmp_path / "x").exists()


def test_the_configuration_is_written_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFX_TEST_PLACE", "/somewhere")
    run = Run.create(tmp_path / "a")
    run.write_config(
        OmegaConf.create({"data": {"root": "${oc.env:CFX_TEST_PLACE}", "size": 64}, "copy": "${data.size}"})
    )
    monkeypatch.delenv("CFX_TEST_PLACE")
    assert run.config == {"data": {"root": "/somewhere", "size": 64}, "copy": 64}
    assert type(run.config["data"]) is dict


def test_weights_come_back_bit_for_bit_with_shared_and_strided_tensors(run: Run) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    state = {
        "a": base,
        "b": base,
        "c": base.t(),
        "d": torch.tensor(3),
        "e": torch.ones(2, dtype=torch.bfloat16),
    }
    run.write_weights(state, {"finding": "Edema"})
    again = run.load_weights()
    assert set(again) == set(state)
    for name, tensor in state.items():
        assert torch.equal(again[name], tensor) and again[name].dtype == tensor.dtype


def test_weights_of_another_network_are_refused_by_name(run: Run) -> None:
    run.write_weights(nn.Linear(2, 2).state_dict())
    network = nn.Linear(2, 2)
    run.load_into(network)
    assert torch.equal(network.weight, run.load_weights()["weight"])
    with pytest.raises(CheckpointMismatch, match="weight"):
        run.load_into(nn.Linear(2, 3))
    with pytest.raises(CheckpointMismatch, match="bias"):
        run.load_into(nn.Linear(2, 2, bias=False), "blackbox.path")


def test_broken_and_missing_weights_are_a_users_matter(run: Run) -> None:
    with pytest.raises(MissingPath, match="weights"):
        run.load_weights()
    run.weights_file.write_bytes(b"not weights")
    with pytest.raises(CheckpointMismatch, match="can not be read"):
        run.load_weights()


def test_opening_names_what_is_wrong(run: Run, tmp_path: Path) -> None:
    assert Run.open(run.path).config["seed"] == 0
    with pytest.raises(MissingPath, match="edema-phantom-explainer-0123456789"):
        Run.open(str(run.path).replace("explainer", "explaner"))
    with pytest.raises(MissingPath, match="is a file"):
        Run.open(run.config_file)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WrongLayout, match=r"config\.yaml"):
        Run.open(tmp_path / "empty")


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2", "\x00"])
def test_a_broken_configuration_is_a_users_matter(run: Run, text: str) -> None:
    run.config_file.write_text(text)
    with pytest.raises(WrongLayout, match=r"config\.yaml"):
        _ = run.config


def test_pretrained_names_the_package_unless_such_a_folder_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    shipped = package / "pretrained" / "nih_cardiomegaly"
    shipped.mkdir(parents=True)
    monkeypatch.setattr(cfx.runs, "_SHIPPED", package / "pretrained")
    monkeypatch.chdir(tmp_path)
    assert resolve("pretrained/nih_cardiomegaly") == shipped
    assert resolve("pretrained/nih_cardiomegaly/") == shipped
    assert Run(shipped).shipped and not Run(tmp_path / "runs").shipped
    with pytest.raises(MissingPath, match="pretrained/nih_cardiomegaly"):
        resolve("pretrained/nih_cardiomegally")
    local = tmp_path / "pretrained" / "nih_cardiomegaly"
    local.mkdir(parents=True)
    assert resolve("pretrained/nih_cardiomegaly").resolve() == local.resolve()


def test_a_folder_that_can_not_be_made_is_a_users_matter(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadValue, match="can not be made"):
        Run.create(tmp_path / "file" / "run")


def test_a_run_with_its_parts_can_be_moved(run: Run, tmp_path: Path) -> None:
    source = Run.create(tmp_path / "runs" / "classifier")
    source.write_config({"model": {"name": "classifier"}})
    source.write_weights({"w": torch.ones(1)})
    part = run.copy_part("blackbox", source)
    assert run.part_names() == ["blackbox"] and part.config == source.config
    shutil.rmtree(source.path)
    moved = Run(shutil.move(run.path, tmp_path / "elsewhere"))
    assert moved.part("blackbox").load_weights()["w"].item() == 1
    assert moved.part("judge").path.parent == moved.path / "parts"


def test_the_newest_checkpoint_is_found(run: Run) -> None:
    assert run.last_checkpoint() is None
    run.checkpoints.mkdir()
    for name, age in (("z.ckpt", 100), ("a.ckpt", 0)):
        file = run.checkpoints / name
        file.touch()
        os.utime(file, (time.time() - age,) * 2)
    found = run.last_checkpoint()
    assert found is not None and found.name == "a.ckpt"


def test_plan_environment_and_marker(run: Run) -> None:
    assert run.environment() == {} and not run.finished
    run.write_plan({"stages": [{"role": "explainer"}]})
    run.write_environment({"steps": 3, "peak_mib": float("nan")})
    run.append_metrics([{"step": 1}])
    run.mark_finished()
    assert run.plan() == {"stages": [{"role": "explainer"}]}
    assert run.environment() == {"steps": 3, "peak_mib": None}
    assert run.finished and run.metrics_file.read_text() == "step\n1\n"


def test_a_second_job_waits_for_the_lock(run: Run) -> None:
    order: list[str] = []

    def second() -> None:
        with Run(run.path).lock():
            order.append("second")

    with run.lock():
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join(timeout=20)
    assert order == ["first", "second"]
    assert [entry for entry in os.listdir(run.path) if "lock" in entry] == []


def test_parts_of_an_evaluation_become_one_table(run: Run) -> None:
    evaluation = run.evaluation
    for index in (1, 0, 10):
        evaluation.write_part(index, pd.DataFrame({"image_id": [f"{index}"], "target": [0.5]}))
    table = evaluation.merge_parts()
    assert list(table["image_id"]) == ["0", "1", "10"]
    pd.testing.assert_frame_equal(evaluation.counterfactuals(), table)
    assert evaluation.parts() == [] and not (evaluation.path / "parts").exists()
    with pytest.raises(WrongLayout, match="no parts"):
        evaluation.merge_parts()


def test_an_evaluation_is_done_when_its_metrics_are_and_is_not_overwritten(tmp_path: Path) -> None:
    evaluation = Evaluation(tmp_path / "evaluation")
    evaluation.refuse_overwrite()
    with pytest.raises(MissingPath, match=r"cfx\.evaluate"):
        evaluation.counterfactuals()
    evaluation.write_metrics({"validity": {"reach": float("nan")}})
    assert evaluation.done and evaluation.metrics() == {"validity": {"reach": None}}
    with pytest.raises(BadValue, match="output="):
        evaluation.refuse_overwrite()
