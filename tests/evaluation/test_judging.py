"""Measurement by the evaluation segmenter: known widenings are recovered, noise and overlap are what they should be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy

from cfx.data.reading import load_tensor
from cfx.evaluation.judging import dice, jitter, judge_images, repeat_error
from cfx.evaluation.verdict import verdicts
from cfx.loading import load_segmenter
from cfx.runs import Run


def test_known_widenings_are_recovered_within_a_hundredth() -> None:
    severity = torch.linspace(0, 1, 21)
    picture, masks = toy.draw(severity)
    found = judge_images(lambda image: masks, picture, 32)
    true = (2 * toy.half_width(severity) / toy.THORAX).numpy()
    assert np.abs(found.ctr - true).max() < 0.01


def test_batches_do_not_matter_and_none_is_allowed(toy_world: Any) -> None:
    image = toy_world[1].image[:20]
    assert judge_images(toy.judge, image, 3).ctr == pytest.approx(judge_images(toy.judge, image, 100).ctr)
    assert judge_images(toy.judge, image[:0]).ctr.shape == (0,)


def test_dice_of_known_overlaps() -> None:
    one, two = np.zeros((1, 3, 4, 4)), np.zeros((1, 3, 4, 4))
    one[0, 0, :2], two[0, 0, 1:3] = 1, 1
    one[0, 1, :2] = two[0, 1, :2] = 0.5
    found = dice(one, two)
    assert found[0, :2].tolist() == [0.5, 1.0]
    assert np.isnan(found[0, 2])


def test_repeat_error_sees_noise_but_no_shift() -> None:
    picture, masks = toy.draw(torch.linspace(0, 1, 40))
    assert repeat_error(lambda image: masks[: len(image)], picture, 40) == 0
    assert 0 < repeat_error(toy.judge, picture) < 0.1
    assert np.isnan(repeat_error(lambda image: torch.zeros(len(image), 3, 8, 8), picture))


def test_jitter_is_reproducible_and_moves_at_most_two_percent() -> None:
    image = torch.zeros(4, 1, 100, 100)
    image[:, :, 40:60, 40:60] = 1
    again = jitter(image, torch.Generator().manual_seed(0))
    torch.testing.assert_close(again, jitter(image, torch.Generator().manual_seed(0)))
    at = (again[:, 0].clamp(0.3) - 0.3).sum(1)
    centre = (at * torch.arange(100)).sum(1) / at.sum(1)
    assert (centre - 49.5).abs().max() < 2.5
    assert (centre - 49.5).abs().max() > 0.1


@pytest.mark.real
def test_a_chest_that_the_shipped_segmenter_can_not_read_is_not_interpreted(real_data: Path) -> None:
    """A left lung hidden but for its tip: the heart's 0.54 of the picture over what is seen of the thorax is 0.93."""
    image = load_tensor(real_data / "nih_cxr14_256/images/00000032_011.png", 64)[None]
    found = judge_images(load_segmenter(Run.open("pretrained/nih_cardiomegaly").part("judge")), image)
    assert found.heart_width[0] / found.thorax_width[0] > 0.9 or np.isnan(found.thorax_width[0])
    assert np.isnan(found.ctr[0])
    told = verdicts(np.array([1.0]), np.array([1.0]), found.ctr, found.ctr)
    assert told == ["do not interpret: measurement not made"]
