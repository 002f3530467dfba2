"""Every verb's wrapper: mistakes end in one line and exit code 2, defects keep their traceback."""

import importlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from cfx.cli import _every_value_once, _jobs_of, compose, devices_per_job, own_keys, run_verb
from cfx.errors import BadValue, MissingPath, UserError
from cfx.help_text import help_text
from cfx.train import check_job

TRAIN = """
    defaults: [{task: cardiomegaly}, {loss: null}, _self_, {override hydra/job_logging: none}]
    seed: 0
    data:
      root: null
      size: 64
    half: ${oc.env:CFX_TEST_UNSET,1}
    trainer: {devices: 1, accelerator: cpu}
    hydra: {output_subdir: null, run: {dir: .}, sweep: {dir: sweep}}
"""


@pytest.fixture
def conf(tmp_path: Path) -> str:
    folder = tmp_path / "conf"
    for name, text in {
        "train.yaml": TRAIN,
        "evaluate.yaml": "run: ???\noutput: null\nhydra: {output_subdir: null, run: {dir: .}}",
        "needs.yaml": "root: ???\ncopy: ${root}/x\nhydra: {output_subdir: null, run: {dir: .}}",
        "task/cardiomegaly.yaml": "name: cardiomegaly",
        "task/edema.yaml": "name: edema",
        "loss/plain.yaml": "kind: plain",
        "experiment/nih.yaml": "# @package _global_\nseed: 5",
    }.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    return str(folder)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


def seen(
    conf: str, *arguments: str, name: str = "train", forward: bool = False
) -> tuple[int, list[DictConfig]]:
    configs: list[DictConfig] = []
    code = run_verb(configs.append, name, arguments, forward=forward, directory=conf)
    return code, configs


def line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    return lines[0]


def test_a_path_arrives_as_typed_and_nothing_is_written(conf: str) -> None:
    code, configs = seen(conf, "data.root=/a b/x=1,[2]", "task=edema")
    assert code == 0
    assert configs[0].data.root == "/a b/x=1,[2]" and configs[0].task.name == "edema"
    assert os.listdir(".") == []


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["task=edama"], ["task='edama'", "'edema'"]),
        (["task=zzz"], ["task='zzz'", "cardiomegaly, edema"]),
        (["data.sise=3"], ["data.sise='3'", "'data.size'"]),
        (["dta.size=3"], ["dta.size='3'", "'data.size'"]),
        (["size=3"], ["size='3'", "'data.size'"]),
        (["tsk=edema"], ["tsk='edema'", "'task'"]),
        (["experiment=nih"], ["experiment='nih'", "+experiment=nih"]),
        (["+seed=1"], ["+seed='1'", "drop the +"]),
        (["~sed"], ["~sed", "'seed'"]),
        (["seed=1,2"], ["seed='1,2'", "-m"]),
        (["edema"], ["'edema'", "key=value"]),
        (["seed=[1"], ["'seed=[1'", "quote"]),
        (["--multirum"], ["--multirum"]),
        (["data.size=${oc.env:CFX_TEST_UNSET}"], ["data.size", "CFX_TEST_UNSET", "is not set"]),
        (["data.root=${oc.env:CFX_TEST_UNSET}/x"], ["data.root", "CFX_TEST_UNSET", "is not set"]),
        (["data.size=${sed}"], ["data.size", "sed"]),
        (["task=null"], ["task=null"]),
        (["--config-dir", "/no/where"], ["/no/where"]),
        (["hydra/launcher=zzz"], ["hydra/launcher='zzz'"]),
        (["-m", "seed=1,2", "trainer.devices=2"], ["trainer.devices=2", "multirun"]),
    ],
)
def test_a_mistake_is_one_line_with_argument_value_and_remedy(
    conf: str, capsys: pytest.CaptureFixture[str], arguments: list[str], parts: list[str]
) -> None:
    code, configs = seen(conf, *arguments)
    assert code == 2 and configs == []
    text = line(capsys)
    for part in parts:
        assert part in text, text


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("task=edema", "task='edema'"),
        ("+loss=plain", "+loss='plain'"),
        ("data.size=3", "data.size='3'"),
        ("experiment=nih", "experiment='nih'"),
        ("seed=3", "seed='3'"),
        ("~data", "'~data'"),
    ],
)
def test_what_only_a_training_takes_is_refused_by_other_verbs_as_such(
    conf: str, capsys: pytest.CaptureFixture[str], argument: str, named: str
) -> None:
    code, configs = seen(conf, "run=x", argument, name="evaluate")
    assert code == 2 and configs == []
    expected = f"error: {named}: is no key of cfx.evaluate, it is set when a run is trained; leave it out"
    assert line(capsys).startswith(expected)


