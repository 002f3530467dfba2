"""From a run and its data to a reader study that can be served."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cfx import assembly
from cfx.errors import BadValue, MissingPath
from cfx.evaluate import with_overrides
from cfx.loading import LoadedRun, load_explainer
from cfx.reporting.run_files import read_run
from cfx.reporting.study_design import Design
from cfx.reporting.study_files import Study
from cfx.schema import read
from cfx.viewer.guard import Guard
from cfx.viewer.server import Limits
from cfx.viewer.study_making import Candidate, make_study
from cfx.viewer.study_server import study_app as app_of


def study_app(config: DictConfig, limits: Limits) -> Guard:
    """The study that `study=` names as an application; it is made first where it is not there.

    Raises:
        BadValue: `run=` is missing for a new study, or given for one that is there.

    """
    path = Path(str(config.study)).expanduser()
    if Study.is_made(path):
        if config.run:
            raise BadValue("study", str(path), "is made already", "leave run= out to go on with it")
        study = Study.open(path)
    else:
        study = _new_study(path, config)
    print("sample size", *(f"  {line}" for line in study.needs), sep="\n", flush=True)
    return app_of(study, limits)


def _new_study(path: Path, config: DictConfig) -> Study:
    """Draws a study of the run, or of several on the first one's test images."""
    if not config.run:
        remedy = "give run=RUN the first time"
        raise BadValue("study", str(path), "there is no study in this folder yet", remedy)
    from cfx.explain import device_of, tools_of

    device = device_of(str(config.device))
    places = [config.run] if isinstance(config.run, str) else list(config.run)
    loaded = [load_explainer(str(place), device=device) for place in places]
    node = OmegaConf.to_container(config.design, resolve=True)
    assert isinstance(node, dict)
    design = read(Design, {str(key): value for key, value in node.items()}, "design")
    candidates = candidates_of(loaded[0], [str(each) for each in config.overrides])
    print(f"drawing {design.images * len(loaded)} pairs into {path}", flush=True)
    return make_study(path, {each.run.name: tools_of(each) for each in loaded}, candidates, design)


def candidates_of(loaded: LoadedRun, overrides: list[str]) -> list[Candidate]:
    """The test images of an evaluated run at either end of the classifier's scale, as files.

    The run's own data are asked first; where they are not on this machine, the pictures of `evaluation/examples` serve.

    Args:
        loaded: the run.
        overrides: arguments for its data, such as `data.root=...`.

    Raises:
        MissingPath: the run has not been evaluated, or neither its data nor its examples are there.

    """
    run = loaded.run
    if not (run.evaluation.path / "counterfactuals.parquet").is_file():
        examples = read_run(run).examples if run.evaluation.done else ()
        if examples:
            return _of_examples(examples)
        raise MissingPath(
            "run", str(run.path), "has no evaluated test images", "give a run that has been evaluated here"
        )
    table = run.evaluation.counterfactuals().drop_duplicates("image_id").set_index("image_id")
    table = table[table["group"].isin(["up", "down"])]
    configuration = with_overrides(loaded.config, overrides) if overrides else loaded.config
    try:
        frame = assembly.source(configuration).frame().set_index("image_id")
    except MissingPath:
        examples = read_run(run).examples
        if not examples or overrides:
            raise
        print("the run's data are not here: its examples serve, chosen as best, median and worst", flush=True)
        return _of_examples(examples)
    known = table.index.intersection(frame.index)
    return [
        Candidate(
            str(name),
            str(table.at[name, "patient_id"]),
            str(table.at[name, "group"]),
            Path(frame.at[name, "path"]),
        )
        for name in known
    ]


def _of_examples(examples: Any) -> list[Candidate]:
    """The originals of a run's examples, each once."""
    found = {
        each.image_id: Candidate(each.image_id, each.patient_id, each.group, each.original)
        for each in examples
        if each.group in ("up", "down")
    }
    return list(found.values())
