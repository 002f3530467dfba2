"""Devices and markers: where they are, that they are seen, and that no finding moves them."""

import numpy as np
import pandas as pd
import pytest
import torch

from cfx.data.phantom import devices, geometry, render
from cfx.data.phantom.glyphs import bitmap

GEAR = ("pacemaker", "central_line", "tube", "ecg", "marker", "portable")


def equip(frame: pd.DataFrame, **columns: float) -> devices.Equipment:
    bare = dict.fromkeys(GEAR, 0.0)
    values = render.tensors(frame.assign(**(bare | columns)))
    return devices.draw(values, geometry.grid(values, 128))


def test_patients_without_have_none(crowd: pd.DataFrame) -> None:
    bare = equip(crowd)
    assert bare.path.abs().sum() == 0
    assert not bare.cover.any()


@pytest.mark.parametrize(("channel", "name"), list(enumerate(devices.SUPPORT)))
def test_each_device_is_its_own_class(crowd: pd.DataFrame, channel: int, name: str) -> None:
    drawn = equip(crowd, **{name: 1.0})
    assert drawn.cover[:, channel].flatten(1).any(dim=1).all()
    others = [other for other in range(5) if other != channel]
    assert not drawn.cover[:, others].any()
    assert (drawn.path[drawn.cover[:, channel]] > 0.04).all()


def test_devices_are_where_they_belong(crowd: pd.DataFrame) -> None:
    straight = {"shift_x": 0.0, "shift_y": 0.0, "zoom_x": 1.0, "zoom_y": 1.0, "lean": 0.0}
    cans = equip(crowd.assign(**straight), pacemaker=1.0).path
    values = render.tensors(crowd.assign(**straight))
    brightest = cans[:, :, 70:].flatten(1).argmax(dim=1) % (128 - 70) + 70
    expected = (values["pacemaker_x"] + 1) * 64
    assert ((brightest - expected).abs() < 10).all()
    tubes = equip(crowd.assign(**straight), tube=1.0).cover[:, 2]
    assert not tubes[:, :, :58].any()
    assert not tubes[:, :, 70:].any()
    lowest = (tubes.any(dim=2) * torch.arange(128)).amax(dim=1)
    assert ((lowest - (values["tube_tip"] + 1) * 64).abs() < 4).all()


def test_a_tube_is_a_cylinder() -> None:
    """Across a thick straight tube the path is sqrt(1 - (q / r)^2)."""
    frame = pd.DataFrame([{"shift_x": 0.0, "shift_y": 0.0, "zoom_x": 1.0, "zoom_y": 1.0, "lean": 0.0}])
    grid = geometry.grid(render.tensors(frame), 256)
    one = torch.ones(1, dtype=torch.float64)
    points = devices._curve([(0.1 * one, -0.8 * one), (0.1 * one, 0.8 * one)], grid, 0.08, 1.6)
    drawn = devices._tubes(grid, points, 0.08)
    offset = (grid.x[0, 128] - 0.1) / 0.08
    expected = (1 - offset**2).clamp_min(0).sqrt()
    torch.testing.assert_close(drawn[0, 128], expected, atol=0.03, rtol=0)
    assert drawn[0, :10].abs().max() == 0


def test_no_finding_moves_a_device(crowd: pd.DataFrame) -> None:
    worn = {"pacemaker": 1.0, "central_line": 1.0, "ecg": 1.0, "marker": 1.0}
    before = equip(crowd, severity_cardiomegaly=0.0, **worn)
    after = equip(crowd, severity_cardiomegaly=2.0, severity_edema=2.0, severity_pleural_effusion=2.0, **worn)
    assert torch.equal(before.path, after.path)
    assert torch.equal(before.cover, after.cover)


def test_devices_show_on_the_film(crowd: pd.DataFrame) -> None:
    some = crowd.iloc[:8]
    bare = render.render(render.tensors(some.assign(**dict.fromkeys(GEAR, 0.0))), 3, 64)
    worn = render.render(render.tensors(some.assign(**dict.fromkeys(GEAR, 0.0) | {"pacemaker": 1.0})), 3, 64)
    assert worn.devices is not None
    lighter = (worn.grey - bare.grey)[worn.devices[:, 0]]
    assert lighter.mean() > 0.1
    assert (worn.grey - bare.grey)[~worn.devices[:, 0]].abs().max() < 0.06


def test_markers_are_letters_at_the_side(crowd: pd.DataFrame) -> None:
    left = equip(crowd, marker=1.0, marker_left=1.0).cover[:, 4]
    right = equip(crowd, marker=1.0, marker_left=0.0).cover[:, 4]
    assert not left[:, :, :64].any()
    assert not right[:, :, 64:].any()
    assert (left.sum(dim=(1, 2)) == 4 * bitmap("L").sum()).all()


def test_text_fits_its_bitmap() -> None:
    letters = bitmap("AP PORTABLE")
    assert letters.shape == (5, 43)
    np.testing.assert_array_equal(bitmap("L"), [[1, 0, 0]] * 4 + [[1, 1, 1]])
    with pytest.raises(KeyError):
        bitmap("?")
