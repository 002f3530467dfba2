"""Trees of figures, as metrics.json holds them, compared leaf by leaf."""

from collections.abc import Collection
from typing import Any

import pytest


def assert_alike(
    one: Any, other: Any, tolerance: float, where: str = "", without: Collection[str] = ()
) -> None:
    """Fail at the first leaf that differs, and name it.

    Args:
        one, other: of dicts and lists, with the same keys and lengths.
        tolerance: of numbers, absolute.
        where: how the failure names them.
        without: keys whose values are not compared.
    """
    if isinstance(one, dict):
        assert set(one) == set(other), where
        for key in set(one) - set(without):
            assert_alike(one[key], other[key], tolerance, f"{where}.{key}", without)
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_alike(a, b, tolerance, f"{where}[{number}]", without)
    elif isinstance(one, float):
        assert other == pytest.approx(one, abs=tolerance), where
    else:
        assert one == other, where
