"""The table of what changed besides the finding: other findings, view, sex, age, and who is recognised."""

from collections.abc import Mapping
from typing import Any

from cfx.reporting.run_files import number_at
from cfx.reporting.tables import DASH, DIRECTIONS, Table, fixed

_ATTRIBUTES = {"view": "view (AP or PA)", "sex": "sex", "age": "age (over 55 or not)"}
_CONTROLS = ("nearest_real", "oracle")
_NOTE = (
    "Mean |change| of the independent classifier's posterior, of all in the direction in which the method's is larger; "
    "as the same patient: how often a picture's nearest study is another one of its patient."
)
_ORACLE = (
    " The oracle, on the same pictures as far as it reached its target, changes the finding alone: what moves there is "
    "the classifier's own entanglement."
)
_UNREAD = " What the classifier can not read (AUROC under 0.7) tells nothing."


def side_effects_table(metrics: Mapping[str, Any]) -> Table:
    """The method beside the controls that matter here; no rows where nothing was measured.

    Args:
        metrics: ``metrics.json``, whose ``drift`` and ``identity`` are read.
    """
    controls = metrics.get("controls") or {}
    named: list[tuple[str, Mapping[str, Any]]] = [(str(metrics.get("method") or "method"), metrics)]
    named += [(name.replace("_", " "), controls[name]) for name in _CONTROLS if controls.get(name)]
    with_oracle = named[-1][0] == "oracle"
    up, down = (((metrics.get("drift") or {}).get(side) or {}) for side in DIRECTIONS)
    findings = list(up.get("findings") or down.get("findings") or {})
    places = [(name, ("findings", name)) for name in findings]
    places += [(text, ("attributes", name)) for name, text in _ATTRIBUTES.items()]
    rows, unread = [], False
    for heading, (kind, name) in places:
        side = _worse(metrics, kind, name)
        if side is None:
            continue
        values = [_change(node, side, kind, name) for _, node in named]
        if with_oracle:  # the control's own figure is of other pictures: all that it reached
            values[-1] = number_at(_output(metrics, side, kind, name), "oracle")
        node = up.get(kind, {}).get(name) or down.get(kind, {}).get(name) or {}
        blind = node.get("readable") is False
        unread |= blind
        read = fixed(number_at(node, "auroc"), 2)
        quality = f"AUROC {read}" + (", can not be read" if blind else "") if read != DASH else DASH
        rows.append((heading, *(fixed(value, 3) for value in values), quality))
    if (same := number_at(metrics, "identity.same_patient")) is not None:
        others = [number_at(node, "identity.same_patient") for _, node in named[1:]]
        best = fixed(number_at(metrics, "identity.same_patient_ceiling"), 2)
        chance = fixed(number_at(metrics, "identity.same_patient_chance"), 2)
        cells = (fixed(value, 2) for value in (same, *others))
        rows.append(("recognised as the same patient", *cells, f"real pictures {best}, by chance {chance}"))
    note = _NOTE + (_ORACLE if with_oracle else "") + (_UNREAD if unread else "")
    return Table(
        "What else changed", ("", *(name for name, _ in named), "how well it is told"), tuple(rows), note
    )


def _output(metrics: Mapping[str, Any], side: str, kind: str, name: str) -> Mapping[str, Any]:
    """What a direction tells of one output, empty where nothing; names may hold dots."""
    drift = metrics.get("drift") or {}
    return ((drift.get(side) or {}).get(kind) or {}).get(name) or {}


def _change(metrics: Mapping[str, Any], side: str, kind: str, name: str) -> float | None:
    """Drift of one output in a direction."""
    return number_at(_output(metrics, side, kind, name), "change")


def _worse(metrics: Mapping[str, Any], kind: str, name: str) -> str | None:
    """The direction in which one output drifts more; None where it is known in none."""
    made = {side: _change(metrics, side, kind, name) for side in DIRECTIONS}
    known = {side: value for side, value in made.items() if value is not None}
    return max(known, key=lambda side: known[side]) if known else None
