"""The oracle's answer: the same patient at the severity for which this black box gives the posterior asked for.

A grid of severities is rendered once a patient; between its points the severity is found by secants that fall back to
bisection. Targets beyond the patient's reach are counted and never replaced by something near.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cfx.evaluation.judging import in_batches

Array = npt.NDArray[Any]

CLIP = 0.02
TOLERANCE = 0.01


class Rendered(Protocol):
    """Pictures (B, 1, H, W) with the masks (B, 3, H, W) that were drawn."""

    @property
    def image(self) -> Tensor:
        """Pictures in [-1, 1]."""
        ...

    @property
    def masks(self) -> Tensor:
        """Heart, left lung, right lung in [0, 1]."""
        ...


class Oracle(Protocol):
    """What is needed of a synthetic data set's oracle (see `cfx.data.source.Oracle`)."""

    def severity(self, image_ids: Sequence[str], finding: str) -> Tensor:
        """Severity (B,) of pictures as they are."""
        ...

    def bounds(self, finding: str) -> tuple[float, float]:
        """Least and greatest severity."""
        ...

    def render(self, image_ids: Sequence[str], finding: str, severity: Tensor) -> Rendered:
        """Draw pictures at severities (B,)."""
        ...


@dataclass(frozen=True)
class Answers:
    """Oracle pictures for M pairs of picture and target.

    Attributes:
        image: (M, 1, H, W) float32 on the CPU, zero where not reached.
        masks: (M, 3, H, W) float32.
        reached: (M,) bool.
        severity: (M,), NaN where not reached.
        posterior: (M,), NaN where not reached.
    """

    image: Tensor
    masks: Tensor
    reached: npt.NDArray[np.bool_]
    severity: Array
    posterior: Array


