import pytest
import torch
from torch import nn

from cfx.classifiers.networks import DenseNet121, FindingNet, SmallNet, TransferNet

FINDINGS = ["Cardiomegaly", "Edema", "Pleural Effusion"]


@pytest.mark.parametrize(
    ("network", "side"),
    [
        (SmallNet(FINDINGS), 64),
        (SmallNet(FINDINGS, stem=4), 128),
        (SmallNet(3, width=16, stages=3), 64),
        (TransferNet(FINDINGS), 64),
        (TransferNet(FINDINGS, stem=2), 128),
        (DenseNet121(FINDINGS), 64),
    ],
)
def test_logits_and_gradient_in_the_picture(network: FindingNet, side: int) -> None:
    image = torch.rand(2, 1, side, side).mul(2).sub(1).requires_grad_()
    logits = network.eval()(image)
    assert logits.shape == (2, 3)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), image)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def test_calibration_lives_in_the_weights() -> None:
    network = SmallNet(2, width=8, stages=2).eval()
    image = torch.rand(3, 1, 32, 32)
    raw = network.raw(image)
    assert torch.equal(network(image), raw)
    assert network.prior.isnan().all()
    network.set_calibration(torch.tensor([2.0, 1.0]), torch.tensor([-1.0, 0.0]), 0.5)
    assert torch.allclose(network(image), raw * torch.tensor([2.0, 1.0]) + torch.tensor([-1.0, 0.0]))
    fresh = SmallNet(2, width=8, stages=2).eval()
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh(image), network(image))
    assert fresh.prior.tolist() == [0.5, 0.5]


def test_densenet_is_torchvisions_with_one_channel() -> None:
    from torchvision.models import densenet121

    ours = sum(p.numel() for p in DenseNet121(1000).parameters())
    theirs = sum(p.numel() for p in densenet121(weights=None).parameters())
    assert theirs - ours == 2 * 64 * 7 * 7  # two input channels fewer in the stem


def test_the_transfer_network_shares_no_kind_of_layer_that_matters_with_the_small_one() -> None:
    def kinds(network: nn.Module) -> set[type[nn.Module]]:
        return {type(module) for module in network.modules()}

    small, transfer = kinds(SmallNet(1)), kinds(TransferNet(1))
    assert nn.BatchNorm2d in small and nn.BatchNorm2d not in transfer
    assert nn.MaxPool2d in transfer and nn.MaxPool2d not in small
    assert not any(m.stride[0] > 1 for m in TransferNet(1).modules() if isinstance(m, nn.Conv2d))
