"""Explaining image files: numbers, pictures, full resolution, verdicts, resuming, and files that are broken."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cfx.classifiers.blackbox import BlackBox
from cfx.data.reading import read_image
from cfx.errors import BadImage, BadValue, MissingPath
from cfx.evaluation.explain_files import (
    Settings,
    Tools,
    explain_files,
    find_images,
    folder_names,
    reasons_against,
)
from cfx.evaluation.explained import Reading, Step, outcome_table
from cfx.explainers.base import Counterfactual, Edits, Explainer
from cfx.explainers.gan.edit import apply_edit
from cfx.reporting.explained_figure import draw_explained

SIZE, GRID = 32, 8


class Brightness(nn.Module):
    """A classifier whose logit rises with the grey value of the picture's middle."""

    def forward(self, image: Tensor) -> Tensor:
        return 6.0 * image[:, :, 12:20, 12:20].mean(dim=(1, 2, 3))[:, None]


class Brighter(Explainer):
    """Adds to the middle of the picture what the posterior asked for needs: a residual on a coarse grid."""

    name = "brighter"

    def __init__(self, blackbox: BlackBox) -> None:
        super().__init__()
        self.blackbox = blackbox
        self.calls = 0

    @torch.no_grad()
    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        self.calls += 1
        steps = targets.shape[1]
        wanted = torch.logit(targets.clamp(0.02, 0.98)) - self.blackbox.logit(image)[:, None]
        residual = torch.zeros(1, steps, 1, GRID, GRID)
        residual[..., 2:6, 2:6] = (wanted / 6.0)[..., None, None, None]
        field = torch.zeros(1, steps, 2, GRID, GRID)
        images = apply_edit(image.expand(steps, -1, -1, -1), field[0], residual[0])
        return Counterfactual(images[None], targets, self.blackbox(images)[None], Edits(field, residual))


def bands(images: Tensor) -> Tensor:
    """Masks of a chest: lungs that always span 0.75 of the width, a heart that is wider in a brighter picture."""
    masks = torch.zeros(len(images), 3, 32, 32)
    masks[:, 1, 8:24, 20:28] = 1.0
    masks[:, 2, 8:24, 4:12] = 1.0
    for mask, image in zip(masks, images, strict=True):
        half = int((6 + 5 * image[0, 12:20, 12:20].mean()).round())
        mask[0, 12:24, 16 - half : 16 + half] = 1.0
    return masks


@pytest.fixture
def tools() -> Tools:
    blackbox = BlackBox(Brightness(), finding="Cardiomegaly")
    return Tools(Brighter(blackbox), blackbox, bands, blackbox, SIZE, run="toy", draw=draw_explained)


