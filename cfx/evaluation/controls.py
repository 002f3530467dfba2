"""The controls that stand beside every method: nothing, nearest real picture, pixel descent.

*Nothing* keeps everything and explains nothing, *nearest real* reaches any target with another patient's picture,
*pixel descent* reaches it with noise that nobody can read. A metric that none of them fails measures nothing.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cfx.explainers.base import Counterfactual, Explainer, answered
from cfx.explainers.pixel.explainer import PixelExplainer


class Control(Explainer):
    """An explainer that is not one; `draws_grid` tells whether it is cheap enough for the whole grid of targets."""

    draws_grid = True

    def __init__(self, name: str, blackbox: Any) -> None:
        super().__init__()
        self.name = name
        self.blackbox = blackbox


class Nothing(Control):
    """Gives the input back for every target.

    Args:
        blackbox: (B, 1, H, W) -> (B,) posterior.
    """

    def __init__(self, blackbox: Any) -> None:
        super().__init__("nothing", blackbox)

    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        """Return the input (B, 1, H, W) for each of the targets (B, T)."""
        return answered(self.blackbox, image.unsqueeze(1).repeat(1, targets.shape[1], 1, 1, 1), targets)


class NearestReal(Control):
    """Gives the real picture of another patient that has the posterior asked for and looks most like the input.

    At an extreme target any picture beyond 0.8 (or under 0.2) is eligible, else those within `width` of the target,
    or the ten nearest where there are fewer. Likeness is L1 of thumbnails of 16 pixels. All pictures of the input's
    patient are left out: of the one whom `patient_of` names, and of the one as whose picture it is recognised in the
    pool.

    Args:
        blackbox: (B, 1, H, W) -> (B,) posterior.
        images: (M, 1, H, W), the pool.
        posterior: (M,) of the pool.
        patients: (M,) int, patient number of each picture of the pool.
        width: half width of the window around a target.
        patient_of: pictures (B, 1, H, W) -> patient number (B,) int, -1 where it is not known; the pool need not hold
            the picture. None: nobody is asked.
    """

    def __init__(
        self,
        blackbox: Any,
        images: Tensor,
        posterior: Tensor,
        patients: Tensor,
        width: float = 0.05,
        patient_of: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__("nearest_real", blackbox)
        self.patient_of = patient_of
        self.width = width
        self.images = images
        self.posterior = posterior.to(images.device)
        self.patients = patients.to(images.device)
        self.thumbnails = self._thumbnail(images)

    @staticmethod
    def _thumbnail(image: Tensor) -> Tensor:
        """16 x 16 grey values (B, 256)."""
        return F.adaptive_avg_pool2d(image, 16).flatten(1)

    def _eligible(self, targets: Tensor) -> Tensor:
        """Which of the pool may answer each of (B, T) targets, (B, T, M) bool."""
        away = (self.posterior - targets.unsqueeze(-1)).abs()
        fewest = min(10, len(self.posterior))
        tenth = away.kthvalue(fewest, dim=-1, keepdim=True).values
        near = away <= tenth.clamp(min=self.width)
        near = torch.where((targets >= 1.0).unsqueeze(-1), self.posterior > 0.8, near)
        near = torch.where((targets <= 0.0).unsqueeze(-1), self.posterior < 0.2, near)
        return torch.where(near.any(dim=-1, keepdim=True), near, away <= tenth)

    @torch.no_grad()
    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        """Return for each input (B, 1, H, W) and target (B, T) the nearest eligible picture of the pool."""
        far = torch.cdist(self._thumbnail(image), self.thumbnails, p=1)  # (B, M)
        closest, itself = far.min(dim=1)
        own = (closest < 1e-3).unsqueeze(1) & (self.patients[itself].unsqueeze(1) == self.patients)
        if self.patient_of is not None:
            own |= self.patient_of(image).to(self.patients).unsqueeze(1) == self.patients
        barred = ~self._eligible(targets) | own.unsqueeze(1)
        cost = far.unsqueeze(1).expand(-1, targets.shape[1], -1).masked_fill(barred, float("inf"))
        # every eligible picture may be the patient's own: then the nearest of another patient, whatever its posterior
        fallback = far.masked_fill(own, float("inf")).unsqueeze(1).expand_as(cost)
        cost = torch.where(torch.isinf(cost).all(dim=-1, keepdim=True), fallback, cost)
        return answered(self.blackbox, self.images[cost.argmin(dim=-1)], targets)


class PixelDescent(Control):
    """Pixel descent (`cfx.explainers.pixel`) as a control: drawn at the extremes alone, for it is slow.

    Args:
        blackbox: differentiable, with `logit(image) -> (B,)`.
        steps: at most.
    """

    draws_grid = False

    def __init__(self, blackbox: Any, steps: int = 60) -> None:
        super().__init__("pixel_descent", blackbox)
        self.descent = PixelExplainer(blackbox, steps=steps)
        self.ends = self.descent.ends

    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        """Descend from each input (B, 1, H, W) to each of its targets (B, T); 0 and 1 mean the `ends`."""
        return self.descent.explain(image, targets)
