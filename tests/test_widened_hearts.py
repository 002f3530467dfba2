"""Hearts that are wider or narrower by a known amount, and the study that asks segmenters to see it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cfx.measurements import measure
from experiments import widened_hearts
from experiments.widened_hearts import AMOUNTS, Pairs, figures, measured, warped_pairs
from experiments.widening import FADE, SQUEEZE, chest_of, sources, warped

HEART = slice(104, 168)
"""Columns of the square heart of `chest`: its edges are at 103.5 and 167.5, its middle at 135.5."""


def chest(heart: slice = HEART) -> np.ndarray:
    """Masks (3, 256, 256) of a heart of rows 130 to 189 between square lungs; thorax of columns 40 to 215."""
    masks = np.zeros((3, 256, 256))
    masks[0, 130:190, heart] = 1
    masks[1, 60:200, 150:216] = 1
    masks[2, 60:200, 40:120] = 1
    masks[1:, masks[0] > 0] = 0
    return masks


@pytest.mark.parametrize("amount", AMOUNTS)
def test_the_heart_is_wider_by_what_was_asked_and_the_thorax_is_as_it_was(amount: float) -> None:
    before = chest()
    columns = sources(chest_of(before), amount)
    assert columns is not None
    old, new = (measure(each[None]) for each in (before, warped(before, columns)))
    assert old.ctr[0] == pytest.approx(64 / 176)
    assert new.thorax_edges == pytest.approx(old.thorax_edges, abs=1e-12)
    assert new.ctr[0] - old.ctr[0] == pytest.approx(amount, abs=0.25 / 176)  # of a pixel, for a sampled edge
    assert new.heart_edges[0].mean() == pytest.approx(old.heart_edges[0].mean(), abs=1e-4)


@pytest.mark.parametrize("amount", AMOUNTS)
def test_the_warp_in_closed_form(amount: float) -> None:
    columns = sources(chest_of(chest()), amount)
    assert columns is not None
    own = np.arange(256.0)
    scale = 1 + amount * 176 / 64
    still = (own <= 39.5) | (own >= 215.5)
    np.testing.assert_allclose(columns[:, still], np.tile(own[still], (256, 1)), atol=1e-9)
    inside = np.abs(own - 135.5) <= 32 * scale
    expected = 135.5 + (own[inside] - 135.5) / scale
    np.testing.assert_allclose(columns[130:190, inside], np.tile(expected, (60, 1)), atol=1e-9)
    far = int(FADE * 256)
    np.testing.assert_array_equal(columns[: 130 - far], np.tile(own, (130 - far, 1)))
    np.testing.assert_array_equal(columns[189 + far :], np.tile(own, (256 - 189 - far, 1)))
    moved = np.abs(columns - own).max(axis=1)
    assert (np.diff(moved[130 - far : 131]) >= 0).all() and (np.diff(moved[189 : 190 + far]) <= 0).all()
    steps = np.diff(columns, axis=1)
    assert steps.min() >= SQUEEZE and steps.max() <= 1 / SQUEEZE  # nothing folds, nothing is smeared


def test_ragged_outlines_neither_fold_nor_move_the_thorax() -> None:
    random = np.random.default_rng(0)
    masks = chest()
    for row in range(60, 200):
        masks[2, row, : 40 + random.integers(0, 6)] = 0
        masks[1, row, 216 - random.integers(0, 6) :] = 0
        masks[0, row, : 104 + random.integers(0, 6)] = 0
    for amount in AMOUNTS:
        columns = sources(chest_of(masks), amount)
        assert columns is not None and (np.diff(columns, axis=1) > 0).all()
        after = warped(masks, columns)
        np.testing.assert_allclose(after[1:, :, 215:], masks[1:, :, 215:], atol=1e-9)
        assert measure(after[None]).thorax_width == pytest.approx(measure(masks[None]).thorax_width, abs=1e-9)
        assert measure(after[None]).ctr - measure(masks[None]).ctr == pytest.approx(amount, abs=0.003)


def test_picture_and_masks_move_together_and_no_change_leaves_them() -> None:
    masks = chest()
    known = chest_of(masks)
    same = sources(known, 0.0)
    assert same is not None
    np.testing.assert_allclose(warped(masks, same), masks, atol=1e-9)
    pairs = warped_pairs(masks[None, 0], masks[None], np.array(["p"]))
    for row, amount in enumerate(AMOUNTS):
        columns = sources(known, amount)
        assert columns is not None
        np.testing.assert_array_equal(pairs.after[row, 0], warped(masks[0], columns))
    assert pairs.change[:, 0] == pytest.approx(AMOUNTS, abs=0.0015)


def test_a_heart_at_the_chest_wall_is_not_drawn_any_wider() -> None:
    """Ten columns of lung are left on the left side: 7 pixels more each side leave a third, 8 do not."""
    masks = chest(slice(50, 168))
    known = chest_of(masks)
    assert sources(known, 2 * 6.5 / 176) is not None and sources(known, 2 * 7 / 176) is None
    assert sources(known, -2 * 19 / 176) is not None and sources(known, -2 * 21 / 176) is None  # drawn out
    pairs = warped_pairs(masks[None, 0], masks[None], np.array(["p"]))
    assert np.isfinite(pairs.change[:, 0]).tolist() == [True, True, True, False]
    with pytest.raises(ValueError, match="no cardiothoracic ratio"):
        chest_of(np.zeros((3, 256, 256)))


def test_a_segmenter_that_sees_half_of_every_change_has_slope_one_half() -> None:
    true = np.repeat(np.array(AMOUNTS)[:, None], 30, axis=1)
    true[3, 0] = np.nan  # could not be made
    found = true / 2
    found[3, 1] = np.nan  # could not be measured
    pairs = Pairs(np.arange(30).astype(str), np.zeros((30, 8, 8)), np.zeros((4, 30, 8, 8)), true[0], true)
    result = figures(pairs, found)
    assert result["-0.08"]["bias"] == pytest.approx(0.04) and result["+0.04"]["bias"] == pytest.approx(-0.02)
    assert result["-0.08"]["mae"] == pytest.approx(0.04)
    assert result["+0.08"]["ci95"]["mae"] == pytest.approx([0.04, 0.04])
    widest = result["+0.08"]
    assert widest["within"] == 0.0 and figures(pairs, 0.9 * true)["+0.08"]["within"] == 1.0
    assert (widest["n"], widest["n_patients"]) == (28, 28)
    assert (widest["not_possible"], widest["not_measurable"]) == (1, 1)
    assert result["slope"]["value"] == pytest.approx(0.5) and result["slope"]["n"] == 118
    assert result["slope"]["ci95"] == pytest.approx([0.5, 0.5])


def test_pictures_are_measured_as_the_data_module_gives_them() -> None:
    """A picture that is its own heart's mask, read by a segmenter that thresholds it, has the change of the masks."""
    masks = np.stack([chest(), chest(slice(110, 160))])
    pairs = warped_pairs(masks[:, 0], masks, np.array(["p", "q"]))
    lungs = torch.from_numpy(masks[0, 1:]).float()

    def judge(images: torch.Tensor) -> torch.Tensor:
        assert images.shape[1:] == (1, 256, 256) and -1 <= images.min() <= images.max() <= 1
        return torch.cat([(images + 1) / 2, lungs.expand(len(images), -1, -1, -1)], dim=1)

    np.testing.assert_allclose(measured(judge, pairs, 256), pairs.change, atol=2e-3)


