"""Run lengths against closed forms and a plain loop; soft channels against areas."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cfx.data.masks import bits_to_channels, decode_rle, encode_rle, has_masks, read_devices, row_masks
from cfx.errors import BadValue


def test_rle_closed_form() -> None:
    # rows of four, counted from 1 along rows: 2, 3, 4 of the first row, 1 of the third
    assert np.array_equal(decode_rle("2 3 9 1", 3, 4), [[0, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]])
    # a run may go on in the next row
    assert np.array_equal(decode_rle("4 2", 2, 4), [[0, 0, 0, 1], [1, 0, 0, 0]])
    assert decode_rle("", 2, 2).sum() == 0
    assert decode_rle("1 4", 2, 2).sum() == 4


def test_rle_matches_a_loop_and_round_trips() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        height, width = random.integers(1, 30, 2)
        mask = (random.random((height, width)) < random.random()).astype(np.uint8)
        text = encode_rle(mask)
        plain = np.zeros(height * width, dtype=np.uint8)
        numbers = [int(word) for word in text.split()]
        for start, length in zip(numbers[::2], numbers[1::2], strict=True):
            plain[start - 1 : start - 1 + length] = 1
        assert np.array_equal(plain.reshape(height, width), mask)
        assert np.array_equal(decode_rle(text, int(height), int(width)), mask)


@pytest.mark.parametrize("text", ["1 2 3", "0 2", "4 2", "1 -1"])
def test_broken_rle_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        decode_rle(text, 2, 2)


def test_channels_are_soft_and_in_order(bits: Any) -> None:
    channels = bits_to_channels(bits, 16)
    assert channels.shape == (3, 16, 16)
    assert channels.dtype == np.uint8
    assert ((channels > 0) & (channels < 255)).any()
    for channel, bit in enumerate((1, 2, 4)):
        area = ((bits & bit) > 0).mean() * 32 / 40  # of the padded square
        assert channels[channel].mean() / 255 == pytest.approx(area, abs=2e-3)
    columns = np.arange(16)
    left = (channels[1].sum(0) * columns).sum() / channels[1].sum()
    right = (channels[2].sum(0) * columns).sum() / channels[2].sum()
    assert left > right  # the patient's left lung is on the right of the picture


def test_rows_with_and_without_masks(bits: Any) -> None:
    runs = {f"{name}_rle": encode_rle(bits & bit) for name, bit in (("heart", 1), ("left", 2), ("right", 4))}
    row: dict[str, Any] = {"mask_path": "", **runs, "mask_height": 40.0, "mask_width": 32.0}
    none = {**row, "heart_rle": None}
    assert has_masks(pd.DataFrame([row, none])).tolist() == [True, False]
    assert has_masks(pd.DataFrame({"image_id": ["a"]})).tolist() == [False]
    assert np.array_equal(row_masks(row, 16), bits_to_channels(bits, 16))


def test_thin_wires_survive_shrinking(tmp_path: Any, save_picture: Any) -> None:
    wire = np.zeros((100, 100), dtype=np.uint8)
    wire[:, 31] = 4
    save_picture(tmp_path / "wire.png", wire)
    small = read_devices(tmp_path / "wire.png", 10)
    assert small[:, 3].all()
    assert small.sum() == 10
