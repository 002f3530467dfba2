from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from cfx.classifiers.module import Classifier, masked_bce, mix
from cfx.classifiers.networks import SmallNet
from cfx.errors import BadValue, TooFewPositives

FINDINGS = ["Cardiomegaly", "Edema"]
NAN = float("nan")


def items(n: int, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """Pictures whose middle is bright where the first finding is there; the second one is mostly unknown."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for number in range(n):
        label = torch.tensor([float(number % 2), NAN if number % 4 else float(number % 8 == 0)])
        image = torch.randn(1, 32, 32, generator=generator) * 0.3
        image[:, 8:24, 8:24] += label[0] * 0.5
        made.append({"image": image.clamp(-1, 1), "label": label, "index": torch.tensor(number)})
    return made


def classifier(**extra: float) -> Classifier:
    torch.manual_seed(0)
    return Classifier(SmallNet(FINDINGS, width=8, stages=2), findings=FINDINGS, **extra)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Classifier, pl.Trainer, Path]:
    folder = tmp_path_factory.mktemp("classifier")
    module = classifier(ema=0.8, lr=1e-2)
    trainer = pl.Trainer(
        max_steps=40,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        check_val_every_n_epoch=5,
    )
    trainer.fit(module, DataLoader(items(64), 16, shuffle=True), DataLoader(items(48, 1), 16))
    trainer.save_checkpoint(folder / "last.ckpt")
    return module, trainer, folder


def test_unknown_labels_count_neither_in_the_loss_nor_in_its_gradient() -> None:
    logits = torch.tensor([[0.3, 5.0], [-0.2, -4.0]], requires_grad=True)
    labels = torch.tensor([[1.0, NAN], [0.0, NAN]])
    weights = torch.ones(2)
    loss = masked_bce(logits, labels, weights)
    alone = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, :1], labels[:, :1])
    assert torch.allclose(loss, alone)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[:, 1].abs().max() == 0 and gradient[:, 0].abs().min() > 0
    assert masked_bce(logits, torch.full((2, 2), NAN), weights) == 0


def test_loss_is_lower_for_the_right_answer_and_smoothing_forbids_certainty() -> None:
    labels, weights = torch.tensor([[1.0], [0.0]]), torch.ones(1)
    good, bad = torch.tensor([[3.0], [-3.0]]), torch.tensor([[-3.0], [3.0]])
    assert (
        masked_bce(good, labels, weights)
        < masked_bce(good * 0, labels, weights)
        < masked_bce(bad, labels, weights)
    )
    assert masked_bce(good * 5, labels, weights, 0.2) > masked_bce(good * 0.5, labels, weights, 0.2)


def test_mixing_keeps_unknown_unknown_and_the_mean() -> None:
    torch.manual_seed(0)
    image, labels = torch.rand(6, 1, 4, 4), torch.tensor([[1.0], [0.0], [1.0], [0.0], [1.0], [NAN]])
    mixed, targets = mix(image, labels, 0.4)
    assert torch.allclose(mixed.mean(), image.mean())
    assert 1 <= int(targets.isnan().sum()) <= 2
    known = targets[~targets.isnan()]
    assert ((known >= 0) & (known <= 1)).all()


def test_it_learns_and_logs(fitted: tuple[Classifier, pl.Trainer, Path]) -> None:
    _, trainer, _ = fitted
    metrics = trainer.callback_metrics
    assert metrics["valid/auroc"] > 0.95
    assert metrics["valid/auprc"] > 0.9
    assert 0 <= metrics["valid/ece"] <= 1
    assert {"train/loss", "valid/loss", "valid/auroc_edema"} <= set(metrics)


def test_weights_to_ship_fit_a_fresh_network_and_give_the_same_answers(
    fitted: tuple[Classifier, pl.Trainer, Path],
) -> None:
    module, _, _ = fitted
    shipped = module.inference()
    fresh = SmallNet(FINDINGS, width=8, stages=2)
    fresh.load_state_dict(shipped.state_dict())
    image = torch.stack([item["image"] for item in items(4, 2)])
    assert torch.allclose(fresh.eval()(image), module.eval()(image), atol=1e-5)
    assert all(value.is_contiguous() for value in shipped.state_dict().values())
    assert not torch.equal(module.network.head.weight, module.average.head.weight)


def test_a_checkpoint_is_read_without_pickles_and_holds_no_network_in_its_hyperparameters(
    fitted: tuple[Classifier, pl.Trainer, Path],
) -> None:
    _, _, folder = fitted
    stored = torch.load(folder / "last.ckpt", weights_only=True)
    assert "network" not in stored["hyper_parameters"]
    assert any(key.startswith("average.") for key in stored["state_dict"])


def test_averaged_network_stays_in_eval_mode_and_without_gradients() -> None:
    module = classifier()
    module.train()
    assert module.network.training and not module.average.training
    assert not any(p.requires_grad for p in module.average.parameters())


def test_calibration_is_shipped_and_refers_to_its_prior() -> None:
    module = classifier()
    rare = [item for item in items(400, 3) if item["label"][0] == 0 or int(item["index"]) % 10 == 1]
    batches = list(DataLoader(rare, 32))
    before = torch.cat([module.average.raw(batch["image"]) for batch in batches])[:, 0]
    found = module.calibrate(batches, prior=0.5)
    shipped = module.inference()
    assert shipped.prior[0] == 0.5
    after = torch.cat([shipped(batch["image"]) for batch in batches])[:, 0]
    assert torch.allclose(after, before * found.scale[0] + found.shift[0], atol=1e-4)
    truth = torch.cat([batch["label"][:, 0] for batch in batches])
    share = truth.mean()
    weight = torch.where(truth > 0, 0.5 / share, 0.5 / (1 - share))
    assert float((after.sigmoid() * weight).mean()) == pytest.approx(0.5, abs=0.1)
    with pytest.raises(TooFewPositives, match="Cardiomegaly"):
        module.calibrate(list(DataLoader(items(4), 4)))


def test_another_number_of_findings_is_named() -> None:
    with pytest.raises(BadValue, match=r"model\.network\.findings=3.*2 findings"):
        Classifier(SmallNet(3, width=8, stages=2), findings=FINDINGS)
