"""How much of the heart's old border is left on sharp pictures, and how a verdict's bounds on it and the thorax stand.

    CFX_REAL_DATA=/folder python -m experiments.old_border old_border runs/cardiomegaly-phantom-explainer-0123abcd

Phantoms of 256 px, of a seed that no run uses, are drawn again by the oracle with the largest and the smallest heart:
what true pictures keep of the border, and what they keep when blended half and half with the picture before. The
run's edits are carried onto them, and the shipped run's onto the X-rays of `wingspan_ctr`, with the borders of sharp
pictures as shapes and without. The thorax is measured on pictures of NIH's train_val_list, once more after a jitter.
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

from cfx.data.phantom.source import Phantom
from cfx.data.reading import Float, load_tensor, read_image
from cfx.environment import commit, versions
from cfx.evaluation.explain_tools import Tools
from cfx.evaluation.explaining import draw_batch, read_pictures, small_tensor
from cfx.evaluation.full_resolution import edit_series, shrunk
from cfx.evaluation.ghosts import old_border_left
from cfx.evaluation.judging import jitter, judge_images
from cfx.evaluation.verdict import BORDER_LEFT, THORAX_CHANGE
from cfx.explain import tools_of
from cfx.files import write_json
from cfx.loading import load_explainer

Array = npt.NDArray[Any]
ROOT = Path(__file__).resolve().parent
SHIPPED = "pretrained/nih_cardiomegaly"
FINDING = "Cardiomegaly"
PATIENTS, SIZE, SEED = 150, 256, 100
PICTURES, RADIOGRAPHS = 400, 120
ANY_SIZE = 10**9
"""As the side that a run knows: no picture is larger, so that none is drawn with borders as shapes."""
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def quantiles(values: Sequence[float] | Array, bound: float | None = None) -> dict[str, Any]:
    """Quantiles of the values that there are, how many, and the share beyond a bound."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    found: dict[str, Any] = {
        f"q{round(100 * share):02d}": float(np.quantile(known, share)) for share in SHARES
    }
    return found | {"n": len(known)} | ({} if bound is None else {"beyond": float((known > bound).mean())})


def redrawn(folder: Path) -> tuple[dict[str, Any], list[Float]]:
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
    for name, severity in zip(("narrower", "wider"), oracle.bounds(FINDING), strict=True):
        after, new = parts(oracle.render(names, FINDING, torch.full((len(names),), severity)))
        for key, pictures in (("oracle", after), ("blended", (before + after) / 2)):
            left = [old_border_left(*each) for each in zip(before, pictures, old, new, strict=True)]
            found[key][name] = quantiles(left, BORDER_LEFT)
    return found, list(before.astype(np.float32))


def carried(tools: Tools, pictures: Sequence[Float], file: Path | None = None) -> dict[str, Any]:
    """What a run's edits leave of the border with and without borders as shapes, and what the black box then says.

    Args:
        tools: the run's parts. pictures: grey (H, W) in [0, 1]. file: where the most and the median changed are drawn.
    """
    ways = {"plain": ANY_SIZE, "sharp": tools.size}
    left: dict[str, list[float]] = {name: [] for name in ways}
    moved: dict[str, list[float]] = {name: [] for name in ways}
    shown = []
    for picture in pictures:
        drawn, image = draw_batch([picture], tools, [0.0, 1.0])[0], shrunk(picture)
        step, edits, old = drawn.steps[drawn.end], drawn.counterfactual.edits, drawn.before.masks
        if edits is None or old is None or step.reading.masks is None:
            continue
        row = slice(1 + drawn.end, 2 + drawn.end)
        made = {
            name: edit_series(image, edits.field[0, row], edits.residual[0, row], known)[0]
            for name, known in ways.items()
        }
        read = read_pictures(torch.stack([small_tensor(each, tools) for each in made.values()]), tools)
        for (name, each), reading in zip(made.items(), read, strict=True):
            left[name].append(old_border_left(image, each, old[0], step.reading.masks[0]))
            moved[name].append(abs(reading.posterior - step.reading.posterior))
        shown.append((left["plain"][-1], image, made))
    if file is not None:
        _draw(shown, file)
    return {
        name: quantiles(left[name], BORDER_LEFT) | {"posterior_moved": float(np.mean(moved[name]))}
        for name in ways
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
    """Change of the inner thoracic width, as a share of it, when a picture is seen again after a jitter."""
    names = np.random.default_rng(0).permutation((folder / "train_val_list.txt").read_text().split())
    paths = [folder / "images" / str(name) for name in names if (folder / "images" / str(name)).is_file()][
        :PICTURES
    ]
    pictures = torch.stack([load_tensor(path, tools.size) for path in paths])
    again = jitter(pictures, torch.Generator().manual_seed(0))
    first, second = (judge_images(tools.segmenter, each).thorax_width for each in (pictures, again))
    return quantiles(np.abs(second / first - 1), THORAX_CHANGE)


def main(arguments: list[str]) -> int:
    """Measure, freeze and draw; exit code 2 where no study or run is named."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    folder = ROOT / arguments[0]
    folder.mkdir(exist_ok=True)
    phantom, pictures = redrawn(Path(arguments[1]).resolve().parent / "phantom")
    tools = tools_of(load_explainer(arguments[1]), [])
    phantom["edit"] = carried(tools, pictures)
    found: dict[str, Any] = {
        "schema": 1,
        "bounds": {"border_left": BORDER_LEFT, "thorax_change": THORAX_CHANGE},
    }
    found |= {"phantom": phantom, "run": tools.run}
    real = os.environ.get("CFX_REAL_DATA")
    if real:
        shipped = tools_of(load_explainer(SHIPPED), [])
        radiographs = sorted((Path(real) / "wingspan_ctr" / "images").iterdir())[:RADIOGRAPHS]
        images = [read_image(path) for path in radiographs]
        found["wingspan_ctr"] = carried(shipped, images, folder / "old_border.png")
        found["thorax_repeat"] = thorax_repeat(shipped, Path(real) / "nih_cxr14")
    found["environment"] = {"commit": commit(), "seed": SEED, "device": "cpu", **versions()}
    write_json(folder / "metrics.json", found)
    print(folder / "metrics.json")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
