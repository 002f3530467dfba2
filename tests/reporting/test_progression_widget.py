"""The knob's data: what changed, on one scale, marked pictures, and numbers that a strip carries for it."""

import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from cfx.evaluation.explained import AT_FULL
from cfx.evaluation.verdict import REASONS
from cfx.reporting.plain_words import PLAIN, plain_verdict
from cfx.reporting.progression_widget import (
    CHANGE_SIDE,
    asset,
    change_scale,
    change_uri,
    jpeg_uri,
    source_hash,
)
from cfx.reporting.run_files import read_grey, read_run
from cfx.reporting.strips_html import strip_html
from cfx.runs import Run


def pixels(uri: str) -> npt.NDArray[Any]:
    with Image.open(BytesIO(b64decode(uri.partition(",")[2]))) as picture:
        return np.asarray(picture)


def test_change_is_grey_where_nothing_changed_and_full_at_the_scale() -> None:
    original = np.full((8, 10), 0.5, dtype=np.float32)
    changed = original.copy()
    changed[0], changed[1] = 0.7, 0.3
    found = pixels(change_uri(original, changed, 0.2))
    assert found.shape == (8, 10)
    assert (found[0] == 255).all() and (found[1] == 1).all() and (found[2:] == 128).all()


def test_a_large_change_is_sent_small_and_keeps_its_mean() -> None:
    rng = np.random.default_rng(0)
    original = np.zeros((300, 200), dtype=np.float32)
    changed = rng.uniform(0, 0.1, original.shape).astype(np.float32)
    found = pixels(change_uri(original, changed, 0.1))
    assert max(found.shape) == CHANGE_SIDE and found.shape == (96, 64)
    assert (found.astype(float) - 128).mean() / 127 == pytest.approx(changed.mean() / 0.1, abs=0.01)


def test_the_scale_is_that_of_the_larger_end_and_never_invisible_noise() -> None:
    original = np.zeros((20, 20), dtype=np.float32)
    assert change_scale(original, [original, original + 0.3]) == pytest.approx(0.3, abs=1e-6)
    assert change_scale(original, [original, original + 0.001]) == 0.05


def test_the_knob_and_the_map_of_a_strip_share_one_stated_scale(run_folder: Path) -> None:
    example = read_run(Run(run_folder)).examples[0]
    page = strip_html(example)
    (told,) = re.findall(r'data-scale="([^"]*)"', page)
    original, ends = read_grey(example.original), [read_grey(example.steps[place]) for place in (0, -1)]
    assert float(told) == pytest.approx(change_scale(original, ends), abs=1e-4)
    assert f"up to ±{float(told):.2f}" in page


def test_a_drawn_picture_says_inside_its_file_that_it_is_synthetic() -> None:
    picture = Image.fromarray(np.zeros((16, 16), dtype=np.uint8))
    with Image.open(BytesIO(b64decode(jpeg_uri(picture, note=True).partition(",")[2]))) as read:
        assert read.info["comment"] == b"synthetic counterfactual"


def test_pure_noise_is_a_picture_too() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (320, 320), dtype=np.uint8)
    with Image.open(
        BytesIO(b64decode(jpeg_uri(Image.fromarray(noise), 92, note=True).partition(",")[2]))
    ) as read:
        assert read.info["comment"] == b"synthetic counterfactual"
        assert np.abs(np.asarray(read.convert("L")).astype(int) - noise).mean() < 8


def test_a_strip_carries_its_numbers_for_the_knob(run_folder: Path) -> None:
    example = read_run(Run(run_folder)).examples[0]
    cells = re.findall(
        r'<div class="cell" data-posterior="([^"]*)" data-measured="([^"]*)"', strip_html(example)
    )
    assert len(cells) == 7
    assert [float(p) for p, _ in cells[1:]] == pytest.approx(example.posterior, abs=1e-4)
    targets = re.findall(r'data-target="([^"]*)" data-change="data:image/png', strip_html(example))
    assert [float(t) for t in targets] == list(example.targets)


def test_the_assets_ship_and_their_hash_is_the_browsers() -> None:
    assert "cfxProgression" in asset("progression.js") and ".knob" in asset("progression.css")
    # of the empty text, from the standard's own example
    assert source_hash("") == "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"


def test_every_reason_has_plain_words() -> None:
    from cfx.evaluation.verdict import REASONS

    assert set(PLAIN) == set(REASONS)
    said = plain_verdict(["target missed", "measurement not made"])
    assert said.startswith("Do not interpret") and said.count(";") == 1
    assert "0.027" in plain_verdict([]) and "independent" not in plain_verdict([], checked=False)


def test_what_only_the_sharper_picture_tells_says_so() -> None:
    said = plain_verdict(["target missed at full resolution"])
    assert (
        "of the sharper picture" in said and PLAIN["target missed"] in said and "full resolution" not in said
    )


def test_what_the_task_is_read_by_is_what_is_spoken_of() -> None:
    for reasons in ([], ["measurement not made"], ["shift under the reading floor"]):
        by_recess = plain_verdict(reasons, read_by="scp")
        assert "recess" in by_recess and "cardiothoracic" not in by_recess and "heart" not in by_recess
        by_haze = plain_verdict(reasons, read_by="haze")
        assert "cardiothoracic" not in by_haze and "recess" not in by_haze and "lungs" in by_haze
    unread = plain_verdict(["nothing measured of the finding"], checked=False, read_by=None)
    assert "nothing is measured" in unread and "cardiothoracic" not in unread and "independent" not in unread


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_words_of_its_own(reason: str) -> None:
    for read_by in ("ctr", "scp", "haze"):
        said = plain_verdict([reason], read_by=read_by)
        assert said.startswith("Do not interpret this picture: ") and reason not in said
        assert plain_verdict([reason + AT_FULL], read_by=read_by) != said
