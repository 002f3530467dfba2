"""The verb explain on the command line: what it says when something is missing, and what it leaves."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import cfx.explain
import cfx.loading
from cfx.classifiers.blackbox import BlackBox
from cfx.evaluation.familiarity import Familiarity
from cfx.explainers.base import Counterfactual, Explainer
from cfx.measurements import READING_FLOOR
from cfx.runs import Run


class Mean(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.mean(dim=(1, 2, 3))[:, None]


class Still(Explainer):
    """Changes nothing."""

    name = "nothing"

    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        images = image[:, None].expand(-1, targets.shape[1], -1, -1, -1)
        return Counterfactual(images, targets, torch.full_like(targets, 0.5))


PHANTOM = {"source": {"_target_": "cfx.data.phantom.source.Phantom"}}
XRAYS = {"source": {"_target_": "cfx.data.nih_cxr14.NihCxr14"}}


def loaded(path: Path, with_segmenter: bool = True) -> SimpleNamespace:
    """What `load_explainer` returns, without any weights on disk."""
    blackbox = BlackBox(Mean(), finding="Edema")
    empty = lambda images: torch.zeros(len(images), 3, 16, 16)  # noqa: E731
    return SimpleNamespace(
        run=Run(path), config={"data": {"size": 16, **XRAYS}}, explainer=Still(), blackbox=blackbox,
        segmenter=empty if with_segmenter else None, judge=None, transfer=None, finder=None, finder_data=None,
    )  # fmt: skip


def run_it(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["explain", *arguments])
    try:
        cfx.explain.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 24), 90, dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "run=null: names no run; give run=PATH"),
        (["run=somewhere"], "input=null: names no file or folder; give input=PATH"),
        (["run=somewhere", "input=nowhere"], "input='nowhere': there is no such file or folder"),
        (["runn=somewhere"], "did you mean 'run'"),
    ],
)
def test_what_is_missing_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_it(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and line in said[0]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_a_broken_file_goes_through(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: loaded(tmp_path / "run"))
    folder = tmp_path / "films, [2024] a=b"
    picture(folder / "one.png")
    (folder / "two.png").write_text("no picture")
    assert run_it(monkeypatch, "run=run", f"input={folder}", "output=out", "targets=[0,1]") == 2
    said, wrong = capsys.readouterr()
    assert (
        wrong.splitlines()[-1].startswith("error:")
        and "2 files" in wrong
        and "1 could not be explained" in wrong
    )
    assert "written to out" in said and "not checked: whether" in said
    assert "two.png" in said and "failed: not an image" in said and "2 files: 1 explained" in said
    numbers = json.loads((tmp_path / "out" / "one" / "numbers.json").read_text())
    assert numbers["verdict"] == "do not interpret" and "measurement not made" in numbers["reasons"]
    assert [step["target"] for step in numbers["steps"]] == [0.0, 1.0]
    assert (tmp_path / "out" / "one" / "progression.png").is_file()


def test_a_single_broken_file_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: loaded(tmp_path / "run"))
    (tmp_path / "two.png").write_text("no picture")
    assert run_it(monkeypatch, "run=run", "input=two.png") == 2
    assert "not an image" in capsys.readouterr().err.splitlines()[-1]


def test_a_run_without_a_segmenter_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: loaded(tmp_path / "run", False))
    picture(tmp_path / "one.png")
    assert run_it(monkeypatch, "run=run", "input=one.png") == 2
    assert "has no segmenter" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("targets=[a,b]", "is no list of numbers; write targets=[0,0.5,1]"),
        ("targets=[0,2]", "are not posteriors"),
        ("batch=none", "batch='none': is no number of images"),
        ("dicom=maybe", "dicom='maybe': is neither true nor false"),
        ("identifiers=keeep", "did you mean 'keep'"),
        ("pictures=[outline]", "did you mean 'outlines'"),
        ("device=warp", "device='warp': is no device; choose from auto, cpu, cuda, mps"),
        ("device=meta", "device='meta': is no device"),
        ("device=cudaa", "did you mean 'cuda'"),
        ("device=cuda:99", "device='cuda:99': is not here; use device=auto or device=cpu"),
        ("forse=true", "did you mean 'force'"),
    ],
)
def test_settings_that_make_no_sense_are_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    argument: str,
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: loaded(tmp_path / "run"))
    picture(tmp_path / "one.png")
    assert run_it(monkeypatch, "run=run", "input=one.png", argument) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and line in said[0]
    assert not (tmp_path / "explained").exists()


def test_pictures_can_be_chosen_and_a_missing_ffmpeg_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: loaded(tmp_path / "run"))
    for name in ("one", "two"):
        picture(tmp_path / "in" / f"{name}.png")
    arguments = ("run=run", "input=in", "targets=[0,1]", "full_resolution=[]")
    assert run_it(monkeypatch, *arguments, "pictures=[outlines,mp4]") == 0
    assert capsys.readouterr().err.count("no MP4 is written") == 1
    made = sorted(entry.name for entry in (tmp_path / "explained" / "one").iterdir())
    assert made == ["numbers.json", "outlines.png"]
    assert run_it(monkeypatch, *arguments, "pictures=[]", "output=bare") == 0
    assert "MP4" not in capsys.readouterr().err
    assert [entry.name for entry in (tmp_path / "bare" / "two").iterdir()] == ["numbers.json"]


def test_a_second_run_over_its_own_output_keeps_and_adds_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: loaded(tmp_path / "run"))
    for name in ("one", "two"):
        picture(tmp_path / f"{name}.png")
    arguments = ("run=run", "input=.", "targets=[0,1]", "pictures=[progression]")
    assert run_it(monkeypatch, *arguments) == 0
    capsys.readouterr()
    assert run_it(monkeypatch, *arguments) == 0
    assert "2 files: 0 explained, 2 done before, 0 failed" in capsys.readouterr().out


def test_a_folder_of_which_nothing_could_be_explained_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: loaded(tmp_path / "run"))
    for name in ("one", "two"):
        (tmp_path / f"{name}.png").write_text("no picture")
    assert run_it(monkeypatch, "run=run", "input=.", "output=out") == 2
    told = capsys.readouterr()
    assert (
        "2 files: 0 explained, 0 done before, 2 failed" in told.out and "none could be explained" in told.err
    )
    assert (tmp_path / "out" / "summary.csv").is_file()


def test_dicom_is_written_and_says_so_in_the_numbers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write_dicom: Callable[..., Path]
) -> None:
    pytest.importorskip("highdicom")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: loaded(tmp_path / "run"))
    write_dicom(tmp_path / "one.dcm", np.arange(480, dtype=np.uint16).reshape(20, 24))
    arguments = ("input=one.dcm", "targets=[0,1]", "pictures=[]", "dicom=true", "identifiers=keep")
    assert run_it(monkeypatch, "run=run", *arguments) == 0
    numbers = json.loads((tmp_path / "explained" / "one" / "numbers.json").read_text())
    assert numbers["files"] == ["dicom/c000.dcm", "dicom/c100.dcm", "numbers.json"]
    assert numbers["dicom"] == "keep"
    assert all((tmp_path / "explained" / "one" / name).is_file() for name in numbers["files"])


def with_transfer(folder: Path, calibrated: float | None = None, evaluated: float | None = None) -> Any:
    """A loaded run with an independent classifier, and what its validation patients and its evaluation say of it."""
    run = Run.create(folder / "run")
    found = loaded(folder / "run")
    found.run, found.transfer = run, BlackBox(Mean(), finding="Edema")
    if calibrated is not None:
        run.part("transfer").write_calibration({"threshold": calibrated})
    if evaluated is not None:
        run.evaluation.write_metrics({"transfer": {"threshold": evaluated}})
    return found


@pytest.mark.parametrize(
    ("calibrated", "evaluated", "threshold", "source"),
    [
        (0.31, None, 0.31, "calibration"),
        (0.31, 0.5, 0.31, "calibration"),
        (None, 0.42, 0.42, "evaluation"),
        (None, None, 0.5, "default"),
    ],
)
def test_the_independent_classifier_keeps_the_threshold_that_its_patients_chose(
    tmp_path: Path, calibrated: float | None, evaluated: float | None, threshold: float, source: str
) -> None:
    tools = cfx.explain.tools_of(with_transfer(tmp_path, calibrated, evaluated))
    assert (tools.threshold, tools.threshold_source) == (threshold, source)


def test_the_numbers_name_the_thresholds_that_the_verdict_went_by(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "one.png")
    made = with_transfer(tmp_path / "made", 0.31)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (250, 16, 16), dtype=np.uint8)
    familiar = Familiarity.fit(pixels[:220], pixels[220:])
    assert familiar is not None
    familiar.save(made.run)
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: made)
    arguments = (
        "run=run",
        "input=one.png",
        "targets=[0,1]",
        "pictures=[]",
        "full_resolution=[]",
        "output=out",
    )
    assert run_it(monkeypatch, *arguments) == 0
    found = json.loads((tmp_path / "out" / "one" / "numbers.json").read_text())["thresholds"]
    assert found["transfer"] == {"value": 0.31, "source": "validation patients, when the run was trained"}
    limits = (found["familiarity"]["q"], found["familiarity"]["t_squared"])
    assert limits == pytest.approx(familiar.limits.tolist()) and "99%" in found["familiarity"]["source"]
    # without either there is nothing to name, and another threshold is another result
    made.transfer = None
    (made.run.part("familiarity").weights_file).unlink()
    assert run_it(monkeypatch, *arguments) == 0
    found = json.loads((tmp_path / "out" / "one" / "numbers.json").read_text())["thresholds"]
    assert found == {"transfer": None, "familiarity": None, "thorax_change": 0.04, "old_border_left": 0.4}


def test_the_lowest_and_the_highest_target_are_drawn_at_full_resolution(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: loaded(tmp_path / "run"))
    picture(tmp_path / "one.png")
    arguments = ("run=run", "input=one.png", "pictures=[]")
    for name, targets, ends in (("a", [0.2, 0.5, 0.8], [0.2, 0.8]), ("b", [0.5], [0.5])):
        assert run_it(monkeypatch, *arguments, f"output={name}", f"targets={targets}".replace(" ", "")) == 0
        found = json.loads((tmp_path / name / "one" / "numbers.json").read_text())
        assert found["full_resolution_targets"] == ends
        assert (
            run_it(monkeypatch, *arguments, f"output={name}0", "targets=[0.2,0.5]", "full_resolution=[]") == 0
        )
        assert (
            json.loads((tmp_path / f"{name}0" / "one" / "numbers.json").read_text())[
                "full_resolution_targets"
            ]
            == []
        )
    capsys.readouterr()
    assert run_it(monkeypatch, *arguments, "output=other", "targets=[0.5]", "full_resolution=[0.7]") == 2
    assert "full_resolution=[0.7]: are not among the targets" in capsys.readouterr().err
    assert run_it(monkeypatch, *arguments, "output=other", "full_resolution=end") == 2
    assert "write full_resolution=ends, [] or [0,1]" in capsys.readouterr().err


def test_devices_that_a_detector_misses_are_not_called_checked(tmp_path: Path) -> None:
    made = loaded(tmp_path / "run")
    made.run = Run.create(tmp_path / "run")
    made.config = {"data": {"size": 16, **PHANTOM}, "task": {"measurement": "recess", "direction": "down"}}
    made.finder, made.finder_data = object(), PHANTOM
    assert cfx.explain.tools_of(made).overlooked == ("pacemaker", "line", "tube")
    found = {"pacemaker": 0.99, "line": 0.34, "tube": None}
    made.run.evaluation.write_metrics({"detector": {"by_class": found}})
    tools = cfx.explain.tools_of(made)
    assert tools.overlooked == ("line", "tube")
    assert "whether lines and tubes stay (the detector misses too many)" in tools.not_checked


def test_a_threshold_that_nobody_chose_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "one.png")
    arguments = ("run=run", "input=one.png", "targets=[0,1]", "pictures=[]", "full_resolution=[]")
    for calibrated, warned in ((None, 1), (0.3, 0)):
        made = with_transfer(tmp_path / str(calibrated), calibrated)
        monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device, made=made: made)
        assert run_it(monkeypatch, *arguments, f"output=out{calibrated}") == 0
        assert capsys.readouterr().err.count("warning: the independent classifier") == warned


@pytest.mark.parametrize(
    ("measurement", "trained_on", "data", "read_by"),
    [
        ("ctr", None, XRAYS, "ctr"),
        ("lung_haze", None, XRAYS, "haze"),
        ("none", XRAYS, XRAYS, None),
        ("recess", None, XRAYS, None),
        ("recess", PHANTOM, XRAYS, None),
        ("recess", PHANTOM, PHANTOM, "scp"),
        ("recess", XRAYS, XRAYS, "scp"),
    ],
)
def test_a_verdict_goes_by_what_the_task_is_read_by_and_a_phantom_detector_scores_no_x_ray(
    tmp_path: Path, measurement: str, trained_on: Any, data: Any, read_by: str | None
) -> None:
    made = loaded(tmp_path / "run")
    made.config = {"data": {"size": 16, **data}, "task": {"measurement": measurement, "direction": "up"}}
    made.finder, made.finder_data = None if trained_on is None else object(), trained_on
    tools = cfx.explain.tools_of(made)
    assert tools.read_by == read_by
    assert (tools.finder is not None) == (trained_on is data)
    assert tools.direction == 1
    assert any("phantoms alone" in what for what in tools.not_checked) == (data is PHANTOM)


def test_lung_haze_has_a_reading_floor_only_where_an_evaluation_measured_it(tmp_path: Path) -> None:
    made = loaded(tmp_path / "run")
    made.run = Run.create(tmp_path / "run")
    assert cfx.explain.floor_of(made, "ctr") == READING_FLOOR
    assert cfx.explain.floor_of(made, "haze") == 0
    assert cfx.explain.floor_of(made, "scp") == READING_FLOOR
    sections = {"ctr": {}, "haze": {"repeat_error": 0.04}, "scp": {"repeat_error": 0.11}}
    made.run.evaluation.write_metrics({"clinical": sections})
    assert [cfx.explain.floor_of(made, name) for name in ("ctr", "scp", "haze")] == [
        READING_FLOOR,
        0.11,
        0.04,
    ]
    made.config = {"data": {"size": 16, **XRAYS}, "task": {"measurement": "lung_haze", "direction": "up"}}
    assert cfx.explain.tools_of(made).floor == 0.04


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = iter(range(0, 1000, 12))
    progress = cfx.explain.Progress(10, every=30, clock=lambda: float(next(seconds)))
    for _ in range(10):
        progress()
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{done} of 10 images, about {(10 - done) * 12 / 60:.0f} min left" for done in (3, 6, 9)]


def test_an_interrupted_folder_ends_in_one_line_and_its_summary_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    class Tired(Still):
        calls = 0

        def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
            Tired.calls += 1
            if Tired.calls == 3:
                raise KeyboardInterrupt
            return super().explain(image, targets)

    monkeypatch.chdir(tmp_path)
    made = loaded(tmp_path / "run")
    made.explainer = Tired()
    monkeypatch.setattr(cfx.loading, "load_explainer", lambda run, device: made)
    for name in "abcd":
        picture(tmp_path / "in" / f"{name}.png")
    arguments = ("run=run", "input=in", "output=out", "targets=[0,1]", "pictures=[]", "batch=1")
    assert run_it(monkeypatch, *arguments) == 130
    said = capsys.readouterr()
    assert said.err.splitlines() == ["interrupted: 2 of 4 images done; the same command goes on from there"]
    assert said.out == ""
    lines = (tmp_path / "out" / "summary.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [["a.png", "done"], ["b.png", "done"]]
    assert run_it(monkeypatch, *arguments) == 0
    assert "4 files: 2 explained, 2 done before, 0 failed" in capsys.readouterr().out
