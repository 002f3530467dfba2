"""Which layer of a black box Grad-CAM reads, found by running a picture through it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from cfx.classifiers.blackbox import BlackBox

LEAST = 7


@dataclass(frozen=True)
class FeatureLayer:
    """A layer whose output still is a picture.

    Attributes:
        name: its place in the network, such as `blocks.1`.
        module: the layer.
        size: height and width of its output for the picture it was found with.

    """

    name: str
    module: nn.Module
    size: tuple[int, int]


def feature_layer(box: BlackBox, image: Tensor, least: int = LEAST) -> FeatureLayer | None:
    """Return the deepest layer of a black box behind a convolution whose output has at least `least` rows and columns.

    Grad-CAM (Selvaraju et al., ICCV 2017) was made for last layers of 7 x 7 to 14 x 14; the last layer of a small
    network may be 2 x 2, which tells nothing about where. Layers that are used twice in one pass are left out.

    Args:
        box: the black box.
        image: float (B, 1, H, W) in [-1, 1]; the first one is run.
        least: fewest rows and columns.

    Returns:
        None where there is none. TorchScript and torch.export programs run without calling their layers one by one,
        so that none is ever seen in them.

    """
    found: list[FeatureLayer] = []
    calls: Counter[str] = Counter()
    convolved = False

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            nonlocal convolved
            calls[name] += 1
            convolved |= isinstance(module, nn.Conv2d)
            if (
                convolved
                and isinstance(output, Tensor)
                and output.ndim == 4
                and min(output.shape[-2:]) >= least
            ):
                found.append(FeatureLayer(name, module, (output.shape[-2], output.shape[-1])))

        return note

    handles = [
        module.register_forward_hook(watch(name))
        for name, module in box.network.named_modules()
        if not isinstance(module, torch.jit.ScriptModule)  # refuses hooks
    ]
    try:
        with torch.no_grad():
            box.logit(image[:1])
    finally:
        for handle in handles:
            handle.remove()
    once = [layer for layer in found if calls[layer.name] == 1]
    return once[-1] if once else None
