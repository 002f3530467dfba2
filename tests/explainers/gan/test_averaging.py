"""The averaged generator: a mean of what training saw, never trained itself."""

import pytest
import torch
from torch import nn

from cfx.explainers.gan.averaging import MovingAverage


def test_average_of_constant_weights_is_the_constant() -> None:
    network = nn.Linear(2, 1)
    average = MovingAverage(network, 0.9)
    nn.init.constant_(network.weight, 3.0)
    for updates in range(200):
        average.update(network, updates)
    assert torch.allclose(average.network.weight, network.weight, atol=1e-4)


def test_warm_up_follows_the_stated_decay() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    average = MovingAverage(network, 0.99)
    nn.init.constant_(network.weight, 1.0)
    average.update(network, 0)
    assert float(average.network.weight) == pytest.approx(1 - 1 / 10)
    average.update(network, 1)
    assert float(average.network.weight) == pytest.approx(0.9 + 0.1 * (1 - 2 / 11))


def test_average_stays_in_eval_without_gradients_and_copies_buffers() -> None:
    network = nn.BatchNorm1d(2)
    average = MovingAverage(network, 0.5).train()
    network(torch.randn(8, 2))
    average.update(network, 0)
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert torch.equal(average.network.running_mean, network.running_mean)


def test_impossible_decay_is_refused() -> None:
    with pytest.raises(ValueError, match="decay"):
        MovingAverage(nn.Linear(1, 1), 1.0)
