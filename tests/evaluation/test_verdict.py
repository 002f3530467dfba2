"""Each reason not to interpret a picture, and the picture that may be."""

import numpy as np
import pytest

from cfx.evaluation import verdict as v


def one(**changed: float | bool) -> str:
    """Verdict of a good picture with something changed."""
    given = {
        "target": 1.0,
        "after": 0.97,
        "before": 0.45,
        "ctr": 0.56,
        "transfer": 0.9,
        "familiar": True,
    } | changed
    arrays = {key: np.array([value]) for key, value in given.items()}
    return v.verdicts(
        arrays["target"], arrays["after"], arrays["before"], arrays["ctr"], transfer_after=arrays["transfer"],
        familiar=arrays["familiar"],
    )[0]  # fmt: skip


def test_a_good_picture_may_be_interpreted() -> None:
    assert one() == v.INTERPRET
    assert one(transfer=np.nan) == v.INTERPRET  # nobody was asked


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"after": 0.85}, v.MISSED),
        ({"after": np.nan, "transfer": np.nan}, v.MISSED),
        ({"familiar": False}, v.UNLIKE),
        ({"ctr": np.nan}, v.NOT_MADE),
        ({"before": np.nan}, v.NOT_MADE),
        ({"ctr": 0.47}, v.FLOOR),
        ({"transfer": 0.3}, v.DISAGREES),
    ],
)
def test_each_reason_is_named_alone(changed: dict[str, float], reason: str) -> None:
    assert one(**changed) == f"do not interpret: {reason}"


def test_where_nothing_is_measured_nothing_may_be_interpreted() -> None:
    assert v.verdicts(np.array([1.0]), np.array([0.97]), None, None) == [f"do not interpret: {v.UNMEASURED}"]
    both = f"do not interpret: {v.MISSED}, {v.UNMEASURED}"
    assert v.verdicts(np.array([1.0]), np.array([0.5]), None, None) == [both]


@pytest.mark.parametrize(
    ("name", "good", "bad", "reason"),
    [
        ("thorax_change", -v.THORAX_CHANGE, -v.THORAX_CHANGE - 0.01, v.THORAX),
        ("thorax_change", v.THORAX_CHANGE, v.THORAX_CHANGE + 0.01, v.THORAX),
        ("devices_lost", 0, 1, v.LOST),
        ("border_left", v.BORDER_LEFT, v.BORDER_LEFT + 0.01, v.BORDER),
    ],
)
def test_what_should_stay_and_what_should_go(name: str, good: float, bad: float, reason: str) -> None:
    blind = [np.array([value]) for value in (1.0, 0.97, 0.45, np.nan)]
    if reason == v.THORAX:  # of what could not be measured nothing else is said
        assert v.verdicts(*blind, thorax_change=np.array([0.5])) == [f"do not interpret: {v.NOT_MADE}"]
    three = [np.full(3, value) for value in (1.0, 0.97, 0.45, 0.56)]
    found = v.verdicts(*three, **{name: np.array([good, bad, np.nan])})
    assert found == [v.INTERPRET, f"do not interpret: {reason}", v.INTERPRET]


def test_several_reasons_are_all_named() -> None:
    assert one(after=0.5, ctr=0.451) == f"do not interpret: {v.MISSED}, {v.FLOOR}"


def test_without_helpers_nobody_disagrees() -> None:
    assert v.verdicts(np.array([0.0]), np.array([0.05]), np.array([0.6]), np.array([0.5])) == [v.INTERPRET]
