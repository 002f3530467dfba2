"""Saliency maps beside an explainer's own difference map, on pictures of a data set that has an oracle.

Every map goes through the same curves and overlaps: those of captum, the explainer's |x_c - x| at the extreme target,
and the controls. *Random* knows nothing, *edges* knows the picture but not the black box (Adebayo et al., NeurIPS 2018:
some saliency maps are hardly more), *same_for_all* knows where change usually is but not this patient, *oracle* is the
truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from cfx.attribution import maps as saliency
from cfx.errors import EmptySplit
from cfx.evaluation.judging import in_batches
from cfx.evaluation.oracle import Oracle, OracleSearch
from cfx.evaluation.rows import PictureSet
from cfx.explainers.base import Explainer
from cfx.metrics import deletion, overlap
from cfx.metrics.oracle import gradient
from cfx.metrics.validity import DOWN, UP, extreme_target, groups

if TYPE_CHECKING:
    from cfx.classifiers.blackbox import BlackBox

Array = npt.NDArray[Any]
OWN = "explainer"
CONTROLS = ("random", "edges", "same_for_all", "oracle")
FIGURES = ("deletion", "insertion", "auprc", "auprc_smooth", "pointing", "mass", "rank")
SMOOTH = 1 / 32
BATCH = 20


@dataclass(frozen=True)
class Sample:
    """Pictures of both groups with their counterfactuals and oracles at the extreme target.

    Attributes:
        table: N rows of image_id, patient_id, group, before, after, reached.
        image: (N, 1, H, W) in [-1, 1].
        drawn: (N, 1, H, W), the explainer's counterfactuals.
        oracle: (N, 1, H, W), zero where the oracle does not reach the target.

    """

    table: pd.DataFrame
    image: Tensor
    drawn: Tensor
    oracle: Tensor

    @property
    def reached(self) -> Tensor:
        """Whether the truth is known, bool (N,)."""
        return torch.tensor(self.table["reached"].tolist(), dtype=torch.bool)

    @property
    def called(self) -> Tensor:
        """Whether the black box calls the finding, bool (N,)."""
        return torch.tensor((self.table["group"] == DOWN).tolist(), dtype=torch.bool)


def draw_sample(
    explainer: Explainer,
    blackbox: BlackBox,
    table: pd.DataFrame,
    dataset: PictureSet,
    oracle: Oracle,
    finding: str,
    *,
    images: int = 60,
    seed: int = 0,
    device: str = "cpu",
) -> Sample:
    """Draw pictures of each group at random, and for each its counterfactual and its oracle at the extreme target.

    Args:
        explainer: the method. blackbox: what it explains.
        table: one row a picture with image_id and patient_id. dataset: the pictures in the same order.
        oracle: draws the patients again. finding: which is changed.
        images: of each group, fewer where there are fewer.
        seed: of the choice. device: where the networks are.

    Returns:
        `Sample`, in the order of the table.

    Raises:
        EmptySplit: both groups are empty.
    """
    everyone = torch.cat(
        [dataset.batch(range(k, min(k + 256, len(table))))["image"] for k in range(0, len(table), 256)]
    )
    before = in_batches(lambda some: blackbox(some.to(device)), everyone, 256).double().numpy()
    group, random = groups(before), np.random.default_rng(seed)
    rows = np.sort(
        np.concatenate([random.permutation(np.flatnonzero(group == g))[:images] for g in (UP, DOWN)])
    )
    if not len(rows):
        raise EmptySplit(
            "run",
            finding,
            "the black box is sure of no picture (none under 0.2 or over 0.8)",
            "give a run whose black box is trained",
        )
    image, ends = everyone[rows], np.array([extreme_target(str(g)) for g in group[rows]])
    asked = torch.from_numpy(ends).float()[:, None]
    made = [
        explainer.explain(some.to(device), target.to(device))
        for some, target in zip(torch.split(image, BATCH), torch.split(asked, BATCH), strict=True)
    ]
    ids = table["image_id"].astype(str).to_numpy()[rows]
    search = OracleSearch(oracle, blackbox, finding, device=torch.device(device))
    found = search.search(ids.tolist(), before[rows], ends[:, None])
    chosen = pd.DataFrame(
        {
            "image_id": ids,
            "patient_id": table["patient_id"].astype(str).to_numpy()[rows],
            "group": group[rows],
            "before": before[rows],
            "after": torch.cat([each.posterior[:, 0] for each in made]).cpu().double().numpy(),
            "reached": found.reached,
        }
    )
    return Sample(chosen, image, torch.cat([each.images[:, 0] for each in made]).cpu(), found.image)


def same_for_all(sample: Sample) -> Tensor:
    """Mean true change of all **other** patients of the same group, (N, 1, H, W): it has not seen the picture."""
    truth = overlap.difference(sample.oracle, sample.image)
    known, table = sample.reached.numpy(), sample.table
    result = torch.zeros_like(truth)
    for row, (patient, group) in enumerate(zip(table["patient_id"], table["group"], strict=True)):
        others = known & (table["group"] == group).to_numpy() & (table["patient_id"] != patient).to_numpy()
        if others.any():
            result[row] = truth[torch.from_numpy(others)].mean(dim=0)
    return result


def all_maps(
    sample: Sample,
    blackbox: BlackBox,
    settings: saliency.Settings | None = None,
    *,
    device: str = "cpu",
    progress: Callable[[str], object] | None = None,
) -> dict[str, Tensor]:
    """Return every map of every picture by its method's name, (N, 1, H, W) >= 0: the explainer's, captum's, controls.

    Grad-CAM is missing where the black box shows no convolutional layer.
    """
    settings = settings or saliency.Settings()
    maps = {OWN: overlap.difference(sample.drawn, sample.image)}
    for method in saliency.available(blackbox, sample.image.to(device), settings):
        if progress is not None:
            progress(method)
        signed = [
            saliency.attribution(method, blackbox, x.to(device), settings).cpu()
            for x in torch.split(sample.image, BATCH)
        ]
        maps[method] = saliency.importance(method, torch.cat(signed), sample.called)
    generator = torch.Generator().manual_seed(settings.seed)
    maps["random"] = torch.rand(sample.image.shape, generator=generator)
    maps["edges"] = gradient(sample.image).norm(dim=1, keepdim=True)
    maps["same_for_all"] = same_for_all(sample)
    maps["oracle"] = overlap.difference(sample.oracle, sample.image)
    return maps


@dataclass(frozen=True)
class Measured:
    """What all maps scored.

    Attributes:
        rows: one row a picture and method: image_id, patient_id, group, method and `FIGURES`, NaN where unknown.
        deletion: posterior of what the black box calls, (N, steps + 1) by method.
        insertion: the same.
        share: (N,) of the picture that truly changes, NaN where the truth is not known.
        emptied: (N,) posterior of the finding for pictures of their mean grey alone.
        smeared: (N,) of blurred pictures.

    """

    rows: pd.DataFrame
    deletion: dict[str, Array]
    insertion: dict[str, Array]
    share: Array
    emptied: Array
    smeared: Array


def measure(
    sample: Sample,
    maps: dict[str, Tensor],
    blackbox: BlackBox,
    *,
    threshold: float = overlap.THRESHOLD,
    steps: int = deletion.STEPS,
    seed: int = 0,
    device: str = "cpu",
) -> Measured:
    """Measure every map by deletion, insertion and its overlap with what truly changes.

    The curves follow the posterior of what the black box calls: p of pictures over 0.8, 1 - p of pictures under 0.2.

    Args:
        sample: the pictures. maps: (N, 1, H, W) by method. blackbox: gives the posterior.
        threshold: see `cfx.metrics.overlap.changed`.
        steps: of the curves. seed: of the order among equal pixels. device: where the black box is.
    """
    called, known = sample.called.numpy(), sample.reached.numpy()
    grey, blur = deletion.mean_grey(sample.image), deletion.blurred(sample.image)

    def posterior(image: Tensor) -> Tensor:
        found: Tensor = blackbox(image.to(device)).cpu()
        return found

    def curve(start: Tensor, end: Tensor, importance: Tensor) -> Array:
        parts = [
            deletion.replacement_curve(posterior, a, b, c, steps=steps, seed=seed)
            for a, b, c in zip(
                torch.split(start, BATCH),
                torch.split(end, BATCH),
                torch.split(importance, BATCH),
                strict=True,
            )
        ]
        p = torch.cat(parts).double().numpy()
        return np.where(called[:, None], p, 1 - p)

    truth = overlap.changed(sample.oracle, sample.image, threshold)
    amount = overlap.difference(sample.oracle, sample.image)
    curves: dict[str, tuple[Array, Array]] = {}
    tables = []
    for method, importance in maps.items():
        gone, come = curve(sample.image, grey, importance), curve(blur, sample.image, importance)
        needs_truth = method in ("oracle", "same_for_all")
        if needs_truth:
            gone, come = np.where(known[:, None], gone, np.nan), np.where(known[:, None], come, np.nan)
        curves[method] = gone, come
        figures = {
            "deletion": deletion.area(torch.from_numpy(gone)).numpy(),
            "insertion": deletion.area(torch.from_numpy(come)).numpy(),
            "auprc": overlap.average_precision(importance, truth),
            "auprc_smooth": overlap.average_precision(deletion.blurred(importance, SMOOTH), truth),
            "pointing": overlap.pointing(importance, truth),
            "mass": overlap.mass_inside(importance, truth),
            "rank": overlap.rank_correlation(importance, amount),
        }
        table = sample.table[["image_id", "patient_id", "group"]].assign(method=method, **figures)
        table.loc[~known, list(FIGURES[2:])] = np.nan
        tables.append(table)
    share = truth.float().mean(dim=(1, 2, 3)).double().numpy()
    return Measured(
        pd.concat(tables, ignore_index=True),
        {method: gone for method, (gone, _) in curves.items()},
        {method: come for method, (_, come) in curves.items()},
        np.where(known, share, np.nan),
        in_batches(posterior, grey, 256).double().numpy(),
        in_batches(posterior, blur, 256).double().numpy(),
    )
