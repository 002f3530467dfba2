"""The table of what changed besides the finding: other findings, view, sex, age, and who is recognised."""

from collections.abc import Mapping
from typing import Any

from cfx.reporting.run_files import number_at
from cfx.reporting.tables import DASH, DIRECTIONS, Table, fixed

_ATTRIBUTES = {"view": "view (AP or PA)", "sex": "sex", "age": "age (over 55 or not)"}
_CONTROLS = ("nearest_real", "oracle")
_NOTE = (
    "Mean change of the independent classifier's posterior, in the worse direction; as the same patient: how often a "
    "picture's nearest study is another one of its patient."
)
_ORACLE = " The oracle changes the finding alone: what moves there is the classifier's own entanglement."
_UNREAD = " What the classifier can not read (AUROC under 0.7) tells nothing."


def side_effects_table(metrics: Mapping[str, Any]) -> Table:
    """The method beside the controls that matter here; no rows where nothing was measured.

    Args:
        metrics: ``metrics.json``, whose ``drift`` and ``identity`` are read.
    """
    controls = metrics.get("controls") or {}
    named: list[tuple[str, Mapping[str, Any]]] = [(str(metrics.get("method") or "method"), metrics)]
    named += [(name.replace("_", " "), controls[name]) for name in _CONTROLS if controls.get(name)]
    up, down = (((metrics.get("drift") or {}).get(side) or {}) for side in DIRECTIONS)
    findings = list(up.get("findings") or down.get("findings") or {})
    places = [(name, ("findings", name)) for name in findings]
    places += [(text, ("attributes", name)) for name, text in _ATTRIBUTES.items()]
    rows, unread = [], False
    for heading, (kind, name) in places:
        values = [_change(node, kind, name) for _, node in named]
        if values[0] is None:
            continue
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
    with_oracle = any(name == "oracle" for name, _ in named)
    note = _NOTE + (_ORACLE if with_oracle else "") + (_UNREAD if unread else "")
    return Table(
        "What else changed", ("", *(name for name, _ in named), "how well it is told"), tuple(rows), note
    )


def _change(metrics: Mapping[str, Any], kind: str, name: str) -> float | None:
    """Drift of one output in the worse direction; names may hold dots."""
    drift = metrics.get("drift") or {}
    nodes = [((drift.get(side) or {}).get(kind) or {}).get(name) or {} for side in DIRECTIONS]
    known = [value for node in nodes if (value := number_at(node, "change")) is not None]
    return max(known) if known else None
