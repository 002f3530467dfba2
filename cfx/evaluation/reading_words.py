"""What a task is read by, as pictures, tables and lines name and write it: `CTR 0.52 (+0.08)`. Knows no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """A clinical measurement in words.

    Attributes:
        label: its short name, as it stands beside a number.
        name: its full name.
        meaning: how it is made.
        floor: why a change under the floor is called none.
    """

    label: str
    name: str
    meaning: str
    floor: str


MEASURES = {
    "ctr": Measure(
        "CTR",
        "Cardiothoracic ratio",
        "heart width over inner thoracic width",
        "two readers of one image differ by this much",
    ),
    "scp": Measure(
        "SCP",
        "Healthy costophrenic recess",
        "the detector's score of a healthy recess, the mean of both sides",
        "the same picture measured again differs by about this much",
    ),
    "haze": Measure(
        "lung haze",
        "Lung haze",
        "mean grey of the lungs over that of the heart",
        "the same picture measured again differs by this much",
    ),
}
"""By what a task is read by, see `cfx.evaluation.rows.READ_AS`."""


def label_of(name: str) -> str:
    """A measurement as tables and lines name it: `CTR`, `SCP`, `lung haze`; others in capitals."""
    return MEASURES[name].label if name in MEASURES else name.upper()


def value_in(numbers: Mapping[str, Any], read_by: str | None) -> float | None:
    """What a task is read by, of a reading as JSON.

    Args:
        numbers: as `Reading.numbers` gives them.
        read_by: `ctr`, `haze` or `scp` (the mean of both sides, only where both were found); None: nothing.
    """
    if read_by != "scp":
        found = None if read_by is None else numbers.get(read_by)
        return None if found is None else float(found)
    left, right = numbers.get("scp_left"), numbers.get("scp_right")
    return None if left is None or right is None else (float(left) + float(right)) / 2


def written(read_by: str | None, value: float | None) -> str:
    """A measurement with its value, `CTR 0.52` or `CTR not measurable`; nothing where a task is read by none."""
    if read_by is None:
        return ""
    return f"{label_of(read_by)} not measurable" if value is None else f"{label_of(read_by)} {value:.2f}"


def signed_shift(value: float | None, before: float | None) -> str:
    """The change against the original, `+0.08`; nothing where one of the two is not known."""
    if value is None or before is None:
        return ""
    return f"{value - before:+.2f}" if abs(value - before) >= 0.005 else "±0.00"
