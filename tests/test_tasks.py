"""The clinical questions that ship: each composes, asks for a column of CheXpert, and says what is measured of it."""

from pathlib import Path
from typing import Any

import pytest

from cfx import assembly, explain
from cfx.cli import compose, plain
from cfx.data.labels import CHEXPERT_FINDINGS
from cfx.errors import UnknownChoice
from cfx.evaluation.rows import NOTHING, READ_AS
from cfx.schema import Task, read

TASKS = sorted(path.stem for path in (Path(__file__).parents[1] / "conf/task").glob("*.yaml"))
PHANTOM = {"cardiomegaly", "edema", "pleural_effusion"}


def config(*overrides: str) -> dict[str, Any]:
    return plain(compose("train", list(overrides)))


def test_every_finding_of_chexpert_but_none_and_devices_has_a_task() -> None:
    asked = {read(Task, config(f"task={name}")["task"], "task").finding for name in TASKS}
    assert asked == set(CHEXPERT_FINDINGS) - {"No Finding", "Support Devices"}
    assert len(TASKS) == len(asked)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_composes_with_the_data_that_have_its_finding(name: str) -> None:
    for data in ("chexpert", "mimic_cxr"):
        made = config(f"task={name}", f"data={data}", "data.root=/d")
        task = read(Task, made["task"], "task")
        assert task.name == name and task.finding in CHEXPERT_FINDINGS
        assert set(made["data"]["findings"]) <= set(CHEXPERT_FINDINGS)
        assert assembly.findings(made)[0] == task.finding
        assert task.measurement == NOTHING or task.measurement in READ_AS
        expected = None if task.measurement == NOTHING else READ_AS[task.measurement]
        assert explain.read_by_of(made["task"], detects=True) == expected


@pytest.mark.parametrize("name", sorted(set(TASKS) - PHANTOM))
def test_a_finding_that_the_phantom_does_not_have_ends_in_one_line(name: str) -> None:
    with pytest.raises(UnknownChoice) as caught:
        assembly.findings(config(f"task={name}"))
    (line,) = str(caught.value).splitlines()
    assert line.startswith("task.finding=") and "is not a finding of data=phantom" in line


def test_the_phantom_has_the_findings_of_its_tasks() -> None:
    assert set(TASKS) >= PHANTOM
    for name in PHANTOM:
        made = config(f"task={name}")
        assert assembly.findings(made)[0] == made["task"]["finding"]
