"""Path lengths: closed forms, and how each finding changes the film."""

import math

import pandas as pd
import torch

from cfx.data.phantom import geometry, noise, projection, render


def path_of(frame: pd.DataFrame, *, size: int = 128, **columns: float) -> torch.Tensor:
    values = render.tensors(frame.assign(**columns))
    shape, grid = geometry.heart(values), geometry.grid(values, size)
    lines = geometry.outlines(values, shape, grid)
    return projection.path(values, shape, lines, grid, torch.zeros_like(grid.x))


def test_an_ellipsoids_chords_add_up_to_its_volume() -> None:
    """Half chord c sqrt(1 - q), twice, over the picture: 4/3 pi a b c."""
    axis = (torch.arange(400) + 0.5) / 200 - 1
    x, y = axis.reshape(1, 1, -1).expand(1, 400, -1), axis.reshape(1, -1, 1)
    a, b, c = 0.6, 0.4, 0.3
    half = projection.ellipsoid(
        x, y, (torch.tensor(0.1), torch.tensor(-0.2)), (torch.tensor(a), torch.tensor(b))
    )
    volume = (2 * c * half).sum().item() * (2 / 400) ** 2
    assert math.isclose(volume, 4 / 3 * math.pi * a * b * c, rel_tol=1e-3)


def test_a_chord_is_zero_outside_and_one_in_the_middle() -> None:
    torch.testing.assert_close(
        projection._chord(torch.tensor([0.0, 0.6, 0.8, 1.0, 2.0])), torch.tensor([1.0, 0.8, 0.6, 0.0, 0.0])
    )


def test_paths_are_those_of_a_chest(crowd: pd.DataFrame, drawn: render.Drawn) -> None:
    path = path_of(crowd, size=256, severity_pleural_effusion=-0.5, severity_edema=0.0)
    values = render.tensors(crowd.assign(severity_pleural_effusion=-0.5))
    grid = geometry.grid(values, 256)
    masks = geometry.masks(geometry.outlines(values, geometry.heart(values), grid), grid)
    heart, left, right = (path[masks[:, channel]].mean() for channel in range(3))
    assert path.min() >= 0
    assert path.max() < 4
    assert heart > left + 0.5
    assert abs(left - right) < 0.2
    assert path[:, -4:, 128].mean() > heart


def test_a_larger_heart_whitens_what_it_covers_and_nothing_far_away(crowd: pd.DataFrame) -> None:
    small, large = (
        path_of(crowd, severity_cardiomegaly=s, severity_pleural_effusion=-0.5) for s in (0.0, 1.5)
    )
    change = large - small
    assert change.sum(dim=(1, 2)).min() > 0
    assert change.amax(dim=(1, 2)).min() > 0.3
    values = render.tensors(crowd)
    far = (geometry.grid(values, 128).y < values["apex_y"].float().reshape(-1, 1, 1) + 0.25).expand_as(change)
    assert change[far].abs().max() < 1e-5


def test_edema_adds_haze_near_the_hila_most(crowd: pd.DataFrame) -> None:
    change = path_of(crowd, severity_edema=1.5) - path_of(crowd, severity_edema=0.0)
    values = render.tensors(crowd)
    grid = geometry.grid(values, 128)
    masks = geometry.masks(geometry.outlines(values, geometry.heart(values), grid), grid)
    lungs = masks[:, 1] | masks[:, 2]
    hila = lungs & (grid.x.abs() < 0.35) & (grid.y.abs() < 0.25)
    edges = lungs & (grid.x.abs() > 0.55)
    assert change[lungs].mean() > 0.02
    assert change[hila].mean() > 1.5 * change[edges].mean()
    assert change[~lungs.to(torch.bool)].abs().mean() < 0.3 * change[lungs].mean()


def test_more_fluid_is_whiter_at_the_base(crowd: pd.DataFrame) -> None:
    both = crowd.assign(fluid_left=1.0, fluid_right=1.0)
    change = path_of(both, severity_pleural_effusion=1.2) - path_of(both, severity_pleural_effusion=0.0)
    assert change.min() > -0.1
    assert change.amax(dim=(1, 2)).min() > 0.3
    assert change[:, :40].abs().max() < 0.05


def test_texture_is_the_lungs_alone(crowd: pd.DataFrame) -> None:
    values = render.tensors(crowd)
    shape, grid = geometry.heart(values), geometry.grid(values, 128)
    lines = geometry.outlines(values, shape, grid)
    own = noise.fields(0, crowd["patient"].to_numpy().astype("int64"), 64)
    texture = noise.texture(own, 128)
    change = projection.path(values, shape, lines, grid, texture) - path_of(crowd)
    masks = geometry.masks(lines, grid)
    lungs = masks[:, 1] | masks[:, 2]
    assert change[lungs].std() > 0.01
    body = (grid.y > 0.75).expand_as(change)
    assert change[body].abs().max() < 0.01
