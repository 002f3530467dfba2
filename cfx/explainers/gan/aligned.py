"""The default discriminator: small, blind to grain, and strict about where things are.

Chests are aligned, so what is plausible depends on the place: a heart border may stand here, a spine only there. The
head therefore reads the features place by place (flattened), where a sum over all places, as in the published design,
loses exactly that. Measured on fakes whose spines were visibly bent, 240 steps of 32: held-out AUC .95 for a network
with such a head, .66 for a sum-pooled one that cost more. It looks at a 32-px view: edits are smooth, and at full
resolution the quickest tell is that resampling softens the noise, which teaches a generator nothing but to stand still.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cfx.explainers.gan.discriminator import Projection

VIEW = 32


def _conv(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, stride, 1)


class AlignedDiscriminator(nn.Module):
    """Projection discriminator D(x, c) = psi(phi(x)) + <v_c, phi(x)> with a head that knows the place of each feature.

    Group normalisation within the picture, nothing across the batch. It is held back by a gradient penalty at real
    pictures (`loss.r1`), not by spectral norm: with the norm on every layer its hinge loss stayed at 1.94 of 2 through
    a whole training and the edits learned nothing from it; with the penalty it fell to 1.7.

    Args:
        width: channels of the first layer; the last has four times as many.
        features: length of phi.
        condition, bins: see `Projection`.
    """

    def __init__(
        self, width: int = 16, features: int = 128, condition: str = "continuous", bins: int = 10
    ) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            _conv(3, width, 1),
            nn.LeakyReLU(0.2),
            _conv(width, 2 * width, 2),
            nn.LeakyReLU(0.2),
            nn.GroupNorm(1, 2 * width),
            _conv(2 * width, 4 * width, 2),
            nn.LeakyReLU(0.2),
            nn.GroupNorm(1, 4 * width),
            _conv(4 * width, 4 * width, 2),
            nn.LeakyReLU(0.2),
            _conv(4 * width, 4 * width, 1),
            nn.LeakyReLU(0.2),
        )
        places = (VIEW // 8) ** 2
        self.mix = nn.Linear(4 * width * places, features)
        self.head = Projection(features, condition, bins)

    def features(self, image: Tensor) -> Tensor:
        """phi(x), (B, features), of pictures (B, 1, H, W) in [-1, 1] of any size."""
        view = F.adaptive_avg_pool2d(image, VIEW)
        side = torch.linspace(-1, 1, VIEW, dtype=view.dtype, device=view.device)
        places = torch.stack(torch.meshgrid(side, side, indexing="xy")).expand(len(view), -1, -1, -1)
        maps: Tensor = self.trunk(torch.cat([view, places], dim=1))
        return F.leaky_relu(self.mix(maps.flatten(1)), 0.2)

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """Scores (B,): high for a real picture whose posterior is the condition (B,) in [0, 1]."""
        scores: Tensor = self.head(self.features(image), condition)
        return scores
