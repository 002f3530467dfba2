"""Validity: does the black box call the counterfactual what was asked for?

Groups: `up` are images with p(x) < 0.2, asked for 1; `down` those with p(x) > 0.8, asked for 0; `middle` the rest.
The pure functions take one value an image or one row an image and one column a target.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

Array = npt.NDArray[Any]

LOW, HIGH = 0.2, 0.8
TAU = 0.8
FALL = 0.02
SPAN = 0.5
BIN_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
GRID = tuple(k / 10 for k in range(11))
UP, DOWN, MIDDLE = "up", "down", "middle"


def groups(before: Array) -> npt.NDArray[np.str_]:
    """Group of each image by its posterior: `up` (p < 0.2), `down` (p > 0.8) or `middle`, (N,) str."""
    before = np.asarray(before, dtype=np.float64)
    return np.where(before < LOW, UP, np.where(before > HIGH, DOWN, MIDDLE))


def extreme_target(group: str) -> float:
    """The target a group is asked for: 1 for `up`, 0 for `down`.

    Raises:
        ValueError: another group has none.
    """
    if group not in (UP, DOWN):
        raise ValueError(f"group {group!r} has no extreme target: it is 'up' or 'down'")
    return 1.0 if group == UP else 0.0


def reached(after: Array, group: str) -> Array:
    """Whether each counterfactual arrived: p(x_c) >= 0.8 for `up`, <= 0.2 for `down`; (N,) 1/0, NaN stays NaN."""
    after = np.asarray(after, dtype=np.float64)
    hit = after >= HIGH if extreme_target(group) == 1.0 else after <= LOW
    return np.where(np.isfinite(after), hit.astype(np.float64), np.nan)


def changed(before: Array, after: Array, tau: float = TAU) -> Array:
    """Counterfactual validity of the paper: |p(x_c) - p(x)| > tau; (N,) 1/0, NaN stays NaN."""
    difference = np.abs(np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64))
    return np.where(np.isfinite(difference), (difference > tau).astype(np.float64), np.nan)


def could_change(
    before: Array, group: str, tau: float = TAU, ends: tuple[float, float] = (0.0, 1.0)
) -> Array:
    """Whether a change above tau was possible at all: the room from p(x) to the end that the method aims at.

    Args:
        before: (N,) p(x).
        group: `up` or `down`.
        tau: least change, not included.
        ends: what the method aims at when asked for 0 and for 1; a picture beyond an end stays where it is.

    Returns:
        (N,) 1/0, NaN stays NaN.
    """
    before = np.asarray(before, dtype=np.float64)
    end = np.maximum(ends[1], before) if extreme_target(group) == 1.0 else np.minimum(ends[0], before)
    room = np.abs(end - before)
    return np.where(np.isfinite(room), (room > tau).astype(np.float64), np.nan)


def target_error(after: Array, targets: Array) -> Array:
    """|p(x_c) - c| elementwise; NaN where there is no p(x_c)."""
    return np.abs(np.asarray(after, dtype=np.float64) - np.asarray(targets, dtype=np.float64))


def spans(after: Array, least: float = SPAN) -> Array:
    """Whether the posterior spans at least `least` over the grid.

    Args:
        after: (N, T) posteriors in the order of rising targets.
        least: required difference between the highest and the lowest.

    Returns:
        (N,) 1/0, NaN for rows with a NaN.
    """
    after = np.asarray(after, dtype=np.float64)
    span = after.max(axis=1) - after.min(axis=1)
    return np.where(np.isfinite(span), (span >= least).astype(np.float64), np.nan)


def deepest_fall(after: Array) -> Array:
    """Largest drop of the posterior below a value it had at a lower target.

    Args:
        after: (N, T) posteriors in the order of rising targets.

    Returns:
        (N,) >= 0: the drop from the running maximum, which also sees a slow decline over several targets.
    """
    after = np.asarray(after, dtype=np.float64)
    drop: Array = np.maximum.accumulate(after, axis=1) - after
    deepest: Array = drop.max(axis=1)
    return deepest


def monotone(after: Array, fall: float = FALL, least: float = SPAN) -> Array:
    """Whether the posterior never falls by more than `fall` while the target rises.

    Args:
        after: (N, T) posteriors in the order of rising targets.
        fall: allowed drop from the running maximum.
        least: images whose posterior spans less than this are left out (a flat line is trivially monotone).

    Returns:
        (N,) 1/0; NaN for rows left out.
    """
    ok = (deepest_fall(after) <= fall).astype(np.float64)
    return np.where(spans(after, least) == 1.0, ok, np.nan)


def source_bins(before: Array, edges: Sequence[float] = BIN_EDGES) -> npt.NDArray[np.intp]:
    """Bin number of each source posterior, (N,) in 0..len(edges)-2; the last bin includes its upper edge."""
    number = np.digitize(np.asarray(before, dtype=np.float64), np.asarray(edges[1:-1]), right=False)
    return np.asarray(number, dtype=np.intp)


class Validity(Metric):
    """Reach, target error and monotonicity of batches of counterfactuals, by image (for use while training).

    `update(before (B,), after (B, T), targets (B, T))`; targets rise along T and hold 0 and 1. `compute()` gives
    `reach_up`, `reach_down`, `reach` (the worse), `target_mae`, `target_mae_worst`, `monotone`, `spans`; NaN where
    no image tells. Every state is a sum over images, reduced over processes by summing.

    Args:
        targets: number of targets T.
    """

    full_state_update = False
    sums: Tensor
    counts: Tensor
    errors: Tensor
    images: Tensor

    def __init__(self, targets: int) -> None:
        super().__init__()
        # in the order up, down, monotone, spans
        self.add_state("sums", torch.zeros(4, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(4, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("errors", torch.zeros(targets, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, before: Tensor, after: Tensor, targets: Tensor) -> None:
        """Add a batch: posteriors before (B,) and after (B, T) of the targets (B, T)."""
        p, q, c = (value.detach().cpu().double().numpy() for value in (before, after, targets))
        group = groups(p)
        flags = (
            reached(q[group == UP, -1], UP),
            reached(q[group == DOWN, 0], DOWN),
            monotone(q),
            spans(q),
        )
        for k, flag in enumerate(flags):
            known = flag[np.isfinite(flag)]
            self.sums[k] += float(known.sum())
            self.counts[k] += len(known)
        self.errors += torch.as_tensor(target_error(q, c).sum(axis=0), device=self.errors.device)
        self.images += len(p)

    def compute(self) -> dict[str, Tensor]:
        """Figures over all images so far, on all processes."""
        up, down, rising, spanning = self.sums / self.counts
        error = self.errors / self.images
        known = torch.stack([up, down])[~torch.isnan(torch.stack([up, down]))]
        return {
            "reach": known.min() if len(known) else up,
            "reach_up": up,
            "reach_down": down,
            "target_mae": error.mean(),
            "target_mae_worst": error.max(),
            "monotone": rising,
            "spans": spanning,
        }
