"""The explained model as the rest of cfx sees it: picture in, posterior of one finding out, nothing in it can
change.

`BlackBox` wraps any network: other input ranges, channels and sizes, one of several outputs, logits or
probabilities. It is locked in eval mode, its weights take no gradient, and it is differentiable in the
picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfx.errors import BadValue, UnknownChoice

OUTPUTS = ("logit", "probability")
# Keeps the logit of a saturated probability finite; the map is linear, so that its gradient never becomes
# zero.
SATURATION = 1e-6


class BlackBox(nn.Module):
    """A frozen classifier of one finding.

    Args:
        network: any module from pictures (B, channels, h, w) to (B, K) or (B,), logits or probabilities.
        finding: the finding's name, for messages and files.
        index: which of the K outputs.
        output: `logit` or `probability`.
        scale: the picture in [-1, 1] is multiplied by this before it enters; one value or one a channel.
        shift: then this is added; with scale 1024 and shift 0 a torchxrayvision network gets its [-1024,
            1024].
        size: side in pixels the network wants; None leaves the picture as it is.
        channels: the grey picture is repeated to this many channels.
        prior: the prevalence that the posterior refers to, in (0, 1); None where nobody has stated it.
        logit_scale: calibration of the output, `logit_scale * logit + logit_shift`.
        logit_shift: see `logit_scale`.
        names: of all K outputs, where they are known.

    Raises:
        BadValue: prior outside (0, 1) or a negative index. UnknownChoice: another kind of output.

    """

    scale: Tensor
    shift: Tensor
    logit_scale: Tensor
    logit_shift: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        finding: str,
        index: int = 0,
        output: str = "logit",
        scale: float | Sequence[float] = 1.0,
        shift: float | Sequence[float] = 0.0,
        size: int | None = None,
        channels: int = 1,
        prior: float | None = 0.5,
        logit_scale: float = 1.0,
        logit_shift: float = 0.0,
        names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if output not in OUTPUTS:
            raise UnknownChoice(
                "blackbox.output", output, "is no kind of output", f"use {' or '.join(OUTPUTS)}"
            )
        if prior is not None and not 0.0 < prior < 1.0:
            raise BadValue(
                "blackbox.prior", prior, "is no prevalence", "give a number between 0 and 1, such as 0.5"
            )
        if index < 0:
            raise BadValue("blackbox.index", index, "is negative", "count the outputs from 0")
        self.network = network
        self.finding = finding
        self.index = index
        self.output = output
        self.size = size
        self.channels = channels
        self.prior = prior
        self.names = tuple(names)
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32).reshape(1, -1, 1, 1))
        self.register_buffer("shift", torch.as_tensor(shift, dtype=torch.float32).reshape(1, -1, 1, 1))
        self.register_buffer("logit_scale", torch.tensor(float(logit_scale)))
        self.register_buffer("logit_shift", torch.tensor(float(logit_shift)))
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, whatever is asked for: batch statistics and dropout are part of what is explained."""
        super().train(False) if _switchable(self.network) else _lock(self)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Stay frozen, whatever is asked for."""
        super().requires_grad_(False)
        return self

    def prepare(self, image: Tensor) -> Tensor:
        """The picture (B, 1, H, W) in [-1, 1] as the network wants it: (B, channels, size, size) in its own range."""
        if self.size is not None and image.shape[-2:] != (self.size, self.size):
            image = F.interpolate(
                image, size=(self.size, self.size), mode="bilinear", align_corners=False, antialias=True
            )
        if self.channels > 1:
            image = image.expand(-1, self.channels, -1, -1)
        return image * self.scale + self.shift

    def logit(self, image: Tensor) -> Tensor:
        """Log odds (B,) of the finding for pictures (B, 1, H, W) in [-1, 1]."""
        outputs: Tensor = self.network(self.prepare(image))
        value = outputs[:, self.index] if outputs.ndim == 2 else outputs.reshape(len(image))
        value = value.float()
        if self.output == "probability":
            value = torch.logit(value * (1 - 2 * SATURATION) + SATURATION)
        return value * self.logit_scale + self.logit_shift

    def forward(self, image: Tensor) -> Tensor:
        """Posterior (B,) in [0, 1] of the finding, at the stated prior, for pictures (B, 1, H, W) in [-1, 1]."""
        return torch.sigmoid(self.logit(image))

    def posteriors(self, image: Tensor) -> Tensor:
        """Posteriors (B, K) of all outputs in the order of `names`, as the network gives them."""
        outputs: Tensor = self.network(self.prepare(image)).float()
        return (outputs if self.output == "probability" else torch.sigmoid(outputs)).reshape(len(image), -1)

    @torch.no_grad()
    def recalibrate(self, scale: float, shift: float, prior: float) -> None:
        """Correct the output of a network that came without a calibration.

        Args:
            scale: what this box's present log odds are multiplied by, see `calibration.fit`.
            shift: what is added then.
            prior: the prevalence the corrected posterior refers to.

        """
        self.logit_shift.mul_(scale).add_(shift)
        self.logit_scale.mul_(scale)
        self.prior = prior


def _switchable(network: nn.Module) -> bool:
    """Whether `eval()` works: programs made by torch.export refuse it, having been exported in their mode."""
    return not any(isinstance(module, torch.fx.GraphModule) for module in network.modules())


def _lock(box: BlackBox) -> None:
    """Put everything but the exported program into eval mode."""
    box.training = False
