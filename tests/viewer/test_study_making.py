"""A study is drawn whole or not at all, and nothing about its pictures tells which is which."""

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from visit import SMALL, candidates

from cfx.errors import BadValue, MissingPath
from cfx.evaluation.explain_tools import Tools
from cfx.reporting.study_files import PAIR, STRANGER, Study
from cfx.viewer.study_making import choose, make_study


def test_images_are_drawn_half_each_way_one_a_patient(tmp_path: Path) -> None:
    every = candidates(tmp_path)
    chosen = choose(every, 6, seed=0)
    assert [c.group for c in chosen] == ["up"] * 3 + ["down"] * 3
    assert len({c.patient_id for c in chosen}) == 6
    assert choose(every, 6, seed=0) == chosen != choose(every, 6, seed=3)
    with pytest.raises(BadValue, match=r"design\.images=20.*or fewer"):
        choose(every, 20, seed=0)


def test_the_key_knows_what_each_picture_is(study: Study) -> None:
    kinds = [item.kind for item in study.items.values()]
    assert kinds.count(PAIR) == 6 and kinds.count(STRANGER) == 2
    for item in study.items.values():
        before, after = item.posterior
        if item.kind == PAIR:
            assert (after > before) == (item.group == "up") and item.arm == "toy" and item.verdict
        else:
            assert (before < 0.5) != (after < 0.5)  # a stranger of the opposite answer
        assert all(value is not None for value in item.ctr)


def test_nothing_about_a_file_tells_which_picture_was_drawn(study: Study) -> None:
    names = [name for item in study.items.values() for name in (item.original, item.other)]
    assert len(set(names)) == len(names) and all(len(name) == 11 for name in names)
    shapes = set()
    for name in names:
        with Image.open(BytesIO(study.picture(name))) as picture:
            assert picture.info == {} and picture.mode == "L"
            shapes.add(picture.size)
            mark = np.asarray(picture, float)[-26:, :200]
        assert mark.min() < 10 and mark.max() > 200  # all carry the same neutral mark
    assert len(shapes) == 1
    files = {path.stem for path in (study.path / "pictures").iterdir()}
    assert files == set(names)


def test_an_open_pair_holds_nothing_that_was_measured(study: Study) -> None:
    for item in study.items.values():
        if item.kind != PAIR:
            assert not (study.path / "progressions" / f"{item.item}.json").exists()
            continue
        told = study.progression(item.item)
        assert set(told) == {"finding", "original", "steps", "start"}
        assert [step["target"] for step in told["steps"]] == [0, 0.2, 0.4, 0.6, 0.8, 1]
        assert told["start"] == (5 if item.group == "up" else 0)
        assert set(told["original"]) == {"picture", "posterior"}
        assert all(set(step) == {"picture", "posterior", "target", "change"} for step in told["steps"])
        assert item.image_id not in json.dumps(told)


def test_several_runs_share_their_images(tools: Tools, tmp_path: Path) -> None:
    arms = {"one": tools, "two": replace(tools, run="two")}
    study = make_study(tmp_path / "s", arms, candidates(tmp_path), replace(SMALL, strangers=0, repeats=0))
    by_arm = {arm: {i.image_id for i in study.items.values() if i.arm == arm} for arm in arms}
    assert by_arm["one"] == by_arm["two"] and len(study.items) == 12
    assert any("two methods" in line for line in study.needs)
    other = replace(tools, blackbox=replace_finding(tools))
    with pytest.raises(BadValue, match="different findings"):
        make_study(tmp_path / "t", {"one": tools, "other": other}, candidates(tmp_path), SMALL)


def replace_finding(tools: Tools) -> object:
    from cfx.classifiers.blackbox import BlackBox

    return BlackBox(tools.blackbox.network, finding="Edema")


def test_a_study_is_there_whole_or_not_at_all(tools: Tools, tmp_path: Path) -> None:
    every = candidates(tmp_path)
    every[1].path.write_text("no picture")
    with pytest.raises(Exception, match=r"image1\.png"):
        make_study(tmp_path / "study", {"toy": tools}, every, replace(SMALL, images=8, repeats=0))
    assert not (tmp_path / "study").exists()
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".study")] == []


def test_a_folder_with_something_else_is_refused(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("words")
    with pytest.raises(BadValue, match="holds something else"):
        make_study(tmp_path / "mine", {"toy": tools}, candidates(tmp_path), SMALL)
    with pytest.raises(MissingPath, match="there is no study"):
        Study.open(tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    assert make_study(tmp_path / "empty", {"toy": tools}, candidates(tmp_path), SMALL).items
