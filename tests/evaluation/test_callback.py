"""The figures at validation time, and where their pictures go."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import toy
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader

from cfx.evaluation.callback import STRIP, ClinicalCallback, sheet
from cfx.evaluation.explained import MARK


class Module(pl.LightningModule):
    """A model with one weight: how far off the explainer aims."""

    def __init__(self) -> None:
        super().__init__()
        self.off = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.off**2

    def validation_step(self, batch: Tensor, batch_idx: int) -> None: ...

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(world: Any, folder: Path, **more: Any) -> tuple[pl.Trainer, list[toy.Faithful]]:
    """Train for two steps with a validation after each."""
    box, made = toy.ToyBox(), []

    def explainer(module: pl.LightningModule) -> toy.Faithful:
        made.append(toy.Faithful(box, off=float(module.off)))
        return made[-1]

    callback = ClinicalCallback(
        world[1], box, toy.judge, explainer, size=8, shown=3, folder=folder / "pictures", **more
    )
    trainer = pl.Trainer(
        max_steps=2, val_check_interval=1, accelerator="cpu", devices=1, callbacks=[callback],
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, enable_checkpointing=False,
        logger=[CSVLogger(folder, "csv"), TensorBoardLogger(str(folder), "tb")], log_every_n_steps=1,
    )  # fmt: skip
    data = DataLoader(torch.zeros(2, 1), batch_size=1)
    trainer.fit(Module(), data, data)
    return trainer, made


@pytest.mark.filterwarnings("ignore")
def test_figures_and_pictures_reach_the_loggers(toy_world: Any, tmp_path: Path) -> None:
    trainer, made = fit(toy_world, tmp_path)
    assert len(made) == 2
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert found["valid/reach"] == 1
    assert found["valid/target_mae"] < 0.02
    assert found["valid/ctr_moved_right_up"] == found["valid/ctr_moved_right_down"] == 1
    assert found["valid/ctr_shift_up"] > 0.1
    assert found["valid/ctr_shift_down"] < -0.1
    csv = next(tmp_path.glob("csv/*/metrics.csv")).read_text()
    assert "valid/ctr_gap_closed_up" in csv.splitlines()[0]
    events = b"".join(path.read_bytes() for path in tmp_path.glob("tb/*/events*"))
    assert b"progressions" in events
    pictures = sorted((tmp_path / "pictures").glob("*.png"))
    assert len(pictures) == 2
    with Image.open(pictures[0]) as picture:
        assert picture.size == (6 * toy.SIZE, 3 * toy.SIZE + STRIP)
        assert picture.text["Description"] == MARK  # type: ignore[attr-defined]
        below = np.asarray(picture)[3 * toy.SIZE :]
        assert below.max() > 200 and (below == 0).mean() > 0.5  # letters on dark ground, below the pictures


@pytest.mark.filterwarnings("ignore")
def test_without_a_segmenter_only_validity_is_logged(toy_world: Any, tmp_path: Path) -> None:
    box = toy.ToyBox()
    callback = ClinicalCallback(toy_world[1], box, None, lambda module: toy.Faithful(box), size=4)
    trainer = pl.Trainer(
        max_steps=1, accelerator="cpu", devices=1, callbacks=[callback], enable_progress_bar=False, logger=False,
        enable_model_summary=False, num_sanity_val_steps=0, enable_checkpointing=False,
    )  # fmt: skip
    data = DataLoader(torch.zeros(1, 1), batch_size=1)
    trainer.fit(Module(), data, data)
    names = set(trainer.callback_metrics)
    assert "valid/reach" in names
    assert not any(name.startswith("valid/ctr_") for name in names)


def test_sheet_lays_progressions_out_in_rows() -> None:
    source, drawn = torch.full((2, 1, 4, 4), -1.0), torch.full((2, 3, 1, 4, 4), 1.0)
    source[1] = 0.0
    found = sheet(source, drawn)
    assert found.shape == (8, 16)
    assert found[:4, :4].max() == 0
    assert np.unique(found[4:, :4]).tolist() == [128]
    assert found[:, 4:].min() == 255


def test_the_set_is_the_same_at_every_validation_and_split_over_processes(toy_world: Any) -> None:
    box = toy.ToyBox()
    callback = ClinicalCallback(toy_world[1], box, None, lambda module: toy.Faithful(box), size=8)
    first = callback._choose(torch.device("cpu"))
    assert torch.equal(first, callback._choose(torch.device("cpu")))
    group = box(first)
    assert (group < 0.2).sum() == (group > 0.8).sum() == 8
    assert ((group >= 0.2) & (group <= 0.8)).sum() == 4
    for rank in (0, 1):
        share = group[rank::2]
        assert (share < 0.2).sum() >= 3
        assert (share > 0.8).sum() >= 3
