"""The work behind a stage, without the training itself."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cfx import stages
from cfx.classifiers.module import Classifier
from cfx.cli import compose, plain
from cfx.runs import Run


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A folder with a table of 120 patients, a picture each, of whom a third validates."""
    generator = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(120)]
    for name in names:
        Image.fromarray(generator.integers(0, 256, (64, 64), dtype=np.uint8)).save(tmp_path / name)
    split = ["train", "valid", "test"] * 40
    label = np.arange(120) // 3 % 2
    pd.DataFrame({"path": names, "patient_id": names, "split": split, "Cardiomegaly": label}).to_csv(
        tmp_path / "table.csv", index=False
    )
    return tmp_path


def test_a_classifier_is_calibrated_on_all_validation_pictures_by_one_of_two_processes(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["model=classifier", "data=table", f"data.root={table}", "data.size=64", "trainer=cpu"]
    config = plain(compose("train", given))
    seen: list[int] = []

    def trained(config: Any, run: Run, module: Any, data: Any, **_: Any) -> Any:
        """As Lightning leaves a data module behind: it still knows the trainer, of two processes."""
        device = SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = SimpleNamespace(global_rank=0, world_size=2, strategy=device)
        return module

    def calibrate(self: Classifier, batches: Any, prior: float = 0.5) -> None:
        seen.extend(number for batch in batches for number in batch["index"].tolist())

    monkeypatch.setattr(stages, "fit", trained)
    monkeypatch.setattr(stages, "measure_part", lambda *_, **__: None)
    monkeypatch.setattr(Classifier, "calibrate", calibrate)
    session = stages.Session({str(key): value for key, value in config.items()}, tmp_path / "runs")
    session._train_part(session.config, Run.create(tmp_path / "runs/classifier"), "classifier")
    assert sorted(seen) == list(range(40))
