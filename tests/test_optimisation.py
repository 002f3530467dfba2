import pytest
import torch
from torch import nn

from cfx.optimisation import averaged_copy, follow, plain_copy, warm_cosine, warmed_adamw


def test_average_approaches_the_network_and_copies_counters() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    average = averaged_copy(network)
    start = average[0].weight.clone()
    with torch.no_grad():
        network[0].weight.add_(1.0)
    network.train()(torch.rand(2, 1, 8, 8))
    follow(average, network, decay=0.75, step=10_000)
    assert torch.allclose(average[0].weight, start + 0.25)
    assert average[1].num_batches_tracked == 1
    follow(average, network, decay=0.999, step=0)  # early: a tenth of the old remains
    assert torch.allclose(average[0].weight, 0.1 * (start + 0.25) + 0.9 * (start + 1.0))


def test_average_is_never_trained() -> None:
    network = nn.BatchNorm1d(3)
    assert not any(p.requires_grad for p in averaged_copy(network).parameters())
    assert all(p.requires_grad for p in network.parameters())


def test_learning_rate_rises_then_falls_to_zero() -> None:
    factor = warm_cosine(100, 0.1)
    assert factor(0) == pytest.approx(0.1)
    assert factor(9) == pytest.approx(0.5 * (1 + torch.cos(torch.tensor(torch.pi * 0.09)).item()), abs=1e-6)
    assert factor(50) == pytest.approx(0.5)
    assert factor(100) == pytest.approx(0.0)
    assert factor(200) == pytest.approx(0.0)
    assert all(factor(step) >= factor(step + 1) for step in range(10, 100))


def test_only_matrices_decay() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    optimizer, _ = warmed_adamw(network, lr=1e-2, weight_decay=0.5, total=10, warmup=0.1)
    decayed = [p for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]]
    assert len(decayed) == 1 and decayed[0] is network[0].weight
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4


def test_plain_copy_is_contiguous_and_apart() -> None:
    network = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    copied = plain_copy(network)
    assert copied.weight.is_contiguous() and torch.equal(copied.weight, network.weight)
    with torch.no_grad():
        network.weight.zero_()
    assert copied.weight.abs().sum() > 0
