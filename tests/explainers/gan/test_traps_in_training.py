"""The known mistakes that show only while both networks train: k, m and n of cfx/explainers/gan/SINGLA2021.md."""

import math

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from cfx.classifiers.blackbox import BlackBox
from cfx.explainers.gan import losses
from cfx.explainers.gan.discriminator import PublishedDiscriminator
from cfx.explainers.gan.module import CounterfactualGAN
from cfx.explainers.gan.singla2021 import Singla2021Generator

SIDE = 64


class Reader(nn.Module):
    """A classifier with all that must not train or drift: batch statistics and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 5, stride=4),
            nn.BatchNorm2d(4),
            nn.SiLU(),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.LazyLinear(3),
        )

    def forward(self, image: Tensor) -> Tensor:
        drawn: Tensor = self.layers(image)
        return drawn


def blackbox() -> BlackBox:
    torch.manual_seed(0)
    reader = Reader()
    reader(torch.rand(4, 1, SIDE, SIDE) * 2 - 1)
    return BlackBox(reader, finding="Cardiomegaly", index=1, logit_scale=3.0)


def pictures(count: int, seed: int = 0) -> Tensor:
    """Smooth pictures in [-1, 1], half of them darker than their mean somewhere."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 8, 8, generator=random) * 2 - 1
    return nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic").clamp(-1, 1)


class Iterations(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Batches as the data module gives them."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image = pictures(2, seed=index)
        masks, devices = torch.zeros(2, 3, SIDE, SIDE), torch.zeros(2, 1, SIDE, SIDE)
        masks[:, 1, 10:50, 36:56], masks[:, 2, 10:50, 8:28], devices[0, 0, 20:28, 40:48] = 1.0, 1.0, 1.0
        nothing = torch.full((2,), math.nan)
        rows = torch.tensor([2 * index, 2 * index + 1])
        return {"image": image, "masks": masks, "devices": devices, "posterior": nothing, "index": rows}


def published_training(**options: int) -> CounterfactualGAN:
    """The published schedule on small networks."""
    torch.manual_seed(3)
    weights = {"classifier_cycle": 1.0, "reconstruction": 100.0, "cycle": 100.0, "embedding": 100.0}
    return CounterfactualGAN(
        Singla2021Generator(width=2),
        PublishedDiscriminator(width=2),
        blackbox(),
        weights,
        conditioning="lower",
        extremes=0.0,
        target_limit=0.0,
        looks=0,
        beta1=0.0,
        beta2=0.9,
        ema=0.0,
        generator_every=options.get("generator_every", 5),
    )


def fit(module: CounterfactualGAN, epochs: int) -> None:
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(Iterations(), batch_size=None))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many parameters each optimiser step of the test moved, in order."""
    seen: list[int] = []
    original = torch.optim.Adam.step

    def step(self: torch.optim.Adam, closure: object = None) -> object:
        seen.append(sum(len(group["params"]) for group in self.param_groups))
        return original(self, closure)  # type: ignore[arg-type, call-overload]

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    return seen


def test_n_the_generator_steps_every_fifth_iteration_counted_across_epochs(steps: list[int]) -> None:
    module = published_training()
    fit(module, epochs=3)
    generator, discriminator = (
        len(list(module.network.parameters())),
        len(list(module.discriminator.parameters())),
    )
    turns = [position for position, size in enumerate(s for s in steps) if size == generator]
    assert steps.count(discriminator) == 18, "18 iterations, each with a step of the discriminator"
    assert [position - order for order, position in enumerate(turns)] == [5, 10, 15]


def test_n_only_the_network_whose_turn_it_is_moves_and_the_black_box_never_does() -> None:
    module = published_training(generator_every=1000)
    start = {key: value.clone() for key, value in module.state_dict().items()}
    fit(module, epochs=1)
    moved = {
        key.split(".")[0] for key, value in module.state_dict().items() if not torch.equal(start[key], value)
    }
    trained = [key for key, _ in module.network.named_parameters()]
    assert all(torch.equal(start[f"network.{key}"], module.network.get_parameter(key)) for key in trained)
    assert "discriminator" in moved and "blackbox" not in moved
    module = published_training(generator_every=1)
    start = {key: value.clone() for key, value in module.blackbox.state_dict().items()}
    module.train()
    fit(module, epochs=1)
    assert all(torch.equal(start[key], value) for key, value in module.blackbox.state_dict().items())
    for owner in (module, module.blackbox):
        owner.train()
        assert not any(part.training for part in module.blackbox.modules()), "dropout must never wake up"


def test_k_gradients_of_one_iteration_are_not_added_to_those_of_the_next() -> None:
    module = published_training(generator_every=1)
    seen: list[bool] = []

    def watch(parameter: nn.Parameter) -> None:
        def before(slope: Tensor) -> None:
            clean = parameter.grad is None or not bool((parameter.grad != 0).any())
            seen.append(clean)

        parameter.register_hook(before)

    for network in (module.network, module.discriminator):
        watch(next(iter(network.parameters())))
    fit(module, epochs=1)
    assert len(seen) == 12, "six steps of each network"
    assert all(seen)


def test_m_both_reconstructions_use_the_masks_of_the_source_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Tensor, Tensor, Tensor | None]] = []
    original = losses.context_aware

    def spy(
        x: Tensor, y: Tensor, regions: Tensor, devices: Tensor | None = None, device_weight: float = 1.0
    ) -> Tensor:
        calls.append((x, regions, devices))
        return original(x, y, regions, devices, device_weight)

    monkeypatch.setattr(losses, "context_aware", spy)
    module = published_training(generator_every=1)
    fit(module, epochs=1)
    batch = Iterations()[0]
    assert len(calls) == 12, "self-reconstruction and cycle in each of six iterations"
    assert all(torch.equal(calls[0][0], x) and torch.equal(calls[0][1], r) for x, r, _ in calls[:2])
    assert torch.equal(calls[1][0], batch["image"]) and torch.equal(calls[1][1], batch["masks"][:, 1:])
    assert calls[1][2] is not None and torch.equal(calls[1][2], batch["devices"])
