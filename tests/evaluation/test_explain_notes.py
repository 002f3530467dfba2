"""Notes beside a verdict: against the finding, a recess gone, another number at full resolution, a heart that moved."""

from dataclasses import replace

import numpy as np

from cfx.evaluation import explain_notes as notes
from cfx.evaluation.explained import FullResolution, Reading, Step

BEFORE = Reading(
    0.1, ctr=0.5, heart_width=0.4, thorax_width=0.8, transfer=0.1, scp_left=0.9, scp_right=0.7, haze=0.3
)
BOX = (0.1, 0.7, 0.2, 0.8)


def step(target: float = 1.0, **reading: object) -> Step:
    return Step(target, np.zeros((4, 4), np.float32), replace(BEFORE, posterior=0.95, **reading), 0.1)  # type: ignore[arg-type]


def test_a_move_against_the_finding_is_told_of_whatever_the_task_is_read_by() -> None:
    for read_by, direction, right, wrong in (
        ("ctr", 1, {"ctr": 0.55}, {"ctr": 0.45}),
        ("scp", -1, {"scp_left": 0.2}, {"scp_left": 1.0}),
        ("haze", 1, {"haze": 0.4}, {"haze": 0.2}),
    ):
        assert notes.wrong_way(BEFORE, step(**right), BEFORE, direction, read_by) == ""
        assert "although more of the finding" in notes.wrong_way(
            BEFORE, step(**wrong), BEFORE, direction, read_by
        )
        assert notes.wrong_way(BEFORE, step(), BEFORE, direction, read_by) == ""  # nothing moves
        assert notes.wrong_way(BEFORE, step(**wrong), BEFORE, 0, read_by) == ""
    assert notes.wrong_way(BEFORE, step(ctr=0.45), BEFORE, 1, None) == ""


def test_a_recess_that_is_gone_is_named_by_its_side() -> None:
    before = replace(BEFORE, recesses=(BOX, BOX))
    gone = notes.recess_gone(step(recesses=(None, BOX)), before, "scp")
    assert "patient's left costophrenic recess" in gone and "filled" in gone
    cleared = replace(before, posterior=0.9)
    assert "filled" not in notes.recess_gone(step(0.0, recesses=(BOX, None)), cleared, "scp")
    assert notes.recess_gone(step(recesses=(None, BOX)), before, "ctr") == ""
    assert notes.recess_gone(step(recesses=(None, None)), BEFORE, "scp") == ""  # there was none before


def test_the_sharper_picture_is_told_of_where_it_reads_otherwise() -> None:
    drawn = step(ctr=0.55)
    alike, apart = (
        replace(drawn, full=FullResolution("a.png", replace(drawn.reading, ctr=ctr))) for ctr in (0.56, 0.58)
    )
    assert notes.seen_sharper(drawn, "ctr", 0.027) == notes.seen_sharper(alike, "ctr", 0.027) == ""
    assert (
        notes.seen_sharper(apart, "ctr", 0.027)
        == "the picture at full resolution has posterior 0.95, CTR 0.58"
    )
    failed = replace(alike, reasons=("target missed at full resolution",))
    assert "CTR 0.56" in notes.seen_sharper(failed, "ctr", 0.027)


def test_a_heart_that_was_not_asked_for_is_told_of() -> None:
    assert notes.heart_moves(step(ctr=0.45), BEFORE, "scp") == "CTR changes by -0.05, which was not asked for"
    assert (
        notes.heart_moves(step(ctr=0.48), BEFORE, "scp")
        == notes.heart_moves(step(ctr=0.4), BEFORE, "ctr")
        == ""
    )


def test_where_no_border_could_be_told_the_reader_is_asked_to_look() -> None:
    assert "double contour" in notes.border_unknown(step(), BEFORE, sharper=True)
    assert notes.border_unknown(step(), BEFORE, sharper=False) == ""
    assert notes.border_unknown(replace(step(), border_left=0.1), BEFORE, sharper=True) == ""
    # without a heart there is no border to look for, and the verdict says that nothing was measured
    assert notes.border_unknown(step(), replace(BEFORE, ctr=None), sharper=True) == ""
    assert notes.border_unknown(step(ctr=None), BEFORE, sharper=True) == ""


def test_limit_is_explained_where_there_is_one() -> None:
    assert notes.limits_told((step(),)) == ""
    assert "limit" in notes.limits_told((step(), replace(step(), aimed=0.9)))
