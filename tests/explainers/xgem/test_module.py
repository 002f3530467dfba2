"""Training the generator: it learns, resumes as if it had not stopped, and ships its average."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cfx.explainers.xgem.module import XgemGenerator
from cfx.explainers.xgem.networks import VariationalAutoencoder
from tests.explainers.gan.toys import batch


class Ramps(Dataset[dict[str, Tensor]]):
    """Pictures of 16 px with one degree of freedom: the slope of a ramp."""

    def __init__(self, count: int = 12) -> None:
        slopes = torch.linspace(-0.8, 0.8, count).view(-1, 1, 1, 1)
        self.image = slopes * torch.linspace(-1, 1, 16).expand(count, 1, 16, 16)

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        return {"image": self.image[place], "index": torch.tensor(place)}


def module(**changes: Any) -> XgemGenerator:
    torch.manual_seed(3)
    network = VariationalAutoencoder(size=16, latent=4, width=4)
    return XgemGenerator(network, **{"iterations": 12, "warmup": 0.1, "seed": 5} | changes)


def trainer(folder: Path, epochs: int, **changes: Any) -> pl.Trainer:
    settings: dict[str, Any] = {
        "accelerator": "cpu", "max_epochs": epochs, "logger": False, "enable_checkpointing": False,
        "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0,
        "default_root_dir": folder,
    }  # fmt: skip
    return pl.Trainer(**settings | changes)


def loader() -> DataLoader[dict[str, Tensor]]:
    return DataLoader(Ramps(), batch_size=4)


class Record(pl.Callback):
    """Keeps the loss of every batch."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.losses.append(float(trainer.callback_metrics["train/loss"]))


def test_the_bound_rises_on_pictures_of_one_degree_of_freedom(tmp_path: Path) -> None:
    made, record = module(iterations=90, lr=5e-3), Record()
    trainer(tmp_path, 30, callbacks=[record]).fit(made, loader())
    assert sum(record.losses[-6:]) / 6 < record.losses[0] - 0.5
    results = trainer(tmp_path, 1).validate(made, loader(), verbose=False)[0]
    assert set(results) == {"valid/elbo", "valid/kl", "valid/mse"}
    assert results["valid/mse"] < 0.5 * float(Ramps().image.square().mean())


def test_a_resumed_run_repeats_the_losses_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, first, second = Record(), Record(), Record()
    made = module()
    trainer(tmp_path, 4, callbacks=[whole]).fit(made, loader())
    begun = trainer(tmp_path, 2, callbacks=[first])
    begun.fit(module(), loader())
    begun.save_checkpoint(tmp_path / "half.ckpt")
    torch.manual_seed(99)
    resumed = module()
    trainer(tmp_path, 4, callbacks=[second]).fit(resumed, loader(), ckpt_path=str(tmp_path / "half.ckpt"))
    assert first.losses == pytest.approx(whole.losses[:6], rel=1e-5)
    assert second.losses == pytest.approx(whole.losses[6:], rel=1e-4)
    expected = made.inference().state_dict()
    assert all(torch.allclose(expected[k], v, atol=1e-5) for k, v in resumed.inference().state_dict().items())


def test_noise_depends_on_the_picture_and_the_step_alone() -> None:
    made, whole = module(), batch(4, size=16)
    half = {name: values[2:] for name, values in whole.items()}  # type: ignore[index]
    assert torch.equal(made.noise(whole, 7)[2:], made.noise(half, 7))  # type: ignore[arg-type]
    assert not torch.equal(made.noise(whole, 7), made.noise(whole, 8))


def test_inference_gives_the_average_under_a_fresh_networks_keys(tmp_path: Path) -> None:
    made = module()
    trainer(tmp_path, 2).fit(made, loader())
    network = made.inference()
    assert set(network.state_dict()) == set(VariationalAutoencoder(size=16, latent=4, width=4).state_dict())
    assert not network.training
    assert not torch.equal(network.log_scale, made.network.log_scale)


def test_sizes_that_do_not_halve_are_refused() -> None:
    with pytest.raises(ValueError, match="power of two"):
        VariationalAutoencoder(size=48)
    assert VariationalAutoencoder(size=128, width=4).decode(torch.zeros(1, 64)).shape == (1, 1, 128, 128)
