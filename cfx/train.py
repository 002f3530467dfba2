"""Train what the configuration names, and everything that it needs and does not find.

python -m cfx.train task=cardiomegaly
python -m cfx.train task=pleural_effusion data=chexpert data.root=/data/CheXpert-v1.0-small
python -m cfx.train -m task=cardiomegaly,edema loss=context_aware,plain seed=0,1,2
python -m cfx.train -m sweep=optuna name=search                       # a search for settings, by validity and realism
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cfx.cli import plain, verb
from cfx.errors import BadValue

if TYPE_CHECKING:
    from cfx.runs import Run


def check_job(config: DictConfig) -> None:
    """Refuse what one job of a multirun would be refused for, without looking at files: those may be elsewhere.

    Raises:
        UserError: see `cfx.schema.check` and `cfx.assembly.check_explainer`; or a phantom that can not be drawn.
    """
    from cfx import assembly, chain
    from cfx.schema import check

    known = plain(config, complete=True)
    check(known)
    if chain.is_phantom(known["data"]):
        assembly.source(known)  # its settings are checked as it is made; it is written when it is first read
    if not chain.is_part(known):
        assembly.check_explainer(known)


@verb("train", check=check_job)
def main(config: DictConfig) -> tuple[float, float] | float | None:
    """Run the chain of a `conf/train.yaml` configuration.

    Returns:
        In a search what its sweeper steers by (see `cfx.reporting.objectives`): reach and KID of an explainer, the best
        value of its monitor for a part; None otherwise.
    """
    from cfx.files import write_json
    from cfx.stages import Session

    known = plain(config, complete=True)
    job = HydraConfig.get()
    if job.mode == RunMode.MULTIRUN and "direction" in job.sweeper:
        check_directions(known, job.sweeper.direction)
        check_patients(known)
    run = Session(known, Path(str(known["runs"])).expanduser()).run()
    if job.mode == RunMode.MULTIRUN:
        # A multirun's folder says which run each job made, for the table over all of them.
        write_json(
            Path(job.runtime.output_dir) / "run.json",
            {"run": str(run.path), "overrides": list(job.overrides.task)},
        )
        return objective_of(run) if "direction" in job.sweeper else None
    return None


def check_directions(config: dict[str, Any], direction: Any) -> None:
    """Refuse a search whose directions are not as many as the figures that its jobs give, before any is trained.

    Raises:
        BadValue: naming `hydra.sweeper.direction`, or the monitor that a part has not got.
    """
    from cfx.chain import is_part

    count = len(direction) if OmegaConf.is_list(direction) else 1
    part = is_part(config)
    if part and not config["model"]["fit"].get("monitor"):
        problem = "a search over a part steers by what picks its weights"
        raise BadValue("model.fit.monitor", None, problem, "give one, such as model.fit.monitor=valid/auroc")
    if count != (1 if part else 2):
        problem = "a part gives one figure" if part else "an explainer gives two figures, reach and KID"
        remedy = f"give hydra.sweeper.direction={'maximize' if part else '[maximize,minimize]'}"
        raise BadValue("hydra.sweeper.direction", direction, problem, remedy)


def check_patients(config: dict[str, Any]) -> None:
    """Refuse a search that would choose settings by the patients kept for reporting, before any job is trained.

    Raises:
        BadValue: naming `evaluation.split`.
    """
    from cfx.chain import is_part

    if not is_part(config):
        refuse_test((config.get("evaluation") or {}).get("split"))


def refuse_test(split: object) -> None:
    """Refuse `test` as what a search steers by: the figures of what it picked would be told of the same patients.

    Raises:
        BadValue: naming `evaluation.split`.
    """
    if split == "test":
        problem = "a search must not choose its settings by the patients that they are reported on"
        raise BadValue("evaluation.split", split, problem, "give evaluation.split=valid")


def objective_of(run: "Run") -> tuple[float, float] | float | None:
    """Return what a search is told of a finished run, and say where a figure had to be stood in for.

    Raises:
        BadValue: what is there was measured on the test patients.
    """
    from cfx.chain import is_part
    from cfx.reporting.objectives import monitored, not_made, objectives

    if is_part(run.config) or not run.evaluation.done:
        return monitored(run)
    metrics = run.evaluation.metrics()
    refuse_test(metrics.get("split"))
    for line in not_made(metrics):
        print(line, flush=True)
    return objectives(metrics)


if __name__ == "__main__":
    main()
