"""The saliency study's one command: it writes what it says, and a mistake ends in one line."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import toy
from test_saliency import Reader

from cfx.classifiers.blackbox import BlackBox


@pytest.fixture(scope="module")
def study(repository: Path) -> ModuleType:
    """The command as a module."""
    file = repository / "experiments" / "saliency" / "run.py"
    spec = importlib.util.spec_from_file_location("cfx_saliency_study", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def toy_run(study: ModuleType, toy_world: Any, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The toy world in the place of a finished run; its `oracle` may be taken away."""
    table, dataset, oracle = toy_world
    dataset.table = table
    config = {
        "task": {"name": "cardiomegaly", "finding": "Cardiomegaly"},
        "data": {"name": "toy"},
        "model": {"part": "explainer"},
        "seed": 3,
    }
    blackbox = BlackBox(Reader(), finding="Cardiomegaly")
    run = SimpleNamespace(name="toy-run", path=Path("toy-run"), environment=lambda: {"commit": "abc"})
    loaded = SimpleNamespace(explainer=toy.Faithful(toy.ToyBox()), blackbox=blackbox, config=config, run=run)
    source = SimpleNamespace(oracle=lambda: loaded.oracle)
    loaded.oracle = oracle
    data = SimpleNamespace(dataset=lambda split: dataset, source=source)
    monkeypatch.setattr(study, "load_explainer", lambda value, device: loaded)
    monkeypatch.setattr(study.assembly, "data_module", lambda *given, **more: data)
    return loaded


def test_it_writes_figures_and_numbers_with_seed_and_commit(
    study: ModuleType, toy_run: SimpleNamespace, tmp_path: Path
) -> None:
    assert study.main(["run=toy-run", "images=8", f"output={tmp_path}"]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"metrics.json", "maps.png", "curves.png"}
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["environment"]["seed"] == 3 and found["environment"]["device"] == "cpu"
    assert "commit" in found["environment"] and found["environment"]["captum"]
    assert found["run"] == {"name": "toy-run", "commit": "abc"}
    assert found["grad_cam_layer"] is None and "grad_cam" not in found["methods"]
    assert found["groups"]["up"]["n_images"] == found["groups"]["down"]["n_images"] == 8
    assert found["methods"]["explainer"]["up"]["auprc"]["mean"] > 0.9


def test_the_frozen_study_holds_its_instrument_to_account(repository: Path) -> None:
    frozen = json.loads((repository / "experiments" / "saliency" / "metrics.json").read_text())
    for group in ("up", "down"):
        truth, random = (frozen["methods"][name][group]["auprc"]["mean"] for name in ("oracle", "random"))
        assert truth == pytest.approx(1) and random == pytest.approx(
            frozen["groups"][group]["changed_share"], rel=0.25
        )
    assert not str(frozen["environment"]["commit"]).endswith("-dirty")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "run=null: names no run"),
        (["rum=x"], "did you mean run"),
        (["run=x", "images=none"], "is no number of pictures"),
        (["run=nowhere/at/all"], "there is no such folder"),
    ],
)
def test_a_mistake_ends_in_one_line(
    study: ModuleType, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study.main(arguments) == 2
    told = capsys.readouterr().err
    assert line in told and told.count("\n") == 1 and "Traceback" not in told


def test_data_without_an_oracle_are_refused(
    study: ModuleType, toy_run: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_run.oracle = None
    assert study.main(["run=toy-run"]) == 2
    assert "has no oracle" in capsys.readouterr().err


def test_a_black_box_that_is_sure_of_no_picture_is_refused(
    study: ModuleType, toy_run: SimpleNamespace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    toy_run.blackbox.network.toy.scale.zero_()
    assert study.main(["run=toy-run", f"output={tmp_path}"]) == 2
    assert "is sure of no picture" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
