"""One picture at every step: numbers as explain gives them, sharper pictures, and what is sent of them."""

import json
import zipfile
from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from visit import SIZE, chest

from cfx.evaluation.explain_files import Settings, Tools, explain_files
from cfx.explainers.base import Counterfactual, Explainer
from cfx.viewer.payload import archive, archive_name, progression_json
from cfx.viewer.progression import STEPS, VIEW, show


class Blunt(Explainer):
    """A method that synthesises its pictures: it has no edit that carries over."""

    name = "blunt"

    def __init__(self, sharp: Explainer) -> None:
        super().__init__()
        self.sharp = sharp

    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        return replace(self.sharp.explain(image, targets), edits=None)


def grey(height: int = 96, width: int = 80) -> np.ndarray:
    return chest(height, width).astype(np.float32) / 255


def opened(uri: str) -> Image.Image:
    with Image.open(BytesIO(b64decode(uri.partition(",")[2]))) as picture:
        picture.load()
        return picture


def test_the_numbers_are_those_of_explain(tools: Tools, tmp_path: Path) -> None:
    Image.fromarray(chest()).save(tmp_path / "chest.png")
    settings = Settings(targets=STEPS, full_resolution=())
    (outcome,) = explain_files(
        [tmp_path / "chest.png"], tmp_path, tmp_path / "out", tools, settings, echo=len
    )
    shown = show(grey(), "chest.png", tools)
    told = shown.explained.numbers()
    assert outcome.numbers is not None
    for key in ("original", "redrawn", "verdict", "verdict_target", "reasons", "steps"):
        assert told[key] == json.loads(json.dumps(outcome.numbers[key]))


def test_all_steps_are_drawn_in_one_batch(tools: Tools) -> None:
    show(grey(), "x", tools)
    assert tools.explainer.calls == 1 and len(STEPS) == 21  # type: ignore[comparison-overlap]


def test_what_is_looked_at_keeps_the_originals_sharpness_where_it_can(tools: Tools) -> None:
    picture = grey(300, 240)
    sharp = show(picture, "x", tools)
    blunt = show(picture, "x", replace(tools, explainer=Blunt(tools.explainer)))
    assert all(each.shape == (VIEW, 512) for each in (*sharp.pictures, *blunt.pictures))

    def detail(image: np.ndarray) -> float:
        return float(np.abs(np.diff(image[:100], axis=0)).mean())

    assert detail(sharp.pictures[5]) > 3 * detail(blunt.pictures[5])
    assert sharp.seen[1] is not None and blunt.seen == (None,) * 22
    # what the black box says of the sharp picture is what it says of its own small view
    steps = sharp.explained.steps
    assert [s.reading.posterior for s in steps] == pytest.approx(list(sharp.seen[1:]), abs=0.06)  # type: ignore[arg-type]


def test_a_sharper_picture_of_which_the_black_box_says_something_else_is_not_interpreted(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = show(grey(300, 240), "x", tools, (0.1, 0.5, 0.9))
    assert "target missed" not in " ".join(plain.reasons[2])
    monkeypatch.setattr("cfx.viewer.progression._posteriors", lambda pictures, tools: [0.6] * len(pictures))
    shown = show(grey(300, 240), "x", tools, (0.1, 0.5, 0.9))
    assert shown.reasons[2] == (*plain.reasons[2], "target missed at full resolution")
    told = [step["verdict"]["text"] for step in progression_json(shown)["steps"]]
    assert "of the sharper picture" in told[2]
    assert all("Not checked: whether devices stay" in text for text in told)


def test_the_notes_stand_beside_the_verdict_that_they_are_about(tools: Tools) -> None:
    shown = show(grey(300, 240), "x", tools, (0.1, 0.5, 0.9))
    noted = replace(shown, explained=replace(shown.explained, notes=("something to know",)))
    told = [step["verdict"]["text"] for step in progression_json(noted)["steps"]]
    assert ["Note: something to know." in text for text in told] == [
        index == shown.explained.end for index in range(3)
    ]


def test_a_picture_of_the_runs_own_size_is_shown_as_it_was_scored(tools: Tools) -> None:
    shown = show(grey(SIZE, SIZE), "x", tools)
    assert shown.seen == (None,) * 22 and shown.pictures[0].shape == (VIEW, VIEW)
    small = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(shown.pictures[9])[None], SIZE)[0]
    assert np.abs(small.numpy() - shown.explained.steps[8].picture).mean() < 0.02


def test_every_step_has_its_own_verdict(tools: Tools) -> None:
    shown = show(grey(), "x", tools)
    told = progression_json(shown)
    shifts = [abs(s["measured"] - shown.explained.redrawn.ctr) for s in told["steps"]]
    assert min(shifts) < 0.027 < max(shifts)
    for shift, step, reasons in zip(shifts, told["steps"], shown.reasons, strict=True):
        assert ("shift under the reading floor" in reasons) == (shift < 0.027)
        assert step["verdict"]["ok"] == (not reasons)
        assert step["verdict"]["text"].startswith("This picture may" if not reasons else "Do not interpret")


def test_drawn_pictures_are_marked_and_the_original_is_not(tools: Tools) -> None:
    shown = show(grey(), "x", tools)
    told = progression_json(shown)
    plain = opened(told["original"]["picture"])
    assert np.abs(np.asarray(plain, float) / 255 - shown.pictures[0]).mean() < 0.02
    for step, picture in zip(told["steps"], shown.pictures[1:], strict=True):
        drawn = opened(step["picture"])
        assert drawn.info["comment"] == b"synthetic counterfactual"
        corner = np.asarray(drawn, float)[-26:, :200] / 255
        assert corner.min() < 0.03 and corner.max() > 0.8  # light letters on a dark ground
        rest = (slice(0, -40), slice(None))
        assert np.abs(np.asarray(drawn, float)[rest] / 255 - picture[rest]).mean() < 0.02


def test_the_archive_holds_pictures_numbers_and_what_they_are(tools: Tools) -> None:
    shown = show(grey(), "Müller, chest.dcm", tools, (0.0, 0.5, 1.0))
    with zipfile.ZipFile(BytesIO(archive(shown))) as packed:
        assert sorted(packed.namelist()) == [
            "README.txt", "numbers.json", "original.png", "progression.png",
            "step_c000.png", "step_c050.png", "step_c100.png",
        ]  # fmt: skip
        numbers = json.loads(packed.read("numbers.json"))
        assert [step["target"] for step in numbers["steps"]] == [0, 0.5, 1]
        assert "synthetic" in packed.read("README.txt").decode()
        with Image.open(BytesIO(packed.read("step_c100.png"))) as picture:
            assert picture.info["Description"] == "synthetic counterfactual" and picture.height == VIEW
        with Image.open(BytesIO(packed.read("original.png"))) as picture:
            assert "Description" not in picture.info
    assert archive_name(shown) == "Mller__chest_counterfactuals.zip"


def test_the_page_is_sent_what_the_task_is_read_by(tools: Tools) -> None:
    told = {
        by: progression_json(show(grey(), "x", replace(tools, read_by=by))) for by in ("ctr", "haze", None)
    }
    assert told["ctr"]["measure"]["label"] == "CTR" and told["ctr"]["original"]["lines"]
    assert told["haze"]["measure"]["label"] == "lung haze"
    assert told["haze"]["original"]["measured"] not in (None, told["ctr"]["original"]["measured"])
    assert all(step["lines"] == {} and step["outlines"] for step in told["haze"]["steps"])
    assert told[None]["measure"] is None
    assert not any("measured" in item for item in (told[None]["original"], *told[None]["steps"]))
