"""The edit: nothing where nothing is asked, a border that holds still, one deformation at every resolution."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cfx.explainers.gan import edit
from cfx.explainers.gan.edit import (
    apply_edit,
    displacement,
    spline_basis,
    spread,
    still_border,
    structure,
    warp,
)


def smooth_field(scale: float = 0.05, seed: int = 0) -> Tensor:
    """A field (1, 2, 16, 16) of a few broad waves, zero on the border."""
    coarse = torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(seed))
    return still_border(scale * F.interpolate(coarse, size=(16, 16), mode="bicubic", align_corners=True))


def wave(height: int, width: int) -> Tensor:
    """A smooth picture (1, 1, H, W) given by a function of position, so that it exists at every resolution."""
    y = ((torch.arange(height) + 0.5) / height).view(-1, 1)
    x = ((torch.arange(width) + 0.5) / width).view(1, -1)
    return (0.6 * torch.sin(5 * x + 2 * y) * torch.cos(4 * y - x))[None, None]


def test_basis_is_a_partition_of_unity_and_reproduces_lines() -> None:
    even = spline_basis(40, 8, odd=False)
    assert torch.allclose(even.sum(dim=1), torch.ones(40), atol=1e-6)
    assert float(even.min()) >= 0
    line = torch.linspace(-1, 1, 8)
    inner = slice(6, -6)
    expected = ((torch.arange(40) + 0.5) / 40 * 2 - 1)[inner]
    assert torch.allclose((even @ line)[inner], expected, atol=1e-6)


def test_odd_spline_vanishes_on_the_border() -> None:
    values = torch.randn(1, 2, 12, 12, generator=torch.Generator().manual_seed(1))
    nodes = spread(still_border(values), 45, 45, odd=True, corners=True)
    rim = torch.cat([nodes[..., 0, :], nodes[..., -1, :], nodes[..., 0], nodes[..., -1]])
    assert float(rim.abs().max()) < 1e-6
    assert float(nodes.abs().max()) > 0.1


def test_zero_edit_is_the_input_bit_for_bit() -> None:
    image = torch.rand(2, 1, 51, 67) * 2 - 1
    drawn = apply_edit(image, torch.zeros(2, 2, 16, 16), torch.zeros(2, 1, 16, 16))
    assert torch.equal(drawn, image)


def test_a_zero_field_still_receives_gradient() -> None:
    field = torch.zeros(1, 2, 16, 16, requires_grad=True)
    (warp(wave(64, 64), field) * torch.linspace(-1, 1, 64)).sum().backward()
    assert field.grad is not None
    assert float(field.grad.abs().sum()) > 0


def test_border_pixels_hardly_move() -> None:
    field = still_border(torch.full((1, 2, 16, 16), 0.08))
    moved = displacement(field, 256, 256)
    assert float(moved[..., 0, :].abs().max()) < 0.08 * 0.05
    assert float(moved[..., 128, 128].abs().max()) == pytest.approx(0.08, rel=0.05)


def test_displacement_stays_under_the_largest_velocity() -> None:
    field = still_border(0.08 * torch.sign(torch.randn(4, 2, 16, 16)))
    assert float(displacement(field, 64, 64).abs().max()) <= 0.08 + 1e-6


def test_same_edit_at_full_resolution() -> None:
    """Editing the large picture and shrinking it is shrinking the picture and editing it, to resampling error."""
    field, residual = (
        smooth_field(),
        0.1 * torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(3)),
    )
    for shapes_too, bound in ((False, 0.03), (True, 0.05)):
        # The median's window is a whole number of pixels, 5 of 64 and 39 of 512: with it the two differ a little more.
        known = (None, None) if shapes_too else (wave(512, 512), wave(64, 64))
        large = apply_edit(wave(512, 512), field, residual, known[0])
        small = apply_edit(wave(64, 64), field, residual, known[1])
        shrunk = F.interpolate(large, size=(64, 64), mode="area")
        unedited = float((wave(64, 64) - small).abs().mean())
        assert float((shrunk - small).abs().mean()) < bound * unedited
        assert float((shrunk - small).abs().max()) < (0.05 if shapes_too else 0.02)


def test_displacement_is_one_function_at_any_resolution_and_aspect() -> None:
    field = smooth_field()
    coarse, fine = displacement(field, 50, 50), displacement(field, 150, 250)
    # The centre of coarse pixel i is the centre of fine pixel 3 i + 1 and 5 j + 2.
    assert torch.allclose(coarse, fine[..., 1::3, 2::5], atol=1e-5)


def test_flow_never_folds_where_the_plain_field_would() -> None:
    field = torch.zeros(1, 2, 16, 16)
    field[:, 0, 4:12, 6:8], field[:, 0, 4:12, 8:10] = 0.08, -0.08
    plain = spread(field, 128, 128, odd=True)
    moved = displacement(field, 128, 128)
    step = 1 / 128
    assert float((plain[:, 0].diff(dim=-1) + step).min()) < 0
    assert float((moved[:, 0].diff(dim=-1) + step).min()) > 0


def test_the_negated_field_undoes_the_deformation() -> None:
    image, field = wave(128, 128), smooth_field()
    there = warp(image, field)
    back = warp(there, -field)
    assert float((there - image).abs().mean()) > 0.02
    assert float((back - image).abs().mean()) < 0.05 * float((there - image).abs().mean())


def test_a_field_to_the_right_reads_from_the_right() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[..., 28:36, 36:40] = 1.0
    field = torch.zeros(1, 2, 16, 16)
    field[:, 0, 2:-2, 2:-2] = 6 / 64
    moved = warp(image, field)
    columns = torch.arange(64.0)
    centre = (moved.sum(dim=(0, 1, 2)) * columns).sum() / moved.sum()
    assert float(centre) == pytest.approx(37.5 - 6, abs=0.5)


def test_fine_detail_stays_where_shapes_are_deformed() -> None:
    """A wire over a moving border keeps its place; a plain warp would drag it along."""
    shapes = torch.full((1, 1, 64, 64), -0.5)
    shapes[..., 32:] = 0.5
    picture = shapes.clone()
    picture[..., 20] += 0.4  # a wire one pixel wide
    field = torch.zeros(1, 2, 16, 16)
    field[:, 0, 4:12, 4:12] = 0.06
    drawn = apply_edit(picture, field, torch.zeros(1, 1, 16, 16))
    plain = apply_edit(shapes, field, torch.zeros(1, 1, 16, 16))
    assert (plain - shapes).abs().max() > 0.5  # the border moved
    assert torch.allclose(drawn - plain, picture - shapes, atol=0.02)  # the wire did not


def test_structure_keeps_borders_and_drops_wires() -> None:
    picture = torch.full((1, 1, 64, 64), -0.5)
    picture[..., 32:] = 0.5
    with_wire = picture.clone()
    with_wire[..., 10:12] = 0.9
    assert torch.allclose(structure(with_wire), picture, atol=0.01)


def test_a_kept_grid_is_the_same_and_serves_a_training_after_a_validation() -> None:
    edit._kept_grid.cache_clear()
    image, velocity = torch.rand(1, 1, 33, 21), 0.05 * torch.randn(1, 2, 8, 8)
    with torch.inference_mode():
        first = edit.warp(image, velocity)
    wanted = velocity.clone().requires_grad_()
    again = edit.warp(image, wanted)
    again.sum().backward()
    assert torch.equal(first, again) and wanted.grad is not None and wanted.grad.abs().max() > 0
    assert edit._kept_grid.cache_info().hits >= 3
    kept, made = (edit._identity_grid(33, 21, False, image) for _ in range(2))
    assert kept is made
    theta = torch.eye(2, 3)[None]
    assert torch.equal(kept, torch.nn.functional.affine_grid(theta, [1, 1, 33, 21], align_corners=False))
