"""The verb app on the command line: what it says when something is missing, and that it serves what it was given."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import cfx.app
import cfx.loading
import cfx.report
import cfx.viewer.serving
from cfx.classifiers.blackbox import BlackBox
from cfx.explainers.base import Counterfactual, Explainer
from cfx.runs import Run


class Mean(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return 8 * image.mean(dim=(1, 2, 3))[:, None]


class Still(Explainer):
    """Changes nothing."""

    name = "nothing"

    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        images = image[:, None].expand(-1, targets.shape[1], -1, -1, -1)
        return Counterfactual(images, targets, torch.full_like(targets, 0.5))


XRAYS = {"source": {"_target_": "cfx.data.nih_cxr14.NihCxr14"}}


def loaded(path: Path) -> SimpleNamespace:
    """What `load_explainer` returns, without any weights on disk."""
    empty = lambda images: torch.zeros(len(images), 3, 16, 16)  # noqa: E731
    return SimpleNamespace(
        run=Run(path), config={"data": {"size": 16, **XRAYS}}, explainer=Still(),
        blackbox=BlackBox(Mean(), finding="Edema"),
        segmenter=empty, judge=None, transfer=None, finder=None, finder_data=None,
    )  # fmt: skip


def run_it(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["app", *arguments])
    try:
        cfx.app.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "run=null: names no run; give run=PATH"),
        (
            ["run=r", "host=0.0.0.0"],
            "host='0.0.0.0': others on the network could open the page; give expose=true",
        ),
        (["run=r", "port=99999"], "port=99999: is no port"),
        (["run=r", "port=abc"], "port='abc': is no port"),
        (["run=r", "port=80.5"], "port=80.5: is no port"),
        (["run=r", "port=-1"], "port=-1: is no port"),
        (["run=r", "expose=true", "token=1234"], "token='...': is no token; give 16 to 128"),
        (["run=pretrained/nih_cardiomegaly", "port=0", "device=meta"], "device='meta': is no device"),
        (["run=nowhere", "port=0"], "run='nowhere': there is no such folder"),
        (["run=[a,b]", "port=0"], "are several runs"),
        (["run=r", "prot=1"], "prot='1': means nothing here"),
        (["study=empty", "port=0"], "study='empty': there is no study in this folder yet; give run=RUN"),
        (["study=empty", "run=nowhere", "port=0"], "run='nowhere': there is no such folder"),
    ],
)
def test_what_is_missing_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_it(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and line in said[0]
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_served_where_it_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    served: dict[str, Any] = {}
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: loaded(tmp_path))
    monkeypatch.setattr(
        cfx.viewer.serving, "serve", lambda app, made: served.update(app=app, port=made.getsockname()[1])
    )
    assert run_it(monkeypatch, "run=r", "port=0") == 0
    assert f"open http://localhost:{served['port']}/" in capsys.readouterr().out

    from starlette.testclient import TestClient

    client = TestClient(served["app"], base_url=f"http://localhost:{served['port']}")
    assert client.get("/api/run").json()["finding"] == "Edema"


def test_an_exposed_run_is_served_to_who_has_its_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    served: dict[str, Any] = {}
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: loaded(tmp_path))
    monkeypatch.setattr(cfx.viewer.serving, "serve", lambda app, made: served.update(app=app))
    assert run_it(monkeypatch, "run=r", "port=0", "expose=true") == 0
    address = capsys.readouterr().out.split()[1]
    assert "/?token=" in address

    from starlette.testclient import TestClient

    client = TestClient(served["app"], base_url=address.partition("/?")[0])
    assert client.get("/api/run").status_code == 401
    assert client.get(address).status_code == 200 and client.get("/api/run").status_code == 200


def evaluated(path: Path) -> Run:
    """A run with examples and no table: what a run is when its data are elsewhere."""
    from cfx.files import write_json

    run = Run.create(path)
    run.write_config({"task": {"finding": "Edema"}})
    examples = run.evaluation.examples
    examples.mkdir(parents=True)
    index = []
    for number in range(6):
        grey = np.full((20, 20), 60 if number % 2 else 200, dtype=np.uint8)
        grey[number] += 20
        Image.fromarray(grey).save(examples / f"{number}.png")
        index.append(
            {
                "image_id": f"i{number}", "patient_id": f"p{number}", "group": "up" if number % 2 else "down",
                "targets": [0.0, 1.0], "posterior": [0.1, 0.9], "p_before": 0.1,
                "files": {"original": f"{number}.png", "steps": [f"{number}.png"] * 2},
            }
        )  # fmt: skip
    write_json(examples / "index.json", index)
    run.evaluation.write_metrics({"task": "edema"})
    return run


def test_a_study_is_made_once_and_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = evaluated(tmp_path / "run")
    monkeypatch.setattr("cfx.studying.load_explainer", lambda place, device: loaded(run.path))
    monkeypatch.setattr(cfx.viewer.serving, "serve", lambda app, made: None)
    folder = tmp_path / "my study, 1"
    design = ("design.images=4", "design.strangers=1", "design.repeats=1")
    assert run_it(monkeypatch, f"study={folder}", "run=run", "port=0", *design) == 0
    said = capsys.readouterr().out
    assert "sample size" in said and "readers needed, 12 planned" in said and "4 pairs" in said
    assert len(list((folder / "pictures").iterdir())) == 10
    assert run_it(monkeypatch, f"study={folder}", "port=0") == 0
    assert "readers needed" in capsys.readouterr().out
    assert run_it(monkeypatch, f"study={folder}", "run=run", "port=0") == 2
    assert "is made already" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["report", f"study={folder}"])
    cfx.report.main()
    assert "0 readers" in capsys.readouterr().out and (folder / "report.html").is_file()


def test_too_few_test_patients_are_told_with_a_number_that_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = evaluated(tmp_path / "run")
    monkeypatch.setattr("cfx.studying.load_explainer", lambda place, device: loaded(run.path))
    assert run_it(monkeypatch, f"study={tmp_path / 's'}", "run=run", "port=0") == 2
    assert (
        "design.images=30: the run has 3 test patients to ask upwards; give design.images=6"
        in capsys.readouterr().err
    )
