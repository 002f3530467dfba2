"""Counterfactuals that are there already, as a method among others: pictures from files in place of an explainer."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from cfx.data.pairs import Pairs, check_shapes, read_bytes, snapped
from cfx.data.reading import bytes_to_tensor
from cfx.evaluation.bench import Bench
from cfx.evaluation.rows import Drawn, Part
from cfx.metrics.validity import GRID

Array = npt.NDArray[Any]
OWN = 1e-3
"""A target this near to the posterior of the image asks for nothing: its picture is the method's own redrawing."""


class Given:
    """The counterfactuals of a folder of pairs.

    Args:
        pairs: the folder.
        name: of the method that drew them.
        size: side in pixels that the networks know.
        grid: targets that are asked of every picture; what differs from one of them by rounding is put on it.
    """

    ends = (0.0, 1.0)

    def __init__(self, pairs: Pairs, name: str, size: int, grid: Sequence[float] = GRID) -> None:
        self.name, self.size = name, size
        self.sources = pairs.images["path"].tolist()
        self.rows = pairs.rows.assign(
            target=snapped(pairs.rows["target"].to_numpy(dtype=np.float64), tuple(grid))
        )
        places = self.rows["image"].to_numpy(dtype=np.int64)
        self.of = {place: self.rows[places == place] for place in range(len(self.sources))}

    def __len__(self) -> int:
        """Return the number of counterfactuals."""
        return len(self.rows)

    def picture(self, image: int, path: str) -> Tensor:
        """Read one counterfactual, float (1, size, size) in [-1, 1].

        Raises:
            BadImage: it can not be read, or is not of the shape of its image.
        """
        check_shapes(self.sources[image], path)
        return bytes_to_tensor(read_bytes(path, self.size)).unsqueeze(0)

    def pictures(self, image: int, targets: Sequence[float]) -> Tensor:
        """Read the counterfactuals (T, 1, size, size) of an image (its position) for targets that it has."""
        rows = self.of[image]
        path = {round(float(t), 6): str(p) for t, p in zip(rows["target"], rows["path"], strict=True)}
        return torch.stack([self.picture(image, path[round(target, 6)]) for target in targets])

    def own(self, image: int, posterior: float) -> pd.DataFrame:
        """Return the rows of an image whose target is what the black box says of it, the nearest first."""
        rows = self.of[image]
        away = (rows["target"] - posterior).abs()
        order = away[away <= OWN].sort_values(kind="stable").index
        nearest: pd.DataFrame = rows.loc[order]
        return nearest

    def draw(self, part: Part, asked: Callable[[float], bool]) -> tuple[Array, Drawn, Array]:
        """Read the pictures of a part.

        A row whose target is the posterior is taken for the redrawing, and for a counterfactual too only where that
        target is one of the grid. Pictures have different numbers of targets: the shorter rows are filled up.

        Args:
            part: the sources, with their posteriors.
            asked: whether a target is one of the grid.

        Returns:
            Targets (B, T), NaN where a row is filled up; the pictures; and for each source whether it has a redrawing
            (bool, B). Where it has none the source itself stands in for it.
        """
        chosen, own = [], []
        for image, posterior in zip(part.rows.tolist(), part.posterior.tolist(), strict=True):
            redrawn = self.own(image, posterior)
            rows = self.of[image]
            nothing = rows.index.isin(redrawn.index) & ~rows["target"].map(asked).to_numpy(dtype=bool)
            chosen.append(rows[~nothing].sort_values("target", kind="stable"))
            own.append(redrawn["path"].iloc[0] if len(redrawn) else None)
        width = max(1, max(len(rows) for rows in chosen))
        targets = np.full((len(chosen), width), np.nan)
        images = part.image.unsqueeze(1).repeat(1, width, 1, 1, 1)
        net = part.image.clone()
        for place, (image, rows) in enumerate(zip(part.rows.tolist(), chosen, strict=True)):
            targets[place, : len(rows)] = rows["target"]
            for column, path in enumerate(rows["path"]):
                images[place, column] = self.picture(image, str(path)).to(images)
            if own[place] is not None:
                net[place] = self.picture(image, str(own[place])).to(net)
        has_net = np.array([path is not None for path in own])
        return targets, Drawn(images, net, np.isfinite(targets), float("nan")), has_net


def measure_given(bench: Bench, given: Given, part: Part) -> tuple[pd.DataFrame, Array, Drawn]:
    """Measure the counterfactuals of a part as those of any method.

    Returns:
        The rows, the targets (B, T; NaN where there is no picture), and the pictures.
    """
    grid = {round(float(target), 6) for target in bench.settings.targets}
    targets, drawn, has_net = given.draw(part, lambda target: round(target, 6) in grid)
    rows = bench.rows(part, targets, drawn)
    without = np.repeat(~has_net, targets.shape[1])
    rows.loc[without, ["p_net", "l1_net"]] = np.nan
    return rows[rows["target"].notna()].reset_index(drop=True), targets, drawn
