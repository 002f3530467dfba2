import pytest
import torch
from torch import nn

from cfx.anatomy.networks import JudgeNet, UNet, standardise


@pytest.mark.parametrize(
    "network",
    [UNet(width=8), UNet(width=8, levels=3, stem=2), JudgeNet(width=8, rounds=1)],
    ids=["unet", "folded", "judge"],
)
@pytest.mark.parametrize("side", [64, 128])
def test_logits_have_the_pictures_size_and_a_gradient(network: nn.Module, side: int) -> None:
    image = torch.rand(2, 1, side, side, requires_grad=True)
    logits = network.eval()(image)
    assert logits.shape == (2, 3, side, side)
    (gradient,) = torch.autograd.grad(logits.sum(), image)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


@pytest.mark.parametrize("network", [UNet(width=8), JudgeNet(width=8, rounds=1)], ids=["unet", "judge"])
def test_exposure_does_not_matter_and_no_picture_sees_the_others(network: nn.Module) -> None:
    network.eval()
    image = torch.rand(3, 1, 64, 64)
    together = network(image)
    assert torch.allclose(together, network(image * 0.4 - 0.2), atol=1e-3)
    assert torch.allclose(together[:1], network(image[:1]), atol=1e-4)


def test_standardised_grey_values_survive_a_blank_picture() -> None:
    assert torch.isfinite(standardise(torch.zeros(1, 1, 8, 8))).all()
    values = standardise(torch.rand(2, 1, 8, 8))
    assert torch.allclose(values.mean((1, 2, 3)), torch.zeros(2), atol=1e-5)


def test_the_judge_is_another_architecture() -> None:
    unet, judge = UNet(), JudgeNet()
    assert not any(m.dilation[0] > 1 for m in unet.modules() if isinstance(m, nn.Conv2d))
    assert any(m.dilation[0] > 1 for m in judge.modules() if isinstance(m, nn.Conv2d))
    assert not any("up." in key for key in judge.state_dict())  # no decoder, no ladder of skips