def write(path: Path, height: int, width: int, grey: float = 0.25) -> Path:
    """A textured picture with fine detail, so that any resampling of it would show."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(height + width)
    pixels = np.clip(grey + 0.2 * rng.standard_normal((height, width)), 0, 1)
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(path)
    return path


def numbers_of(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "numbers.json").read_text())
    return found


def test_one_file_leaves_a_strip_numbers_and_full_resolution(tools: Tools, tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "chest.png", 90, 61)
    outcomes = explain_files([path], path.parent, tmp_path / "out", tools, Settings(), echo=lambda line: None)
    folder = tmp_path / "out" / "chest"
    assert outcomes[0].status == "done" and outcomes[0].numbers == numbers_of(folder)
    assert sorted(entry.name for entry in folder.iterdir()) == [
        "full_resolution_c000.png",
        "full_resolution_c100.png",
        "numbers.json",
        "progression.png",
    ]
    numbers = outcomes[0].numbers
    assert numbers is not None and (numbers["height"], numbers["width"], numbers["size"]) == (90, 61, SIZE)
    assert [step["target"] for step in numbers["steps"]] == [round(0.1 * i, 1) for i in range(11)]
    reached = [step["posterior"] for step in numbers["steps"]]
    assert reached[5] == pytest.approx(0.5, abs=0.05) and reached == sorted(reached)
    assert numbers["original"]["ctr"] < numbers["steps"][-1]["ctr"]
    assert (numbers["run"], numbers["method"], numbers["finding"]) == ("toy", "brighter", "Cardiomegaly")


def test_full_resolution_has_the_files_own_size_and_only_the_middle_changed(
    tools: Tools, tmp_path: Path
) -> None:
    path = write(tmp_path / "chest.png", 150, 111)
    settings = Settings(mark=False)
    explain_files([path], tmp_path, tmp_path / "out", tools, settings, echo=lambda line: None)
    original = read_image(path)
    drawn = read_image(tmp_path / "out" / "chest" / "full_resolution_c100.png")
    assert drawn.shape == (150, 111)
    # Texture stays where the residual is smooth: what changed has no fine detail.
    change = drawn - original
    assert np.abs(change[:8]).max() < 0.02 and change[70:80, 50:60].mean() > 0.1
    open_pixels = (drawn[50:100, 40:70] > 0.01) & (drawn[50:100, 40:70] < 0.99)
    rough = np.abs(np.diff(change[50:100, 40:70], axis=0))[open_pixels[1:] & open_pixels[:-1]]
    assert rough.max() < 0.03


def test_full_resolution_is_scored_again_and_agrees(tools: Tools, tmp_path: Path) -> None:
    path = write(tmp_path / "chest.png", 96, 96)
    outcome = explain_files([path], tmp_path, tmp_path / "out", tools, Settings(), echo=lambda line: None)[0]
    assert outcome.numbers is not None
    last = outcome.numbers["steps"][-1]
    assert last["full_resolution"]["posterior"] == pytest.approx(last["posterior"], abs=0.05)


def test_the_mark_is_seen_and_can_be_switched_off_but_the_note_stays(tools: Tools, tmp_path: Path) -> None:
    path = write(tmp_path / "chest.png", 200, 120)
    corners: list[npt.NDArray[np.float32]] = []
    for mark in (True, False):
        out = tmp_path / f"out{mark}"
        explain_files([path], tmp_path, out, tools, Settings(mark=mark), echo=lambda line: None)
        drawn = out / "chest" / "full_resolution_c000.png"
        corners.append(read_image(drawn)[-6:, :60])
        with Image.open(drawn) as picture:
            assert picture.info["Description"] == "synthetic counterfactual"
    assert np.abs(corners[0] - corners[1]).mean() > 0.1


def test_a_broken_file_does_not_end_the_folder(tools: Tools, tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.png", 40, 40)
    whole = write(tmp_path / "in" / "b.jpg", 64, 64).read_bytes()
    (tmp_path / "in" / "b.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "c.png").write_text("no picture")
    write(tmp_path / "in" / "d" / "a.png", 40, 50)
    (tmp_path / "in" / "notes.txt").write_text("passed over")
    paths, lines = find_images(tmp_path / "in"), list[str]()
    outcomes = explain_files(paths, tmp_path / "in", tmp_path / "out", tools, Settings(), echo=lines.append)
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "failed", "done"]
    assert len(lines) == 4 and "c.png: failed" in lines[2]
    assert not (tmp_path / "out" / "b").exists() and (tmp_path / "out" / "d__a" / "numbers.json").is_file()
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert summary["status"].tolist() == ["done", "failed", "failed", "done"]
    assert (
        outcome_table(outcomes).splitlines()[-1].startswith("4 files: 2 explained, 0 done before, 2 failed")
    )


def test_a_single_broken_file_is_the_users_error(tools: Tools, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("no picture")
    with pytest.raises(BadImage, match="not an image"):
        explain_files([path], tmp_path, tmp_path / "out", tools, Settings(), echo=lambda line: None)


def test_what_is_done_is_kept_until_the_file_or_the_settings_change(tools: Tools, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", 40, 40)
    explainer = tools.explainer
    assert isinstance(explainer, Brighter)

    def status(settings: Settings, with_tools: Tools = tools) -> tuple[str, int]:
        before = explainer.calls
        out = explain_files([path], tmp_path, tmp_path / "out", with_tools, settings, echo=lambda line: None)
        return out[0].status, explainer.calls - before

    assert status(Settings()) == ("done", 1)
    assert status(Settings()) == ("kept", 0)
    assert status(Settings(overwrite=True)) == ("done", 1)
    assert status(Settings(targets=(0.0, 0.5, 1.0))) == ("done", 1)
    assert status(Settings(targets=(0.0, 0.5, 1.0)), replace(tools, run="another")) == ("done", 1)
    write(path, 41, 40)
    assert status(Settings(targets=(0.0, 0.5, 1.0)), replace(tools, run="another")) == ("done", 1)
    (tmp_path / "out" / "a" / "numbers.json").write_text("{half a fil")
    assert status(Settings(targets=(0.0, 0.5, 1.0)), replace(tools, run="another")) == ("done", 1)


def test_a_method_without_edits_leaves_no_full_resolution(tools: Tools, tmp_path: Path) -> None:
    class Redraws(Brighter):
        def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
            return replace(super().explain(image, targets), edits=None)

    path = write(tmp_path / "a.png", 40, 40)
    redraws = replace(tools, explainer=Redraws(tools.blackbox), draw=None)
    outcome = explain_files([path], tmp_path, tmp_path / "out", redraws, Settings(), echo=lambda line: None)[
        0
    ]
    assert [entry.name for entry in (tmp_path / "out" / "a").iterdir()] == ["numbers.json"]
    assert outcome.numbers is not None and "full_resolution" not in outcome.numbers["steps"][0]


@pytest.mark.parametrize(
    ("posterior", "ctr", "transfer", "familiar", "reasons"),
    [
        (0.97, 0.55, 0.9, True, ()),
        (0.60, 0.55, 0.9, True, ("target missed",)),
        (0.97, 0.46, 0.9, True, ("shift under the reading floor",)),
        (0.97, None, 0.9, True, ("measurement not made",)),
        (0.97, 0.55, 0.1, None, ("independent classifier disagrees",)),
        (0.60, 0.46, 0.1, False, ("target missed", "input unlike the training data", "shift under the reading floor",
                                  "independent classifier disagrees")),
    ],
)  # fmt: skip
def test_each_reason_against_reading_a_picture_is_told(
    tools: Tools,
    posterior: float,
    ctr: float | None,
    transfer: float,
    familiar: bool | None,
    reasons: tuple[str, ...],
) -> None:
    redrawn = Reading(0.1, 0.45, 0.3, 0.7, 0.1)
    step = Step(1.0, np.zeros((4, 4), dtype=np.float32), Reading(posterior, ctr, 0.3, 0.7, transfer), 0.1)
    assert reasons_against(redrawn, step, tools, familiar) == reasons


def test_input_names_a_file_a_folder_or_nothing(tmp_path: Path) -> None:
    picture = write(tmp_path / "in" / "a.png", 8, 8)
    write(tmp_path / "in" / ".hidden" / "b.png", 8, 8)
    assert find_images(picture) == [picture] and find_images(tmp_path / "in") == [picture]
    with pytest.raises(MissingPath, match="check the path"):
        find_images(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadImage, match="holds no image"):
        find_images(tmp_path / "empty")


def test_folder_names_never_collide(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.png", "A.jpg", "b/c.png", "d.png")]
    assert folder_names(paths, tmp_path) == ["a_png", "A_jpg", "b__c", "d"]


@pytest.mark.parametrize("settings", [{"targets": (0.5, 1.2)}, {"targets": ()}, {"full_resolution": (0.33,)}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(BadValue):
        Settings(**settings)  # type: ignore[arg-type]
