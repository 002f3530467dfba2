"""Training: who receives gradient, what stays frozen, and that a resumed run goes on as if it had not stopped."""

import math
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from cfx.data.batch import Batch
from cfx.explainers.gan.discriminator import Discriminator, PublishedDiscriminator
from cfx.explainers.gan.losses import LossWeights
from cfx.explainers.gan.module import CounterfactualGAN
from cfx.explainers.gan.networks import EditGenerator
from cfx.explainers.gan.singla2021 import Singla2021Generator
from tests.explainers.gan.toys import Convolutional, batch, black_box

WEIGHTS = {"adversarial": 0.3, "classifier": 1.0, "reconstruction": 3.0, "cycle": 3.0, "residual": 1.0}


def default(loss: dict[str, float] | None = None, **changes: Any) -> CounterfactualGAN:
    """The default explainer, small, past its zero start."""
    torch.manual_seed(3)
    network = EditGenerator(width=16)
    nn.init.normal_(network.head.weight, std=0.05)
    settings: dict[str, Any] = {"iterations": 8, "warmup": 1, "seed": 5} | changes
    return CounterfactualGAN(
        network, Discriminator(64, 8), black_box(Convolutional()), loss or WEIGHTS, **settings
    )


def published(**changes: Any) -> CounterfactualGAN:
    """The published design, small: bins, no views, all of its terms."""
    torch.manual_seed(3)
    loss = LossWeights(1.0, 1.0, 1.0, reconstruction=100.0, cycle=100.0, embedding=100.0)
    settings: dict[str, Any] = {"conditioning": "lower", "generator_every": 5, "looks": 0} | changes
    return CounterfactualGAN(
        Singla2021Generator(width=4),
        PublishedDiscriminator(width=4),
        black_box(Convolutional()),
        loss,
        **settings,
    )


class Pictures(Dataset[dict[str, Tensor]]):
    """Twelve pictures in a fixed order."""

    def __init__(self) -> None:
        self.all = batch(12)

    def __len__(self) -> int:
        return 12

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        return {name: values[place] for name, values in self.all.items()}  # type: ignore[index]


def trainer(folder: Path, epochs: int, **changes: Any) -> pl.Trainer:
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": epochs,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": folder,
    }
    return pl.Trainer(**settings | changes)


def loader() -> DataLoader[dict[str, Tensor]]:
    return DataLoader(Pictures(), batch_size=4)


def gradients(module: nn.Module) -> float:
    return sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)


def terms_of(module: CounterfactualGAN, data: Batch) -> dict[str, Tensor]:
    draws, posterior = module.draws(data), module.posterior(data)
    target = module.targets(draws, posterior)
    drawn = module.network(data["image"], module.conditioning.round(posterior), target)
    return module.generator_terms(data, drawn, posterior, target, draws)


ALL_TERMS = {
    "adversarial": 1.0,
    "classifier": 1.0,
    "classifier_cycle": 1.0,
    "cycle": 1.0,
    "smoothness": 1.0,
    "residual": 1.0,
    "total_variation": 1.0,
}


@pytest.mark.parametrize("name", sorted(ALL_TERMS))
def test_generator_receives_gradient_from_each_term_alone(name: str) -> None:
    module = default({**ALL_TERMS, "reconstruction": 0.0})
    terms_of(module, batch())[name].backward()
    assert gradients(module.network) > 0
    assert gradients(module.blackbox) == 0


@pytest.mark.parametrize("kind", ["plain", "context_aware"])
def test_change_weighs_devices_only_where_the_loss_is_context_aware(kind: str) -> None:
    module = default({"change": 1.0, "device_weight": 5.0, "kind": kind})  # type: ignore[dict-item]
    data = batch()
    bare = Batch(**{**data, "devices": torch.zeros_like(data["devices"])})
    with_devices, without = (float(terms_of(module, each)["change"].detach()) for each in (data, bare))
    assert (with_devices > 1.5 * without > 0) if kind == "context_aware" else (with_devices == without > 0)


