"""Training: who receives gradient from what, what stays frozen, what happens at the switch, and resuming."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from cfx.data.batch import Batch
from cfx.explainers.cyclegan import losses
from cfx.explainers.cyclegan.module import AttentionCycleGAN, side
from cfx.explainers.cyclegan.networks import PatchDiscriminator, TranslatorPair
from tests.explainers.gan.toys import Brightness, batch, black_box


def module(**changes: Any) -> AttentionCycleGAN:
    """A small CycleGAN, past its zero start."""
    torch.manual_seed(3)
    network = TranslatorPair(width=4, blocks=1, attention=4)
    for name, parameter in network.named_parameters():
        if name.endswith(("generator.6.weight", "attention.6.weight")):
            nn.init.normal_(parameter, std=0.1)
    settings: dict[str, Any] = {"iterations": 12} | changes
    return AttentionCycleGAN(network, PatchDiscriminator(4), black_box(Brightness()), **settings)


def half(size: int = 64) -> Batch:
    """Four pictures: two dark ones that the black box of brightness calls negative, two bright ones."""
    made = batch(4, size)
    shift = torch.tensor([-0.3, 0.3, -0.3, 0.3]).view(-1, 1, 1, 1)
    made["image"] = 0.3 * made["image"] + shift
    return made


class Pictures(Dataset[dict[str, Tensor]]):
    """Twelve pictures in a fixed order, both groups in each batch of four."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        image = 0.3 * batch(1, seed=place)["image"][0] + (0.3 if place % 2 else -0.3)
        return {"image": image, "index": torch.tensor(place)}


def loader() -> DataLoader[dict[str, Tensor]]:
    return DataLoader(Pictures(), batch_size=4)


def trainer(folder: Path, epochs: int, **changes: Any) -> pl.Trainer:
    settings: dict[str, Any] = {
        "accelerator": "cpu", "max_epochs": epochs, "logger": False, "enable_checkpointing": False,
        "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0,
        "default_root_dir": folder,
    }  # fmt: skip
    return pl.Trainer(**settings | changes)


def gradients(part: nn.Module) -> float:
    return sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", ["adversarial", "cycle", "identity"])
def test_both_translators_receive_gradient_from_each_term_alone(name: str) -> None:
    made = module()
    made.translators_terms(made.draw(half()))[name].backward()
    for translator in (made.network.up, made.network.down):
        assert gradients(translator.generator) > 0
        assert gradients(translator.attention) > 0
    assert gradients(made.blackbox) == 0
    assert gradients(made.judges) == 0 or name == "adversarial"


def test_the_discriminators_loss_gives_the_translators_nothing() -> None:
    made = module()
    made.judges_loss(made.draw(half())).backward()
    assert all(gradients(judge) > 0 for judge in made.judges.values())
    assert gradients(made.network) == 0 and gradients(made.blackbox) == 0


def test_each_discriminator_sees_the_real_pictures_of_its_group_and_the_other_group_drawn_as_it() -> None:
    made, data = module(), half()
    asked: dict[str, list[Tensor]] = {"high": [], "low": []}
    for name, judge in made.judges.items():
        judge.register_forward_pre_hook(lambda _, given, name=name: asked[name].append(given[0]))
    drawn = made.draw(data)
    made.judges_loss(drawn)
    dark, bright = data["image"][[0, 2]], data["image"][[1, 3]]
    assert torch.equal(asked["high"][0], bright) and torch.equal(asked["low"][0], dark)
    assert torch.equal(asked["high"][1], drawn.up.image) and torch.equal(asked["low"][1], drawn.down.image)


def test_identity_is_asked_of_the_group_that_is_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    made, data = module(), half()
    asked: list[Tensor] = []
    monkeypatch.setattr(
        losses, "identity", lambda image, same: asked.append(image) or (image - same).abs().mean()
    )
    calls: list[Tensor] = []
    made.network.up.register_forward_pre_hook(lambda _, given: calls.append(given[0]))
    made.translators_terms(made.draw(data))
    assert torch.equal(
        calls[-1], data["image"][[1, 3]]
    )  # the last that `up` draws is a bright picture, for identity
    assert torch.equal(asked[0], data["image"][[0, 2]]) and torch.equal(asked[1], data["image"][[1, 3]])


