"""The verb evaluate on the command line: mistakes around pairs in one line, and pairs scored by what is named."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

import cfx.assembly
import cfx.chain
import cfx.evaluate
import cfx.instruments
import cfx.loading
from cfx.anatomy.networks import UNet
from cfx.classifiers.blackbox import BlackBox
from cfx.classifiers.networks import SmallNet
from cfx.cli import compose, plain
from cfx.errors import BadValue
from cfx.evaluation.summary import KEYS
from cfx.runs import Run


class Mean(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return 8 * image.mean(dim=(1, 2, 3))[:, None]


def run_it(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["evaluate", *arguments])
    try:
        cfx.evaluate.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def pairs(place: Path, count: int = 6) -> Path:
    """Pictures of rising grey, each drawn white and black."""
    place.mkdir(parents=True)
    rows = []
    for number in range(count):
        grey = np.full((16, 16), 40 + 30 * number, dtype=np.uint8)
        Image.fromarray(grey).save(place / f"{number}.png")
        for target, value in ((0, 10), (1, 245)):
            name = f"{number}-{target}.png"
            Image.fromarray(np.full((16, 16), value, dtype=np.uint8)).save(place / name)
            rows.append(
                {"image": f"{number}.png", "counterfactual": name, "target": target, "patient_id": number}
            )
    pd.DataFrame(rows).to_csv(place / "pairs.csv", index=False)
    return place


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "run=null: names no run; give run=FOLDER, or pairs=FOLDER"),
        (["pairs=own"], "output=null: scored pairs need a folder of their own"),
        (["pairs=own", "pairs_out=more", "output=o"], "pairs_out='more': pairs are read already"),
        (["pairs=nowhere", "output=o"], "pairs='nowhere': no such folder"),
        (["pairs=empty", "output=o"], "holds no pairs.csv"),
        (["pairs=own", "output=o", "task=cardiomegally"], "did you mean 'cardiomegaly'"),
        (["pairs=own", "output=o"], "blackbox='trained': no such classifier has been trained"),
        (
            ["pairs=own", "output=o", "blackbox=checkpoint", "blackbox.path=gone"],
            "blackbox.path='gone': there is no such folder",
        ),
        (
            ["pairs=own", "output=o", "blackbox=exported", "blackbox.path=gone.pt"],
            "blackbox.path='gone.pt': there is no such file",
        ),
        (["pairs=own", "output=o", "run=gone"], "run='gone': there is no such folder"),
        (["pairs=own", "output=taken"], "output='taken': holds an evaluation already"),
        (["pair=own", "output=o"], "run=null: names no run"),
        (["pairs_out=o"], "run=null: names no run"),
    ],
)
def test_a_mistake_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    pairs(tmp_path / "own")
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "metrics.json").write_text("{}")
    assert run_it(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and line in said[0]
    assert not (tmp_path / "o").exists()


def part(folder: Path, network: nn.Module, model: dict[str, Any], **more: Any) -> Run:
    """A trained part's run on disk, as the chain leaves one."""
    run = Run.create(folder)
    run.write_config({"model": model, "data": {"name": "phantom", "size": 16, **more}, "seed": 0,
                      "task": {"name": "cardiomegaly", "finding": "Cardiomegaly"}})  # fmt: skip
    run.write_weights(network.state_dict())
    run.mark_finished()
    return run


def test_pairs_are_scored_by_a_black_box_and_a_segmenter_from_disk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    small = {"_target_": "cfx.classifiers.networks.SmallNet", "width": 8, "stages": 2}
    net = SmallNet(1, width=8, stages=2)
    net.set_calibration(torch.ones(1), torch.zeros(1), 0.3)
    part(
        tmp_path / "box, a=b",
        net,
        {"name": "classifier", "network": small, "prior": 0.3},
        findings=["Cardiomegaly"],
    )
    unet = {"_target_": "cfx.anatomy.networks.UNet", "width": 8}
    part(tmp_path / "lungs", UNet(width=8), {"name": "segmenter", "network": unet})
    folder = pairs(tmp_path / "their pairs, [v2]")
    arguments = (
        "task=cardiomegaly", "blackbox=checkpoint", "blackbox.path=box, a=b", "anatomy=checkpoint",
        "anatomy.path=lungs", "evaluation.resamples=20", "evaluation.targets=[0,1]",
    )  # fmt: skip
    assert run_it(monkeypatch, f"pairs={folder}", *arguments, "output=scored", "method=theirs") == 0
    assert "theirs: 6 images of 6 patients" in capsys.readouterr().out
    scored = tmp_path / "scored"
    metrics = json.loads((scored / "metrics.json").read_text())
    assert list(metrics) == list(KEYS)
    assert metrics["method"] == "theirs" and metrics["blackbox"]["prior"] == 0.3
    assert metrics["transfer"] is None and metrics["oracle"] is None
    assert metrics["blackbox"]["posterior_histogram"] is None  # nobody knows what theirs was trained on
    assert any("without a redrawing" in text for text in metrics["warnings"])
    rows = pd.read_parquet(scored / "counterfactuals.parquet")
    assert len(rows) == 12 and rows["p_after"].notna().all()
    assert yaml.safe_load((scored / "config.yaml").read_text())["pairs"].endswith("their pairs, [v2]")
    assert (scored / "report.html").stat().st_size > 1000
    assert run_it(monkeypatch, f"pairs={folder}", *arguments, "output=scored") == 2
    assert "holds an evaluation already" in capsys.readouterr().err


