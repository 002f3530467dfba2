"""The verb report on the command line."""

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

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


READ_BY = {"cardiomegaly": "ctr", "pleural_effusion": "scp", "edema": "haze"}
# Of each job in the order of the multirun: task, loss, then up and down of reach, transfer, l1_ratio, KID, gap_closed
# and fop, the worse of which differ from column to column and from job to job.
SIX_JOBS = (
    ("cardiomegaly", "context_aware", (0.98, 0.95, 0.90, 0.80, 0.30, 0.41, 0.0010, 0.0021, 0.93, 1.15, 1.00, 0.99)),
    ("cardiomegaly", "plain", (0.97, 0.99, 0.70, 0.85, 0.52, 0.50, 0.0032, 0.0030, 0.60, 0.80, 0.91, 0.92)),
    ("pleural_effusion", "context_aware", (0.93, 0.92, 0.61, 0.66, 0.77, 0.71, 0.0047, 0.0041, 1.30, 0.75, 0.98, 0.97)),
    ("pleural_effusion", "plain", (0.96, 0.94, 0.64, 0.63, 0.81, 0.88, 0.0052, 0.0059, 0.55, 1.40, 0.86, 0.89)),
    ("edema", "context_aware", (0.91, 0.89, 0.73, 0.74, 0.62, 0.67, 0.0063, 0.0061, 0.88, 1.09, 0.96, 1.00)),
    ("edema", "plain", (1.00, 0.90, 0.76, 0.79, 0.69, 0.64, 0.0072, 0.0078, 1.02, 0.99, 0.84, 0.83)),
)  # fmt: skip
WORSE = (
    "yes|0.95|0.80|0.41|0.0021|1.15|0.99",
    "yes|0.97|0.70|0.52|0.0032|0.60|0.91",
    "yes|0.92|0.61|0.77|0.0047|1.30|0.97",
    "yes|0.94|0.63|0.88|0.0059|0.55|0.86",
    "no|0.89|0.73|0.67|0.0063|0.88|0.96",
    "yes|0.90|0.76|0.69|0.0078|1.02|0.83",
)
SIX_ROWS = [
    *(
        f"explainer (task={task} loss={loss}), {task} phantom test|method|{cells}"
        for (task, loss, _), cells in zip(SIX_JOBS, WORSE, strict=True)
    ),
    "nothing, cardiomegaly phantom test|control|no|0.00|–|1.00|–|–|1.00",
    "nothing, pleural_effusion phantom test|control|no|0.00|–|1.00|–|–|1.00",
    "nothing, edema phantom test|control|no|0.00|–|1.00|–|–|1.00",
]


@pytest.fixture
def six_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `cfx.train -m name=six task=... loss=...` of three tasks and two losses was called, its runs measured."""
    keys = (
        ("validity", "reach"), ("transfer", "share"), ("oracle", "l1_ratio"), ("realism", "kid"), ("gap", "gap_closed"),
        ("identity", "fop"),
    )  # fmt: skip
    for number, (task, loss, values) in enumerate(SIX_JOBS):
        metrics: dict[str, Any] = {
            "task": task, "data": "phantom", "method": "explainer", "split": "test", "n_images": 60, "n_patients": 55,
            "blackbox": {"auroc": 0.9, "prior": 0.5},
        }  # fmt: skip
        for (section, key), up, down in zip(keys, values[::2], values[1::2], strict=True):
            metrics[section] = {"up": {key: up}, "down": {key: down}}
        own = metrics.pop("gap")  # what another task is read by is measured too, and must not be shown
        other = {"up": {"gap_closed": 9.0}, "down": {"gap_closed": 9.0}}
        clinical = {name: own if name == READ_BY[task] else other for name in READ_BY.values()}
        metrics["clinical"] = {**clinical, "read_by": READ_BY[task]}
        none = {side: {"reach": 0.0} for side in ("up", "down")}
        metrics["controls"] = {
            "nothing": {"validity": none, "oracle": {"l1_ratio": 1.0}, "identity": {"fop": 1.0}}
        }
        run = Path("runs") / f"{task}-phantom-explainer-{number}"
        (tmp_path / run / "evaluation").mkdir(parents=True)
        (tmp_path / run / "evaluation/metrics.json").write_text(json.dumps(metrics))
        job = tmp_path / "multirun/six" / str(number)
        job.mkdir(parents=True)
        overrides = ["name=six", f"task={task}", f"loss={loss}"]
        (job / "run.json").write_text(json.dumps({"run": str(run), "overrides": overrides}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows_of(printed: str) -> list[str]:
    """Rows of the first table, the blanks between their cells as bars."""
    lines = printed.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("---")) + 1
    found = [re.sub(r" {2,}", "|", line) for line in lines[start:]]
    return [line for line in found if "|" in line]


def test_a_multirun_of_three_tasks_and_two_losses_is_one_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], six_jobs: Path
) -> None:
    assert run_it(monkeypatch, "multirun=multirun/six", "output=table") == 0
    printed = capsys.readouterr().out
    assert rows_of(printed) == SIX_ROWS
    assert "their rows can not be compared" in printed and "made no run" not in printed
    with (six_jobs / "table/methods.csv").open(newline="") as stream:
        sheet = list(csv.DictReader(stream))
    assert [row["run"] for row in sheet[:6]] == [
        f"{task}-phantom-explainer-{number}" for number, (task, _, _) in enumerate(SIX_JOBS)
    ]
    assert [row["gap_closed"] for row in sheet[:6]] == ["1.15", "0.6", "1.3", "0.55", "0.88", "1.02"]
    page = (six_jobs / "table/methods.html").read_text(encoding="utf-8")
    cells = re.findall(r"<td>(.*?)</td>", page)[: 9 * 8]
    assert cells == [cell for row in SIX_ROWS for cell in row.split("|")[1:]]


def test_jobs_of_a_multirun_that_made_no_run_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], six_jobs: Path
) -> None:
    (six_jobs / "multirun/six/3/run.json").unlink()
    (six_jobs / "multirun/six/.submitit").mkdir()  # a launcher's own folder is no job
    assert run_it(monkeypatch, "multirun=multirun/six", "output=table") == 0
    printed = capsys.readouterr().out
    assert rows_of(printed) == SIX_ROWS[:3] + SIX_ROWS[4:]
    told = "Job 3 of this multirun made no run: failed, or not done yet."
    assert told in printed and told in (six_jobs / "table/methods.html").read_text(encoding="utf-8")
    (six_jobs / "multirun/six/0/run.json").unlink()
    (six_jobs / "multirun/six/10").mkdir()
    assert run_it(monkeypatch, "multirun=multirun/six") == 0
    assert "Jobs 0, 3, 10 of this multirun made no run" in capsys.readouterr().out


def test_a_job_whose_run_was_not_measured_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], six_jobs: Path
) -> None:
    run = "runs/edema-phantom-explainer-4"
    (six_jobs / run / "evaluation/metrics.json").unlink()
    assert run_it(monkeypatch, "multirun=multirun/six") == 2
    assert f"run='{run}': has no evaluation/metrics.json" in capsys.readouterr().err