def test_after_the_switch_attention_learns_no_more_and_the_discriminators_see_the_masked_place() -> None:
    made = module(switch=0.5, threshold=0.6)
    assert made.attends
    made.iteration.fill_(6)
    assert not made.attends
    drawn = made.draw(half())
    losses.total(made.translators_terms(drawn), made.weights).backward()
    for translator in (made.network.up, made.network.down):
        assert gradients(translator.generator) > 0 and gradients(translator.attention) == 0
    seen = made._seen(drawn.up.image, drawn.up.mask)
    assert float(seen[drawn.up.mask < 0.6].abs().sum()) == 0.0


def test_a_batch_without_one_group_trains_nothing_of_it() -> None:
    made = module()
    data = half()
    data["image"] = data["image"][[0, 2, 0, 2]]
    drawn = made.draw(data)
    assert (drawn.low.weight, drawn.high.weight) == (1.0, 0.0)
    assert float(made.judges_loss(drawn)) == 0.0
    terms = made.translators_terms(drawn)
    low_alone = losses.cycle_consistency(drawn.low.image, made.network.down(drawn.up.image).image)
    assert float(terms["cycle"]) == pytest.approx(float(low_alone))
    assert side(data["image"], torch.zeros(4, dtype=torch.bool)).image.shape[0] == 1


def test_an_untrained_pair_changes_nothing() -> None:
    image = half()["image"]
    up, down = TranslatorPair(width=4, blocks=1, attention=4)(image)
    torch.testing.assert_close(up.image, image)
    torch.testing.assert_close(down.image, image)
    assert float(up.mask.min()) == float(up.mask.max()) == 0.5


def test_the_two_discriminators_do_not_share_weights() -> None:
    made = module()
    high, low = (dict(judge.named_parameters()) for judge in made.judges.values())
    assert not torch.equal(high["layers.0.weight"], low["layers.0.weight"])


class Record(pl.Callback):
    """Keeps the translators' loss of every batch."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.losses.append(float(trainer.callback_metrics["train/loss_generator"]))


def test_a_resumed_run_repeats_the_losses_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, first, second = Record(), Record(), Record()
    made = module()
    fit = trainer(tmp_path, 4, callbacks=[whole])
    fit.fit(made, loader())
    assert fit.global_step == made.optimizer_steps(12) == 24
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


def test_the_black_box_is_untouched_and_validation_asks_it(tmp_path: Path) -> None:
    made = module()
    before = {name: value.clone() for name, value in made.blackbox.state_dict().items()}
    trainer(tmp_path, 1).fit(made, loader(), loader())
    made.train()
    assert not any(part.training for part in made.blackbox.modules())
    assert all(torch.equal(before[name], value) for name, value in made.blackbox.state_dict().items())
    results = trainer(tmp_path, 1).validate(made, loader(), verbose=False)[0]
    assert set(results) == {"valid/reach_up", "valid/reach_down"}
    assert made.rate(0) == made.rate(6) == 1.0 and made.rate(9) == pytest.approx(0.5) and made.rate(12) == 0.0


@pytest.mark.filterwarnings("error:The ``compute`` method")
def test_a_validation_without_a_picture_of_either_group_reaches_nothing(tmp_path: Path) -> None:
    unsure = [dict(half(), posterior=torch.full((4,), 0.5))]
    plain = DataLoader(unsure, batch_size=None)  # type: ignore[arg-type,var-annotated]
    results = trainer(tmp_path, 1).validate(module(), plain, verbose=False)[0]
    assert results == {"valid/reach_up": 0, "valid/reach_down": 0}


def test_settings_that_can_not_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="switch"):
        module(switch=2.0)
