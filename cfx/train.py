"""Train what the configuration names, and everything that it needs and does not find.

    python -m cfx.train task=cardiomegaly
    python -m cfx.train task=pleural_effusion data=chexpert data.root=/data/CheXpert-v1.0-small
    python -m cfx.train -m task=cardiomegaly,edema loss=context_aware,plain seed=0,1,2
"""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from cfx.cli import verb


@verb("train")
def main(config: DictConfig) -> None:
    """Run the chain of a `conf/train.yaml` configuration."""
    from cfx.stages import Session

    resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    plain = {str(key): value for key, value in resolved.items()}
    Session(plain, Path(str(plain["runs"])).expanduser()).run()


if __name__ == "__main__":
    main()
