from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cfx.anatomy.module import Segmenter
from cfx.classifiers.module import Classifier
from cfx.optimisation import AveragedModule, averaged_copy, follow, plain_copy, warm_cosine, warmed_adamw


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


class Steep(AveragedModule):
    """A layer whose loss is so steep that only the clipping holds it; keeps the norm of each gradient."""

    def __init__(
        self, network: nn.Module, lr: float = 0.1, weight_decay: float = 0.0, ema: float = 0.5,
        warmup: float = 0.1, clip: float = 0.25,
    ) -> None:  # fmt: skip
        super().__init__(network)
        self.save_hyperparameters(ignore=["network"])
        self.norms: list[float] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return 1e4 * self.network(batch).square().mean()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_end(outputs, batch, batch_idx)
        norms = [p.grad.norm() for p in self.network.parameters() if p.grad is not None]
        self.norms.append(float(torch.stack(norms).norm()))


def test_the_shared_module_clips_follows_and_ships_its_average() -> None:
    torch.manual_seed(0)
    module = Steep(nn.Conv2d(1, 2, 3))
    start = module.average.weight.clone()
    trainer = pl.Trainer(
        max_steps=4, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, gradient_clip_val=None,
    )  # fmt: skip
    trainer.fit(module, DataLoader(torch.rand(8, 1, 8, 8), batch_size=2))
    assert len(module.norms) == 4 and max(module.norms) == pytest.approx(0.25, rel=1e-3)
    present, average = module.network.weight, module.average.weight
    assert not torch.equal(average, start) and not torch.equal(average, present)
    module.train()
    assert module.network.training and not module.average.training
    image = torch.rand(1, 1, 8, 8)
    assert torch.allclose(module(image), module.inference()(image))


@pytest.mark.parametrize("module", [Classifier, Segmenter])
def test_classifier_and_segmenter_add_nothing_to_how_the_shared_module_trains(module: type) -> None:
    assert issubclass(module, AveragedModule)
    shared = {
        "configure_optimizers",
        "configure_gradient_clipping",
        "on_train_batch_end",
        "train",
        "inference",
    }
    assert not shared & set(vars(module))
