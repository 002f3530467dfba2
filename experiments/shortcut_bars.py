"""From the figures of a shortcut study's runs to what criteria.yaml reads: extremes over seeds, by arm, loss, strength.

A case is an arm (`by`), a loss and a strength; its figures are of several seeds. Where one of them was not measured
the case is null, and how many seeds there are stands beside it as `n`: no bar is met by leaving seeds out.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from cfx.errors import BadValue
from cfx.metrics.validity import DOWN, UP

PROTECTED, FREE = "devices_held", "devices_free"
"""Losses with and without the term that holds devices."""
STEPPED = ("share_over_area", "ctr_shift_net")
"""Figures whose steps from one strength to the next are asked for."""
FIGURES = (*STEPPED, "reach", "gap_closed")
SIGNED = "ctr_shift_net"
LEAST, MOST = "0", "100"
"""Names of the strengths at both ends."""
Row = dict[str, Any]
Ends = tuple[float | None, float | None]


def strength_name(strength: float) -> str:
    """Return a strength as a key without a dot: 0, 50, 75, 100 (per cent)."""
    return f"{100 * strength:g}"


def check_rows(rows: Sequence[Row]) -> None:
    """Refuse rows of which two are of one case and seed, or some with shuffled labels and some without.

    Raises:
        BadValue: naming the case. Two runs of one seed are no two seeds, and which of them counts is nobody's choice.
    """
    if len({row["shuffled"] for row in rows}) > 1:
        problem = "are shuffled in some of the runs alone"
        raise BadValue("labels", "shuffled", problem, "give the runs of one study")
    seen = set()
    for row in rows:
        case = row["by"], row["loss"], strength_name(row["strength"]), row["seed"]
        if case in seen:
            named = " ".join(str(part) for part in case[:3]) + f" seed {case[3]}"
            raise BadValue("run", named, "is there twice", "give one run of every case and seed")
        seen.add(case)


def is_void(row: Row) -> bool:
    """Whether a row answers another question: a planted shortcut's groups are of the posterior or there are none.

    Tenths of the pictures are no groups that a black box calls. They are taken where labels were shuffled, and nowhere
    else does a figure of theirs count.
    """
    return not row["shuffled"] and row["groups"] != "posterior"


def figure_of(row: Row, name: str, group: str) -> float | None:
    """Return a run's figure of one direction: null where it was not measured or the row is void.

    The CTR shift is **signed in the direction that was asked for**: positive where the heart was widened upwards or
    narrowed downwards, negative where it went the other way. It is no absolute value.
    """
    value = None if is_void(row) else (row[group].get(name) or {}).get("mean")
    return -value if value is not None and name == SIGNED and group == DOWN else value


def ends_of(row: Row, name: str, group: str) -> Ends:
    """Return the lower and upper end of a figure's 95 % interval over patients, signed as `figure_of`."""
    found = None if is_void(row) else (row[group].get(name) or {}).get("ci95")
    if not found or None in found:
        return None, None
    low, high = found
    return (-high, -low) if name == SIGNED and group == DOWN else (low, high)


def bars(rows: Sequence[Row]) -> dict[str, Any]:
    """Return least, mean and greatest over seeds of each figure, by arm, loss, strength and direction.

    Of each figure NAME also `NAME_ci95`, the extremes over the seeds' interval ends, so that `least` and `most` are the
    pessimistic ends; `lesser`, the smaller share of both directions on each seed; `seed`, the seeds themselves.
    The CTR shift is signed in the direction asked for throughout, so that one that falls below zero has turned round.
    `steps` holds, for an arm and loss, the least and the greatest step of the mean over seeds from one strength to the
    next, `n` strengths of the same seeds; `rise`, the share at full strength less that at none, seed by seed.

    Raises:
        BadValue: two rows of one case and seed.
    """
    check_rows(rows)
    tree: dict[str, dict[str, dict[str, list[Row]]]] = {}
    for row in rows:
        cases = tree.setdefault(row["by"], {}).setdefault(row["loss"], {})
        cases.setdefault(strength_name(row["strength"]), []).append(row)
    return {by: {loss: _arm(cases) for loss, cases in losses.items()} for by, losses in tree.items()}


def _arm(cases: dict[str, list[Row]]) -> dict[str, Any]:
    found: dict[str, Any] = {strength: _case(rows) for strength, rows in cases.items()}
    rising = sorted(cases, key=float)
    same = len({frozenset(row["seed"] for row in rows) for rows in cases.values()}) == 1
    found["steps"] = {
        group: {
            name: _steps([found[strength][group][name]["mean"] if same else None for strength in rising])
            for name in STEPPED
        }
        for group in (UP, DOWN)
    }
    found["rise"] = {
        group: {"share_over_area": _extremes(_rises(cases, "share_over_area", group))} for group in (UP, DOWN)
    }
    return found


def _case(rows: Sequence[Row]) -> dict[str, Any]:
    case: dict[str, Any] = {
        group: {
            key: value
            for name in FIGURES
            for key, value in (
                (name, _extremes([figure_of(row, name, group) for row in rows])),
                (f"{name}_ci95", _bounds([ends_of(row, name, group) for row in rows])),
            )
        }
        for group in (UP, DOWN)
    }
    name = "share_over_area"
    case["lesser"] = {
        name: _extremes([_lesser(figure_of(row, name, group) for group in (UP, DOWN)) for row in rows]),
        f"{name}_ci95": _bounds(
            [
                tuple(_lesser(ends_of(row, name, group)[end] for group in (UP, DOWN)) for end in (0, 1))
                for row in rows
            ]
        ),
    }
    case["seed"] = _extremes([row["seed"] for row in rows])
    return case


def _lesser(values: Iterable[float | None]) -> float | None:
    """Return the smallest of some values; null where one is."""
    values = list(values)
    known = [value for value in values if value is not None]
    return min(known) if known and len(known) == len(values) else None


def _rises(cases: dict[str, list[Row]], name: str, group: str) -> list[float | None]:
    """Differences from no strength to full strength, seed by seed; null for a seed that lacks one of them."""
    at = {
        end: {row["seed"]: figure_of(row, name, group) for row in cases.get(end, [])} for end in (LEAST, MOST)
    }
    rises: list[float | None] = []
    for seed in sorted(at[LEAST] | at[MOST]):
        before, after = at[LEAST].get(seed), at[MOST].get(seed)
        rises.append(None if before is None or after is None else after - before)
    return rises


def _steps(means: Sequence[float | None]) -> dict[str, float | int | None]:
    """Return the least and the greatest step between neighbours; null where a mean is missing or there is one alone."""
    known = [value for value in means if value is not None]
    if len(known) < max(2, len(means)):
        return {"least": None, "most": None, "n": len(known)}
    steps = [after - before for before, after in pairwise(known)]
    return {"least": min(steps), "most": max(steps), "n": len(known)}


def _bounds(ends: Sequence[Any]) -> dict[str, float | int | None]:
    """Return the least lower and the greatest upper end over seeds, and of how many seeds; null where one has none."""
    known = [(low, high) for low, high in ends if low is not None and high is not None]
    if not known or len(known) < len(ends):
        return {"least": None, "most": None, "n": len(known)}
    return {"least": min(low for low, _ in known), "most": max(high for _, high in known), "n": len(known)}


def _extremes(values: Sequence[float | None]) -> dict[str, float | int | None]:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return {"least": None, "mean": None, "most": None, "n": len(known)}
    return {"least": min(known), "mean": sum(known) / len(known), "most": max(known), "n": len(known)}
