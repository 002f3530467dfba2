"""The verb explain on the command line: what it says when something is missing, and what it leaves."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import cfx.explain
import cfx.loading
from cfx.classifiers.blackbox import BlackBox
from cfx.explainers.base import Counterfactual, Explainer
from cfx.runs import Run


class Mean(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.mean(dim=(1, 2, 3))[:, None]


class Still(Explainer):
    """Changes nothing."""

    name = "nothing"

    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        images = image[:, None].expand(-1, targets.shape[1], -1, -1, -1)
        return Counterfactual(images, targets, torch.full_like(targets, 0.5))


def loaded(path: Path, with_segmenter: bool = True) -> SimpleNamespace:
    """What `load_explainer` returns, without any weights on disk."""
    blackbox = BlackBox(Mean(), finding="Edema")
    empty = lambda images: torch.zeros(len(images), 3, 16, 16)  # noqa: E731
    return SimpleNamespace(
        run=Run(path), config={"data": {"size": 16}}, explainer=Still(), blackbox=blackbox,
        segmenter=empty if with_segmenter else None, judge=None, transfer=None,
    )  # fmt: skip


def run_it(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["explain", *arguments])
    try:
        cfx.explain.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 24), 90, dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "run=null: names no run; give run=PATH"),
        (["run=somewhere"], "input=null: names no file or folder; give input=PATH"),
        (["run=somewhere", "input=nowhere"], "input='nowhere': there is no such file or folder"),
        (["runn=somewhere"], "did you mean 'run'"),
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


def test_a_folder_with_a_broken_file_goes_through(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: loaded(tmp_path / "run"))
    folder = tmp_path / "films, [2024] a=b"
    picture(folder / "one.png")
    (folder / "two.png").write_text("no picture")
    assert run_it(monkeypatch, "run=run", f"input={folder}", "output=out", "targets=[0,1]") == 0
    said = capsys.readouterr().out
    assert "two.png" in said and "failed: not an image" in said and "2 files: 1 explained" in said
    numbers = json.loads((tmp_path / "out" / "one" / "numbers.json").read_text())
    assert numbers["verdict"] == "do not interpret" and "measurement not made" in numbers["reasons"]
    assert [step["target"] for step in numbers["steps"]] == [0.0, 1.0]
    assert (tmp_path / "out" / "one" / "progression.png").is_file()


def test_a_single_broken_file_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: loaded(tmp_path / "run"))
    (tmp_path / "two.png").write_text("no picture")
    assert run_it(monkeypatch, "run=run", "input=two.png") == 2
    assert "not an image" in capsys.readouterr().err.splitlines()[-1]


def test_a_run_without_a_segmenter_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: loaded(tmp_path / "run", False))
    picture(tmp_path / "one.png")
    assert run_it(monkeypatch, "run=run", "input=one.png") == 2
    assert "has no segmenter" in capsys.readouterr().err
