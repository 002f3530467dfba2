"""The default generator: draws an edit on top of its input, and nothing at all where nothing is asked.

An encoder looks at a small copy of the picture and at two probabilities, the posterior p it has and the target c that
it should get, and gives `(c - p) * h(x, p, c)`: a velocity field and a residual on a control grid (see `edit.py`). At
c = p the edit is exactly zero, so the self-reconstruction holds by construction and training pays for the cycle alone.
About 30 million multiply-adds an image whatever its resolution: the grid needs no more than a 64-px view.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cfx.explainers.gan.edit import apply_edit, still_border
from cfx.explainers.gan.output import Edit, GeneratorOutput

LOGIT_LIMIT = 6.0


def condition_features(posterior: Tensor, target: Tensor) -> Tensor:
    """What the network is told of p and c, each (B,) in [0, 1]: both, their difference and their logits, (B, 5)."""
    logit_p = torch.logit(posterior.clamp(1e-4, 1 - 1e-4)).clamp(-LOGIT_LIMIT, LOGIT_LIMIT) / LOGIT_LIMIT
    logit_c = torch.logit(target.clamp(0.02, 0.98)) / LOGIT_LIMIT
    return torch.stack([posterior, target, target - posterior, logit_p, logit_c], dim=1)


class ConditionedBlock(nn.Module):
    """Residual block of two 3x3 convolutions, each after a normalisation within the image and the condition's scale."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels, affine=False)
        self.norm2 = nn.GroupNorm(8, channels, affine=False)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(condition, 4 * channels)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Features (B, C, h, w) and condition (B, D) -> (B, C, h, w)."""
        scale1, shift1, scale2, shift2 = self.film(condition)[:, :, None, None].chunk(4, dim=1)
        hidden = self.conv1(F.silu(self.norm1(features) * (1 + scale1) + shift1))
        hidden = self.conv2(F.silu(self.norm2(hidden) * (1 + scale2) + shift2))
        added: Tensor = features + hidden
        return added


class EditGenerator(nn.Module):
    """Generator of deformation and residual edits.

    Args:
        grid: control points along each side (at least 8, divisible by 4).
        width: channels at the grid's resolution.
        field_limit: largest velocity at full strength |c - p| = 1, as a share of the image width.
        residual_limit: largest grey value added at full strength, of the 2 that the [-1, 1] image spans.
    """

    exact_at_own_posterior = True
    """The self-reconstruction is the input itself, so training does not draw it."""

    def __init__(
        self, grid: int = 16, width: int = 48, field_limit: float = 0.08, residual_limit: float = 0.25
    ) -> None:
        super().__init__()
        if grid < 8 or grid % 4:
            raise ValueError(f"grid must be a multiple of 4 and at least 8, not {grid}")
        self.grid = grid
        self.field_limit = field_limit
        self.residual_limit = residual_limit
        hidden = 64
        self.condition = nn.Sequential(nn.Linear(5, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.stem = nn.Conv2d(4 + 2, width // 2, 3, padding=1)
        self.down1 = nn.Conv2d(width // 2, width, 3, stride=2, padding=1)
        self.block1 = ConditionedBlock(width, hidden)
        self.down2 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.block2 = ConditionedBlock(2 * width, hidden)
        self.down3 = nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1)
        self.block3 = ConditionedBlock(2 * width, hidden)
        self.up2 = nn.Conv2d(4 * width, 2 * width, 1)
        self.block4 = ConditionedBlock(2 * width, hidden)
        self.up1 = nn.Conv2d(3 * width, width, 1)
        self.block5 = ConditionedBlock(width, hidden)
        self.head_norm = nn.GroupNorm(8, width)
        self.head = nn.Conv2d(width, 3, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def propose(self, image: Tensor, posterior: Tensor, target: Tensor) -> Edit:
        """The direction h(x, p, c) of the edit at full strength, before the factor (c - p); shapes as in `forward`."""
        view = F.adaptive_avg_pool2d(image, 4 * self.grid)
        side = torch.linspace(-1, 1, 2 * self.grid, dtype=image.dtype, device=image.device)
        places = torch.stack(torch.meshgrid(side, side, indexing="xy")).expand(len(image), -1, -1, -1)
        condition = self.condition(condition_features(posterior, target))
        fine = F.silu(self.stem(torch.cat([F.pixel_unshuffle(view, 2), places], dim=1)))
        at_grid = self.block1(self.down1(fine), condition)
        half = self.block2(self.down2(at_grid), condition)
        quarter = self.block3(self.down3(half), condition)
        half = self.block4(
            self.up2(torch.cat([half, F.interpolate(quarter, scale_factor=2)], dim=1)), condition
        )
        at_grid = self.block5(
            self.up1(torch.cat([at_grid, F.interpolate(half, scale_factor=2)], dim=1)), condition
        )
        drawn = torch.tanh(self.head(F.silu(self.head_norm(at_grid))))
        return Edit(still_border(drawn[:, :2]) * self.field_limit, drawn[:, 2:] * self.residual_limit)

    def forward(self, image: Tensor, posterior: Tensor, target: Tensor) -> GeneratorOutput:
        """Draws the counterfactual.

        Args:
            image: float (B, 1, H, W) in [-1, 1], any H and W of at least 4 * grid.
            posterior: float (B,), what the black box says of it.
            target: float (B,) in [0, 1], what it should say.

        Returns:
            `GeneratorOutput` with the picture and its edit; exactly the input where target equals posterior.
        """
        direction = self.propose(image, posterior, target)
        strength = (target - posterior).view(-1, 1, 1, 1)
        edit = Edit(direction.field * strength, direction.residual * strength)
        return GeneratorOutput(apply_edit(image, edit.field, edit.residual), None, edit)
