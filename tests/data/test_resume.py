"""A run that is cut off and goes on sees the pictures it would have seen."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from cfx.data.chexpert import CheXpert
from cfx.data.datamodule import ChestXrayDataModule
from cfx.data.transforms import build_transform


class Recorder(pl.LightningModule):
    """Notes the rows and the first pixel sums of every step."""

    def __init__(self, manual: bool = False) -> None:
        super().__init__()
        self.automatic_optimization = not manual
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[list[int], float]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.seen.append((batch["index"].tolist(), float(batch["image"].sum())))
        loss = (self.weight * batch["image"].mean()).sum()
        if not self.automatic_optimization:
            for optimizer in self.optimizers():  # two, as in a GAN: global_step counts both
                optimizer.step()
            return None
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        assert not batch["image"].isnan().any()

    def configure_optimizers(self) -> Any:
        one = torch.optim.SGD([self.weight], lr=0.1)
        return one if self.automatic_optimization else ([one, torch.optim.SGD([self.weight], lr=0.1)], [])


def fit(root: Path, folder: Path, steps: int, manual: bool, resume: Path | None = None) -> Recorder:
    module = ChestXrayDataModule(
        CheXpert(root),
        size=16,
        findings=["Cardiomegaly"],
        batch_size=8,
        seed=4,
        transform=build_transform(affine={"shift": 0.1}),
    )
    recorder = Recorder(manual)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=steps * (2 if manual else 1),
        max_epochs=-1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        val_check_interval=3,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=1,
        callbacks=[ModelCheckpoint(folder, every_n_train_steps=2 if manual else 1, save_top_k=-1)],
    )
    trainer.fit(recorder, datamodule=module, ckpt_path=resume)
    return recorder


@pytest.mark.parametrize("manual", [False, True])
def test_resuming_is_exact_within_and_between_epochs(
    chexpert_root: Path, tmp_path: Path, manual: bool
) -> None:
    whole = fit(chexpert_root, tmp_path / "whole", 11, manual)  # four steps an epoch
    assert len(whole.seen) == 11
    for epoch in range(2):
        rows = [row for step in range(4) for row in whole.seen[4 * epoch + step][0]]
        assert sorted(rows) == list(range(32))
    for steps in (2, 4, 6):
        (checkpoint,) = (tmp_path / "whole").glob(f"*step={steps * (2 if manual else 1)}.ckpt")
        rest = fit(chexpert_root, tmp_path / f"rest{steps}", 11, manual, checkpoint)
        assert rest.seen == whole.seen[steps:], f"resumed after {steps} steps"
