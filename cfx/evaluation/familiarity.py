"""Is a picture like those that a run was trained on? Told by a linear model of training thumbnails.

A few principal components of 24 x 24 thumbnails, each brought to mean 0 and standard deviation 1, span what the
training pictures look like. A picture is unfamiliar where too much of it lies outside that space, or too far out inside
it: Q and T-squared of process control (Jackson & Mudholkar 1979), with limits from validation patients. Measured on
2,500 NIH pictures at 128 px: 98 % of new patients and 99 % of another data set's chests pass, as do mirrored ones; of
inverted ones and of noise none does, of upside-down ones 2 %, of those lying on their side 13 %. It is meant for what
people feed by mistake and is no detector of rare disease.
"""

from typing import Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfx.runs import Run

SIDE = 24
COMPONENTS = 12
ACCEPTED = 0.99
"""Share of validation pictures under each of the two limits."""
FLATTEST = 0.02
"""Standard deviation of grey values below which a thumbnail is taken as flat and not stretched any further."""
FEWEST = 200
"""Training pictures below which nothing can be said about what is unlike them."""

PART = "familiarity"


def thumbnails(images: Tensor) -> Tensor:
    """Area averages of pictures, each with mean 0 and standard deviation 1.

    Args:
        images: float (B, 1, H, W) in [-1, 1], any size.

    Returns:
        float (B, 576).
    """
    small = F.adaptive_avg_pool2d(images.float(), SIDE).flatten(1)
    centred = small - small.mean(dim=1, keepdim=True)
    # Exposure and contrast differ between devices; structure is what makes a picture a chest.
    return centred / centred.square().mean(dim=1, keepdim=True).sqrt().clamp(min=FLATTEST)


def thumbnails_of_bytes(images: npt.NDArray[np.uint8], chunk: int = 512) -> Tensor:
    """Thumbnails (N, 576) of decoded pictures, uint8 (N, H, W), some at a time."""
    parts = [
        thumbnails(torch.from_numpy(np.array(images[start : start + chunk]))[:, None].float() / 127.5 - 1.0)
        for start in range(0, len(images), chunk)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, SIDE * SIDE)


class Familiarity(nn.Module):
    """Whether pictures are like the training data.

    Args:
        mean: float (D,), the mean training thumbnail.
        components: float (K, D), orthonormal rows.
        deviation: float (K,), standard deviation of the training thumbnails along each.
        limits: float (2,), the largest familiar Q and T-squared.
    """

    mean: Tensor
    components: Tensor
    deviation: Tensor
    limits: Tensor

    def __init__(self, mean: Tensor, components: Tensor, deviation: Tensor, limits: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)
        self.register_buffer("deviation", deviation)
        self.register_buffer("limits", limits)

    @classmethod
    @torch.no_grad()
    def fit(cls, train: npt.NDArray[np.uint8], valid: npt.NDArray[np.uint8]) -> Self | None:
        """Learns from decoded pictures.

        Args:
            train: uint8 (N, H, W).
            valid: uint8 (M, H, W), of other patients; they set the limits.

        Returns:
            None where there are too few pictures to tell.
        """
        if len(train) < FEWEST or len(valid) < FEWEST // 10:
            return None
        known = thumbnails_of_bytes(train)
        mean = known.mean(dim=0)
        _, values, vectors = torch.linalg.svd(known - mean, full_matrices=False)
        deviation = (values[:COMPONENTS] / (len(known) - 1) ** 0.5).clamp(min=1e-4)
        made = cls(mean, vectors[:COMPONENTS].contiguous(), deviation, torch.full((2,), torch.inf))
        scores = made.scores(thumbnails_of_bytes(valid))
        made.limits.copy_(torch.quantile(scores, ACCEPTED, dim=0))
        return made

    def scores(self, known: Tensor) -> Tensor:
        """Q and T-squared of thumbnails (B, D), float (B, 2): mean square outside, mean squared deviation inside."""
        centred = known - self.mean
        inside = centred @ self.components.T
        outside = centred - inside @ self.components
        return torch.stack(
            [outside.square().mean(dim=1), (inside / self.deviation).square().mean(dim=1)], dim=1
        )

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Whether pictures (B, 1, H, W) in [-1, 1] are like the training data, bool (B,)."""
        known = thumbnails(images)
        # A flat picture has no structure to be unlike in; its thumbnail is the only one that is not normalised.
        structured = known.square().mean(dim=1) > 0.5
        return structured & (self.scores(known) <= self.limits).all(dim=1)

    def save(self, run: Run) -> None:
        """Writes it into the run's parts."""
        run.part(PART).write_weights(self.state_dict())

    @classmethod
    def load(cls, run: Run) -> Self | None:
        """Reads it from a run's parts; None where the run has none."""
        part = run.part(PART)
        if not part.weights_file.is_file():
            return None
        state = part.load_weights()
        return cls(*(state[name] for name in ("mean", "components", "deviation", "limits")))
