"""Sweeps: each choice composes, a search has as many directions as its jobs give figures, and two trials run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import OmegaConf

import cfx.train
from cfx.cli import compose, plain
from cfx.errors import BadValue
from cfx.messages import explain_error
from cfx.runs import Run

SWEEPS = sorted(file.stem for file in (Path(__file__).parent.parent / "conf/sweep").glob("*.yaml"))


def hydra_of(*overrides: str) -> Any:
    """Hydra's own node of a train command."""
    from hydra import compose as with_hydra
    from hydra import initialize_config_dir

    from cfx.confdir import conf_dir

    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return with_hydra("train", overrides=list(overrides), return_hydra_config=True)


@pytest.mark.parametrize("choice", SWEEPS)
def test_every_choice_composes(choice: str) -> None:
    made = hydra_of(f"sweep={choice}").hydra  # the extra `dev` brings what each of them needs
    assert made.sweep.dir.startswith("multirun/")
    named = {"joblib": "JoblibLauncher", "slurm": "SlurmLauncher"}
    assert made.launcher._target_.endswith(named.get(choice, "BasicLauncher"))


def test_the_launcher_for_slurm_holds_what_was_asked_for() -> None:
    asked = {"partition": "gpu", "timeout_min": 600, "gpus_per_node": 1, "mem_gb": 32}
    overrides = [f"hydra.launcher.{key}={value}" for key, value in asked.items()]
    node = hydra_of("sweep=slurm", "name=many", *overrides).hydra.launcher
    OmegaConf.resolve(node)
    launcher = instantiate(node)
    assert type(launcher).__name__ == "SlurmLauncher"
    assert asked.items() <= launcher.params.items()
    assert launcher.params["submitit_folder"] == "multirun/many/.submitit/%j"


SBATCH = r"""#!/bin/sh
# A cluster of this machine alone: keeps the batch file and starts it once for each job of its array.
cp "$1" "$CLUSTER/batch"
export SLURM_JOB_ID=7 SLURM_ARRAY_JOB_ID=7 SLURM_PROCID=0 SLURM_LOCALID=0
for job in $(seq $(sed -n 's/^#SBATCH --array=0-\([0-9]*\)%.*/0 \1/p' "$1")); do
  (SLURM_ARRAY_TASK_ID=$job sh "$1"; touch "$CLUSTER/ended$job") >"$CLUSTER/log$job" 2>&1 </dev/null &
done
echo "Submitted batch job 7"
"""
SRUN = """#!/bin/sh
while case "$1" in --unbuffered) shift ;; --output | --error) shift 2 ;; *) false ;; esac do :; done
exec "$@"
"""
SACCT = """#!/bin/sh
# Asked only every few minutes, so that it answers when both jobs have ended.
until [ -e "$CLUSTER/ended0" ] && [ -e "$CLUSTER/ended1" ]; do sleep 0.2; done
printf '%s\\n' "JobID|State|NodeList" "7_0|COMPLETED|here" "7_1|COMPLETED|here"
"""
TELLS = """
import sys
from pathlib import Path
from hydra.core.hydra_config import HydraConfig
from cfx.cli import run_verb

def body(config):
    Path(HydraConfig.get().runtime.output_dir, "told").write_text(f"{config.task.name} {config.seed}")

if __name__ == "__main__":
    sys.exit(run_verb(body, "train"))
"""


