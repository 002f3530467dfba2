"""Measure a finished explainer, or anyone's counterfactuals.

python -m cfx.evaluate run=runs/cardiomegaly-phantom-explainer-0123abcd
python -m cfx.evaluate run=runs/... data=phantom data.source.site=B output=site_b       # other data or another split
python -m cfx.evaluate run=runs/... model.explainer.knob=raw output=unaided             # used in another way
python -m cfx.evaluate run=runs/... pairs_out=folder                                    # its counterfactuals as files
python -m cfx.evaluate pairs=folder run=runs/... output=scored           # anyone's, measured as a run's own are
python -m cfx.evaluate pairs=folder task=cardiomegaly blackbox=checkpoint blackbox.path=... anatomy=... output=scored
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from cfx.arguments import key_of
from cfx.cli import compose, plain, verb
from cfx.environment import without_places
from cfx.errors import BadValue
from cfx.explain import device_of

if TYPE_CHECKING:
    from cfx.loading import LoadedRun

Config = dict[str, Any]
FOR_TRAINING = frozenset({"experiment", "sweep", "trainer", "logger", "loss", "runs", "name"})
"""Groups and keys of cfx.train that a finished run has no use for."""
PARTS = frozenset({"model", "blackbox", "anatomy", "detector"})
"""What a finished run holds already: of these only `model.explainer`, how the explainer is used, may be changed."""


@verb("evaluate", forward=True)
def main(config: DictConfig) -> None:
    """Evaluate what `conf/evaluate.yaml` names: a run on its own or other data, or pairs."""
    if not config.run and not config.pairs:
        raise BadValue("run", config.run, "names no run", "give run=FOLDER, or pairs=FOLDER")
    if config.pairs and config.pairs_out:
        raise BadValue("pairs_out", config.pairs_out, "pairs are read already", "give pairs or pairs_out")
    overrides = [str(each) for each in config.overrides]
    if config.run:
        refuse_training(overrides)
        refuse_parts(overrides)
    if config.pairs:
        _pairs(config, overrides)
    elif config.pairs_out:
        _pairs_out(config, overrides)
    else:
        _run(config, overrides)


def _loaded(config: DictConfig) -> "LoadedRun":
    from cfx.loading import load_explainer

    return load_explainer(str(config.run), device=device_of(str(config.device)))


def _used(config: DictConfig, overrides: list[str]) -> "tuple[LoadedRun, Config]":
    """Return the run and its configuration with the arguments over it, its explainer used as that says."""
    loaded = _loaded(config)
    if not overrides:
        return loaded, loaded.config
    wanted = with_overrides(loaded.config, overrides)
    return loaded.used_as(wanted), wanted


def _run(config: DictConfig, overrides: list[str]) -> None:
    """Evaluate a run on its own test patients, or with `output=` on others."""
    from cfx.measuring import evaluate_into
    from cfx.reporting.report import write_report
    from cfx.runs import Evaluation

    if overrides and not config.output:
        raise BadValue(
            "output", None, "another data set, split or use needs a folder of its own", "give output=FOLDER"
        )
    loaded, wanted = _used(config, overrides)
    if loaded.run.shipped and not config.output:
        raise BadValue(
            "run", str(config.run), "ships with cfx, where nothing is written", "give output=FOLDER"
        )
    place = Evaluation(Path(str(config.output)).expanduser()) if config.output else loaded.run.evaluation
    place.refuse_overwrite()
    told = ["=".join(without_places(each.split("=", 1))) for each in overrides]
    evaluate_into(place, loaded, wanted, device=device_of(str(config.device)), overrides=told)
    print(write_report(loaded.run, place).summary)


def _pairs(config: DictConfig, overrides: list[str]) -> None:
    """Score a folder of pairs."""
    from cfx.runs import Evaluation

    if not config.output:
        raise BadValue("output", None, "scored pairs need a folder of their own", "give output=FOLDER")
    place = Evaluation(Path(str(config.output)).expanduser())
    place.refuse_overwrite()
    own: Config | None = None
    if not config.run:
        own = plain(compose("train", overrides))
    from cfx.scoring import score_pairs

    loaded = _loaded(config) if config.run else None
    if loaded is not None:
        own = with_overrides(loaded.config, overrides) if overrides else loaded.config
    assert own is not None
    method = None if config.method is None else str(config.method)
    device = device_of(str(config.device))
    written = score_pairs(str(config.pairs), place, own, loaded, method=method, device=device)
    print(written.summary)


def _pairs_out(config: DictConfig, overrides: list[str]) -> None:
    """Write a run's counterfactuals as a folder of pairs."""
    from cfx.scoring import export_pairs

    loaded, wanted = _used(config, overrides)
    place, device = Path(str(config.pairs_out)).expanduser(), device_of(str(config.device))
    print(export_pairs(place, loaded, wanted, device))


