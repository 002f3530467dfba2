import pytest
import torch
from torch import Tensor, nn

from cfx.classifiers.blackbox import BlackBox
from cfx.classifiers.networks import SmallNet
from cfx.errors import BadValue, UnknownChoice


class Recorder(nn.Module):
    """Keeps what it was given; its K outputs are multiples of the mean."""

    def __init__(self, outputs: int = 3, probability: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(1.0, outputs + 1))
        self.probability = probability
        self.given = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.given = x
        value = x.mean((1, 2, 3))[:, None] * self.weight
        return value.sigmoid() if self.probability else value


def test_training_can_not_change_it() -> None:
    network = SmallNet(2, width=8, stages=2, dropout=0.5)
    box = BlackBox(network, finding="Cardiomegaly")

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blackbox = box
            self.edit = nn.Conv2d(1, 1, 3, padding=1)

    holder = Holder().train()
    image = torch.rand(4, 1, 32, 32)
    before = {key: value.clone() for key, value in box.state_dict().items()}
    first = box(image)
    box.train()
    box.requires_grad_()
    assert not box.training and not any(module.training for module in box.modules())
    assert not any(p.requires_grad for p in box.parameters())
    optimizer = torch.optim.AdamW(holder.parameters(), lr=1.0, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        box(holder.edit(image)).sum().backward()
        optimizer.step()
    assert all(
        torch.equal(before[key].nan_to_num(), value.nan_to_num()) for key, value in box.state_dict().items()
    )
    assert torch.equal(box(image), first)
    assert holder.edit.weight.grad is not None and holder.edit.weight.grad.abs().sum() > 0


def test_picture_enters_in_the_networks_own_range_size_and_channels() -> None:
    network = Recorder()
    box = BlackBox(
        network, finding="x", size=16, channels=3, scale=[0.5, 1.0, 2.0], shift=[0.5, 0.0, -1.0], index=1
    )
    image = torch.full((2, 1, 64, 64), -1.0)
    image[1] = 1.0
    box(image)
    assert network.given.shape == (2, 3, 16, 16)
    assert network.given[0, :, 0, 0].tolist() == pytest.approx([0.0, -1.0, -3.0], abs=1e-5)
    assert network.given[1, :, 0, 0].tolist() == pytest.approx([1.0, 1.0, 1.0], abs=1e-5)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_of_several_outputs_as_logits_or_probabilities(index: int) -> None:
    image = torch.rand(5, 1, 8, 8)
    expected = image.mean((1, 2, 3)) * (index + 1)
    logits = BlackBox(Recorder(), finding="x", index=index)
    probabilities = BlackBox(Recorder(probability=True), finding="x", index=index, output="probability")
    assert torch.allclose(logits.logit(image), expected, atol=1e-6)
    assert torch.allclose(probabilities.logit(image), expected, atol=1e-3)
    assert torch.allclose(probabilities(image), expected.sigmoid(), atol=1e-5)
    assert logits(image).shape == (5,)


def test_saturated_probabilities_keep_a_gradient() -> None:
    class Saturated(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.mean((1, 2, 3)) * 2).clamp(max=1.0) - 0 * x.sum()

    class Step(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (100 * x.mean((1, 2, 3))).sigmoid()

    assert torch.isfinite(
        BlackBox(Saturated(), finding="x", output="probability").logit(torch.ones(2, 1, 4, 4))
    ).all()
    image = torch.full((1, 1, 4, 4), 0.1, requires_grad=True)
    box = BlackBox(Step(), finding="x", output="probability")
    (gradient,) = torch.autograd.grad(box.logit(image).sum(), image)
    assert torch.isfinite(gradient).all() and gradient.abs().max() > 0


def test_a_network_with_a_single_flat_output() -> None:
    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((1, 2, 3))

    assert BlackBox(Flat(), finding="x")(torch.zeros(3, 1, 4, 4)).tolist() == [0.5] * 3


def test_recalibration_follows_the_formula_and_can_be_repeated() -> None:
    box = BlackBox(Recorder(), finding="x", logit_scale=2.0, logit_shift=1.0)
    image = torch.rand(4, 1, 8, 8)
    before = box.logit(image)
    box.recalibrate(0.5, -3.0, prior=0.2)
    assert torch.allclose(box.logit(image), before * 0.5 - 3.0, atol=1e-6)
    assert box.prior == 0.2


def test_gradient_points_the_way_the_posterior_rises() -> None:
    box = BlackBox(SmallNet(1, width=8, stages=2), finding="x", size=32)
    image = torch.rand(2, 1, 64, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(box.logit(image).sum(), image)
    moved = image + 1e-2 * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert (box.logit(moved) > box.logit(image)).all()


def test_mistakes_are_named() -> None:
    with pytest.raises(UnknownChoice, match=r"blackbox\.output='odds'"):
        BlackBox(Recorder(), finding="x", output="odds")
    with pytest.raises(BadValue, match=r"blackbox\.prior=0\.0"):
        BlackBox(Recorder(), finding="x", prior=0.0)
    with pytest.raises(BadValue, match=r"blackbox\.index=-1"):
        BlackBox(Recorder(), finding="x", index=-1)


@pytest.mark.parametrize("output", ["logit", "probability"])
def test_all_outputs_are_given_in_the_order_of_their_names(output: str) -> None:
    box = BlackBox(
        Recorder(probability=output == "probability"),
        finding="b",
        index=1,
        output=output,
        names=("a", "b", "c"),
    )
    image = torch.rand(4, 1, 8, 8)
    found = box.posteriors(image)
    assert box.names == ("a", "b", "c")
    assert torch.allclose(found, (image.mean((1, 2, 3))[:, None] * torch.arange(1.0, 4.0)).sigmoid())
    assert torch.allclose(found[:, 1], box(image), atol=1e-5)
