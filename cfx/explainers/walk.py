"""Gradient descent from a picture to a series of target posteriors, in whatever coordinates a method walks.

Pixel descent walks the pixels themselves, xGEM the latent numbers of a generator. Both walk alike: away from where they
stand, towards 1 and towards 0, stopping for each target where the black box gives it, and going on from there to the
next one. A progression thus costs two walks rather than one for each target, and never turns back.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cfx.explainers.base import TARGET_LIMIT, aimed

Coordinates = Tensor
Draw = Callable[[Coordinates], Tensor]
"""Coordinates (M, ...) -> pictures (M, 1, H, W) in [-1, 1]."""
Logit = Callable[[Tensor], Tensor]
"""Pictures (M, 1, H, W) -> the black box's log odds (M,)."""
Pull = Callable[[Tensor, Tensor], Tensor]
"""Pictures (M, 1, H, W) and the rows (M,) they came from -> a further cost (M,)."""


@dataclass(frozen=True)
class Pace:
    """How a walk goes.

    Attributes:
        steps: at most, to each target.
        rate: length of the first steps along the coordinate that moves most.
        tolerance: distance of posterior and target at which it has arrived.
        momentum: share of the last step's direction that is kept.
        limit: 0 and 1 mean this and 1 minus it (see `aimed`).
    """

    steps: int = 60
    rate: float = 0.02
    tolerance: float = 0.01
    momentum: float = 0.7
    limit: float = TARGET_LIMIT

    def __post_init__(self) -> None:
        """Refuse a walk that could not move or would never end."""
        if self.steps < 1 or self.rate <= 0 or self.tolerance <= 0 or not 0 <= self.momentum < 1:
            raise ValueError(f"{self} does not walk: steps >= 1, rate and tolerance > 0, momentum in [0, 1)")
        if not 0 <= self.limit < 0.5:
            raise ValueError(f"limit={self.limit} must be from 0 to under 0.5: the ends are two")

    @property
    def ends(self) -> tuple[float, float]:
        """What is aimed at for 0 and for 1."""
        return self.limit, 1 - self.limit


class Queues:
    """The targets of B pictures as two queues each, away from where the picture stands: upwards, then downwards.

    Attributes:
        asked: float (B, T), the targets as they are asked for.
        row: int (2 B,), the picture of each queue.
        order: int (2 B, T), columns of `asked` in the order in which the walk meets them; the first `length` count.
        length: int (2 B,).
    """

    def __init__(self, targets: Tensor, posterior: Tensor, limit: float = TARGET_LIMIT) -> None:
        """Sort targets (B, T) by what the black box says of the start, (B,)."""
        self.asked = aimed(targets, posterior, limit)
        up = self.asked >= posterior.unsqueeze(1)
        orders = [
            torch.where(side, key, torch.full_like(key, float("inf"))).argsort(dim=1, stable=True)
            for side, key in ((up, self.asked), (~up, -self.asked))
        ]
        self.row = torch.arange(len(targets), device=targets.device).repeat(2)
        self.order = torch.cat(orders)
        self.length = torch.cat([up.sum(dim=1), (~up).sum(dim=1)])

    def column(self, walker: Tensor, leg: Tensor) -> Tensor:
        """Column of the target that each walker (M,) meets on its leg (M,)."""
        return self.order[walker, leg]


def walk(
    start: Coordinates,
    draw: Draw,
    logit: Logit,
    targets: Tensor,
    *,
    pace: Pace,
    pull: Pull | None = None,
    limits: tuple[float, float] | None = None,
) -> Tensor:
    """Descend binary cross-entropy of posterior and target (plus `pull`) by the coordinates.

    The gradient is divided by its largest component, so that a step has a length whatever the black box's slope; where
    a walk has stepped over its target it goes back in steps half as long. A walk that comes nowhere near its target in
    `pace.steps` gives its last picture, for that target and for those beyond it.

    Args:
        start: float (B, ...), where each picture's walk begins.
        draw: coordinates to pictures.
        logit: of the black box.
        targets: float (B, T) in [0, 1]; 0 and 1 mean the pace's ends.
        pace: of the walk.
        pull: a further cost, such as the distance from the picture that is explained.
        limits: least and greatest value of a coordinate, or None.

    Returns:
        Pictures float (B, T, 1, H, W), without gradients. Works under `no_grad` and `inference_mode` too.
    """
    with torch.inference_mode(False):
        # Tensors made in inference mode may enter no graph; copies of them may.
        begin, wanted = start.detach().clone(), targets.detach().clone()
        with torch.no_grad():
            pictures = draw(begin)
            queues = Queues(wanted, torch.sigmoid(logit(pictures)).to(wanted), pace.limit)
        walkers = _Walkers(begin, queues, pace, pictures)
        while len(walkers.active):
            position, row, goal = walkers.standing()
            with torch.enable_grad():
                x = position.requires_grad_(True)
                picture = draw(x)
                odds = logit(picture).float()
                cost = F.binary_cross_entropy_with_logits(odds, goal, reduction="sum")
                if pull is not None:
                    cost = cost + pull(picture, row).sum()
                (gradient,) = torch.autograd.grad(cost, x)
            walkers.step(picture.detach(), torch.sigmoid(odds.detach()) - goal, gradient, limits)
        return walkers.result


