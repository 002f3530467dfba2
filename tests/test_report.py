"""The verb report on the command line."""

import json
import sys
from pathlib import Path

import pytest

import cfx.report


def run_it(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["report", *arguments])
    try:
        cfx.report.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """An evaluated run that measured next to nothing."""
    evaluation = tmp_path / "run" / "evaluation"
    evaluation.mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text("task: {finding: Edema}\n")
    metrics = {"task": "edema", "data": "table", "method": "explainer", "n_images": 12, "n_patients": 9}
    (evaluation / "metrics.json").write_text(json.dumps(metrics))
    return tmp_path / "run"


def test_it_writes_the_page_and_prints_the_summary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    monkeypatch.chdir(run_folder.parent)
    assert run_it(monkeypatch, f"run={run_folder}") == 0
    assert "12 images of 9 patients" in capsys.readouterr().out
    assert "edema" in (run_folder / "evaluation" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "run=null: names no run"),
        (["run=nowhere"], "there is no such folder"),
        (["run=run", "output=empty"], "has no empty/metrics.json"),
        (["run=[run,gone]"], "run='gone': there is no such folder"),
        (["run=[run,run]"], "is named twice"),
        (["multirun=run"], "no finished multirun"),
        (["run=pretrained/nih_cardiomegaly"], "lies in the installed package"),
        (["multirun=run", "run=run"], "runs are named already"),
    ],
)
def test_what_is_missing_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    run_folder: Path,
    arguments: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(run_folder.parent)
    assert run_it(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and line in said[0]


def test_several_runs_become_one_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    monkeypatch.chdir(run_folder.parent)
    other = run_folder.parent / "other, run" / "evaluation"
    other.mkdir(parents=True)
    metrics = {"task": "edema", "data": "table", "method": "xgem", "n_images": 12, "n_patients": 9}
    metrics["validity"] = {"up": {"reach": 0.95}, "down": {"reach": 0.91}}
    (other / "metrics.json").write_text(json.dumps(metrics))
    assert run_it(monkeypatch, f"run=[{run_folder},'{other.parent}']", "output=compared") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("xgem") and " yes " in line and "0.91" in line for line in lines)
    assert any(line.startswith("explainer") and " no " in line for line in lines)
    assert (run_folder.parent / "compared" / "methods.csv").is_file()
    assert not (run_folder / "evaluation" / "report.html").exists()


def test_a_run_that_draws_nothing_has_no_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    (run_folder / "config.yaml").write_text("model: {name: classifier, part: blackbox}\n")
    assert run_it(monkeypatch, f"run={run_folder}") == 2
    assert "is a run of model=classifier, which draws nothing" in capsys.readouterr().err
    assert not (run_folder / "evaluation" / "report.html").exists()
