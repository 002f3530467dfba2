"""Several small networks as one classifier, for findings with few positive patients."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from cfx.classifiers.networks import FindingNet, SmallNet


class Ensemble(FindingNet):
    """The mean logit of several `SmallNet`s, trained side by side on the same batches from different starts.

    Each member has a loss of its own (see `each`), so that they err differently; what they agree on is what stays
    when a picture is changed to move their mean.

    Args:
        findings: names of the findings or their number K.
        members: number of networks.
        settings: of each `SmallNet`.
    """

    def __init__(self, findings: Sequence[str] | int, members: int = 4, **settings: Any) -> None:
        super().__init__(findings)
        self.members = nn.ModuleList(SmallNet(findings, **settings) for _ in range(members))

    def each(self, image: Tensor) -> Tensor:
        """Uncalibrated logits (M, B, K) of every member for images (B, 1, H, W) in [-1, 1]."""
        return torch.stack([cast(SmallNet, member).raw(image) for member in self.members])

    def raw(self, image: Tensor) -> Tensor:
        """Uncalibrated logits (B, K): the members' mean."""
        return self.each(image).mean(dim=0)
