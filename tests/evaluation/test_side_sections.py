"""Sections beside validity and the clinical one, on tables whose figures are known."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cfx.evaluation.rows import finish
from cfx.evaluation.side_sections import identity_section, transfer_section

COUNT = 40


def pictures(**columns: Any) -> pd.DataFrame:
    """One picture a patient, half of them in `up` (p 0.1), half in `down` (p 0.9), unless told otherwise."""
    up = np.arange(COUNT) < COUNT // 2
    table: dict[str, Any] = {
        "image_id": [f"v{i}" for i in range(COUNT)],
        "patient_id": [f"p{i}" for i in range(COUNT)],
        "group": np.where(up, "up", "down"),
        "p_before": np.where(up, 0.1, 0.9),
    }
    return finish(table | columns)


def asked(base: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """Each picture at the target that its group is asked for."""
    return base.assign(target=np.where(base["group"] == "up", 1.0, 0.0), **columns)


def log_odds(values: Any) -> Any:
    """Posterior of log odds."""
    return 1 / (1 + np.exp(-np.asarray(values, dtype=float)))


def transferred(step: float, **columns: Any) -> dict[str, Any]:
    """The section of a method after which the independent classifier has moved by `step` towards the target."""
    odds = np.where(np.arange(COUNT) < COUNT // 2, -2.0, 2.0) + np.tile([-0.5, 0.5], COUNT // 2)
    base = pictures(p_transfer_before=log_odds(odds), **columns)
    sign = np.where(base["group"] == "up", 1, -1)
    section = transfer_section(
        asked(base, p_transfer_after=log_odds(odds + step * sign)), base, None, 0.5, 300, 0
    )
    assert section is not None
    return section


@pytest.mark.parametrize(("step", "share"), [(2.0, 0.5), (-2.0, -0.5)])
def test_a_shift_the_wrong_way_is_no_transfer(step: float, share: float) -> None:
    section = transferred(step)
    for group in ("up", "down"):
        assert section[group]["logit_gap"] == pytest.approx(4)
        assert section[group]["share"] == section[group]["logit_share"] == pytest.approx(share)
        low, high = section[group]["ci95"]["share"]
        assert low < share < high and low * high > 0


def test_the_gap_is_by_patient_and_over_pictures_called_alike() -> None:
    """Two thirds of `down` are one patient's, further off, and one picture there is called otherwise."""
    names = [f"p{i}" if i < 26 else "many" for i in range(COUNT)]
    odds = np.array([-2.0] * 20 + [2.0] * 5 + [-9.0] + [8.0] * 14)
    base = pictures(patient_id=names, p_transfer_before=log_odds(odds))
    section = transfer_section(asked(base, p_transfer_after=log_odds(0 * odds)), base, None, 0.5, 100, 0)
    assert section is not None
    assert section["up"]["logit_gap"] == pytest.approx((5 * 2 + 8) / 6 + 2)
    assert section["up"]["share"] == pytest.approx(2 / 5)
    assert section["down"]["n_patients"] == 6


def test_a_patient_with_many_devices_counts_once() -> None:
    """Of `up` one patient has 31 devices in two pictures and keeps one, nine have one each and keep it."""
    names = ["many"] * 2 + [f"p{i}" for i in range(2, COUNT)]
    before = np.array([30.0, 1.0] + [1.0] * 9 + [0.0] * (COUNT - 11))
    kept = np.array([0.0, 1.0] + [1.0] * 9 + [0.0] * (COUNT - 11))
    zero = np.zeros(COUNT)
    base = pictures(patient_id=names)
    rows = asked(
        base, devices_before=before, devices_kept=kept, devices_in_edit=zero, devices_in_edit_kept=zero
    )
    section = identity_section(rows, "masks", 300, 0)
    assert section["up"]["fop"] == section["fop"] == pytest.approx((1 / 31 + 9) / 10)
    assert section["up"]["n_devices"] == 40 and section["up"]["n_patients"] == 10
    low, high = section["up"]["ci95"]["fop"]
    assert low < section["fop"] < high <= 1
    assert section["fop_in_edit"] is None