@pytest.mark.slow
def test_a_multirun_goes_to_slurm_and_its_jobs_come_back(tmp_path: Path) -> None:
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "verb.py").write_text(TELLS)
    arguments = ["-m", "sweep=slurm", "name=many", "task=cardiomegaly,edema", "hydra.launcher.partition=gpu"]
    done = subprocess.run(
        [sys.executable, "verb.py", *arguments, "hydra.launcher.timeout_min=90", "seed=3"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**os.environ, "CLUSTER": str(tmp_path), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    logs = "".join(log.read_text() for log in tmp_path.glob("log*"))
    assert done.returncode == 0, done.stderr[-2000:] + logs
    asked = re.findall(r"^#SBATCH --(\S+)$", (tmp_path / "batch").read_text(), re.MULTILINE)
    assert {"array=0-1%2", "partition=gpu", "time=90"} <= set(asked)
    told = [(tmp_path / f"multirun/many/{job}/told").read_text() for job in (0, 1)]
    assert told == ["cardiomegaly 3", "edema 3"]


def test_a_search_varies_keys_that_are_there_and_asks_for_two_figures() -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    made = hydra_of("sweep=optuna", "seed=7", "name=search")
    sweeper = made.hydra.sweeper
    assert list(sweeper.direction) == ["maximize", "minimize"]
    assert (sweeper.sampler.seed, sweeper.study_name, sweeper.n_jobs) == (7, "search", 1)
    ranges = [f"{key}={value}" for key, value in sweeper.params.items()]
    for override in OverridesParser.create().parse_overrides(ranges):
        now, value = OmegaConf.select(made, override.key_or_group), override.value()
        assert override.is_interval_sweep() and "log" in value.tags
        assert value.start < now < value.end, f"the default of {override.key_or_group} lies outside"


def test_a_search_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra.errors import MissingConfigException

    error = MissingConfigException("none", "hydra/sweeper/optuna", ["basic"])
    told = str(explain_error(error, ["sweep=optuna"], list, False))
    assert told == "hydra/sweeper='optuna': its package is not installed; pip install 'cfx[sweep]'"
    error = MissingConfigException("none", "hydra/sweeper/optunna", ["basic", "optuna"])
    assert "did you mean 'optuna'" in str(explain_error(error, [], list, False))


@pytest.mark.parametrize(
    ("overrides", "direction", "match"),
    [
        ((), ["maximize", "minimize"], None),
        ((), "maximize", r"direction='maximize': an explainer gives two.*\[maximize,minimize\]"),
        (("model=classifier",), "maximize", r"model\.fit\.monitor=null.*valid/auroc"),
        (("model=classifier", "model.fit.monitor=valid/auroc"), "maximize", None),
        (("model=classifier", "model.fit.monitor=valid/auroc"), ["maximize", "minimize"], r"one figure"),
    ],
)
def test_directions_are_as_many_as_figures(
    overrides: tuple[str, ...], direction: Any, match: str | None
) -> None:
    config = plain(compose("train", overrides))
    asked = OmegaConf.create(direction) if isinstance(direction, list) else direction
    if match is None:
        cfx.train.check_directions(config, asked)
    else:
        with pytest.raises(BadValue, match=match):
            cfx.train.check_directions(config, asked)


def test_a_search_never_steers_by_the_test_patients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    assert hydra_of("sweep=optuna").evaluation.split == "valid"
    assert hydra_of().evaluation.split == "test"  # all others report
    monkeypatch.chdir(tmp_path)
    arguments = [
        "-m",
        "cfx.train",
        "-m",
        "sweep=optuna",
        "name=search",
        "evaluation.split=test",
        "trainer=smoke",
    ]
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert done.returncode != 0 and "evaluation.split='test'" in done.stdout + done.stderr
    assert "give evaluation.split=valid" in done.stdout + done.stderr
    assert not (tmp_path / "runs").exists()  # nothing was trained before


def test_a_part_may_be_searched_whatever_the_explainer_would_be_measured_on() -> None:
    part = {"model": {"name": "classifier"}, "evaluation": {"split": "test"}}
    cfx.train.check_patients(part)
    with pytest.raises(BadValue, match=r"evaluation\.split='test'.*evaluation\.split=valid"):
        cfx.train.check_patients(part | {"model": {"name": "xgem"}})


@pytest.mark.parametrize(("split", "told"), [("valid", (0.8, 0.3)), ("test", None)])
def test_a_finished_run_measured_on_test_patients_tells_a_search_nothing(
    split: str, told: tuple[float, float] | None, tmp_path: Path
) -> None:
    run = Run.create(tmp_path)
    run.write_config({"model": {"name": "explainer"}})
    sides = {
        "validity": {"up": {"reach": 0.9}, "down": {"reach": 0.8}},
        "realism": {"up": {"kid": 0.3}, "down": {"kid": 0.1}},
    }
    run.evaluation.path.mkdir()
    (run.evaluation.path / "metrics.json").write_text(json.dumps({"split": split} | sides))
    if told is not None:
        assert cfx.train.objective_of(run) == told
        return
    with pytest.raises(BadValue, match="reported on"):
        cfx.train.objective_of(run)


@pytest.mark.slow
def test_two_trials_of_a_search(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    arguments = ["-m", "sweep=optuna", "name=search", "trainer=smoke", "hydra.sweeper.n_trials=2"]
    done = subprocess.run(
        [sys.executable, "-m", "cfx.train", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=3600,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    folder = tmp_path / "multirun/search"
    jobs = [json.loads(file.read_text()) for file in sorted(folder.glob("*/run.json"))]
    assert len(jobs) == 2 and len({job["run"] for job in jobs}) == 2  # two settings, so two runs
    assert all(any(each.startswith("loss.change=") for each in job["overrides"]) for job in jobs)
    found = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    assert found["name"] == "optuna" and 1 <= len(found["solutions"]) <= 2
    known = [json.loads((tmp_path / job["run"] / "evaluation/metrics.json").read_text()) for job in jobs]
    assert {metrics["split"] for metrics in known} == {"valid"}
    from cfx.reporting.objectives import objectives

    given = [objectives(metrics) for metrics in known]
    for solution in found["solutions"]:
        assert any(solution["values"] == pytest.approx(each) for each in given)