def test_a_bad_table_stops_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = pairs(tmp_path / "own")
    table = pd.read_csv(folder / "pairs.csv")
    table.assign(target=[7, *table["target"][1:]]).to_csv(folder / "pairs.csv", index=False)
    assert run_it(monkeypatch, "pairs=own", "output=o") == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and "row 1, target='7': is no posterior" in said[0]
    assert not (tmp_path / "o").exists()


def test_a_run_without_a_segmenter_can_not_score(tmp_path: Path) -> None:
    loaded: Any = SimpleNamespace(judge=None, segmenter=None, run=Run(tmp_path))
    with pytest.raises(BadValue, match="has no segmenter"):
        cfx.instruments.instruments_of_run(loaded, {"data": {"size": 16}}, "cpu")


def test_a_run_gives_its_own_instruments(tmp_path: Path) -> None:
    box = BlackBox(Mean(), finding="Cardiomegaly")
    loaded: Any = SimpleNamespace(
        judge=None,
        segmenter=len,
        blackbox=box,
        transfer=None,
        threshold=0.31,
        finder=None,
        finder_data=None,
        run=Run(tmp_path),
    )
    found = cfx.instruments.instruments_of_run(loaded, {"data": {"size": 16}}, "cpu")
    assert found.blackbox is box and found.judge is len and found.familiar is None and found.size == 16
    assert found.threshold == 0.31 and found.finder is None
    assert len(found.notes) == 1 and "no evaluation segmenter" in found.notes[0]


def composed(root: Path, *overrides: str) -> dict[str, Any]:
    """A configuration of pleural effusion on the phantom whose untrained parts lie where trained ones would."""
    small = [f"{name}.network.width=8" for name in ("blackbox.model", "blackbox.transfer", "anatomy.judge")]
    config = plain(compose("train", ["task=pleural_effusion", "data.size=64", *small, *overrides]))
    for role, own in cfx.chain.part_configs(config).items():
        if role in ("blackbox", "transfer", "judge", "box_judge"):
            run = Run.create(cfx.chain.run_of(own, root).path)
            run.write_config(own)
            run.write_weights(cfx.assembly.network(own).state_dict())
    return config


def test_a_composition_brings_its_classifiers_threshold_and_its_detector(tmp_path: Path) -> None:
    config = composed(tmp_path)
    found = cfx.instruments.instruments_of_config(config, tmp_path, "cpu")
    assert found.transfer is not None and found.threshold == 0.5
    assert len(found.notes) == 1 and "threshold is 0.5: no validation patients were asked" in found.notes[0]
    assert found.finder is not None and found.finder_trained_on == "phantom"
    parts = {role: cfx.chain.run_of(own, tmp_path) for role, own in cfx.chain.part_configs(config).items()}
    parts["transfer"].write_calibration({"threshold": 0.31, "note": None})
    found = cfx.instruments.instruments_of_config(config | {"detector": {"kind": "none"}}, tmp_path, "cpu")
    assert found.threshold == 0.31 and found.notes == () and found.finder is None
    # pictures of a black box that was not trained here may be X-rays, which a detector of phantoms does not know
    detector = cfx.instruments._detector
    assert detector(config, parts, None) is None
    assert detector(config, parts, {"source": {"_target_": "cfx.data.nih_cxr14.NihCxr14"}}) is None
    used = detector(config, parts, config["data"])
    assert used is not None and used.path == parts["box_judge"].path


@pytest.mark.parametrize(
    ("written", "threshold"), [({"threshold": 0.31}, 0.31), ({"threshold": None}, None), ({}, None)]
)
def test_the_threshold_is_that_of_the_classifiers_calibration(
    written: dict[str, Any], threshold: float | None, tmp_path: Path
) -> None:
    run = Run.create(tmp_path / "transfer")
    run.write_calibration(written)
    assert cfx.loading.chosen_threshold(run) == threshold
