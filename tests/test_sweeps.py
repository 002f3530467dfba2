"""Sweeps: each choice composes, a search has as many directions as its jobs give figures, and two trials run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

import cfx.train
from cfx.cli import compose
from cfx.errors import BadValue
from cfx.messages import explain_error
from cfx.runs import Run

SWEEPS = sorted(file.stem for file in (Path(__file__).parent.parent / "conf/sweep").glob("*.yaml"))
PLUGIN = {
    "joblib": "hydra_joblib_launcher",
    "slurm": "hydra_submitit_launcher",
    "optuna": "hydra_optuna_sweeper",
}


def hydra_of(*overrides: str) -> Any:
    """Hydra's own node of a train command."""
    from hydra import compose as with_hydra
    from hydra import initialize_config_dir

    from cfx.confdir import conf_dir

    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return with_hydra("train", overrides=list(overrides), return_hydra_config=True)


@pytest.mark.parametrize("choice", SWEEPS)
def test_every_choice_composes(choice: str) -> None:
    if choice in PLUGIN:
        pytest.importorskip(f"hydra_plugins.{PLUGIN[choice]}")
    assert hydra_of(f"sweep={choice}").hydra.sweep.dir.startswith("multirun/")


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
    plain = OmegaConf.to_container(compose("train", overrides), resolve=True)
    assert isinstance(plain, dict)
    config = {str(key): value for key, value in plain.items()}
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
