"""Why a drawn picture may not be interpreted: by each reason, by what its task is read by, and at both sizes."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cfx.evaluation.explain_tools import Tools
from cfx.evaluation.explained import FullResolution, Reading, Step
from cfx.evaluation.explaining import all_reasons, at_full, reasons_at_both_sizes
from cfx.measurements import READING_FLOOR


@pytest.mark.parametrize(
    ("posterior", "ctr", "transfer", "familiar", "reasons"),
    [
        (0.97, 0.55, 0.9, True, ()),
        (0.60, 0.55, 0.9, True, ("target missed",)),
        (0.97, 0.46, 0.9, True, ("shift under the reading floor",)),
        (0.97, None, 0.9, True, ("measurement not made",)),
        (0.97, 0.55, 0.1, None, ("independent classifier disagrees",)),
        (0.60, 0.46, 0.1, False, ("target missed", "input unlike the training data", "shift under the reading floor",
                                  "independent classifier disagrees")),
    ],
)  # fmt: skip
def test_each_reason_against_reading_a_picture_is_told(
    tools: Tools,
    posterior: float,
    ctr: float | None,
    transfer: float,
    familiar: bool | None,
    reasons: tuple[str, ...],
) -> None:
    redrawn = Reading(0.1, 0.45, 0.3, 0.7, 0.1)
    step = Step(1.0, np.zeros((4, 4), dtype=np.float32), Reading(posterior, ctr, 0.3, 0.7, transfer), 0.1)
    assert all_reasons(redrawn, redrawn, [step], tools, familiar) == [reasons]


def test_a_finding_that_is_not_read_by_the_ctr_has_no_reason_of_it(tools: Tools) -> None:
    redrawn = Reading(
        0.1, ctr=0.5, heart_width=0.4, thorax_width=0.8, transfer=0.1, scp_left=0.9, scp_right=0.7, haze=0.3
    )

    def reasons(read_by: str | None, floor: float = READING_FLOOR, **reading: Any) -> tuple[str, ...]:
        after = replace(redrawn, posterior=0.98, transfer=0.9, **reading)
        step = Step(1.0, np.zeros((4, 4), np.float32), after, 0.1)
        return all_reasons(redrawn, redrawn, [step], replace(tools, read_by=read_by, floor=floor), None)[0]

    assert reasons("ctr") == ("shift under the reading floor",)
    assert reasons("ctr", ctr=None) == ("measurement not made",)
    assert reasons(None) == reasons(None, ctr=None) == ("nothing measured of the finding",)
    assert reasons("scp", ctr=None) == ("shift under the reading floor",)
    assert reasons("scp", scp_left=None) == ("measurement not made",)
    assert reasons("scp", scp_left=0.2) == ()
    assert reasons("haze", 0.02, ctr=None, haze=0.31) == ("shift under the reading floor",)
    assert (
        reasons("haze", 0.02, haze=0.33) == () == reasons("haze", 0.0, haze=0.3)
    )  # no floor, no such reason
    assert reasons("haze", 0.0, haze=None) == ("measurement not made",)


@pytest.mark.parametrize(
    ("changed", "thorax", "reasons"),
    [
        ({}, 0.72, ()),
        ({}, 0.74, ("thorax width changes",)),
        ({}, 0.66, ("thorax width changes",)),
        ({}, None, ()),
        ({"devices": (2, 2), "border_left": 0.4}, 0.7, ()),
        ({"devices": (2, 1)}, 0.7, ("device lost",)),
        ({"border_left": 0.41}, 0.7, ("old heart border shows through",)),
    ],
)
def test_what_should_have_stayed_or_gone_is_a_reason(
    tools: Tools, changed: dict[str, Any], thorax: float | None, reasons: tuple[str, ...]
) -> None:
    before, redrawn = Reading(0.1, 0.45, 0.3, 0.7, 0.1), Reading(0.1, 0.45, 0.3, 0.6, 0.1)
    step = Step(1.0, np.zeros((4, 4), np.float32), Reading(0.97, 0.55, 0.3, thorax, 0.9), 0.1, **changed)
    assert all_reasons(before, redrawn, [step], tools, True) == [reasons]


def test_a_picture_that_fails_at_full_resolution_may_not_be_interpreted(tools: Tools) -> None:
    redrawn = Reading(0.1, 0.45, 0.3, 0.7, 0.1)
    small = Reading(0.97, 0.55, 0.3, 0.7, 0.9)
    step = Step(1.0, np.zeros((4, 4), dtype=np.float32), small, 0.1)
    large = [
        FullResolution("a.png", reading)
        for reading in (small, replace(small, ctr=0.46), replace(small, ctr=None))
    ]
    steps = [step, *(replace(step, full=each) for each in large)]
    drawn: Any = SimpleNamespace(before=redrawn, redrawn=redrawn, familiar=True)
    found = reasons_at_both_sizes(drawn, steps, at_full(steps), tools)
    assert found[:2] == [(), ()]
    assert found[2] == ("shift under the reading floor at full resolution",)
    assert found[3] == ("measurement not made at full resolution",)