@pytest.mark.parametrize("name", ["reconstruction", "cycle", "embedding", "classifier", "classifier_cycle"])
def test_published_generator_receives_gradient_from_each_term_alone(name: str) -> None:
    module = published()
    terms_of(module, batch())[name].backward()
    assert gradients(module.network) > 0
    assert gradients(module.blackbox) == 0


def test_self_reconstruction_of_the_default_is_exact() -> None:
    assert float(terms_of(default(), batch())["reconstruction"]) == 0.0


def test_classifier_term_pulls_the_posterior_towards_the_target() -> None:
    """A flipped sign, as in a public port, would push it away."""
    module = default()
    image = batch()["image"].requires_grad_(True)
    data = batch()
    draws = module.draws(data)
    module.black_box_term(image, torch.ones(4), draws).backward()
    assert image.grad is not None
    before = module.blackbox.logit(batch()["image"]).mean()
    after = module.blackbox.logit(batch()["image"] - 5 * image.grad).mean()
    assert float(after) > float(before)


def test_discriminator_loss_gives_no_gradient_to_the_generator() -> None:
    module, data = default(), batch()
    posterior = module.posterior(data)
    drawn = module.network(data["image"], posterior, 1 - posterior)
    module.discriminator_loss(data, drawn.image, posterior, 1 - posterior).backward()
    assert gradients(module.discriminator) > 0
    assert gradients(module.network) == 0


def test_discriminator_sees_the_real_picture_with_its_own_posterior_and_the_drawn_one_with_its_target() -> (
    None
):
    module, data = default(), batch()
    asked: list[tuple[Tensor, Tensor]] = []
    module.discriminator.register_forward_pre_hook(lambda _, given: asked.append((given[0], given[1])))
    posterior = module.posterior(data)
    target = 1 - posterior
    fake = module.network(data["image"], posterior, target).image
    module.discriminator_loss(data, fake, posterior, target)
    assert torch.equal(asked[0][0], data["image"])
    assert torch.equal(asked[0][1], posterior)
    assert torch.equal(asked[1][0], fake)
    assert torch.equal(asked[1][1], target)


def test_generator_steps_every_fifth_iteration_and_the_discriminator_always(tmp_path: Path) -> None:
    module = published()
    start = {name: value.clone() for name, value in module.network.state_dict().items()}
    fit = trainer(tmp_path, epochs=2, limit_train_batches=2)
    fit.fit(module, loader())
    weights = dict(module.network.named_parameters())
    assert all(torch.equal(start[name], value) for name, value in weights.items())
    again = trainer(tmp_path, epochs=1, limit_train_batches=1)
    again.fit(module, loader())
    assert not all(torch.equal(start[name], value) for name, value in weights.items())
    assert fit.global_step == module.optimizer_steps(4) == 4
    assert again.global_step == 2
    assert module.optimizer_steps(5) == 6


def test_black_box_is_untouched_by_training(tmp_path: Path) -> None:
    module = default()
    before = {name: value.clone() for name, value in module.blackbox.state_dict().items()}
    trainer(tmp_path, epochs=2).fit(module, loader(), loader())
    module.train()
    assert not any(part.training for part in module.blackbox.modules())
    assert all(torch.equal(before[name], value) for name, value in module.blackbox.state_dict().items())
    assert not any(parameter.requires_grad for parameter in module.blackbox.parameters())


