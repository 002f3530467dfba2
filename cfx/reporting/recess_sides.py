"""How well each side's costophrenic recess follows: the mean of both hides that one of them may not move."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cfx.metrics.recess import SIDES
from cfx.reporting.run_files import number_at
from cfx.reporting.tables import DIRECTIONS

ASKED = {"up": "asked for the finding", "down": "asked to take it away"}


@dataclass(frozen=True)
class SideMoved:
    """One side in one direction.

    Attributes:
        side: 'left' or 'right', the patient's.
        direction: 'up' or 'down'.
        share: of patients whose measurement moved the right way on that side, in [0, 1], of those it was made of.
        closed: share of what the classifier's own groups differ by on that side; None where that is not known.
    """

    side: str
    direction: str
    share: float
    closed: float | None = None


def by_side(metrics: Mapping[str, Any], name: str) -> list[SideMoved]:
    """What moved the right way on each side, upwards first; empty of a measurement that has no sides.

    Args:
        metrics: ``metrics.json``, of which ``clinical.<name>.<side>.<direction>.moved_right`` is read.
        name: the measurement, such as 'scp'.
    """
    found = []
    for direction in DIRECTIONS:
        for side in SIDES:
            place = f"clinical.{name}.{side}.{direction}"
            share = number_at(metrics, f"{place}.moved_right")
            if share is not None:
                found.append(SideMoved(side, direction, share, number_at(metrics, f"{place}.gap_closed")))
    return found


def weaker_side(metrics: Mapping[str, Any], name: str) -> SideMoved | None:
    """The side and direction that follow least; None of a measurement that has no sides."""
    return min(by_side(metrics, name), key=lambda each: each.share, default=None)


def sides_in_words(metrics: Mapping[str, Any], name: str) -> str:
    """'Moved the right way, asked for the finding: 62% of the left and 100% of the right recesses found.', or ''."""
    parts = []
    for direction in DIRECTIONS:
        known = [each for each in by_side(metrics, name) if each.direction == direction]
        if known:
            shares = " and ".join(f"{each.share:.0%} of the {each.side}" for each in known)
            parts.append(f"{ASKED[direction]}: {shares} recesses found")
    return f"Moved the right way, {'; '.join(parts)}." if parts else ""
