"""How much of the heart's old border is left on sharp pictures, and how a verdict's bounds on it and the thorax stand.

    CFX_REAL_DATA=/folder python -m experiments.old_border old_border runs/cardiomegaly-phantom-explainer-0123abcd

Phantoms of 256 px, of a seed that nothing else uses, are drawn again by the oracle with the largest and the smallest
heart: what true pictures keep of the border, and what they keep when blended half and half with the picture before. The
run's edits are carried onto them, and the shipped run's onto the X-rays of `wingspan_ctr`, with the borders of sharp
pictures as shapes and without. The thorax is measured on pictures of NIH's train_val_list, again after a jitter, and
on phantoms without and with the most fluid, by their true masks.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib import pyplot as plt
from scipy import stats

from cfx.data.phantom.source import Phantom
from cfx.data.reading import Float, as_seen, load_tensor, read_image
from cfx.environment import commit, versions
from cfx.errors import BadValue
from cfx.evaluation.explain_tools import Tools
from cfx.evaluation.explaining import draw_batch, read_pictures
from cfx.evaluation.full_resolution import edit_series, shrunk
from cfx.evaluation.ghosts import OldBorder
from cfx.evaluation.judging import jitter, judge_images
from cfx.evaluation.verdict import BORDER_LEFT, THORAX_CHANGE
from cfx.explain import tools_of
from cfx.files import write_json
from cfx.loading import load_explainer
from cfx.measurements import measure
from experiments.several_runs import answer

Array = npt.NDArray[Any]
ROOT = Path(__file__).resolve().parent
SHIPPED = "pretrained/nih_cardiomegaly"
FINDING = "Cardiomegaly"
FLUID = "Pleural Effusion"
PATIENTS, SIZE, SEED = 300, 256, 7001
PICTURES = 400
WAYS = ("narrower", "wider")
"""Of the heart, at targets 0 and 1."""
ANY_SIZE = 10**9
"""As the side that a run knows: no picture is larger, so that none is drawn with borders as shapes."""
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def section(values: Sequence[float] | Array, bound: float) -> dict[str, Any]:
    """Quantiles of the values that there are, how many there are and are not, and the share beyond a bound.

    `least` and `most` are the ends of that share's exact 95 % interval (Clopper and Pearson 1934); a patient has one
    picture.
    """
    asked = np.asarray(values, dtype=np.float64)
    known = asked[np.isfinite(asked)]
    found: dict[str, Any] = {"n": len(known), "not_measurable": len(asked) - len(known)}
    if not len(known):
        return found
    share = stats.binomtest(int((known > bound).sum()), len(known))
    ends = share.proportion_ci(0.95, method="exact")
    found |= {f"q{round(100 * each):02d}": float(np.quantile(known, each)) for each in SHARES}
    return found | {"beyond": share.statistic, "least": float(ends.low), "most": float(ends.high)}


def phantoms(folder: Path) -> tuple[dict[str, Any], list[Float]]:
    """What true pictures of other hearts keep of the old border, and the phantoms themselves, grey in [0, 1]."""
    source = Phantom(folder, SIZE, {"train": 1, "valid": 1, "test": PATIENTS}, SEED)
    names = source.frame().query("split == 'test'")["image_id"].tolist()
    oracle = source.oracle()
    own = oracle.render(names, FINDING, oracle.severity(names, FINDING))

    def parts(drawn: Any) -> tuple[Array, Array]:
        masks = torch.nn.functional.adaptive_avg_pool2d(drawn.masks[:, :1], 64)
        return (drawn.image[:, 0].numpy() + 1) / 2, masks[:, 0].numpy()

    before, old = parts(own)
    found: dict[str, Any] = {"oracle": {}, "blended": {}}
    for name, severity in zip(WAYS, oracle.bounds(FINDING), strict=True):
        after, new = parts(oracle.render(names, FINDING, torch.full((len(names),), severity)))
        for key, pictures in (("oracle", after), ("blended", (before + after) / 2)):
            left = [
                OldBorder(picture, mask).left(after_it, its_mask)
                for picture, after_it, mask, its_mask in zip(before, pictures, old, new, strict=True)
            ]
            found[key][name] = section(left, BORDER_LEFT)
    dry, wet = (
        measure(oracle.render(names, FLUID, torch.full((len(names),), severity)).masks.numpy()).thorax_width
        for severity in oracle.bounds(FLUID)
    )
    found["thorax_of_fluid"] = section(np.abs(wet / dry - 1), THORAX_CHANGE)
    return found, list(before.astype(np.float32))


def carried(tools: Tools, pictures: Sequence[Float], file: Path | None = None) -> dict[str, Any]:
    """What a run's edits leave of the border with and without borders as shapes, and what the black box then says.

    Args:
        tools: the run's parts. pictures: grey (H, W) in [0, 1]. file: where some are drawn.
    """
    known = {"plain": ANY_SIZE, "sharp": tools.size}
    left: dict[str, dict[str, list[float]]] = {name: {way: [] for way in WAYS} for name in known}
    moved: dict[str, list[float]] = {name: [] for name in known}
    shown = []
    for picture in pictures:
        drawn, image = draw_batch([picture], tools, [0.0, 1.0])[0], shrunk(picture)
        step, edits, old = drawn.steps[drawn.end], drawn.counterfactual.edits, drawn.before.masks
        if edits is None or old is None or step.reading.masks is None:
            continue
        row, way = slice(1 + drawn.end, 2 + drawn.end), WAYS[drawn.end]
        made = {
            name: edit_series(image, edits.field[0, row], edits.residual[0, row], side)[0]
            for name, side in known.items()
        }
        read = read_pictures(torch.stack([as_seen(each, tools.size) for each in made.values()]), tools)
        border = OldBorder(image, old[0])
        for (name, each), reading in zip(made.items(), read, strict=True):
            left[name][way].append(border.left(each, step.reading.masks[0]))
            moved[name].append(abs(reading.posterior - step.reading.posterior))
        shown.append((left["plain"][way][-1], image, made))
    if file is not None:
        _draw(shown, file)
    return {
        name: {way: section(values, BORDER_LEFT) for way, values in each.items()}
        | {"posterior_moved": float(np.mean(moved[name]))}
        for name, each in left.items()
    }


def _draw(shown: list[tuple[float, Float, dict[str, Float]]], file: Path) -> None:
    """Draw four pictures, from the upper half of what is left without borders as shapes, in three ways each."""
    known = sorted((each for each in shown if np.isfinite(each[0])), key=lambda each: -each[0])
    rows = [known[place] for place in np.linspace(1, len(known) / 2, 4).astype(int)]
    figure, axes = plt.subplots(3, 4, figsize=(12, 9.4), layout="constrained")
    for column, (_, image, made) in enumerate(rows):
        for axis, name, picture in zip(
            axes[:, column],
            ("original", "without borders", "with borders"),
            (image, *made.values()),
            strict=True,
        ):
            height, width = picture.shape
            axis.imshow(
                picture[
                    round(0.25 * height) : round(0.9 * height), round(0.15 * width) : round(0.95 * width)
                ],
                cmap="gray",
            )
            axis.set_title(name if name == "original" else f"drawn {name} as shapes", fontsize=9)
            axis.set_axis_off()
    figure.savefig(file, dpi=70)
    plt.close(figure)


def thorax_repeat(tools: Tools, folder: Path) -> dict[str, Any]:
    """Change of the inner thoracic width, as a share of it, when a patient's picture is seen again after a jitter."""
    names = np.random.default_rng(0).permutation((folder / "train_val_list.txt").read_text().split())
    there = [path for path in (folder / "images" / str(name) for name in names) if path.is_file()]
    first_of = {
        path.name.partition("_")[0]: path for path in reversed(there)
    }  # the first that was drawn of a patient
    paths = [path for path in there if first_of[path.name.partition("_")[0]] == path][:PICTURES]
    pictures = torch.stack([load_tensor(path, tools.size) for path in paths])
    again = jitter(pictures, torch.Generator().manual_seed(0))
    first, second = (judge_images(tools.segmenter, each).thorax_width for each in (pictures, again))
    return section(np.abs(second / first - 1), THORAX_CHANGE)


