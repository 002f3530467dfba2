"""Does the measurement a radiologist would make move, the right way, and as far as the black box's own groups differ?

Values are one a picture, NaN where not measurable. `direction` of a measurement is +1 where it rises with the
finding (cardiothoracic ratio with cardiomegaly), -1 where it falls, None where the finding says nothing about it and no
way is the right one; `group` is `up` (asked for the finding) or `down`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

from cfx.metrics.validity import DOWN, HIGH, LOW, UP, extreme_target, groups

Array = npt.NDArray[Any]

SMALL_GAP = 0.01


def wanted_sign(group: str, direction: int = 1) -> int:
    """Sign of a change the right way: that of the measurement in `up`, the opposite in `down`."""
    return direction if extreme_target(group) == 1.0 else -direction


def shift(before: Array, after: Array) -> Array:
    """After - before, NaN where either is not measurable."""
    return np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)


def moved_right(
    net_before: Array, after: Array, group: str, direction: int | None = 1, noise: float = 0.0
) -> Array:
    """Whether the measurement moved the right way by more than `noise`.

    Args:
        net_before: (N,) measured on the method's own output at c = p(x), which takes out what drawing alone changes.
        after: (N,) measured on the counterfactual.
        group: `up` or `down`.
        direction: +1 where the measurement rises with the finding, -1 where it falls, None where neither is right.
        noise: least move that counts (the 95 % repeat error for `moved_beyond_noise`); NaN where nobody knows it.

    Returns:
        (N,) 1/0; NaN where not measurable, and everywhere without a direction or with an unknown noise.
    """
    if direction is None or np.isnan(noise):
        return np.full(np.shape(after), np.nan)
    move = wanted_sign(group, direction) * shift(net_before, after)
    return np.where(np.isfinite(move), (move > noise).astype(np.float64), np.nan)


def gap(values: Array, posterior: Array) -> float:
    """How far the black box's own groups differ: mean of real images with p > 0.8 minus mean of those with p < 0.2.

    Args:
        values: (N,) measured on real images, NaN left out.
        posterior: (N,) of the same images.

    Returns:
        The signed gap, NaN where a group is empty. Plain means over images; the summary averages by patient.
    """
    values, posterior = np.asarray(values, dtype=np.float64), np.asarray(posterior, dtype=np.float64)
    high = values[(posterior > HIGH) & np.isfinite(values)]
    low = values[(posterior < LOW) & np.isfinite(values)]
    return float(high.mean() - low.mean()) if len(high) and len(low) else float("nan")


def gap_closed(shift_net: float | Array, gap_value: float | Array, group: str) -> Array:
    """Share of the gap between the black box's own groups that a shift closes; NaN at a gap of zero.

    1 = as far as the groups differ, more is caricature, below 0 = away from the group asked for. The sign is kept, so
    that shifts the wrong way neither close a gap nor narrow an interval.

    Args:
        shift_net: mean shift against the method's own output at c = p(x); a scalar or bootstrap samples.
        gap_value: the gap, high group less low group, same shape.
        group: `up` (asked to go from low to high) or `down`.
    """
    towards = wanted_sign(group) * np.asarray(shift_net, dtype=np.float64)
    gap_value = np.asarray(gap_value, dtype=np.float64)
    closed: Array = np.divide(
        towards, gap_value, out=np.full(np.shape(gap_value), np.nan), where=np.abs(gap_value) > 1e-9
    )
    return closed


def relative_change(before: Array, after: Array) -> Array:
    """|after - before| / before, NaN where either is not measurable (thorax widths: a CTR can move by the chest)."""
    before = np.asarray(before, dtype=np.float64)
    return np.abs(shift(before, after)) / np.where(before > 0, before, np.nan)


class MeasurementShift(Metric):
    """Mean shift of a measurement in both directions, and the black box's own gap, by image (for use while training).

    `update(posterior (B,), before (B,), at_low (B,), at_high (B,))`: measurements of the source and of its
    counterfactuals at targets 0 and 1, NaN = not measurable. `compute()` gives `shift_up`, `shift_down`, `gap`,
    `gap_closed_up`, `gap_closed_down`, `moved_right_up`, `moved_right_down`, `not_measurable`. States are sums.

    Args:
        direction: +1 where the measurement rises with the finding, -1 where it falls; None where neither way is the
            right one, and gap_closed and moved_right are NaN.
    """

    full_state_update = False
    sums: Tensor
    counts: Tensor

    def __init__(self, direction: int | None = 1) -> None:
        super().__init__()
        self.direction = direction
        # shift up, shift down, right up, right down, real low group, real high group, not measurable
        self.add_state("sums", torch.zeros(7, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(7, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, posterior: Tensor, before: Tensor, at_low: Tensor, at_high: Tensor) -> None:
        """Add a batch of (B,) posteriors and measurements."""
        p, x, low, high = (
            value.detach().cpu().double().numpy() for value in (posterior, before, at_low, at_high)
        )
        group = groups(p)
        up, down = group == UP, group == DOWN
        failed = np.isnan(np.concatenate([x, high[up], low[down]])).astype(np.float64)
        figures = (
            shift(x[up], high[up]),
            shift(x[down], low[down]),
            moved_right(x[up], high[up], UP, self.direction),
            moved_right(x[down], low[down], DOWN, self.direction),
            x[up],
            x[down],
            failed,
        )
        for k, figure in enumerate(figures):
            known = figure[np.isfinite(figure)]
            self.sums[k] += float(known.sum())
            self.counts[k] += len(known)

    def compute(self) -> dict[str, Tensor]:
        """Figures over all images so far, on all processes; NaN where no image tells."""
        up, down, right_up, right_down, low, high, failed = self.sums / self.counts
        difference = high - low
        closed = difference if self.direction is not None else torch.full_like(difference, float("nan"))
        return {
            "shift_up": up,
            "shift_down": down,
            "gap": difference,
            "gap_closed_up": up / closed,
            "gap_closed_down": -down / closed,
            "moved_right_up": right_up,
            "moved_right_down": right_down,
            "not_measurable": failed,
        }