def test_phantoms_are_drawn_again_with_the_ratio_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(widened_hearts, "PHANTOMS", 4)
    monkeypatch.setattr(widened_hearts, "SEED", 1)
    pairs, drawn = widened_hearts.phantom_pairs(tmp_path, 32, "A")
    assert pairs.before.shape == (4, 32, 32) and pairs.after.shape == (4, 4, 32, 32)
    made = np.isfinite(pairs.change)
    assert made.any(axis=1).all()
    asked = np.broadcast_to(np.array(AMOUNTS)[:, None], made.shape)
    np.testing.assert_allclose(drawn[made], asked[made], atol=1e-4)
    np.testing.assert_allclose(pairs.change[made], asked[made], atol=0.02)  # under half a pixel of 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_study"], "study='no_such_study'"),
        (["widened_hearts"], "names no folder, and no run is given"),
        (["widened_hearts", "one", "two"], "are several runs"),
        (["widened_hearts", "no/such/run"], "no/such/run"),
        (["widened_hearts", "pretrained/nih_cardiomegaly"], "which no oracle can draw again"),
    ],
)
def test_wrong_arguments_end_in_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CFX_REAL_DATA", raising=False)
    assert widened_hearts.main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_without_arguments_the_usage_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert widened_hearts.main([]) == 2
    assert "python -m experiments.widened_hearts" in capsys.readouterr().err


def test_a_folder_without_the_contours_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CFX_REAL_DATA", str(tmp_path))
    assert widened_hearts.main(["widened_hearts"]) == 2
    assert "wingspan_ctr" in capsys.readouterr().err