def _logit(p: Array) -> Array:
    """Log odds, finite at 0 and 1."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    odds: Array = np.log(p / (1 - p))
    return odds


class OracleSearch:
    """Finds oracles for one black box.

    Args:
        oracle: draws a patient at any severity.
        blackbox: (B, 1, H, W) -> (B,) posterior.
        finding: what is changed.
        points: severities of the grid that is rendered for every patient.
        rounds: refinements at most.
        batch_size: pictures at a time.
        device: of the black box.
    """

    def __init__(
        self,
        oracle: Oracle,
        blackbox: Any,
        finding: str,
        *,
        points: int = 5,
        rounds: int = 12,
        batch_size: int = 32,
        device: torch.device | None = None,
    ) -> None:
        self.oracle, self.blackbox, self.finding = oracle, blackbox, finding
        self.points, self.rounds, self.batch_size = points, rounds, batch_size
        self.device = device or torch.device("cpu")

    def _draw(self, ids: Sequence[str], severity: Array) -> tuple[Tensor, Tensor, Array]:
        """Pictures, masks and posteriors (B,) of patients at severities (B,)."""
        images, masks, posteriors = [], [], []
        for start in range(0, len(ids), self.batch_size):
            some = slice(start, start + self.batch_size)
            values = torch.as_tensor(severity[some], dtype=torch.float32)
            drawn = self.oracle.render(ids[some], self.finding, values)
            images.append(drawn.image.cpu())
            masks.append(drawn.masks.cpu())
            posterior = in_batches(self.blackbox, drawn.image.to(self.device), self.batch_size)
            posteriors.append(posterior.numpy().astype(np.float64))
        return torch.cat(images), torch.cat(masks), np.concatenate(posteriors)

    def grid(self, ids: Sequence[str], posterior: Array) -> tuple[Array, Array]:
        """Severities and posteriors (N, points + 1) of each patient: an even grid and the picture itself.

        Args:
            ids: N pictures.
            posterior: (N,) of the pictures as they are.
        """
        low, high = self.oracle.bounds(self.finding)
        levels = np.linspace(low, high, self.points)
        everyone = [name for name in ids for _ in levels]
        _, _, p = self._draw(everyone, np.tile(levels, len(ids)))
        own = self.oracle.severity(ids, self.finding).double().numpy()
        severity = np.concatenate([np.tile(levels, (len(ids), 1)), own[:, None]], axis=1)
        p = np.concatenate(
            [p.reshape(len(ids), -1), np.asarray(posterior, dtype=np.float64)[:, None]], axis=1
        )
        order = np.argsort(severity, axis=1, kind="stable")
        return np.take_along_axis(severity, order, axis=1), np.take_along_axis(p, order, axis=1)

    def search(self, ids: Sequence[str], posterior: Array, targets: Array) -> Answers:
        """Find the oracles of N pictures for T targets each.

        Args:
            ids: N image ids.
            posterior: (N,) black box posterior of the pictures as they are.
            targets: (N, T) in [0, 1].

        Returns:
            `Answers` of N * T pairs, the targets of a picture following each other.
        """
        targets = np.asarray(targets, dtype=np.float64)
        where = np.repeat(np.arange(len(ids)), targets.shape[1])
        return self.search_pairs(ids, posterior, where, targets.ravel())

    def search_pairs(self, ids: Sequence[str], posterior: Array, where: Array, targets: Array) -> Answers:
        """Find the oracles of M pairs of picture and target.

        Args:
            ids: N image ids.
            posterior: (N,) black box posterior of the pictures as they are.
            where: (M,) int, position in `ids` of each pair's picture.
            targets: (M,) in [0, 1]; clipped to [0.02, 0.98], as a posterior of 0 or 1 does not exist.

        Returns:
            `Answers` of M pairs; reached means |p - c| <= 0.01.
        """
        asked = np.clip(np.asarray(targets, dtype=np.float64), CLIP, 1 - CLIP)
        severity, p = self.grid(ids, posterior)
        own = self.oracle.severity(ids, self.finding).double().numpy()
        start = self._brackets(severity[where], p[where], asked, own[where])
        return self._refine([ids[k] for k in where], asked, *start)

    @staticmethod
    def _brackets(severity: Array, p: Array, asked: Array, own: Array) -> tuple[Array, Array, Array, Array]:
        """Find the grid interval in which the posterior crosses each target, nearest to the picture as it is.

        Args:
            severity: (M, G) rising.
            p: (M, G) posteriors there.
            asked: (M,) targets.
            own: (M,) severities of the pictures as they are.

        Returns:
            severities and errors in log odds at both ends, (M,) each; NaN severities where there is no crossing.
            A grid point that hits the target is a bracket of no width.
        """
        error = _logit(p) - _logit(asked)[:, None]
        low, high = error[:, :-1], error[:, 1:]
        crosses = (low <= 0) != (high <= 0)
        away = np.abs((severity[:, :-1] + severity[:, 1:]) / 2 - own[:, None])
        best = np.where(crosses, away, np.inf).argmin(axis=1)
        rows = np.arange(len(severity))
        nearest = np.abs(error).argmin(axis=1)
        none = ~crosses.any(axis=1)
        hit = none & (np.abs(p[rows, nearest] - asked) <= TOLERANCE)
        single = np.where(hit, severity[rows, nearest], np.nan)
        left = np.where(none, single, severity[rows, best])
        right = np.where(none, single, severity[rows, best + 1])
        at_nearest = error[rows, nearest]
        return (
            left,
            right,
            np.where(none, at_nearest, low[rows, best]),
            np.where(none, at_nearest, high[rows, best]),
        )

    def _refine(self, names: list[str], asked: Array, a: Array, b: Array, fa: Array, fb: Array) -> Answers:
        """Narrow the brackets of M pairs until the posterior is within the tolerance."""
        a, b, fa, fb = a.copy(), b.copy(), fa.copy(), fb.copy()
        image, masks, _ = self._draw(names[:1], np.array([self.oracle.bounds(self.finding)[0]]))
        images = torch.zeros(len(names), *image.shape[1:])
        all_masks = torch.zeros(len(names), *masks.shape[1:])
        reached = np.zeros(len(names), dtype=bool)
        severity, posterior = np.full(len(names), np.nan), np.full(len(names), np.nan)
        active = np.flatnonzero(np.isfinite(a))
        for step in range(self.rounds):
            if not len(active):
                break
            slope = fb[active] - fa[active]
            share = np.divide(-fa[active], slope, out=np.full(len(active), 0.5), where=np.abs(slope) > 1e-9)
            share = np.full(len(active), 0.5) if step % 3 == 2 else np.clip(share, 0.02, 0.98)
            middle = a[active] + share * (b[active] - a[active])
            drawn, drawn_masks, p = self._draw([names[i] for i in active], middle)
            hit = np.abs(p - asked[active]) <= TOLERANCE
            done = active[hit]
            images[done], all_masks[done] = drawn[hit], drawn_masks[hit]
            reached[done], severity[done], posterior[done] = True, middle[hit], p[hit]
            error = _logit(p) - _logit(asked[active])
            same = (error <= 0) == (fa[active] <= 0)
            a[active], fa[active] = np.where(same, middle, a[active]), np.where(same, error, fa[active])
            b[active], fb[active] = np.where(same, b[active], middle), np.where(same, fb[active], error)
            active = active[~hit]
        return Answers(images, all_masks, reached, severity, posterior)
