"""Train what the configuration names, and everything that it needs and does not find.

python -m cfx.train task=cardiomegaly
python -m cfx.train task=pleural_effusion data=chexpert data.root=/data/CheXpert-v1.0-small
python -m cfx.train -m task=cardiomegaly,edema loss=context_aware,plain seed=0,1,2
"""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cfx.cli import verb


@verb("train")
def main(config: DictConfig) -> None:
    """Run the chain of a `conf/train.yaml` configuration."""
    from cfx.files import write_json
    from cfx.stages import Session

    resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    plain = {str(key): value for key, value in resolved.items()}
    run = Session(plain, Path(str(plain["runs"])).expanduser()).run()
    job = HydraConfig.get()
    if job.mode == RunMode.MULTIRUN:
        # A multirun's folder says which run each job made, for the table over all of them.
        write_json(
            Path(job.runtime.output_dir) / "run.json",
            {"run": str(run.path), "overrides": list(job.overrides.task)},
        )


if __name__ == "__main__":
    main()
