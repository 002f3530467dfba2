import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cfx.anatomy.masks import one_piece, soft_masks
from cfx.measurements import cardiothoracic_ratio, measure


class Painted(nn.Module):
    """A segmenter that is right by construction: three bands of grey values are the three structures."""

    def __init__(self) -> None:
        super().__init__()
        self.sides: list[int] = []

    def forward(self, image: Tensor) -> Tensor:
        self.sides.append(image.shape[-1])
        bands = [(0.4, 1.1), (-0.1, 0.4), (-0.6, -0.1)]
        return torch.cat(
            [
                (30 * (image - low)).clamp(max=6) + (30 * (high - image)).clamp(max=6) - 6
                for low, high in bands
            ],
            1,
        )


def chest(side: int, heart: tuple[float, float] = (0.35, 0.62)) -> Tensor:
    """A picture (1, 1, side, side): right lung .1 to heart, left lung heart to .9, in fractions of the width."""
    image = torch.full((1, 1, side, side), -1.0)
    x = (torch.arange(side) + 0.5) / side
    rows = slice(side // 4, 3 * side // 4)
    image[..., rows, (x > 0.1) & (x < heart[0])] = -0.35
    image[..., rows, (x > heart[1]) & (x < 0.9)] = 0.15
    image[..., rows, (x >= heart[0]) & (x <= heart[1])] = 0.75
    return image


def test_masks_have_the_size_asked_for_and_the_same_ratio() -> None:
    image = chest(100)
    ratios = []
    for size in (100, 256, None):
        masks = soft_masks(Painted(), image, size)
        side = size or 100
        assert masks.shape == (1, 3, side, side)
        assert masks.min() >= 0 and masks.max() <= 1
        ratios.append(float(cardiothoracic_ratio(masks.numpy())[0]))
    assert ratios == pytest.approx([0.27 / 0.8] * 3, abs=0.01)


def test_other_sizes_are_brought_to_the_networks_own() -> None:
    network = Painted()
    network.multiple = 16  # type: ignore[assignment]
    soft_masks(network, chest(100))
    soft_masks(network, chest(100), native=64)
    assert network.sides == [112, 64]


def test_views_are_brought_back_to_the_place_of_the_picture() -> None:
    network = Painted()
    image = chest(128)
    plain = soft_masks(network, image, single=False)
    averaged = soft_masks(network, image, views=4, single=False)
    assert len(network.sides) == 6
    a, b = measure(plain.numpy()), measure(averaged.numpy())
    assert np.allclose(a.heart_edges, b.heart_edges, atol=0.005)
    assert np.allclose(a.thorax_edges, b.thorax_edges, atol=0.005)
    with pytest.raises(ValueError, match="views"):
        soft_masks(network, image, views=5)


def test_specks_go_and_soft_rims_stay() -> None:
    masks = torch.zeros(1, 3, 40, 40)
    masks[0, 0, 10:20, 10:20] = 0.9
    masks[0, 0, 10:20, 20] = 0.3  # the rim that places the edge between the pixels
    masks[0, 0, 30:33, 30:33] = 0.8  # a speck
    masks[0, 1, 5:9, 5:9] = 0.2  # nothing reaches one half
    cleaned = one_piece(masks)
    assert torch.equal(cleaned[0, 0, 10:20, 10:21], masks[0, 0, 10:20, 10:21])
    assert cleaned[0, 0, 28:].sum() == 0
    assert cleaned[0, 1].sum() == 0


def test_half_a_pixel_is_measured() -> None:
    """The edge of a box moves by half a pixel; hard masks could not tell."""
    masks = torch.zeros(2, 3, 32, 32)
    masks[:, 1, 8:24, 22:30] = masks[:, 2, 8:24, 2:10] = 1.0
    masks[:, 0, 10:20, 10:20] = 1.0
    masks[0, 0, 10:20, 20] = 0.25
    masks[1, 0, 10:20, 20] = 0.49
    left, right = measure(one_piece(masks).numpy()).heart_width * 32
    assert 10 < left < right < 11.1
