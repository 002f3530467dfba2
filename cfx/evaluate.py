"""Measure a finished explainer, or anyone's counterfactuals.

python -m cfx.evaluate run=runs/cardiomegaly-phantom-explainer-0123abcd
python -m cfx.evaluate run=runs/... data=phantom data.source.site=B output=site_b       # other data or another split
python -m cfx.evaluate run=runs/... pairs_out=folder                                    # its counterfactuals as files
python -m cfx.evaluate pairs=folder run=runs/... output=scored           # anyone's, by a run's black box and segmenter
python -m cfx.evaluate pairs=folder task=cardiomegaly blackbox=checkpoint blackbox.path=... anatomy=... output=scored
"""

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from cfx.cli import compose, verb
from cfx.errors import BadValue

if TYPE_CHECKING:
    from cfx.loading import LoadedRun


@verb("evaluate", forward=True)
def main(config: DictConfig) -> None:
    """Evaluate what `conf/evaluate.yaml` names: a run on its own or other data, or pairs."""
    if not config.run and not config.pairs:
        raise BadValue("run", config.run, "names no run", "give run=FOLDER, or pairs=FOLDER")
    if config.pairs and config.pairs_out:
        raise BadValue("pairs_out", config.pairs_out, "pairs are read already", "give pairs or pairs_out")
    overrides = [str(each) for each in config.overrides]
    if config.pairs:
        _pairs(config, overrides)
    elif config.pairs_out:
        _pairs_out(config, overrides)
    else:
        _run(config, overrides)


def _device(config: DictConfig) -> str:
    import torch

    device = str(config.device)
    return device if device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")


def _loaded(config: DictConfig) -> "LoadedRun":
    from cfx.loading import load_explainer

    return load_explainer(str(config.run), device=_device(config))


def _run(config: DictConfig, overrides: list[str]) -> None:
    """Evaluate a run on its own test patients, or with `output=` on others."""
    from cfx.measuring import evaluate_into
    from cfx.reporting.report import write_report
    from cfx.runs import Evaluation

    loaded = _loaded(config)
    place = Evaluation(Path(str(config.output)).expanduser()) if config.output else loaded.run.evaluation
    if overrides and not config.output:
        raise BadValue(
            "output", None, "another data set or split needs a folder of its own", "give output=FOLDER"
        )
    place.refuse_overwrite()
    wanted = with_overrides(loaded.config, overrides) if overrides else loaded.config
    evaluate_into(place, loaded, wanted, device=_device(config))
    print(write_report(loaded.run, place).summary)


def _pairs(config: DictConfig, overrides: list[str]) -> None:
    """Score a folder of pairs."""
    from cfx.runs import Evaluation

    if not config.output:
        raise BadValue("output", None, "scored pairs need a folder of their own", "give output=FOLDER")
    place = Evaluation(Path(str(config.output)).expanduser())
    place.refuse_overwrite()
    own: dict[str, object] | None = None
    if not config.run:
        resolved = OmegaConf.to_container(compose("train", overrides), resolve=True)
        assert isinstance(resolved, dict)
        own = {str(key): value for key, value in resolved.items()}
    from cfx.scoring import score_pairs

    loaded = _loaded(config) if config.run else None
    if loaded is not None:
        own = with_overrides(loaded.config, overrides) if overrides else loaded.config
    assert own is not None
    method = None if config.method is None else str(config.method)
    written = score_pairs(str(config.pairs), place, own, loaded, method=method, device=_device(config))
    print(written.summary)


def _pairs_out(config: DictConfig, overrides: list[str]) -> None:
    """Write a run's counterfactuals as a folder of pairs."""
    from cfx.scoring import export_pairs

    loaded = _loaded(config)
    wanted = with_overrides(loaded.config, overrides) if overrides else loaded.config
    print(export_pairs(Path(str(config.pairs_out)).expanduser(), loaded, wanted, _device(config)))


def with_overrides(own: dict[str, object], overrides: list[str]) -> dict[str, object]:
    """Return a run's configuration with the arguments of another one over it, which mean what they mean to cfx.train.

    Another `data=` replaces the whole node; its size stays the run's, which is what the networks were trained at.
    """
    task = own["task"]
    assert isinstance(task, dict)
    groups = [f"task={task['name']}", *overrides]
    composed = OmegaConf.to_container(compose("train", groups), resolve=True)
    assert isinstance(composed, dict)
    changed = {each.partition("=")[0].partition(".")[0].lstrip("+") for each in overrides}
    result = dict(own)
    for key in changed & set(composed):
        result[str(key)] = composed[key]
    data, own_data = result["data"], own["data"]
    assert isinstance(data, dict) and isinstance(own_data, dict)
    result["data"] = {**data, "size": own_data["size"]}
    return result


if __name__ == "__main__":
    main()
