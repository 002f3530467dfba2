"""Saliency of black boxes whose answer is known, of the networks that are used, and what no map can be made of."""

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfx.attribution.maps import METHODS, Settings, attribution, available, importance
from cfx.classifiers.blackbox import BlackBox
from cfx.classifiers.networks import SmallNet, TransferNet
from cfx.errors import MissingPath, UnknownChoice
from cfx.metrics.deletion import blurred, mean_grey

QUICK = Settings(steps=8, samples=4)


class Linear(nn.Module):
    """Log odds = sum of weights times pixels."""

    def __init__(self, size: int = 32) -> None:
        super().__init__()
        weight = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(weight)

    def forward(self, image: Tensor) -> Tensor:
        return (image * self.weight).sum(dim=(2, 3))


class Spot(nn.Module):
    """A convolution, an in-place ReLU and the mean of one corner: only that corner counts."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 1)
        with torch.no_grad():
            self.convolution.weight.fill_(1.0)
            self.convolution.bias.zero_()
        self.rectify = nn.ReLU(inplace=True)

    def forward(self, image: Tensor) -> Tensor:
        seen: Tensor = self.rectify(self.convolution(image))
        return seen[:, :, :8, :8].mean(dim=(1, 2, 3)).unsqueeze(1)


def box_of(network: nn.Module) -> BlackBox:
    return BlackBox(network, finding="Cardiomegaly")


@pytest.fixture
def image() -> Tensor:
    return torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_a_linear_box_is_attributed_exactly(image: Tensor) -> None:
    network = Linear()
    weight = network.weight.detach().expand_as(image)
    box = box_of(network)
    assert torch.allclose(attribution("gradient", box, image), weight, atol=1e-6)
    assert torch.allclose(attribution("smoothgrad", box, image, QUICK), weight, atol=1e-5)
    expected = weight * (image - blurred(image))
    assert torch.allclose(attribution("integrated_gradients", box, image, QUICK), expected, atol=1e-4)
    alone = Settings(window=1 / 32, stride=1 / 32)
    expected = weight * (image - mean_grey(image))
    assert torch.allclose(attribution("occlusion", box, image, alone), expected, atol=1e-3)


@pytest.mark.parametrize("network", [SmallNet(2, width=8), TransferNet(2, width=8)])
def test_every_method_on_the_networks_that_are_used(network: nn.Module, image: Tensor) -> None:
    box = box_of(network)
    before = {key: value.clone() for key, value in box.state_dict().items()}
    large = F.interpolate(image, size=(64, 64))
    assert available(box, large) == METHODS
    for method in METHODS:
        found = attribution(method, box, large, QUICK)
        assert found.shape == large.shape and found.dtype == torch.float32 and not found.requires_grad
        assert torch.isfinite(found).all() and found.flatten(1).std(dim=1).min() > 0
        assert torch.equal(found, attribution(method, box, large, QUICK))
        one = attribution(method, box, large[1:2], QUICK)
        if method != "smoothgrad":  # whose noise differs with the batch
            assert torch.allclose(one[0], found[1], atol=1e-4)
    assert all(
        torch.equal(before[key].nan_to_num(), value.nan_to_num()) for key, value in box.state_dict().items()
    )
    assert not any(parameter.requires_grad for parameter in box.parameters())


def test_integrated_gradients_add_up_to_the_difference_in_log_odds(image: Tensor) -> None:
    torch.manual_seed(0)
    box = box_of(SmallNet(1, width=8))
    with torch.no_grad():
        gained = box.logit(image) - box.logit(blurred(image))
    summed = attribution("integrated_gradients", box, image, Settings(steps=200)).sum(dim=(1, 2, 3))
    assert summed.tolist() == pytest.approx(gained.tolist(), rel=0.05, abs=1e-3)


def test_only_the_corner_that_counts_is_attributed(image: Tensor) -> None:
    box, bright = box_of(Spot()), image.abs()
    for method in METHODS:
        found = attribution(method, box, bright, QUICK).abs()
        if method == "grad_cam":  # its weights are means over the layer: it shows activations everywhere
            continue
        reach = 8 + 4 if method == "occlusion" else 8
        assert found[:, :, reach:].max() <= 1e-6 and found[:, :, :, reach:].max() <= 1e-6
        assert found[:, :, :8, :8].mean() > 0


def test_grad_cam_by_hand_behind_an_in_place_relu(image: Tensor) -> None:
    found = attribution("grad_cam", box_of(Spot()), image)
    # two equal channels; each takes part in the mean of 2 * 64 values, averaged over 1024 places
    assert torch.allclose(found, image.relu() * 2 * (64 / 128) / 1024, atol=1e-7)


def test_the_noise_repeats_and_leaves_the_global_generator_alone(image: Tensor) -> None:
    box = box_of(SmallNet(1, width=8))
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first = attribution("smoothgrad", box, image, QUICK)
    assert torch.equal(state, torch.get_rng_state())
    other = attribution("smoothgrad", box, image, Settings(samples=4, seed=1))
    assert not torch.equal(first, other)


def test_importance_is_a_magnitude_and_of_grad_cam_what_speaks_for_the_call() -> None:
    signed = torch.tensor([[[[-2.0, 1.0]]], [[[-2.0, 1.0]]]])
    called = torch.tensor([True, False])
    assert importance("gradient", signed, called).flatten().tolist() == [2, 1, 2, 1]
    assert importance("grad_cam", signed, called).flatten().tolist() == [0, 1, 2, 0]


def test_what_can_not_be_made_ends_in_one_line(image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    box = box_of(Linear())
    assert available(box, image) == tuple(name for name in METHODS if name != "grad_cam")
    with pytest.raises(UnknownChoice, match="no convolutional layer can be seen"):
        attribution("grad_cam", box, image)
    with pytest.raises(UnknownChoice, match="did you mean 'smoothgrad'"):
        attribution("smooth_grad", box, image)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingPath, match=r"pip install 'cfx\[saliency\]'"):
        attribution("gradient", box, image)
