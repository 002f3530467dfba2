"""What an evaluation writes down beside its figures: warnings about who was trained on whom, and who measured."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from PIL import Image

from cfx import measuring
from cfx.cli import compose
from cfx.runs import Evaluation, Run


def config(root: Path, *overrides: str) -> dict[str, Any]:
    """A run's configuration on a table of small pictures."""
    given = ["data=table", f"data.root={root}", "data.size=16", *overrides]
    plain = OmegaConf.to_container(compose("train", given), resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A folder with a table of 60 patients, a picture each, that names no splits."""
    root = tmp_path / "their data"
    root.mkdir()
    generator = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(60)]
    for name in names:
        Image.fromarray(generator.integers(0, 256, (16, 16), dtype=np.uint8)).save(root / name)
    label = np.arange(60) % 2
    pd.DataFrame({"path": names, "patient_id": names, "Cardiomegaly": label}).to_csv(
        root / "table.csv", index=False
    )
    return root


def warned(
    folder: Path, monkeypatch: pytest.MonkeyPatch, own: dict[str, Any], wanted: dict[str, Any], **loaded: Any
) -> list[str]:
    """The warnings of an evaluation whose pictures nobody draws."""
    run = Run.create(folder / "run")
    run.write_config(own)
    given = {
        "run": run,
        "judge": object(),
        "segmenter": object(),
        "transfer": None,
        "threshold": 0.5,
    } | loaded
    monkeypatch.setattr(measuring, "evaluate", lambda *_, **__: (pd.DataFrame(), {"warnings": ["thin"]}))
    monkeypatch.setattr(measuring, "write_examples", lambda *_, **__: None)
    made = SimpleNamespace(explainer=None, blackbox=None, finder=None, finder_data=None, **given)
    metrics = measuring.evaluate_into(Evaluation(folder / "there"), made, wanted)  # type: ignore[arg-type]
    found = Evaluation(folder / "there").metrics()["warnings"]
    assert found == metrics["warnings"] and found[0] == "thin"
    return list(found[1:])


def test_a_run_on_its_own_test_patients_warns_of_nothing(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = config(table, "seed=1")
    assert warned(tmp_path, monkeypatch, own, own) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("evaluation.split=train", "the explainer was trained on this part of data=table"),
        ("seed=2", "data.splits of seed 1 and not 2"),
        ("data.splits.fold=0", "fold None and not 0"),
    ],
)
def test_pictures_that_may_have_been_trained_on_are_warned_of(
    change: str, words: str, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = warned(tmp_path, monkeypatch, config(table, "seed=1"), config(table, "seed=1", change))
    assert len(found) == 1 and words in found[0]


def test_a_segmenter_of_the_loss_that_measures_is_warned_of(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = config(table)
    (found,) = warned(tmp_path, monkeypatch, own, own, judge=None)
    assert "no evaluation segmenter" in found
