"""Recess boxes against the masks that are drawn of the same patients, and what fluid does to them."""

import pandas as pd
import pytest
import torch

from cfx.data.phantom import anatomy, recess, render
from cfx.data.phantom.source import Phantom
from cfx.metrics.boxes import BLUNTED, CLASSES, HEALTHY


@pytest.fixture(scope="module")
def dry() -> dict[str, torch.Tensor]:
    """Forty patients without fluid."""
    values = render.tensors(anatomy.sample(3, range(1, 41)))
    return {**values, "severity_pleural_effusion": torch.full_like(values["lean"], -0.5)}


def flooded(values: dict[str, torch.Tensor], severity: float) -> dict[str, torch.Tensor]:
    changed = {**values, "severity_pleural_effusion": torch.full_like(values["lean"], severity)}
    return {
        **changed,
        "fluid_left": torch.ones_like(values["lean"]),
        "fluid_right": torch.zeros_like(values["lean"]),
    }


def test_a_dry_recess_is_where_the_mask_of_the_lung_ends(dry: dict[str, torch.Tensor]) -> None:
    drawn = render.render(dry, 3, 64)
    found = recess.recesses(dry)
    assert not found.blunted.any() and found.on_film.all()
    side = drawn.masks.shape[-1]
    for side_of_patient, channel in ((0, 1), (1, 2)):
        for patient in range(len(drawn.masks)):
            rows = drawn.masks[patient, channel].any(dim=1).nonzero()
            lowest = (float(rows.max()) + 1) / side
            # the very tip is thinner than a pixel of the mask
            assert -0.005 <= float(found.tip[patient, side_of_patient, 1] + 1) / 2 - lowest <= 0.03
            columns = drawn.masks[patient, channel].any(dim=0).nonzero()
            x = (float(found.tip[patient, side_of_patient, 0]) + 1) / 2
            x0, _, x1, _ = found.box[patient, side_of_patient].tolist()
            assert (
                x0 < x < x1
                and float(columns.min()) / side - 0.06 < x < (float(columns.max()) + 1) / side + 0.06
            )


def test_sides_are_the_patients(dry: dict[str, torch.Tensor]) -> None:
    found = recess.recesses(flooded(dry, 1.0))
    assert (
        found.box[:, 0, 0] > found.box[:, 1, 2]
    ).all()  # the patient's left is on the right of the picture
    assert found.blunted[:, 0].all() and not found.blunted[:, 1].any()


def test_fluid_fills_the_recess_steadily_and_lifts_its_box(dry: dict[str, torch.Tensor]) -> None:
    levels = [recess.recesses(flooded(dry, severity)) for severity in (-0.5, 0.2, 0.43, 0.8, 1.2, 2.0)]
    filled = torch.stack([level.filled[:, 0] for level in levels])
    assert (filled.diff(dim=0) >= 0).all() and (filled[0] == 0).all()
    heights = torch.stack([level.box[:, 0, 1] for level in levels])
    assert (heights.diff(dim=0) <= 1e-9).all()
    share = [float(level.blunted[:, 0].float().mean()) for level in levels]
    assert share[0] == share[1] == 0 and share[3] == share[5] == 1
    assert 0.2 < share[2] < 0.9  # about as often as not where the label is


def test_a_box_cut_off_by_the_film_is_none(dry: dict[str, torch.Tensor]) -> None:
    low = {**dry, "shift_y": dry["shift_y"] + 2.0}
    assert not recess.recesses(low).on_film.any()
    assert (recess.recesses(low).box <= 1).all()


def test_the_source_gives_boxes_of_devices_and_recesses(written: Phantom) -> None:
    frame = written.frame()
    found = written.boxes(frame)
    assert set(found) == set(frame["image_id"])
    truth = written.truth().set_index("image_id")
    boxes = pd.read_csv(written.folder() / "boxes.csv")
    for name, each in found.items():
        names = [CLASSES[label] for label in each.label]
        for column, label in (("pacemaker", "pacemaker"), ("central_line", "line"), ("tube", "tube")):
            assert names.count(label) == int(truth.loc[name, column])
        assert names.count(HEALTHY) + names.count(BLUNTED) <= 2
        assert (each.box >= 0).all() and (each.box <= 1).all()
        known = boxes[(boxes["path"] == name) & (boxes["class"] == "pacemaker")]
        if len(known):
            row = each.box[each.label == CLASSES.index("pacemaker")][0] * 64
            assert row.tolist() == known[["x0", "y0", "x1", "y1"]].iloc[0].tolist()
    some = written.boxes(frame.iloc[:3])
    assert set(some) == set(frame["image_id"].iloc[:3])


def test_asking_for_boxes_writes_nothing(written: Phantom) -> None:
    before = {file: file.stat().st_mtime_ns for file in written.folder().glob("*.*")}
    written.boxes(written.frame())
    assert {file: file.stat().st_mtime_ns for file in written.folder().glob("*.*")} == before
