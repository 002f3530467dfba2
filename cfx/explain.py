"""Explain image files with a finished run: pictures, films, numbers and verdict, at full resolution too, as DICOM too.

python -m cfx.explain run=runs/cardiomegaly-phantom-explainer-0123abcd input=chest.png output=out
python -m cfx.explain run=pretrained/nih_cardiomegaly input=folder_of_images
python -m cfx.explain run=pretrained/nih_cardiomegaly input=chest.dcm dicom=true identifiers=keep

The numbers.json of each image holds every number with what its verdicts went by: the reading floor of what the task is
read by, and under `thresholds` those of the independent classifier and of familiarity, with where each is from.
"""

import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from cfx.cli import verb
from cfx.errors import BadImage, BadValue, UnknownChoice, nearest

if TYPE_CHECKING:
    from cfx.evaluation.explain_files import Settings, Tools
    from cfx.evaluation.explained import Outcome
    from cfx.loading import LoadedRun


PICTURES = ("progression", "difference", "outlines", "gif", "mp4")
DEVICES = ("auto", "cpu", "cuda", "mps")
ENDS = "ends"
"""As `full_resolution`: the lowest and the highest target."""
FINDS = 0.8
"""Average precision from which on a detector is taken to find a class of devices."""


def tools_of(loaded: "LoadedRun", pictures: Collection[str] | None = None) -> "Tools":
    """Return what a loaded run explains files with; it measures by the evaluation segmenter where there is one.

    Args:
        loaded: the run.
        pictures: which of `PICTURES` are drawn of each image; None: all that can be drawn here.

    Raises:
        BadValue: the run has no segmenter, so that nothing could be measured.
    """
    from cfx.chain import is_phantom
    from cfx.evaluation.explain_tools import Tools
    from cfx.evaluation.familiarity import Familiarity
    from cfx.loading import measuring_finder, measuring_segmenter
    from cfx.reporting.explained_figure import draw_difference, draw_explained
    from cfx.reporting.film import draw_gif, draw_mp4, video_problem
    from cfx.reporting.outlines_figure import draw_outlines

    def wanted(name: str) -> bool:
        return pictures is None or name in pictures

    familiar = Familiarity.load(loaded.run)
    threshold, threshold_source = threshold_of(loaded)
    task = loaded.config.get("task") or {}
    finder = measuring_finder(loaded, loaded.config)
    read_by = read_by_of(task, finder is not None)
    drawn = {
        "difference": ("difference.png", draw_difference),
        "outlines": ("outlines.png", draw_outlines),
        "gif": ("progression.gif", draw_gif),
    }
    if wanted("mp4") and video_problem() is None:
        drawn["mp4"] = ("progression.mp4", draw_mp4)
    return Tools(
        explainer=loaded.explainer,
        blackbox=loaded.blackbox,
        segmenter=measuring_segmenter(loaded),
        transfer=loaded.transfer,
        size=int(loaded.config["data"]["size"]),
        run=loaded.run.name,
        threshold=threshold,
        threshold_source=threshold_source,
        familiar=None if familiar is None else familiar.to(next(loaded.blackbox.buffers()).device),
        limits=None if familiar is None else (float(familiar.limits[0]), float(familiar.limits[1])),
        draw=draw_explained if wanted("progression") else None,
        pictures=dict(each for name, each in drawn.items() if wanted(name)),
        views=tuple(loaded.config["data"].get("views") or ()),
        direction={"up": 1, "down": -1}.get(str(task.get("direction")), 0),
        read_by=read_by,
        floor=floor_of(loaded, read_by),
        finder=finder,
        overlooked=overlooked_by(loaded) if finder is not None else (),
        synthetic=is_phantom(loaded.config["data"]),
    )


