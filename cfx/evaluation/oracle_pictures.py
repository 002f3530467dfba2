"""The oracle of a phantom as a method: which pictures it is asked for, and its answers as drawn pictures."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cfx.evaluation.bench import Bench
from cfx.evaluation.oracle import Oracle, OracleSearch
from cfx.evaluation.rows import Drawn, Part
from cfx.metrics.validity import DOWN, UP, extreme_target

Array = npt.NDArray[Any]


def find_answers(
    bench: Bench,
    oracle: Oracle,
    finding: str,
    on_grid: Collection[int],
    progress: Callable[[str, int, int], None],
) -> None:
    """Search the oracles and put them into the bench's answers; those out of reach are left out.

    Args:
        bench: surveyed.
        oracle: of the phantom.
        finding: what is moved.
        on_grid: rows that are answered for the whole grid and not for their group's extreme alone.
        progress: called with what is done, how many are, how many there are.
    """
    settings, base = bench.settings, bench.base
    search = OracleSearch(oracle, bench.blackbox, finding, points=settings.oracle_points, device=bench.device)
    everyone = _extremes(bench)
    for start in range(0, len(everyone), settings.part_size):
        rows = everyone[start : start + settings.part_size]
        progress("oracle", start, len(everyone))
        ends = np.array([extreme_target(group) for group in base["group"].to_numpy()[rows]])
        pairs = [(int(row), float(end)) for row, end in zip(rows, ends, strict=True)]
        pairs += [(int(row), c) for row in rows if int(row) in on_grid for c in settings.targets[1:-1]]
        pairs += [(int(r), 1.0 - float(c)) for r, c in zip(rows, ends, strict=True) if int(r) in on_grid]
        _search(bench, search, rows, pairs)


def _extremes(bench: Bench) -> npt.NDArray[np.int64]:
    """Rows of the pictures of both groups."""
    return np.flatnonzero(bench.base["group"].isin([UP, DOWN]).to_numpy())


def _search(bench: Bench, search: OracleSearch, rows: Array, pairs: list[tuple[int, float]]) -> None:
    """Find the oracles of (row, target) pairs of some rows."""
    ids = bench.base["image_id"].to_numpy()[rows].tolist()
    posterior = bench.base["p_before"].to_numpy()[rows]
    place = {int(row): k for k, row in enumerate(rows)}
    where = np.array([place[row] for row, _ in pairs])
    found = search.search_pairs(ids, posterior, where, np.array([target for _, target in pairs]))
    for k, (row, target) in enumerate(pairs):
        if found.reached[k]:
            bench.answers[row, round(target, 6)] = (found.image[k], found.masks[k])


def answered(bench: Bench) -> Iterator[tuple[Part, Array, Drawn]]:
    """Give the answers as a method's pictures: those of both groups at the extremes, the grid where it was asked.

    Yields:
        a part, the targets (B, T) and what was drawn for them; where there is no answer the picture itself, not made.
    """
    on_grid = {row for row, target in bench.answers if 0.0 < target < 1.0}
    everyone = _extremes(bench)
    whole = np.array([row for row in everyone if int(row) in on_grid], dtype=np.int64)
    ends = np.array([row for row in everyone if int(row) not in on_grid], dtype=np.int64)
    for some, grid in ((whole, True), (ends, False)):
        for start in range(0, len(some), bench.settings.part_size):
            part = bench.load(some[start : start + bench.settings.part_size])
            groups = bench.base["group"].to_numpy()[part.rows]
            targets = np.array([[extreme_target(group)] for group in groups])
            if grid:
                targets = np.tile(np.array(bench.settings.targets), (len(part.rows), 1))
            images = part.image.unsqueeze(1).repeat(1, targets.shape[1], 1, 1, 1)
            made = np.zeros(targets.shape, dtype=bool)
            for i, row in enumerate(part.rows):
                for j, target in enumerate(targets[i]):
                    answer = bench.answers.get((int(row), round(float(target), 6)))
                    if answer is not None:
                        images[i, j], made[i, j] = answer[0].to(images), True
            yield part, targets, Drawn(images, part.image, made, float("nan"))
