"""Which layer Grad-CAM reads, and that exported programs show none."""

import io
import warnings

import torch
from torch import Tensor, nn

from cfx.attribution.layers import feature_layer
from cfx.classifiers.blackbox import BlackBox
from cfx.classifiers.networks import SmallNet, TransferNet


def box_of(network: nn.Module) -> BlackBox:
    return BlackBox(network, finding="Cardiomegaly")


def test_the_deepest_layer_that_still_shows_where() -> None:
    image = torch.rand(2, 1, 64, 64)
    found = feature_layer(box_of(SmallNet(1, width=8)), image)
    assert found is not None and found.name == "blocks.1" and found.size == (8, 8)
    coarser = feature_layer(box_of(SmallNet(1, width=8)), image, least=4)
    assert coarser is not None and coarser.name == "blocks.2" and coarser.size == (4, 4)
    other = feature_layer(box_of(TransferNet(1, width=8)), image, least=8)
    assert other is not None and other.size >= (8, 8)


def test_looking_leaves_no_hook_behind() -> None:
    network = SmallNet(1, width=8)
    feature_layer(box_of(network), torch.rand(1, 1, 64, 64))
    assert not any(module._forward_hooks for module in network.modules())


def test_a_network_without_a_convolution_shows_none() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rectify, self.head = nn.ReLU(), nn.Linear(256, 1)

        def forward(self, image: Tensor) -> Tensor:
            logits: Tensor = self.head(self.rectify(image).flatten(1))
            return logits

    assert feature_layer(box_of(Flat()), torch.rand(1, 1, 16, 16)) is None


def test_exported_programs_show_none() -> None:
    image = torch.rand(2, 1, 64, 64)
    network = SmallNet(1, width=8).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.trace(network, image), buffer)  # type: ignore[no-untyped-call]
        buffer.seek(0)
        scripted = torch.jit.load(buffer)  # type: ignore[no-untyped-call]
    batch = torch.export.Dim("batch", min=1)
    exported = torch.export.export(network, (image,), dynamic_shapes=({0: batch},)).module()
    for program in (scripted, exported):
        box = box_of(program)
        assert box(image).shape == (2,)
        assert feature_layer(box, image) is None
