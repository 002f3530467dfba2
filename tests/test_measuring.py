"""What an evaluation writes down beside its figures: warnings about who was trained on whom, and who measured."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cfx import measuring
from cfx.cli import compose, plain
from cfx.data.annotations import Annotations
from cfx.evaluation.familiarity import Familiarity
from cfx.runs import Evaluation, Run


def config(root: Path, *overrides: str) -> dict[str, Any]:
    """A run's configuration on a table of small pictures."""
    given = ["data=table", f"data.root={root}", "data.size=16", *overrides]
    return plain(compose("train", given))


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
    run.part("blackbox").write_config({key: own[key] for key in ("task", "data", "seed")})
    run.part("blackbox").write_weights({"weight": torch.zeros(1)})
    Familiarity(torch.zeros(4), torch.zeros(2, 4), torch.ones(2), torch.ones(2)).save(run)
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
    assert words in found[0] and found[0].startswith(("explainer: ", "evaluation.split"))
    assert len(found) == (1 if "split=train" in change else 2)  # of the black box too


def test_a_segmenter_of_the_loss_that_measures_is_warned_of(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = config(table)
    (found,) = warned(tmp_path, monkeypatch, own, own, judge=None)
    assert "no evaluation segmenter" in found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("evaluation.split=test", True),
        ("evaluation.split=valid", True),
        ("evaluation.split=train", False),
        ("data.splits.seed=2", False),
        ("data.views=[LATERAL]", False),
    ],
)
def test_posteriors_of_training_images_are_compared_on_the_runs_own_data(
    change: str, told: bool, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, wanted = config(table, "seed=1"), config(table, "seed=1", change)
    run = Run.create(tmp_path / "run")
    run.write_config(own)
    run.part("blackbox").write_config(
        {key: own[key] for key in ("task", "data", "seed")} | {"model": {"part": "blackbox"}}
    )
    run.part("blackbox").write_weights({"weight": torch.zeros(1)})
    names = pd.read_csv(table / "table.csv")["path"].tolist()
    posterior = np.linspace(0, 1, len(names), dtype=np.float32)
    Annotations(names, posterior=posterior).save(run.path / "annotations")
    rows = pd.DataFrame(
        {"image_id": ["x", "x", "y"], "patient_id": "x", "p_before": [0.3, 0.3, 0.6], "label": 1.0}
    )
    found = {"blackbox": {"posterior_histogram": None}, "warnings": []}
    monkeypatch.setattr(measuring, "evaluate", lambda *_, **__: (rows, found))
    monkeypatch.setattr(measuring, "write_examples", lambda *_, **__: None)
    made = SimpleNamespace(
        explainer=None, blackbox=None, finder=None, finder_data=None, run=run, judge=object(), segmenter=object(),
        transfer=None, threshold=0.5,
    )  # fmt: skip
    metrics = measuring.evaluate_into(Evaluation(tmp_path / "there"), made, wanted)  # type: ignore[arg-type]
    section = metrics["blackbox"]["posterior_histogram"]
    assert (section is not None) == told
    if told:
        assert section["n_test"] == 2 and section["apart"] is False
        assert 30 < section["n_train"] < 60 and sum(section["train"]) == section["n_train"]
