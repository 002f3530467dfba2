from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from cfx.anatomy.module import Segmenter, hard_dice, segmentation_loss, soft_dice
from cfx.anatomy.networks import UNet


def items(n: int, seed: int = 0, known: bool = True) -> list[dict[str, torch.Tensor]]:
    """Three boxes of different grey values at random places; every fourth picture has no masks."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for number in range(n):
        masks = torch.zeros(3, 32, 32)
        for channel, column in enumerate((12, 22, 2)):
            top = int(torch.randint(4, 12, (1,), generator=generator))
            masks[channel, top : top + 14, column : column + 8] = 1
        image = (masks * torch.tensor([0.9, 0.3, 0.5])[:, None, None]).sum(0, keepdim=True)
        image = (image - 0.5 + 0.05 * torch.randn(1, 32, 32, generator=generator)).clamp(-1, 1)
        has = known and number % 4 != 3
        made.append(
            {
                "image": image,
                "masks": masks * has,
                "has_masks": torch.tensor(has),
                "index": torch.tensor(number),
            }
        )
    return made


def segmenter() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(UNet(width=8, levels=2), lr=1e-2, ema=0.8)


def trainer(folder: Path, steps: int) -> pl.Trainer:
    return pl.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        check_val_every_n_epoch=5,
        enable_checkpointing=False,
    )


def test_overlap_on_closed_forms() -> None:
    truth = torch.zeros(1, 1, 10, 10)
    truth[..., :5] = 1
    half = torch.zeros(1, 1, 10, 10)
    half[..., :5, :5] = 1
    assert float(hard_dice(truth, truth)) == 1
    assert float(hard_dice(half, truth)) == pytest.approx(2 * 25 / 75)
    assert float(hard_dice(1 - truth, truth)) == 0
    assert float(hard_dice(0 * truth, 0 * truth)) == 1
    assert float(soft_dice(half, truth, smooth=0.0)) == pytest.approx(2 * 25 / 75)


def test_loss_falls_with_the_overlap_and_soft_targets_are_met_exactly() -> None:
    truth = torch.zeros(1, 3, 8, 8)
    truth[..., :4] = 1
    good, none = 8 * truth - 4, torch.zeros(1, 3, 8, 8)
    assert segmentation_loss(good, truth) < segmentation_loss(none, truth) < segmentation_loss(-good, truth)
    # The cross-entropy alone is least at the soft value itself: that is what makes edges sub-pixel.
    target = torch.full((1, 3, 8, 8), 0.3)
    values = [
        float(segmentation_loss(torch.logit(torch.full_like(target, p)), target, 0.0))
        for p in (0.2, 0.3, 0.4)
    ]
    assert values[1] == min(values)


def test_it_learns_logs_and_ships(tmp_path: Path) -> None:
    module = segmenter()
    run = trainer(tmp_path, 60)
    run.fit(module, DataLoader(items(32), 8, shuffle=True), DataLoader(items(12, 1), 4))
    metrics = run.callback_metrics
    assert metrics["valid/dice"] > 0.85
    names = ["valid/dice_heart", "valid/dice_left_lung", "valid/dice_right_lung"]
    assert torch.stack([metrics[name] for name in names]).mean() == pytest.approx(
        float(metrics["valid/dice"]), abs=1e-6
    )
    fresh = UNet(width=8, levels=2)
    fresh.load_state_dict(module.inference().state_dict())
    image = torch.stack([item["image"] for item in items(3, 2)])
    assert torch.allclose(fresh.eval()(image), module.eval()(image), atol=1e-5)
    assert "network" not in module.hparams


def test_pictures_without_masks_teach_nothing(tmp_path: Path) -> None:
    module = segmenter()
    batch = next(iter(DataLoader(items(8), 8)))
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    changed = {**batch, "masks": batch["masks"].clone()}
    changed["masks"][~batch["has_masks"]] = 1.0
    module.network.eval()
    assert torch.equal(module.training_step(batch, 0), module.training_step(changed, 0))
    empty = next(iter(DataLoader(items(4, known=False), 4)))
    loss = module.training_step(empty, 0)
    assert loss == 0 and loss.requires_grad  # other processes wait for this gradient


def test_averaged_network_stays_in_eval_mode() -> None:
    module = segmenter().train()
    assert module.network.training and not module.average.training
