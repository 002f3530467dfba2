"""Measure a finished explainer: its own test patients, or another data set or split with `output=`.

python -m cfx.evaluate run=runs/cardiomegaly-phantom-explainer-0123abcd
python -m cfx.evaluate run=runs/... data=phantom data.source.site=B output=site_b
"""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from cfx.cli import compose, verb
from cfx.errors import BadValue


@verb("evaluate", forward=True)
def main(config: DictConfig) -> None:
    """Evaluate the run that `conf/evaluate.yaml` names, on its own or other data."""
    if not config.run:
        raise BadValue("run", config.run, "names no run", "give run=FOLDER")
    import torch

    from cfx.loading import load_explainer
    from cfx.measuring import evaluate_into
    from cfx.reporting.report import write_report
    from cfx.runs import Evaluation

    device = str(config.device)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_explainer(str(config.run), device=device)
    overrides = [str(each) for each in config.overrides]
    place = Evaluation(Path(str(config.output)).expanduser()) if config.output else loaded.run.evaluation
    if overrides and not config.output:
        raise BadValue(
            "output", None, "another data set or split needs a folder of its own", "give output=FOLDER"
        )
    place.refuse_overwrite()
    wanted = with_overrides(loaded.config, overrides) if overrides else loaded.config
    evaluate_into(place, loaded, wanted, device=device)
    print(write_report(loaded.run, place).summary)


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