def test_a_mistyped_key_of_another_verb_is_not_taken_for_a_group(
    conf: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seen(conf, "run=x", "outptu=y", name="evaluate")[0] == 2
    assert "did you mean 'output'" in line(capsys)
    assert seen(conf, "run=x", "tusk=y", name="evaluate")[0] == 2
    assert "--help lists the keys" in line(capsys)


def test_a_mistyped_experiment_of_the_project_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_verb(print, "train", ["experiment=nih_efusion"]) == 2
    assert "did you mean 'nih_effusion'" in line(capsys)


def test_a_key_of_swept_choices_alone_is_told_how_to_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    fixed = "model.explainer.target_limit=0.1"
    assert run_verb(print, "train", ["-m", "model=xgem,pixel", fixed], check=check_job) == 2
    told = line(capsys)
    assert (
        "without model=xgem,pixel first, and only these have the key" in told and f"write ++{fixed}" in told
    )
    assert (
        run_verb(print, "train", ["-m", "model=xgem,pixel", "model.explainer.stesp=5"], check=check_job) == 2
    )
    assert "++" not in line(capsys)
    jobs = _jobs_of("train", ["-m", "model=xgem,pixel", f"++{fixed}"], None)
    assert [job.model.explainer.target_limit for job in jobs] == [0.1, 0.1]


def test_a_missing_value_is_named(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = seen(conf, name="needs")
    assert code == 2
    assert "root=" in line(capsys)


def test_a_missing_value_that_the_verb_asks_for_is_named(
    conf: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_verb(lambda cfg: cfg.run, "evaluate", [], directory=conf)
    assert code == 2
    assert "run='???'" in line(capsys)


def test_a_deleted_key_that_is_needed_is_named(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_verb(lambda cfg: cfg.data.size, "train", ["~data"], directory=conf)
    assert code == 2
    assert "~data" in line(capsys)


def test_a_user_error_under_other_errors_is_still_one_line(
    conf: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def body(cfg: DictConfig) -> None:
        try:
            raise MissingPath("data.root", "/x", "there is no such folder", "give another")
        except MissingPath as error:
            raise RuntimeError("wrapped") from error

    assert run_verb(body, "train", [], directory=conf) == 2
    assert line(capsys) == "error: data.root='/x': there is no such folder; give another"


@pytest.mark.parametrize("kind", [ValueError, KeyError, RuntimeError])
def test_a_defect_is_raised(conf: str, kind: type[Exception]) -> None:
    def body(cfg: DictConfig) -> None:
        raise kind("a bug")

    with pytest.raises(kind, match="a bug"):
        run_verb(body, "train", [], directory=conf)


def test_a_key_that_no_configuration_has_is_a_defect(conf: str) -> None:
    with pytest.raises(AttributeError, match="colour"):
        run_verb(lambda cfg: cfg.data.colour, "train", [], directory=conf)


def test_an_interruption_ends_quietly(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    def body(cfg: DictConfig) -> None:
        raise KeyboardInterrupt

    assert run_verb(body, "train", [], directory=conf) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_a_multirun_sweeps_keys_but_not_paths(conf: str) -> None:
    code, configs = seen(conf, "-m", "task=cardiomegaly,edema", "seed=0,1", "data.root=a,b")
    assert code == 0
    assert [(c.task.name, c.seed) for c in configs] == [
        ("cardiomegaly", 0),
        ("cardiomegaly", 1),
        ("edema", 0),
        ("edema", 1),
    ]
    assert {c.data.root for c in configs} == {"a,b"}


def test_all_jobs_of_a_multirun_are_checked_before_the_first_starts(
    conf: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[DictConfig] = []
    checked: list[tuple[str, int]] = []

    def check(cfg: DictConfig) -> None:
        checked.append((cfg.task.name, cfg.seed))
        if cfg.seed == 1 and cfg.task.name == "edema":
            raise BadValue("seed", cfg.seed, "does not suit edema", "give another")

    arguments = ["-m", "task=cardiomegaly,edema", "seed=0,1", "data.root=a,b"]
    assert run_verb(ran.append, "train", arguments, directory=conf, check=check) == 2
    assert "seed=1: does not suit edema; give another" in line(capsys)
    assert checked == [("cardiomegaly", 0), ("cardiomegaly", 1), ("edema", 0), ("edema", 1)]
    assert ran == [] and os.listdir(".") == []
    assert run_verb(ran.append, "train", ["-m", "seed=0,2"], directory=conf, check=check) == 0
    assert [cfg.seed for cfg in ran] == [0, 2]


def test_jobs_that_a_file_sweeps_over_are_checked_too_and_what_is_typed_goes_before(conf: str) -> None:
    study = Path(conf) / "experiment" / "study.yaml"
    sweeper = "{sweeper: {params: {task: 'cardiomegaly,edema', seed: '0,1'}}}"
    study.write_text(f"# @package _global_\nhalf: 3\nhydra: {sweeper}\n")
    checked: list[tuple[str, int]] = []

    def check(cfg: DictConfig) -> None:
        checked.append((cfg.task.name, cfg.seed))

    def jobs(*arguments: str) -> list[tuple[str, int]]:
        checked.clear()
        ran: list[DictConfig] = []
        assert run_verb(ran.append, "train", ["-m", *arguments], directory=conf, check=check) == 0
        assert [(cfg.task.name, cfg.seed) for cfg in ran] == checked  # what is checked is what Hydra runs
        return list(checked)

    every = [("cardiomegaly", 0), ("cardiomegaly", 1), ("edema", 0), ("edema", 1)]
    assert jobs("+experiment=study") == every
    assert jobs("+experiment=study", "seed=7,8") == [(name, 7 + seed) for name, seed in every]
    assert jobs("+experiment=study", "task=edema") == [("edema", 0), ("edema", 1)]


def test_a_defect_in_the_check_is_raised_and_a_single_run_checks_itself(conf: str) -> None:
    def check(cfg: DictConfig) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_verb(print, "train", ["-m", "seed=0,1"], directory=conf, check=check)
    assert run_verb(lambda cfg: None, "train", ["seed=1"], directory=conf, check=check) == 0


def test_further_processes_see_what_was_typed(conf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    argv: list[list[str]] = []
    monkeypatch.setattr(sys, "argv", ["train", "before"])
    run_verb(lambda cfg: argv.append(list(sys.argv)), "train", ["data.root=a b"], directory=conf)
    assert argv == [["train", "data.root=a b"]]
    assert sys.argv == ["train", "before"]


def test_forwarded_arguments_go_to_the_run(conf: str) -> None:
    arguments = ["run=a,b", "data.root=/c d", "task=edema"]
    code, configs = seen(conf, *arguments, name="evaluate", forward=True)
    assert code == 0
    assert configs[0].run == "a,b" and list(configs[0].overrides) == ["data.root=/c d", "task=edema"]


def test_forwarded_arguments_compose_as_in_train(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    def body(cfg: DictConfig) -> None:
        composed.append(compose("train", list(cfg.overrides), directory=conf))
        assert own_keys("evaluate", conf) == ["run", "output"]

    composed: list[DictConfig] = []
    assert run_verb(body, "evaluate", ["run=x", "data.root=/c d"], forward=True, directory=conf) == 0
    assert composed[0].data.root == "/c d"
    assert run_verb(body, "evaluate", ["run=x", "data.sise=1"], forward=True, directory=conf) == 2
    assert "'data.size'" in line(capsys)


def test_compose_refuses_by_name(conf: str) -> None:
    with pytest.raises(UserError, match=r"task='edama'.*'edema'"):
        compose("train", ["task=edama"], directory=conf)


@pytest.mark.parametrize(
    ("trainer", "count"),
    [
        ({"devices": 1}, 1),
        ({"devices": 2}, 2),
        ({"devices": 1, "num_nodes": 3}, 3),
        ({"devices": [0, 1]}, 2),
        ({"devices": "0,1"}, 2),
        ({"devices": "auto", "accelerator": "cpu"}, 1),
        ({}, 1),
    ],
)
def test_devices_per_job(trainer: dict[str, object], count: int) -> None:
    assert devices_per_job(OmegaConf.create(trainer)) == count


VERBS = [
    name
    for name in ("train", "evaluate", "explain", "report", "prepare", "app")
    if (Path(__file__).parents[1] / "cfx" / f"{name}.py").is_file()
]


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_answers_at_once_and_imports_nothing_heavy(verb: str, repository: Path) -> None:
    probe = (
        f"import sys, time; sys.argv = ['{verb}', '--help']\n"
        f"import cfx.{verb}\n"
        f"try: cfx.{verb}.main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "heavy = {'torch', 'pandas', 'numpy', 'pytorch_lightning', 'matplotlib'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy), time.process_time())"
    )
    command = [sys.executable, "-c", probe]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository, check=False)
    assert done.returncode == 0, done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("HEAVY [] "), last
    assert float(last.rpartition(" ")[2]) < 3


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_commands_and_each_key_with_what_it_means(verb: str, repository: Path) -> None:
    module = importlib.import_module(f"cfx.{verb}")
    text = help_text(verb, module.__doc__ or "", str(repository / "conf"))
    lines = text.splitlines()
    assert f"python -m cfx.{verb} " in text and len(lines) < 60
    assert max(len(line) for line in lines) <= 150
    for key in own_keys(verb):
        assert f"\n  {key}" in text, key
    assert "override hydra" not in text and "\n  hydra" not in text
    grouped = "the default is in brackets" in text
    assert grouped == (verb == "train")
    if grouped:
        assert "task [cardiomegaly]: atelectasis, cardiomegaly, consolidation, edema" in text
        assert "# the clinical question" in text


@pytest.mark.parametrize(
    ("verb", "argument", "near"),
    [
        ("train", "model=explaner", "did you mean 'explainer'"),
        ("train", "trainer.device=meta", "did you mean 'trainer.devices'"),
        ("train", "logger=wandbb", "did you mean 'wandb'"),
        ("train", "sweep=optunna", "did you mean 'optuna'"),
        ("explain", "ouput=x", "did you mean 'output'"),
        ("report", "multrun=x", "did you mean 'multirun'"),
        (
            "app",
            "exposed=true",
            "run=null: names no run",
        ),  # handed on to the run, which is asked for first
    ],
)
def test_a_mistyped_key_or_choice_is_answered_with_the_nearest(
    verb: str, argument: str, near: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [verb, argument])
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"cfx.{verb}").main()
    assert stop.value.code == 2 and near in line(capsys)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_ends_a_mistake_in_one_line(
    verb: str, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = importlib.import_module(f"cfx.{verb}").main
    monkeypatch.setattr(sys, "argv", [verb, "no_such_key=1"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    text = line(capsys)
    # evaluate and app hand it on to the run, and ask for that first
    assert "no_such_key='1'" in text or verb in ("evaluate", "app")


@pytest.mark.slow
def test_jobs_side_by_side_end_in_the_same_line(conf: str, tmp_path: Path) -> None:
    script = tmp_path / "verb.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys
        from cfx.cli import run_verb
        from cfx.errors import BadValue

        def body(cfg):
            raise BadValue("seed", cfg.seed, "is refused", "give another")

        if __name__ == "__main__":
            sys.exit(run_verb(body, "train", directory={conf!r}))
        """)
    )
    command = [
        sys.executable,
        str(script),
        "-m",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "seed=1,2",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() in [f"error: seed={seed}: is refused; give another" for seed in (1, 2)]


def test_of_many_jobs_every_value_is_seen_once() -> None:
    jobs = [[f"seed={seed}", f"loss={loss}"] for loss in "ab" for seed in range(5)]
    chosen = _every_value_once(jobs)
    assert chosen == [*jobs[:5], jobs[5]]
