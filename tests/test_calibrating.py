"""What validation patients tell a run: its black box at the stated prior, its independent classifier's threshold."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from cfx.calibrating import choose_threshold, notes, recalibrate
from cfx.classifiers.networks import TransferNet
from cfx.data.dataset import ChestXrayDataset
from cfx.errors import BadValue
from cfx.loading import check_given, external_part, load_black_box
from cfx.metrics.calibration import calibration_error
from cfx.runs import Run

SIZE, COUNT = 16, 4000


class Overdone(nn.Module):
    """Reads the mean grey value, three times too sure of itself and four log odds too low."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * (4 * x.mean((1, 2, 3))[:, None]) - 4


def patients(count: int = COUNT, unknown: bool = False) -> ChestXrayDataset:
    """Flat pictures; the finding is drawn with log odds of 4 times the grey value minus 2, so that it is rare."""
    generator = np.random.default_rng(0)
    grey = generator.integers(30, 226, count)
    odds = 4 * (grey / 127.5 - 1) - 2
    label = (generator.random(count) < 1 / (1 + np.exp(-odds))).astype(float)
    if unknown:
        label[3:] = np.nan
    table = pd.DataFrame({"image_id": [f"v{i}" for i in range(count)], "Edema": 0.0, "Cardiomegaly": label})
    images = np.broadcast_to(grey[:, None, None].astype(np.uint8), (count, SIZE, SIZE)).copy()
    return ChestXrayDataset(table, images, ["Edema", "Cardiomegaly"])


def exported(folder: Path, prior: float | None) -> Run:
    """A run whose black box is somebody's exported network."""
    file = folder / "theirs.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Overdone(), torch.zeros(2, 1, SIZE, SIZE)).save(str(file))
    made = {
        "task": {"name": "cardiomegaly", "finding": "Cardiomegaly"},
        "blackbox": {"kind": "exported", "path": str(file), "size": SIZE, "prior": prior, "transfer": None},
    }
    run = Run.create(folder / "run")
    run.write_config(made)
    external_part(made, run.part("blackbox"))
    return run


def asked(run: Run, dataset: ChestXrayDataset) -> Any:
    return load_black_box(run)(dataset.batch(range(len(dataset)))["image"]).numpy()


def test_an_external_black_box_is_brought_to_its_stated_prior(tmp_path: Path) -> None:
    dataset = patients()
    label = dataset.labels[:, 1]
    run = exported(tmp_path, 0.5)
    assert load_black_box(run).prior is None  # nobody knows what somebody else's posterior refers to
    assert calibration_error(asked(run, dataset), label, 0.5) > 0.1
    found = recalibrate(run, dataset)
    assert found is not None and found["prior"] == 0.5 and found["n_positive"] == int(label.sum())
    assert found["scale"] == pytest.approx(1 / 3, rel=0.15)
    assert notes(run) == []
    moved = Run(run.path.rename(tmp_path / "moved"))
    assert json.loads((moved.part("blackbox").path / "calibration.json").read_text())["prior"] == 0.5
    assert load_black_box(moved).prior == 0.5
    assert calibration_error(asked(moved, dataset), label, 0.5) < 0.04
    raw = load_black_box(moved, calibrated=False)
    assert float(raw.logit(torch.zeros(1, 1, SIZE, SIZE))) == pytest.approx(-4)
    recalibrate(moved, dataset)  # again: from the network as it came, so nothing adds up
    assert moved.part("blackbox").calibration() == pytest.approx(found)


@pytest.mark.parametrize("prior", [0.1, 0.3])
def test_another_prior_moves_the_log_odds_by_bayes_rule_alone(tmp_path: Path, prior: float) -> None:
    dataset = patients()
    run = exported(tmp_path, prior)
    recalibrate(run, dataset)
    assert load_black_box(run).prior == prior
    assert calibration_error(asked(run, dataset), dataset.labels[:, 1], prior) < 0.04


def test_a_null_prior_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    dataset = patients(200)
    run = exported(tmp_path, None)
    before = asked(run, dataset)
    assert recalibrate(run, dataset) is None
    assert not (run.part("blackbox").path / "calibration.json").exists()
    assert np.array_equal(asked(run, dataset), before) and load_black_box(run).prior is None


def test_without_labels_the_model_is_left_as_it_is_and_the_run_says_so(tmp_path: Path) -> None:
    dataset = patients(200, unknown=True)
    run = exported(tmp_path, 0.5)
    before = asked(run, dataset)
    found = recalibrate(run, dataset)
    assert found is not None and found["prior"] is None
    assert np.array_equal(asked(run, dataset), before) and load_black_box(run).prior is None
    assert len(notes(run)) == 1 and "left as it is" in notes(run)[0] and "validation images" in notes(run)[0]


@pytest.mark.parametrize("prior", [0.0, 1, 1.5, "half", True])
def test_what_is_no_prior_is_refused_before_anything_is_trained(prior: object) -> None:
    with pytest.raises(BadValue, match=r"blackbox\.prior="):
        check_given({"blackbox": {"kind": "trained", "prior": prior}, "anatomy": {}})


def with_transfer(folder: Path) -> tuple[Run, TransferNet]:
    """A run with an independent classifier of random weights."""
    torch.manual_seed(0)
    network = TransferNet(2, width=8, stages=2).eval()
    run = Run.create(folder / "run")
    run.write_config({"task": {"name": "cardiomegaly", "finding": "Cardiomegaly"}})
    node = {"_target_": "cfx.classifiers.networks.TransferNet", "width": 8, "stages": 2}
    part = run.part("transfer")
    part.write_config(
        {
            "task": {"name": "cardiomegaly", "finding": "Cardiomegaly"},
            "data": {"name": "x", "findings": ["Edema", "Cardiomegaly"]},
            "model": {"name": "classifier", "network": node, "prior": 0.5},
        }
    )
    part.write_weights(network.state_dict())
    return run, network


def test_the_independent_classifier_gets_its_own_threshold(tmp_path: Path) -> None:
    run, network = with_transfer(tmp_path)
    drawn = patients(300)
    with torch.no_grad():
        posterior = network(drawn.batch(range(300))["image"])[:, 0].sigmoid().double().numpy()
    cut = float(np.quantile(posterior, 0.8))  # it tells this rare finding at another posterior than 0.5
    label = (posterior > cut).astype(float)
    label[::50] = np.nan
    dataset = ChestXrayDataset(drawn.table.assign(Cardiomegaly=label), drawn.images, drawn.findings)
    found = choose_threshold(run, dataset)
    assert found is not None and found["youden"] == 1
    known = posterior[~np.isnan(label)]
    assert known[known <= cut].max() < found["threshold"] < known[known > cut].min()
    assert abs(found["threshold"] - 0.5) > 1e-3
    assert run.part("transfer").calibration()["threshold"] == found["threshold"]
    assert notes(run) == []


def test_without_labels_the_threshold_is_one_half_and_the_run_says_so(tmp_path: Path) -> None:
    run, _ = with_transfer(tmp_path)
    assert "no validation patients were asked" in notes(run)[0]
    found = choose_threshold(run, patients(200, unknown=True))
    assert found is not None and found["threshold"] == 0.5 and found["youden"] is None
    assert "threshold is 0.5" in notes(run)[0] and "are needed" in notes(run)[0]


def test_a_run_without_an_independent_classifier_has_no_threshold(tmp_path: Path) -> None:
    run = exported(tmp_path, None)
    assert choose_threshold(run, patients(20)) is None
    assert not run.part("transfer").path.exists()
