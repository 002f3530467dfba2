"""Large shapes of sharp pictures: soft borders whole, wires not among them, and less of an old border left behind."""

import numpy as np
import pytest
import torch

from cfx.evaluation.full_resolution import edit_series
from cfx.evaluation.ghosts import OldBorder
from cfx.evaluation.sharp_shapes import sharp_structure
from cfx.explainers.gan.edit import structure

SIZE, KNOWN, GRID = 512, 64, 16


def heart(radius: float) -> np.ndarray:
    """A heart with a soft border, three hundredths of the width, and along it a darker rim of vessels and fat."""
    at = (np.arange(SIZE) + 0.5) / SIZE
    distance = np.hypot(at[None] - 0.5, at[:, None] - 0.5) - radius
    rim = 0.12 * np.exp(-(((distance - 0.02) / 0.012) ** 2))
    return np.asarray(0.35 + 0.4 / (1 + np.exp(distance / 0.012)) - rim, dtype=np.float32)


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image)[None, None] * 2 - 1


def widening() -> tuple[torch.Tensor, torch.Tensor]:
    """An edit (1, 2, g, g) and (1, 1, g, g) that pulls the heart's border outwards all round."""
    at = torch.linspace(0, 1, GRID)
    y, x = torch.meshgrid(at, at, indexing="ij")
    away = torch.exp(-((torch.hypot(x - 0.5, y - 0.5) - 0.25) ** 2) / 0.02)
    field = -0.09 * torch.stack([x - 0.5, y - 0.5]) / torch.hypot(x - 0.5, y - 0.5).clamp(min=0.05) * away
    return field[None], torch.zeros(1, 1, GRID, GRID)


def test_a_soft_border_belongs_to_its_shape() -> None:
    picture = tensor(heart(0.2))
    ring = (picture - structure(picture)).abs()
    assert (picture - sharp_structure(picture)).abs().max() < 0.7 * ring.max()


def test_wires_are_detail_even_on_a_border() -> None:
    plain, wired = heart(0.2), heart(0.2)
    wired[:, 300:306] += 0.25
    wire = (tensor(wired) - tensor(plain)).abs() > 0
    taken = (sharp_structure(tensor(wired)) - sharp_structure(tensor(plain))).abs()[wire]
    assert taken.mean() < 0.1 * 0.5  # of its height in a [-1, 1] image
    assert sharp_structure(tensor(wired)).shape == (1, 1, SIZE, SIZE)


def test_away_from_borders_the_shapes_are_those_of_the_edit() -> None:
    flat = np.full((SIZE, SIZE), 0.4, dtype=np.float32) + 0.05 * np.random.default_rng(0).standard_normal(
        (SIZE, SIZE)
    ).astype(np.float32)
    assert torch.equal(sharp_structure(tensor(flat)), structure(tensor(flat)))


def test_less_of_the_old_border_is_left_behind() -> None:
    before, (field, residual) = heart(0.2), widening()
    masks = [(heart(radius)[4::8, 4::8] > 0.5).astype(np.float32) for radius in (0.2, 0.29)]
    left = [
        OldBorder(before, masks[0]).left(edit_series(before, field, residual, known)[0], masks[1])
        for known in (SIZE, KNOWN)
    ]
    assert np.isfinite(left).all() and left[1] < left[0] - 0.02


def test_a_picture_no_larger_than_what_the_run_knows_is_drawn_as_it_was_there() -> None:
    small, (field, residual) = heart(0.2)[::8, ::8].copy(), widening()
    same, other = (edit_series(small, field, residual, known)[0] for known in (64, 32))
    assert same.shape == other.shape and not np.array_equal(same, other)
    assert edit_series(small, 0 * field, residual, 32)[0] == pytest.approx(small, abs=1e-6)
