"""What a network gives of drawn pictures at the extremes, kept by method with the rows that they belong to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cfx.evaluation.bench import Bench
from cfx.evaluation.judging import in_batches

Array = npt.NDArray[Any]
Kept = Mapping[str, tuple[Array, Array]]
"""By method, or `real` for the pictures as they are: rows (n,) and values (n, d)."""
REAL = "real"


class Keeper:
    """Asks a network and keeps its answers.

    Args:
        network: pictures (B, 1, H, W) -> (B, ...).
        batch_size: pictures at a time.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], batch_size: int) -> None:
        self.network, self.batch_size = network, batch_size
        self._kept: dict[str, list[tuple[Array, Array]]] = {}

    def keep(self, name: str, rows: Array, images: Tensor) -> None:
        """Ask about pictures (n, 1, H, W) of some rows (n,)."""
        if len(rows):
            values = in_batches(self.network, images, self.batch_size).flatten(1).numpy()
            self._kept.setdefault(name, []).append((rows, values))

    def found(self) -> Kept:
        """All that was kept."""
        return {
            name: (np.concatenate([rows for rows, _ in kept]), np.concatenate([values for _, values in kept]))
            for name, kept in self._kept.items()
        }


def keep_real(keepers: Sequence[Keeper], bench: Bench) -> None:
    """Ask every keeper about all pictures of a split as they are."""
    count, step = len(bench.base), bench.settings.part_size
    for start in range(0, count if keepers else 0, step):
        rows = np.arange(start, min(start + step, count))
        images = bench.load(rows).image
        for keeper in keepers:
            keeper.keep(REAL, rows, images)