def threshold_of(loaded: "LoadedRun") -> tuple[float, str]:
    """Return the posterior from which on the independent classifier calls the finding, and who chose it.

    Validation patients chose it (see `cfx.calibrating`); an evaluation of the run names the one that it went by.

    Returns:
        the threshold and a key of `cfx.evaluation.explain_tools.THRESHOLD_SOURCES`; 0.5 by `default` where nobody did.
    """
    from cfx.loading import DEFAULT_THRESHOLD, chosen_threshold
    from cfx.reporting.run_files import number_at

    if loaded.transfer is not None:
        known = chosen_threshold(loaded.run.part("transfer"))
        if known is not None:
            return known, "calibration"
        measured = loaded.run.evaluation
        known = number_at(measured.metrics(), "transfer.threshold") if measured.done else None
        if known is not None:
            return known, "evaluation"
    return DEFAULT_THRESHOLD, "default"


def overlooked_by(loaded: "LoadedRun") -> tuple[str, ...]:
    """Return the classes of devices that the run's detector is not known to find, by its own evaluation."""
    from cfx.metrics.boxes import DEVICES as CLASSES
    from cfx.reporting.run_files import number_at

    measured = loaded.run.evaluation
    metrics = measured.metrics() if measured.done else {}
    found = {name: number_at(metrics, f"detector.by_class.{name}") for name in CLASSES}
    return tuple(name for name, precision in found.items() if precision is None or precision < FINDS)


def read_by_of(task: Mapping[str, Any], detects: bool) -> str | None:
    """Return what a verdict goes by: the measurement that the task is read by, None where it can not be made here.

    Args:
        task: the run's task, of which `measurement` counts.
        detects: whether there is a detector that scores recesses.
    """
    measurement = task.get("measurement", "ctr")
    if measurement == "recess":
        return "scp" if detects else None
    return {"ctr": "ctr", "lung_haze": "haze"}.get(measurement)


def floor_of(loaded: "LoadedRun", read_by: str | None) -> float:
    """Return the least shift of one picture that is called a change, by the run's own evaluation where it has one."""
    from cfx.reporting import example_readings

    measured = loaded.run.evaluation
    return example_readings.floor_of(measured.metrics() if measured.done else {}, read_by)


def numbers_of(key: str, values: Any, such: str = "[0,0.5,1]") -> tuple[float, ...]:
    """Return a list of the command line as numbers; a single number is a list of one; `such` is what to write.

    Raises:
        BadValue: something in it is no number.
    """
    found = values if isinstance(values, Sequence) and not isinstance(values, str) else [values]
    try:
        return tuple(float(value) for value in found if value is not None)
    except (TypeError, ValueError) as error:
        raise BadValue(key, values, "is no list of numbers", f"write {key}={such}") from error


def pictures_of(values: Any) -> tuple[str, ...]:
    """Return which pictures are drawn of each image.

    Raises:
        UnknownChoice: one that is none of `PICTURES`.
    """
    found = values if isinstance(values, Sequence) and not isinstance(values, str) else [values]
    names = tuple(str(value) for value in found if value is not None)
    for name in names:
        if name not in PICTURES:
            near = nearest(name, PICTURES)
            remedy = f"did you mean {near!r}" if near else f"choose from {', '.join(PICTURES)}"
            raise UnknownChoice("pictures", name, "is no picture", remedy)
    return names


def settings_of(config: DictConfig) -> "Settings":
    """Return what the user set.

    Raises:
        BadValue, UnknownChoice: a value that makes no sense.
    """
    from cfx.evaluation.explain_files import Settings

    if isinstance(config.batch, bool) or not isinstance(config.batch, int):
        raise BadValue("batch", config.batch, "is no number of images", "give 1 or more")
    for key in ("mark", "overwrite", "force", "invert", "dicom"):
        if not isinstance(config[key], bool):
            raise BadValue(key, config[key], "is neither true nor false", f"write {key}=true or {key}=false")
    large = config.full_resolution
    return Settings(
        targets=numbers_of("targets", config.targets),
        full_resolution=None
        if large == ENDS
        else numbers_of("full_resolution", large, f"{ENDS}, [] or [0,1]"),
        mark=config.mark,
        overwrite=config.overwrite,
        batch=config.batch,
        force=config.force,
        invert=config.invert,
        dicom=config.dicom,
        identifiers=str(config.identifiers),
    )