class Record(pl.Callback):
    """Keeps the generator's loss of every batch."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.losses.append(float(trainer.callback_metrics["train/loss_generator"]))


def test_a_resumed_run_repeats_the_losses_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, first, second = Record(), Record(), Record()
    module = default()
    trainer(tmp_path, 4, callbacks=[whole]).fit(module, loader())
    begun = trainer(tmp_path, 2, callbacks=[first])
    begun.fit(default(), loader())
    begun.save_checkpoint(tmp_path / "half.ckpt")
    torch.manual_seed(99)
    resumed = default()
    trainer(tmp_path, 4, callbacks=[second]).fit(resumed, loader(), ckpt_path=str(tmp_path / "half.ckpt"))
    assert first.losses == pytest.approx(whole.losses[:6], rel=1e-5)
    assert second.losses == pytest.approx(whole.losses[6:], rel=1e-4)
    expected = module.inference().state_dict()
    assert all(torch.allclose(expected[k], v, atol=1e-5) for k, v in resumed.inference().state_dict().items())


def test_inference_gives_the_averaged_weights_under_a_fresh_networks_keys(tmp_path: Path) -> None:
    module = default()
    trainer(tmp_path, 2).fit(module, loader())
    network = module.inference()
    assert set(network.state_dict()) == set(EditGenerator(width=16).state_dict())
    assert not network.training
    averaged = module.average.network.state_dict()
    assert all(torch.equal(averaged[name], value) for name, value in network.state_dict().items())
    assert not torch.equal(network.state_dict()["head.weight"], module.network.state_dict()["head.weight"])


def test_validation_logs_reach_and_error(tmp_path: Path) -> None:
    module = default()
    results = trainer(tmp_path, 1).validate(module, loader(), verbose=False)[0]
    assert set(results) == {"valid/reach_up", "valid/reach_down", "valid/target_mae"}
    assert all(0 <= value <= 1 for value in results.values())


@pytest.mark.filterwarnings("error:The ``compute`` method")
def test_a_validation_without_a_picture_of_either_group_reaches_nothing(tmp_path: Path) -> None:
    unsure = [dict(batch(4), posterior=torch.full((4,), 0.5))]
    plain = DataLoader(unsure, batch_size=None)  # type: ignore[arg-type,var-annotated]
    results = trainer(tmp_path, 1).validate(default(), plain, verbose=False)[0]
    assert (results["valid/reach_up"], results["valid/reach_down"]) == (0, 0)
    assert results["valid/target_mae"] > 0


def test_targets_are_extreme_as_often_as_asked_and_always_the_far_end() -> None:
    module = default(extremes=1.0)
    posterior = torch.tensor([0.1, 0.9, 0.4, 0.6])
    assert module.targets(module.draws(batch()), posterior).tolist() == [1.0, 0.0, 1.0, 0.0]
    binned = published(extremes=0.0)
    tenths = binned.targets(binned.draws(batch()), posterior) * 10
    assert torch.allclose(tenths, tenths.round())


def test_natural_targets_are_quantiles_of_real_posteriors() -> None:
    module = default(extremes=0.0, natural=1.0, posteriors=[0.01, 0.02, 0.97])
    chosen = module.targets(module.draws(batch()), torch.full((4,), 0.5))
    assert all(any(abs(value - real) < 1e-6 for real in (0.01, 0.02, 0.97)) for value in chosen.tolist())
    with pytest.raises(ValueError, match="needs the posteriors"):
        default(natural=0.5)
    with pytest.raises(ValueError, match="together at most 1"):
        default(natural=0.7, extremes=0.4, posteriors=[0.5])


def test_unknown_posteriors_are_asked_for_and_known_ones_believed() -> None:
    module, data = default(), batch()
    data["posterior"] = torch.tensor([0.25, math.nan, 0.5, math.nan])
    filled = module.posterior(data)
    asked = module.blackbox(data["image"])
    assert filled.tolist() == pytest.approx([0.25, float(asked[1]), 0.5, float(asked[3])])


def test_rate_warms_up_and_falls_to_its_floor() -> None:
    module = default(iterations=100, warmup=10, flat=0.3, floor=0.05)
    assert module.rate(0) == pytest.approx(0.1)
    assert module.rate(20) == pytest.approx(1.0)
    assert module.rate(100) == pytest.approx(0.05)


def test_unknown_regions_are_refused() -> None:
    with pytest.raises(ValueError, match="regions"):
        default(regions=["liver"])