def refuse_training(overrides: Sequence[str]) -> None:
    """Refuse arguments that only a training can follow, before anything is loaded.

    Raises:
        BadValue: naming the first of them.
    """
    for each in overrides:
        key = key_of(each) or ""
        if key.partition("@")[0].partition(".")[0] in FOR_TRAINING:
            remedy = "leave it out, or give keys that a finished run takes, such as data=... or evaluation.split=..."
            raise BadValue(key, each.partition("=")[2], "means something to cfx.train alone", remedy)


def refuse_parts(overrides: Sequence[str]) -> None:
    """Refuse to change what a finished run brings with it, its trained parts, before anything is loaded.

    Raises:
        BadValue: naming the first such argument.
    """
    for each in overrides:
        key = key_of(each) or ""
        name = key.partition("@")[0]
        if name.partition(".")[0] in PARTS and not name.startswith("model.explainer."):
            remedy = "leave it out: of a finished run's parts only model.explainer.* may be used differently"
            raise BadValue(key, each.partition("=")[2], "is a part that the run brings with it", remedy)


def with_overrides(own: Config, overrides: Sequence[str]) -> Config:
    """Return a run's configuration with the arguments of another one over it, which mean what they mean to cfx.train.

    Another choice of a group, such as `data=table`, replaces the whole node; `data.views=[PA]` changes the run's own.
    The seed stays the run's, since it decides who was trained on wherever a hash does, and so does the size, which is
    what the networks were trained at.

    Raises:
        BadValue: an argument that has no meaning for a run that is finished.
    """
    refuse_training(overrides)
    task, data = own["task"], own["data"]
    typed = [(key_of(each), each.startswith("~")) for each in overrides]
    keys = {key.partition("@")[0]: gone for key, gone in typed if key is not None}
    fixed = [f"task={task['name']}", f"seed={own['seed']}"]
    if any(key.startswith("model.") for key in keys):
        fixed.append(f"model={own['model']['name']}")
    if "data" not in keys:
        fixed.append(f"data={data['name']}")
        fixed += [f"data.root={data['root']}"] if data.get("root") is not None else []
    before, after = _composed(own, fixed, keys), _composed(own, [*fixed, *overrides], keys)
    result = dict(own)
    for name in {key.split(".")[0] for key in keys} & set(after):
        result[name] = after[name] if name in keys else _changed(own.get(name), before.get(name), after[name])
    for key, gone in keys.items():
        if "." in key and not gone:  # said outright, it counts even where the default says the same
            _put(result, after, key.split("."))
    result["data"] = {**result["data"], "size": data["size"]}
    return result


def _composed(own: Config, overrides: Sequence[str], keys: Iterable[str]) -> Config:
    """Compose cfx.train's configuration; other nodes refer to the run's own task unless that is changed too."""
    made = compose("train", overrides)
    if not any(key.split(".")[0] == "task" for key in keys):
        made.task = own["task"]
    return plain(made)


def _changed(own: Any, before: Any, after: Any) -> Any:
    """Return a node of the run with every difference between two compositions put in."""
    if not all(isinstance(node, dict) for node in (own, before, after)):
        return own if before == after else after
    kept = {key: value for key, value in own.items() if key in after or key not in before}
    return kept | {
        key: _changed(own.get(key), before.get(key), value)
        for key, value in after.items()
        if key in own or value != before.get(key)
    }


def _put(into: Config, source: Config, path: Sequence[str]) -> None:
    """Copy one value of a configuration into another at the same place, if it is there."""
    name, *rest = path
    if name not in source:
        return
    if rest and isinstance(source[name], dict) and isinstance(into.get(name), dict):
        into[name] = dict(into[name])
        _put(into[name], source[name], rest)
    else:
        into[name] = source[name]


if __name__ == "__main__":
    main()