def device_of(wanted: str) -> str:
    """Return the device that `device=` means.

    Raises:
        UnknownChoice: no device that networks run on. BadValue: one that is not here.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = wanted.partition(":")[0]
    if kind not in DEVICES:  # torch knows more, `meta` among them, on which nothing is computed
        near = nearest(kind, DEVICES)
        remedy = f"did you mean {near!r}" if near else f"choose from {', '.join(DEVICES)}"
        raise UnknownChoice("device", wanted, "is no device", remedy)
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise BadValue("device", wanted, "is not here", "use device=auto or device=cpu") from error
    return wanted


@verb("explain")
def main(config: DictConfig) -> None:
    """Explain the files that ``conf/explain.yaml`` names."""
    for key, what in (("run", "names no run"), ("input", "names no file or folder")):
        if not config[key]:
            raise BadValue(key, config[key], what, f"give {key}=PATH")
    from cfx.evaluation.explain_files import explain_files
    from cfx.evaluation.image_files import find_images

    place, output = Path(str(config.input)), Path(str(config.output))
    # A second run must not explain the pictures that the first one drew.
    paths = find_images(place, without=output)
    settings = settings_of(config)
    from tqdm import tqdm

    from cfx.loading import load_explainer
    from cfx.reporting.film import video_problem

    pictures = pictures_of(config.pictures)
    loaded = load_explainer(str(config.run), device=device_of(str(config.device)))
    tools = tools_of(loaded, pictures)
    problem = video_problem() if "mp4" in pictures else None
    if problem:
        print(problem, file=sys.stderr)
    if loaded.transfer is not None and tools.threshold_source == "default":
        note = "the independent classifier calls the finding from 0.5 on: no validation patients chose its threshold"
        print(f"warning: {note}", file=sys.stderr)
    root = place if place.is_dir() else place.parent
    plain = Progress(len(paths))
    # None: a terminal gets the bar, a log a line now and then.
    with tqdm(total=len(paths), unit="image", disable=None) as bar:

        def echo(line: str) -> None:
            bar.update()
            if bar.disable:
                plain()

        outcomes = explain_files(paths, root, output, tools, settings, echo=echo)
    tell(outcomes, output)


class Progress:
    """Says on stderr now and then how many images are done, for logs.

    Args:
        count: images in all.
        every: seconds between two lines at least.
        clock: seconds that have passed.
    """

    def __init__(self, count: int, every: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.count, self.every, self.clock = count, every, clock
        self.done = 0
        self.began = self.told = clock()

    def __call__(self) -> None:
        """Count one image more."""
        self.done += 1
        now = self.clock()
        if self.done == self.count or now - self.told < self.every:
            return
        self.told = now
        left = (now - self.began) / self.done * (self.count - self.done)
        print(
            f"{self.done} of {self.count} images, about {left / 60:.0f} min left", file=sys.stderr, flush=True
        )


def tell(outcomes: "Sequence[Outcome]", output: Path) -> None:
    """Print what became of the files.

    Raises:
        BadImage: a file could not be explained. The others are done all the same; a script must hear of it.
    """
    from cfx.evaluation.explained import outcome_line, outcome_table

    print(outcome_table(list(outcomes)) if len(outcomes) > 1 else outcome_line(outcomes[0]))
    missing = {what for outcome in outcomes for what in (outcome.numbers or {}).get("not_checked") or []}
    if missing:
        print(f"not checked: {'; '.join(sorted(missing))}")
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    if failed < len(outcomes):
        print(f"written to {output}")
    if failed:
        what = "none could be explained" if failed == len(outcomes) else f"{failed} could not be explained"
        raise BadImage("input", f"{len(outcomes)} files", what, f"see {output / 'summary.csv'}")


if __name__ == "__main__":
    main()
