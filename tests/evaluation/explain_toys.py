"""A toy run that explains files: a classifier of the middle's brightness, and an explainer that brightens it."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from cfx.classifiers.blackbox import BlackBox
from cfx.explainers.base import Counterfactual, Edits, Explainer
from cfx.explainers.gan.edit import apply_edit

SIZE, GRID = 32, 8


class Brightness(nn.Module):
    """A classifier whose logit rises with the grey value of the picture's middle."""

    def forward(self, image: Tensor) -> Tensor:
        return 6.0 * image[:, :, 12:20, 12:20].mean(dim=(1, 2, 3))[:, None]


class Brighter(Explainer):
    """Adds to the middle of the picture what the posterior asked for needs: a residual on a coarse grid."""

    name = "brighter"

    def __init__(self, blackbox: BlackBox) -> None:
        super().__init__()
        self.blackbox = blackbox
        self.batches: list[int] = []

    @torch.no_grad()
    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        self.batches.append(len(image))
        count, steps = targets.shape
        wanted = torch.logit(targets.clamp(0.02, 0.98)) - self.blackbox.logit(image)[:, None]
        residual = torch.zeros(count, steps, 1, GRID, GRID)
        residual[..., 2:6, 2:6] = (wanted / 6.0)[..., None, None, None]
        field = torch.zeros(count, steps, 2, GRID, GRID)
        images = apply_edit(
            image.repeat_interleave(steps, dim=0), field.flatten(0, 1), residual.flatten(0, 1)
        )
        return Counterfactual(
            images.unflatten(0, (count, steps)),
            targets,
            self.blackbox(images).reshape(count, steps),
            Edits(field, residual),
        )


def bands(images: Tensor) -> Tensor:
    """Masks of a chest: lungs that always span 0.75 of the width, a heart that is wider in a brighter picture."""
    masks = torch.zeros(len(images), 3, 32, 32)
    masks[:, 1, 8:24, 20:28] = 1.0
    masks[:, 2, 8:24, 4:12] = 1.0
    for mask, image in zip(masks, images, strict=True):
        half = int((6 + 5 * image[0, 12:20, 12:20].mean()).round())
        mask[0, 12:24, 16 - half : 16 + half] = 1.0
    return masks


def film_pixels(height: int, width: int, grey: float = 0.25) -> np.ndarray:
    """A textured picture (H, W) of 8 bits with fine detail, so that any resampling of it would show."""
    rng = np.random.default_rng(height + width)
    pixels = np.clip(grey + 0.2 * rng.standard_normal((height, width)), 0, 1)
    return np.rint(pixels * 255).astype(np.uint8)


def write(path: Path, height: int, width: int, grey: float = 0.25) -> Path:
    """Writes `film_pixels` as a PNG or JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(film_pixels(height, width, grey)).save(path)
    return path
