"""A detector whose answers are known: it reads the brightness of both lower corners, and sees a bright bar at the top.

The brightness of a corner is how healthy that recess is, 0.05 and less is no recess at all; the bar is a pacemaker.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import toy
from torch import Tensor

from cfx.metrics.boxes import BLUNTED, CLASSES, HEALTHY, BoxSet

CORNERS = {"left": (0.875, 0.875, 1.0, 1.0), "right": (0.0, 0.875, 0.125, 1.0)}
BAR = (0.25, 0.0, 0.5, 0.125)


class CornerFinder:
    """Finds recesses in the lower corners, and a bar at the top."""

    threshold = np.full(len(CLASSES), 0.3)

    def __call__(self, image: Tensor) -> list[BoxSet]:
        found = []
        for picture in ((image[:, 0] + 1) / 2).double().numpy():
            rows: list[tuple[str, float, float, float, float]] = []
            score: list[float] = []
            for side, box in CORNERS.items():
                grey = float((picture[28:, 28:] if side == "left" else picture[28:, :4]).mean())
                if grey > 0.05:
                    rows += [(HEALTHY, *box), (BLUNTED, *box)]
                    score += [grey, 1 - grey]
            if picture[:4, 8:16].mean() > 0.6:
                rows.append(("pacemaker", *BAR))
                score.append(0.9)
            made = BoxSet.of(rows)
            found.append(BoxSet(made.box, made.label, np.array(score)))
        return found


def with_corners(picture: Tensor, severity: Tensor) -> Tensor:
    """Both lower corners get brighter the less severe: healthy 0.9 - 0.8 * severity."""
    grey = ((0.9 - 0.8 * severity.clamp(0, 1)) * 2 - 1).reshape(-1, 1, 1, 1)
    picture = picture.clone()
    picture[..., 28:, 28:] = picture[..., 28:, :4] = grey
    return picture


class Blunting(toy.Faithful):
    """As faithful, and blunts the recesses along; loses the bar when asked for the finding."""

    def explain(self, image: Tensor, targets: Tensor) -> Any:
        drawn = super().explain(image, targets)
        count, width = targets.shape
        asked = torch.where(
            (targets - self.blackbox(image).unsqueeze(1)).abs() < 1e-6, self.blackbox.severity(image).unsqueeze(1),
            torch.logit(targets.clamp(0.02, 0.98)) / toy.SLOPE + 0.5,
        )  # fmt: skip
        flat = with_corners(drawn.images.flatten(0, 1), asked.reshape(-1))
        images = flat.reshape(count, width, 1, toy.SIZE, toy.SIZE)
        gone = (targets >= 1).reshape(count, width, 1, 1)
        images[..., 0, :4, 8:16] = torch.where(gone, -0.7, images[..., 0, :4, 8:16])
        return replace(drawn, images=images)
