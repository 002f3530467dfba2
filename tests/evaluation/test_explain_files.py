"""Explaining image files: numbers, pictures, full resolution, verdicts, resuming, and files that are broken."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from explain_toys import SIZE, Brighter, film_pixels, write
from PIL import Image
from torch import Tensor

import cfx.evaluation.explain_files
from cfx.data.reading import read_image
from cfx.errors import BadImage, UserError
from cfx.evaluation.explain_files import (
    Settings,
    Tools,
    explain_files,
    find_images,
)
from cfx.evaluation.explained import Explained, Outcome, outcome_table
from cfx.explainers.base import Counterfactual
from cfx.metrics.boxes import CLASSES, HEALTHY, BoxSet


def numbers_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "numbers.json").read_text())
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
    assert len(lines) == 4 and "c.png: failed" in lines[1]  # told before its batch is full
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
        explain_files([path], tmp_path, tmp_path / "new" / "out", tools, Settings(), echo=lambda line: None)
    assert sorted(tmp_path.iterdir()) == [path]  # nothing was explained: no empty folder either


def test_a_folder_that_was_there_stays_and_one_of_a_failed_picture_goes(tools: Tools, tmp_path: Path) -> None:
    out, paths = tmp_path / "out", [write(tmp_path / name, 40, 40) for name in ("a.png", "b.png")]
    out.mkdir()

    def refuse(explained: Explained, path: Path) -> None:
        raise ValueError("no ink")

    told = replace(tools, draw=refuse)
    settings = Settings(full_resolution=())
    with pytest.raises(ValueError, match="no ink"):
        explain_files(paths[:1], tmp_path, out, told, settings, echo=lambda line: None)
    assert list(out.iterdir()) == []
    outcomes = explain_files(paths, tmp_path, out, told, settings, echo=lambda line: None)
    assert [outcome.status for outcome in outcomes] == ["failed", "failed"]
    assert [entry.name for entry in out.iterdir()] == ["summary.csv"]


def test_an_interruption_before_the_first_picture_leaves_nothing(tools: Tools, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", 40, 40)

    def stop(images: Tensor) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="0 of 1 images done"):
        explain_files(
            [path], tmp_path, tmp_path / "out", replace(tools, segmenter=stop), Settings(), echo=len
        )
    assert not (tmp_path / "out").exists()


def test_what_is_done_is_kept_until_the_file_or_the_settings_change(tools: Tools, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", 40, 40)
    explainer = tools.explainer
    assert isinstance(explainer, Brighter)

    def status(settings: Settings, with_tools: Tools = tools) -> tuple[str, int]:
        before = len(explainer.batches)
        out = explain_files([path], tmp_path, tmp_path / "out", with_tools, settings, echo=lambda line: None)
        return out[0].status, len(explainer.batches) - before

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
    ("settings", "line"),
    [
        ({"targets": (0.5, 1.2)}, "not posteriors"),
        ({"targets": ()}, "not posteriors"),
        ({"full_resolution": (0.33,)}, "not among the targets"),
        ({"batch": 0}, "give 1 or more"),
        ({"identifiers": "kep"}, "did you mean 'keep'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        Settings(**settings)


def run(source: Path, out: Path, tools: Tools, **settings: Any) -> list[Outcome]:
    """Explains a folder of files without a word."""
    return explain_files(
        find_images(source), source, out, tools, Settings(**settings), echo=lambda line: None
    )


def films(folder: Path, count: int = 7) -> Path:
    """A folder of films of different sizes and greys."""
    for number in range(count):
        write(folder / f"{number}.png", 40 + 3 * number, 50, 0.2 + 0.05 * number)
    return folder


def test_several_files_go_through_the_networks_in_one_call_and_come_out_as_alone(
    tools: Tools, tmp_path: Path
) -> None:
    tools = replace(tools, draw=None)
    explainer = tools.explainer
    assert isinstance(explainer, Brighter)
    source = films(tmp_path / "in")
    together = run(source, tmp_path / "together", tools, batch=3)
    assert explainer.batches == [3, 3, 1]
    alone = run(source, tmp_path / "alone", tools, batch=1)
    assert explainer.batches[3:] == [1] * 7
    assert [outcome.name for outcome in together] == [f"{number}.png" for number in range(7)]
    for one, other in zip(together, alone, strict=True):
        assert one.numbers is not None and other.numbers is not None
        for step, same in zip(one.numbers["steps"], other.numbers["steps"], strict=True):
            assert step["posterior"] == pytest.approx(same["posterior"], abs=1e-5)
            assert step["ctr"] == pytest.approx(same["ctr"], abs=1e-6)
    assert len({outcome.numbers["original"]["posterior"] for outcome in together if outcome.numbers}) == 7


def test_large_files_do_not_wait_for_a_full_batch(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cfx.evaluation.explain_files, "MOST_PIXELS", 4000)
    explainer = tools.explainer
    assert isinstance(explainer, Brighter)
    run(films(tmp_path / "in", 4), tmp_path / "out", replace(tools, draw=None), batch=8)
    assert explainer.batches == [2, 2]


def test_a_batch_that_fails_is_done_one_by_one(tools: Tools, tmp_path: Path) -> None:
    class Small(Brighter):
        def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
            if len(image) > 1 or image.mean() > -0.2:
                raise RuntimeError("out of memory")
            return super().explain(image, targets)

    source = films(tmp_path / "in", 3)
    write(source / "bright.png", 40, 40, 0.9)
    outcomes = run(source, tmp_path / "out", replace(tools, explainer=Small(tools.blackbox), draw=None))
    assert [outcome.status for outcome in outcomes] == ["done", "done", "done", "failed"]
    assert outcomes[3].problem == "RuntimeError: out of memory"


def test_a_defect_in_one_picture_does_not_end_the_folder(tools: Tools, tmp_path: Path) -> None:
    def draw(explained: Explained, path: Path) -> None:
        if explained.name == "1.png":
            raise KeyError("a defect")
        path.write_text("drawn")

    outcomes = run(films(tmp_path / "in", 3), tmp_path / "out", replace(tools, draw=draw))
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done"]
    assert not (tmp_path / "out" / "1" / "numbers.json").exists()


def test_an_interrupted_folder_goes_on_where_it_stopped(tools: Tools, tmp_path: Path) -> None:
    seen: list[str] = []

    def draw(explained: Explained, path: Path) -> None:
        seen.append(explained.name)
        if len(seen) == 4:
            raise KeyboardInterrupt
        path.write_text("drawn")

    source, tools = films(tmp_path / "in", 6), replace(tools, draw=draw)
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out", tools, batch=2)
    outcomes = run(source, tmp_path / "out", tools, batch=2)
    assert [outcome.status for outcome in outcomes] == ["kept"] * 3 + ["done"] * 3
    assert [outcome.status for outcome in run(source, tmp_path / "out", tools)] == ["kept"] * 6


def test_what_is_missing_is_made_again_and_what_is_stale_goes(tools: Tools, tmp_path: Path) -> None:
    source, out = films(tmp_path / "in", 1), tmp_path / "out"
    run(source, out, tools)
    (out / "0" / "notes.txt").write_text("the user's own")
    (out / "0" / "full_resolution_c100.png").unlink()
    assert run(source, out, tools)[0].status == "done"
    assert (out / "0" / "full_resolution_c100.png").is_file()
    assert run(source, out, tools, full_resolution=())[0].status == "done"
    assert sorted(entry.name for entry in (out / "0").iterdir()) == [
        "notes.txt",
        "numbers.json",
        "progression.png",
    ]
    more = replace(tools, pictures={"more.png": tools.draw} if tools.draw else {})
    assert run(source, out, more, full_resolution=())[0].status == "done"
    assert "more.png" in numbers_of(out / "0")["files"]


def test_a_header_that_says_no_chest_is_refused_until_forced(
    tools: Tools, tmp_path: Path, write_dicom: Callable[..., Path]
) -> None:
    source = tmp_path / "in"
    write_dicom(source / "slice.dcm", film_pixels(40, 40), Modality="CT")
    write_dicom(source / "chest.dcm", film_pixels(44, 40))
    outcomes = run(source, tmp_path / "out", replace(tools, draw=None))
    assert [outcome.status for outcome in outcomes] == ["done", "failed"]
    assert "Modality=CT" in outcomes[1].problem and "force=true" in outcomes[1].problem
    forced = run(source, tmp_path / "out", replace(tools, draw=None), force=True)
    assert [outcome.status for outcome in forced] == ["kept", "done"]
    assert forced[1].numbers is not None and "Modality=CT" in forced[1].numbers["notes"][0]
    with pytest.raises(BadImage, match="Modality=CT"):
        run(source / "slice.dcm", tmp_path / "out2", tools)


def test_a_negative_is_noticed_and_can_be_turned_round(
    tools: Tools, tmp_path: Path, write_dicom: Callable[..., Path]
) -> None:
    dark = replace(tools, draw=None, familiar=lambda images: images.mean(dim=(1, 2, 3)) < 0)
    wrong = write_dicom(
        tmp_path / "in" / "a.dcm", film_pixels(40, 40), PhotometricInterpretation="MONOCHROME1"
    )
    numbers = run(wrong.parent, tmp_path / "out", dark)[0].numbers
    assert numbers is not None and "input unlike the training data" in numbers["reasons"]
    assert "invert=true" in numbers["notes"][0]
    turned = run(wrong.parent, tmp_path / "out", dark, invert=True)[0]
    assert turned.status == "done" and turned.numbers is not None and not turned.numbers["notes"]
    right = write_dicom(tmp_path / "right" / "a.dcm", film_pixels(40, 40))
    same = run(right.parent, tmp_path / "out2", dark)[0].numbers
    assert same is not None
    assert turned.numbers["original"]["posterior"] == pytest.approx(same["original"]["posterior"], abs=1e-6)


def test_a_measurement_that_moves_against_the_finding_is_noted(tools: Tools, tmp_path: Path) -> None:
    source = write(tmp_path / "in" / "0.png", 26, 32, 0.2).parent
    for direction, noted in ((1, False), (0, False), (-1, True)):
        turned = replace(tools, draw=None, direction=direction)
        numbers = run(source, tmp_path / f"out{direction}", turned)[0].numbers
        assert numbers is not None and numbers["verdict"] == "interpret"
        assert any("although more of the finding" in note for note in numbers["notes"]) == noted


def test_each_step_has_a_verdict_of_its_own(tools: Tools, tmp_path: Path) -> None:
    source = write(tmp_path / "in" / "0.png", 26, 32, 0.2).parent
    numbers = run(source, tmp_path / "out", replace(tools, draw=None))[0].numbers
    assert numbers is not None
    last, first = numbers["steps"][-1], numbers["steps"][0]
    assert (last["verdict"], last["reasons"]) == ("interpret", []) == (numbers["verdict"], numbers["reasons"])
    assert first["verdict"] == "do not interpret" and "shift under the reading floor" in first["reasons"]


def test_lung_haze_is_read_where_the_task_is_read_by_it(tools: Tools, tmp_path: Path) -> None:
    paths = films(tmp_path / "in", 1)
    for read_by in ("ctr", "haze"):
        seen = replace(tools, draw=None, read_by=read_by, floor=0.0)
        numbers = run(paths, tmp_path / read_by, seen)[0].numbers
        assert numbers is not None and numbers["reading_floor"] == 0
        readings = [numbers["original"], *numbers["steps"]]
        assert [reading["haze"] is not None for reading in readings] == [read_by == "haze"] * len(readings)


def test_recesses_are_scored_where_there_is_a_detector(tools: Tools, tmp_path: Path) -> None:
    class Corners:
        threshold = np.full(len(CLASSES), 0.3)

        def __call__(self, image: Tensor) -> list[BoxSet]:
            left = BoxSet.of([(HEALTHY, 0.8, 0.8, 1.0, 1.0)])
            return [BoxSet(left.box, left.label, np.array([0.6]))] * len(image)

    path = write(tmp_path / "in" / "chest.png", 40, 40)
    seen = replace(tools, finder=Corners(), read_by="scp")
    numbers = explain_files([path], path.parent, tmp_path / "out", seen, Settings(), echo=str)[0].numbers
    assert numbers is not None and numbers["read_by"] == "scp"
    assert numbers["original"]["scp_left"] == pytest.approx(0.6) and numbers["original"]["scp_right"] is None
    assert "measurement not made" in numbers["reasons"]  # the other side is not there
    assert not any("devices" in what for what in numbers["not_checked"])
    assert {step["devices_found"] for step in numbers["steps"]} == {0}


def test_the_runs_limit_stands_beside_the_target(tools: Tools, tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "chest.png", 40, 40)
    limits = []
    for number, ends in enumerate([(0.1, 0.9), (0.02, 0.98), (0.0, 1.0)]):
        tools.explainer.ends = ends
        settings = Settings(targets=(0.0, 0.5, 1.0), full_resolution=())
        made = explain_files([path], path.parent, tmp_path / str(number), tools, settings, echo=str)[
            0
        ].numbers
        assert made is not None and made["limits"] == list(ends)
        assert [step["target"] for step in made["steps"]] == [0.0, 0.5, 1.0]
        limits.append([step["limit"] for step in made["steps"]])
    assert limits == [[0.1, None, 0.9], [None] * 3, [None] * 3]
