"""What every explainer gives, whatever its method: the same patient, drawn for a series of target probabilities."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Edits:
    """Counterfactuals as edits on top of the input, which carry over to the original's resolution.

    field: float (B, T, 2, g, g), velocity (x, y) of the deformation in fractions of width and height.
    residual: float (B, T, 1, g, g), grey values of the [-1, 1] image added after the deformation.
    """

    field: Tensor
    residual: Tensor


@dataclass(frozen=True)
class Counterfactual:
    """The pictures of a batch for its targets.

    images: float (B, T, 1, H, W) in [-1, 1].
    targets: float (B, T), the posterior asked for.
    posterior: float (B, T), what the black box says of each picture.
    edits: the edits behind the pictures; None where the method re-synthesises them.
    """

    images: Tensor
    targets: Tensor
    posterior: Tensor
    edits: Edits | None = None


class Explainer(nn.Module, ABC):
    """A counterfactual method with the frozen black box that it explains.

    Attributes:
        name: of the method.
        ends: the posteriors that it aims at when it is asked for 0 and for 1, where it knows that it stops short.
    """

    name: str
    ends: tuple[float, float] = (0.0, 1.0)

    @abstractmethod
    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        """Draws each image at each of its targets.

        Args:
            image: float (B, 1, H, W) in [-1, 1].
            targets: float (B, T) in [0, 1], the posteriors asked for.

        Returns:
            `Counterfactual` on the device of `image`, without gradients.
        """


TARGET_LIMIT = 0.02
"""No finite logit gives 0 or 1: a method that aims at probabilities asks for them up to this, unless told otherwise."""


def aimed(targets: Tensor, posterior: Tensor, limit: float = TARGET_LIMIT) -> Tensor:
    """Return what is aimed at for targets (B, T) of pictures with posteriors (B,).

    Targets are clipped to `limit` and 1 minus it, but a picture that is beyond an end already stays where it is: asked
    for 0, nothing may rise.
    """
    wanted = targets.clamp(limit, 1 - limit)
    least = posterior.clamp(max=limit)[:, None]
    most = posterior.clamp(min=1 - limit)[:, None]
    wanted = torch.where(targets <= limit, torch.minimum(wanted, least.maximum(targets)), wanted)
    return torch.where(targets >= 1 - limit, torch.maximum(wanted, most.minimum(targets)), wanted)


@torch.no_grad()
def answered(
    blackbox: Callable[[Tensor], Tensor], images: Tensor, targets: Tensor, chunk: int = 256
) -> Counterfactual:
    """Return drawn pictures as counterfactuals, the black box asked for its posterior of each, chunk by chunk.

    Args:
        blackbox: (N, 1, H, W) -> posterior (N,).
        images: float (B, T, 1, H, W) in [-1, 1].
        targets: float (B, T).
        chunk: pictures that the black box sees at a time.
    """
    parts = [blackbox(some) for some in torch.split(images.flatten(0, 1), chunk)]
    posterior = torch.cat(parts).to(targets) if parts else torch.zeros_like(targets)
    return Counterfactual(images, targets, posterior.reshape(targets.shape))
