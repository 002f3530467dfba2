"""Explain image files with a finished run: progression, numbers, verdict, and the edit at full resolution.

python -m cfx.explain run=runs/cardiomegaly-phantom-explainer-0123abcd input=chest.png output=out
python -m cfx.explain run=pretrained/nih_cardiomegaly input=folder_of_images
"""

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from cfx.cli import verb
from cfx.errors import BadValue

if TYPE_CHECKING:
    from cfx.evaluation.explain_files import Tools
    from cfx.loading import LoadedRun


def tools_of(loaded: "LoadedRun") -> "Tools":
    """Return what a loaded run explains files with; it measures by the evaluation segmenter where there is one.

    Raises:
        BadValue: the run has no segmenter, so that nothing could be measured.
    """
    from cfx.evaluation.explain_files import Tools
    from cfx.evaluation.familiarity import Familiarity
    from cfx.reporting.explained_figure import draw_explained
    from cfx.reporting.run_files import number_at

    # The evaluation segmenter has seen no picture that the loss used, so its reading is the one to report.
    segmenter = loaded.judge or loaded.segmenter
    if segmenter is None:
        raise BadValue(
            "run", str(loaded.run.path), "has no segmenter to measure with", "train it with anatomy=trained"
        )
    measured = loaded.run.evaluation
    familiar = Familiarity.load(loaded.run)
    threshold = number_at(measured.metrics(), "transfer.threshold") if measured.done else None
    return Tools(
        explainer=loaded.explainer,
        blackbox=loaded.blackbox,
        segmenter=segmenter,
        transfer=loaded.transfer,
        size=int(loaded.config["data"]["size"]),
        run=loaded.run.name,
        threshold=0.5 if threshold is None else threshold,
        familiar=None if familiar is None else familiar.to(next(loaded.blackbox.buffers()).device),
        draw=draw_explained,
    )


@verb("explain")
def main(config: DictConfig) -> None:
    """Explain the files that ``conf/explain.yaml`` names."""
    for key, what in (("run", "names no run"), ("input", "names no file or folder")):
        if not config[key]:
            raise BadValue(key, config[key], what, f"give {key}=PATH")
    from cfx.evaluation.explain_files import Settings, explain_files, find_images

    place = Path(str(config.input))
    paths = find_images(place)
    settings = Settings(
        targets=tuple(float(target) for target in config.targets),
        full_resolution=tuple(float(target) for target in config.full_resolution or ()),
        mark=bool(config.mark),
        overwrite=bool(config.overwrite),
    )
    import torch

    from cfx.evaluation.explained import outcome_line, outcome_table
    from cfx.loading import load_explainer

    wanted = str(config.device)
    device = wanted if wanted != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    tools = tools_of(load_explainer(str(config.run), device=device))
    root = place if place.is_dir() else place.parent
    from tqdm import tqdm

    with tqdm(
        total=len(paths), unit="image", disable=None
    ) as bar:  # None: a terminal gets the bar, a log does not
        outcomes = explain_files(
            paths, root, Path(str(config.output)), tools, settings, echo=lambda line: bar.update()
        )
    print(outcome_table(outcomes) if len(outcomes) > 1 else outcome_line(outcomes[0]))
    print(f"written to {config.output}")


if __name__ == "__main__":
    main()
