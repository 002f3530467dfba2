"""What repeats a study: each repeat.sh is run with a Python that only writes down what it is called with."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cfx import chain
from cfx.arguments import split_own
from cfx.cli import _jobs_of, compose, own_keys, plain
from cfx.errors import UserError
from cfx.evaluate import refuse_parts, refuse_training, with_overrides
from cfx.schema import check
from cfx.train import check_job

ROOT = Path(__file__).resolve().parents[1]
STUDIES = sorted(path.parent.name for path in (ROOT / "experiments").glob("*/repeat.sh"))

WRITES_DOWN = r"""#!/bin/sh
# A line a call, its arguments apart. What later lines of a script copy is left where it looks for it.
printf '%s\037' "$@" >>"$CALLS"
echo >>"$CALLS"
case "$2" in
experiments.where)
  mkdir -p made/evaluation
  touch made/environment.json made/evaluation/metrics.json made/evaluation/progressions.png
  echo made
  grep -q "name=${3#multirun/}.*seed=0,1,2" "$CALLS" && echo made && echo made
  exit 0 ;;
cfx.evaluate)
  for argument; do
    case "$argument" in output=*) mkdir -p "${argument#output=}" && touch "${argument#output=}/metrics.json" ;; esac
  done ;;
esac
"""


def script_of(study: str) -> Path:
    return ROOT / "experiments" / study / "repeat.sh"


def calls_of(script: Path, place: Path, *arguments: str) -> list[list[str]]:
    """What a script calls Python with, in order, from an empty folder."""
    python = place / "python"
    python.write_text(WRITES_DOWN)
    python.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "PY": str(python), "CALLS": str(place / "calls")}
    command = ["sh", str(script), *arguments]
    subprocess.run(command, cwd=place, env=environment, check=True, capture_output=True, timeout=60)
    return [line.split("\037")[:-1] for line in (place / "calls").read_text().split("\n")[:-1]]


def refuse(calls: list[list[str]]) -> list[str]:
    """Raise what a training or an evaluation among these calls would end with before it begins; return their names."""
    trained: dict[str, Any] = {}
    names, evaluated = [], []
    for call in calls:
        arguments = call[2:]
        if call[:2] == ["-m", "cfx.train"]:
            names += [each for each in arguments if each.startswith("name=")]
            # Further seeds are no other check, and what an experiment sweeps over by itself is checked beside its file.
            few = [re.sub(r"^((?:model\.)?seed=\d+),.*", r"\1", each) for each in arguments]
            jobs = _jobs_of("train", [*few, *(() if "seed=0" in few else ("seed=0",))], None)
            assert jobs
            for job in jobs:
                check_job(job)
            trained = plain(jobs[-1])
        elif call[:2] == ["-m", "cfx.evaluate"]:
            mine, others = split_own(arguments, own_keys("evaluate"))
            assert "run=made" in mine
            if others in evaluated:
                continue  # another seed's
            evaluated.append(others)
            compose("evaluate", mine)
            refuse_training(others)
            refuse_parts(others)
            check(with_overrides(chain.own_config(trained), others))
    return names


@pytest.mark.parametrize("study", STUDIES)
def test_it_calls_what_is_there_and_freezes_into_its_own_folder(study: str, tmp_path: Path) -> None:
    calls = calls_of(script_of(study), tmp_path)
    called = [call[1].replace(".", "/") + ".py" if call[0] == "-m" else call[0] for call in calls]
    assert all((ROOT / file).is_file() for file in called)
    text = script_of(study).read_text()
    assert f" {study}" in text or f"/{study}/" in text
    assert (ROOT / "experiments" / study / "criteria.yaml").is_file()


@pytest.mark.parametrize("study", STUDIES)
def test_nothing_that_it_trains_or_evaluates_would_be_refused(study: str, tmp_path: Path) -> None:
    calls = calls_of(script_of(study), tmp_path, "trainer=smoke")
    trainings = [call for call in calls if call[1] == "cfx.train"]
    assert trainings and all(call[2] == "-m" and call[-1] == "trainer=smoke" for call in trainings)
    names = refuse(calls)
    assert len(set(names)) == len(trainings)  # each into a folder of its own


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ('"$PY" -m cfx.train -m name=a loss=plain,plane', "plane"),
        ('more="model.sede=0,1"\n"$PY" -m cfx.train -m name=a $more', "model.sede"),
        ('"$PY" -m cfx.train -m name=a\n"$PY" -m cfx.evaluate run=made model.lr=1 output=b', "model.lr"),
    ],
)
def test_what_would_be_refused_is_found(lines: str, named: str, tmp_path: Path) -> None:
    script = tmp_path / "repeat.sh"
    script.write_text(f"set -e\n{lines}\n")
    with pytest.raises(UserError, match=named):
        refuse(calls_of(script, tmp_path))


def test_every_study_of_the_phantom_can_be_repeated() -> None:
    studies = {path.parent.name for path in (ROOT / "experiments").glob("*/criteria.yaml")}
    assert studies - set(STUDIES) == {name for name in studies if name.startswith("nih_")}