def work(arguments: list[str]) -> None:
    """Measure a run, freeze and draw into the study named first.

    Raises:
        UserError: there is no such run, or more than one.
    """
    study, *runs = arguments
    if len(runs) > 1:
        raise BadValue("run", runs, "are several runs", "give one")
    torch.set_num_threads(1)
    tools = tools_of(load_explainer(runs[0]), [])
    made_by = {
        "commit": commit(),
        "seed": SEED,
        "device": "cpu",
        **versions(),
    }  # before a figure is drawn anew
    folder = ROOT / study
    folder.mkdir(exist_ok=True)
    phantom, pictures = phantoms(Path(runs[0]).resolve().parent / "phantom")
    phantom["edit"] = carried(tools, pictures)
    bounds = {"border_left": BORDER_LEFT, "thorax_change": THORAX_CHANGE}
    found: dict[str, Any] = {"schema": 1, "bounds": bounds, "phantom": phantom, "run": tools.run}
    real = os.environ.get("CFX_REAL_DATA")
    if real:
        shipped = tools_of(load_explainer(SHIPPED), [])
        radiographs = sorted((Path(real) / "wingspan_ctr" / "images").iterdir())
        images = [read_image(path) for path in radiographs]
        found["wingspan_ctr"] = carried(shipped, images, folder / "old_border.png")
        found["thorax_repeat"] = thorax_repeat(shipped, Path(real) / "nih_cxr14")
    write_json(folder / "metrics.json", found | {"environment": made_by})
    print(folder / "metrics.json")


def main(arguments: list[str]) -> int:
    """See `answer`."""
    return answer(work, arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
