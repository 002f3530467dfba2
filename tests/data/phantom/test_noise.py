"""Film and file: grain a patient, its amount, and the round trip through JPEG."""

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cfx.data.phantom import noise, render
from cfx.data.reading import read_image


def test_fields_belong_to_the_patient() -> None:
    both = noise.fields(1, np.array([5, 9]), 32)
    alone = noise.fields(1, np.array([9]), 32)
    assert torch.equal(both.grain[1], alone.grain[0])
    assert torch.equal(both.coarse[1], alone.coarse[0])
    assert not torch.equal(both.grain[0], both.grain[1])
    assert not torch.equal(noise.fields(2, np.array([9]), 32).grain, alone.grain)


def test_grain_is_there_but_does_not_dominate(crowd: pd.DataFrame, drawn: render.Drawn) -> None:
    values = render.tensors(crowd)
    values["noise"] = torch.zeros_like(values["noise"])
    clean = render.render(values, 3, 64).grey
    middle = (clean > 0.1) & (clean < 0.9)
    assert 0.008 < (drawn.grey - clean)[middle].std() < 0.018


def test_texture_is_the_same_at_every_size() -> None:
    own = noise.fields(0, np.arange(1, 5), 64)
    large = torch.nn.functional.avg_pool2d(noise.texture(own, 256), 2)
    small = noise.texture(own, 128)
    assert torch.corrcoef(torch.stack([large.flatten(), small.flatten()]))[0, 1] > 0.99


def test_more_path_is_whiter(crowd: pd.DataFrame) -> None:
    values = render.tensors(crowd.iloc[:3].assign(noise=0.0))
    own = noise.fields(0, np.array([1, 2, 3]), 8)
    steps = [
        noise.expose(values, torch.full((3, 16, 16), depth), own).mean() for depth in (0.0, 0.5, 1.0, 2.0)
    ]
    assert all(later > earlier for earlier, later in pairwise(steps))


def test_the_round_trip_is_the_readers(tmp_path: Path, drawn: render.Drawn) -> None:
    """What `through_file` gives is, bit for bit, what the project reads from the file."""
    image = noise.through_file(drawn.grey[:6])
    for row, picture in enumerate(noise.to_bytes(drawn.grey[:6])):
        file = tmp_path / f"{row}.jpg"
        file.write_bytes(noise.encode(picture))
        read = torch.from_numpy(read_image(file)) * 2.0 - 1.0
        assert torch.equal(read, image[row, 0])


def test_jpeg_keeps_the_picture(drawn: render.Drawn) -> None:
    grey = noise.to_bytes(drawn.grey[:1])[0]
    back = np.asarray(Image.open(io.BytesIO(noise.encode(grey))))
    assert np.abs(back.astype(int) - grey.astype(int)).mean() < 1.5
    assert back.dtype == np.uint8


@pytest.mark.parametrize(("size", "side"), [(64, 256), (128, 256), (96, 288), (256, 256), (300, 300)])
def test_masks_are_finer_than_small_pictures(size: int, side: int) -> None:
    assert render.mask_side(size) == side
