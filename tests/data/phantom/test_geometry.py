"""Outlines and masks: the ratio against independent measurements, and what each finding and nuisance moves."""

import numpy as np
import pandas as pd
import pytest
import torch

from cfx.data.phantom import geometry, render
from cfx.measurements import cardiothoracic_ratio


def changed(frame: pd.DataFrame, **columns: float) -> dict[str, torch.Tensor]:
    return render.tensors(frame.assign(**columns))


def ratio_of(values: dict[str, torch.Tensor]) -> torch.Tensor:
    return geometry.ratio(values, geometry.heart(values))


def masks_of(values: dict[str, torch.Tensor], size: int) -> torch.Tensor:
    grid = geometry.grid(values, size)
    return geometry.masks(geometry.outlines(values, geometry.heart(values), grid), grid)


def test_the_ratio_is_that_of_the_masks(crowd: pd.DataFrame) -> None:
    """Extreme columns of hard masks at 1,024 px, counted without any help of the code under test."""
    values = render.tensors(crowd)
    masks = masks_of(values, 1024)
    heart = masks[:, 0].any(dim=1).numpy()
    lungs = masks[:, 1:].any(dim=1).any(dim=1).numpy()
    width = [np.ptp(np.flatnonzero(row)) + 1 for row in heart]
    span = [np.ptp(np.flatnonzero(row)) + 1 for row in lungs]
    np.testing.assert_allclose(ratio_of(values), np.divide(width, span), atol=0.0025)


def test_the_ratio_is_what_the_projects_own_measurement_finds(
    crowd: pd.DataFrame, drawn: render.Drawn
) -> None:
    soft = torch.nn.functional.avg_pool2d(drawn.masks.float(), 4)
    error = cardiothoracic_ratio(soft.numpy()) - drawn.ctr.numpy()
    assert np.abs(error).mean() < 0.004
    assert abs(error.mean()) < 0.0015
    np.testing.assert_allclose(drawn.ctr, ratio_of(render.tensors(crowd)))


def test_a_heart_alone_has_the_ratio_of_its_severity(crowd: pd.DataFrame) -> None:
    """No lean, no asymmetry, no fluid: heart over thorax is base + slope * severity, nuisances multiplied in."""
    values = changed(
        crowd,
        lean=0.0,
        asymmetry=0.0,
        severity_pleural_effusion=-0.5,
        severity_cardiomegaly=0.5,
    )
    expected = (0.44 + 0.12 * 0.5) * values["heart_factor"] + values["fat"]
    torch.testing.assert_close(ratio_of(values), expected, rtol=0, atol=0.004)


def test_the_ratio_grows_with_the_severity(crowd: pd.DataFrame) -> None:
    steps = torch.stack(
        [ratio_of(changed(crowd, severity_cardiomegaly=s)) for s in (-0.7, 0.0, 0.7, 1.4, 2.1)]
    )
    assert (steps.diff(dim=0) > 0.05).all()


def test_a_heart_grows_mostly_to_the_left_and_its_apex_sinks(crowd: pd.DataFrame) -> None:
    small, large = (geometry.heart(changed(crowd, severity_cardiomegaly=s)) for s in (0.0, 1.5))
    left, right = large.left - small.left, large.right - small.right
    assert (right > 0).all()
    assert (left > 2 * right).all()
    assert (large.bottom > small.bottom).all()


def test_other_findings_leave_the_heart_alone(crowd: pd.DataFrame) -> None:
    before = masks_of(changed(crowd, severity_edema=0.0, severity_pleural_effusion=-0.5), 128)[:, 0]
    after = masks_of(changed(crowd, severity_edema=2.0, severity_pleural_effusion=2.0), 128)[:, 0]
    assert torch.equal(before, after)


def test_fluid_takes_lung_from_below_on_its_own_side_only(crowd: pd.DataFrame) -> None:
    sides = {"fluid_left": 1.0, "fluid_right": 0.0}
    dry = masks_of(changed(crowd, severity_pleural_effusion=-0.5, **sides), 128)
    wet = masks_of(changed(crowd, severity_pleural_effusion=1.0, **sides), 128)
    assert torch.equal(dry[:, 2], wet[:, 2])
    assert (wet[:, 1] & ~dry[:, 1]).sum() == 0
    lost = 1 - wet[:, 1].sum(dim=(1, 2)) / dry[:, 1].sum(dim=(1, 2))
    assert (lost > 0.02).all()
    height = geometry.grid(changed(crowd), 128).y
    taken = dry[:, 1] & ~wet[:, 1]
    assert ((taken * height).sum(dim=(1, 2)) / taken.sum(dim=(1, 2)) > 0.15).all()


def test_fluid_rises_towards_the_wall(crowd: pd.DataFrame) -> None:
    values = changed(crowd, severity_pleural_effusion=1.0, fluid_left=1.0, fluid_right=1.0)
    middle = geometry.fluid_level(values, 0.55 * values["thorax"].reshape(-1, 1, 1))
    wall = geometry.fluid_level(values, 0.99 * values["thorax"].reshape(-1, 1, 1))
    assert (middle - wall > 0.05).all()


def test_no_fluid_leaves_the_recess_sharp(crowd: pd.DataFrame) -> None:
    values = changed(crowd, severity_pleural_effusion=0.0, fluid_left=1.0, fluid_right=1.0)
    x = 0.97 * values["thorax"].reshape(-1, 1, 1)
    assert (geometry.fluid_level(values, x) > geometry.diaphragm(values, x)).float().mean() > 0.9


def test_lungs_never_overlap_and_a_deeper_breath_lowers_the_floor(crowd: pd.DataFrame) -> None:
    masks = masks_of(render.tensors(crowd), 128)
    assert not (masks[:, 1] & masks[:, 2]).any()
    assert not (masks[:, 0] & (masks[:, 1] | masks[:, 2])).any()
    assert np.corrcoef(crowd["inspiration"], crowd["dome_right"])[0, 1] > 0.5


def test_the_left_lung_is_on_the_pictures_right(drawn: render.Drawn) -> None:
    columns = torch.arange(drawn.masks.shape[-1], dtype=torch.float32)
    centre = [
        (drawn.masks[:, k].float().sum(dim=1) * columns).sum(1) / drawn.masks[:, k].sum(dim=(1, 2))
        for k in (1, 2)
    ]
    assert (centre[0] > centre[1] + 40).all()


@pytest.mark.parametrize("fall", [3.2, 5.0])
def test_a_border_peaks_at_one(fall: float) -> None:
    t = torch.linspace(0, 1, 20001, dtype=torch.float64)
    border = geometry._border(t, torch.tensor(0.7, dtype=torch.float64), fall)
    assert border.max().item() == pytest.approx(1.0, abs=1e-7)
    assert border[0] == 0
    assert border[-1] == 0