class _Walkers:
    """All walks of a batch: where each stands, how fast it goes, which target comes next."""

    def __init__(self, start: Tensor, queues: Queues, pace: Pace, pictures: Tensor) -> None:
        self.queues, self.pace = queues, pace
        self.position = start[queues.row]
        self.velocity = torch.zeros_like(self.position)
        self.shape = (-1, *([1] * (start.ndim - 1)))
        count = len(queues.row)
        self.rate = torch.full((count,), pace.rate, device=start.device)
        self.side = torch.zeros(count, device=start.device)
        self.crossed = torch.zeros(count, dtype=torch.bool, device=start.device)
        self.leg = torch.zeros(count, dtype=torch.int64, device=start.device)
        self.moves = torch.zeros_like(self.leg)
        self.active = torch.nonzero(queues.length > 0).flatten()
        self.result = pictures.unsqueeze(1).repeat(1, queues.asked.shape[1], 1, 1, 1)

    def standing(self) -> tuple[Tensor, Tensor, Tensor]:
        """Coordinates (M, ...), pictures' rows (M,) and goals (M,) of the walkers under way."""
        row = self.queues.row[self.active]
        column = self.queues.column(self.active, self.leg[self.active])
        return self.position[self.active].clone(), row, self.queues.asked[row, column].float()

    def step(
        self, picture: Tensor, off: Tensor, gradient: Tensor, limits: tuple[float, float] | None
    ) -> None:
        """Keep the pictures of those that arrived or gave up, and move the others.

        Args:
            picture: (M, 1, H, W), drawn where the walkers stand. off: (M,) posterior less target.
            gradient: (M, ...) of the cost. limits: of a coordinate.
        """
        active, pace = self.active, self.pace
        turned = self.side[active] * off < 0
        self.rate[active[turned]] *= 0.5
        self.crossed[active] |= turned
        self.side[active] = off.sign()
        norm = gradient.abs().flatten(1).amax(dim=1).clamp(min=1e-20).view(self.shape)
        kept = torch.where(turned.view(self.shape), 0.0, pace.momentum) * self.velocity[active]
        self.velocity[active] = kept + gradient / norm
        arrived = off.abs() <= pace.tolerance
        spent = ~arrived & (self.moves[active] >= pace.steps)
        self._keep(active, picture, arrived | spent, spent & ~self.crossed[active])
        moving = active[~(arrived | spent)]
        there = self.position[moving] - self.rate[moving].view(self.shape) * self.velocity[moving]
        self.position[moving] = there if limits is None else there.clamp(*limits)
        self.moves[moving] += 1
        self.active = active[self.leg[active] < self.queues.length[active]]

    def _keep(self, active: Tensor, picture: Tensor, done: Tensor, stuck: Tensor) -> None:
        """Store the pictures of walkers (M,) that are done with a target; stuck ones answer the rest with theirs."""
        finished = active[done]
        row, column = self.queues.row[finished], self.queues.column(finished, self.leg[finished])
        self.result[row, column] = picture[done].to(self.result)
        self.leg[finished] += 1
        for walker, image in zip(active[stuck].tolist(), picture[stuck], strict=True):
            rest = self.queues.order[walker, self.leg[walker] : self.queues.length[walker]]
            self.result[self.queues.row[walker], rest] = image.to(self.result)
            self.leg[walker] = self.queues.length[walker]
        self.velocity[finished], self.moves[finished], self.side[finished] = 0.0, 0, 0.0
        self.rate[finished], self.crossed[finished] = self.pace.rate, False
