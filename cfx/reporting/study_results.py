"""The results of a reader study as tables, in the order in which they are read."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cfx.measurements import READING_FLOOR
from cfx.reporting.study_analysis import ASKED
from cfx.reporting.study_files import PAIR, STRANGER
from cfx.reporting.tables import DASH, Table


def number(value: Any, digits: int = 2, signed: bool = False) -> str:
    """A number, or a dash where it could not be made."""
    if value is None or not np.isfinite(value):
        return DASH
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def _bounds(node: Mapping[str, Any], digits: int = 2, signed: bool = False) -> str:
    low, high = node.get("ci95", (None, None))
    if low is None or not np.isfinite([low, high]).all():
        return DASH
    return f"{number(low, digits, signed)} to {number(high, digits, signed)}"


def _chance(p: Any) -> str:
    """A p-value as it is printed."""
    if p is None or not np.isfinite(p):
        return DASH
    return "< .001" if p < 0.001 else f"{p:.3f}"


def result_tables(found: Mapping[str, Any]) -> list[Table]:
    """The results as tables, in the order in which they are read."""
    return [
        table
        for table in (_ratings(found), _arms(found), _sight(found), _heart(found), _agreement(found))
        if table.rows
    ]


def _ratings(found: Mapping[str, Any]) -> Table:
    rows = []
    for question, arms in found["ratings"].items():
        for arm, node in arms.items():
            name = question.replace("_", " ") + (f", {arm}" if len(arms) > 1 else "")
            cells = (
                number(node["estimate"]),
                _bounds(node),
                _chance(node["p"]),
                str(node["n"]),
                node["note"],
            )
            rows.append((name, *cells))
    return Table(
        "Ratings, 1 strongly disagree to 5 strongly agree",
        ("statement", "mean", "95 % interval", "p against 3", "answers", "note"),
        tuple(rows),
        "Mean of a mixed model with crossed random readers and images; first showings.",
    )


def _arms(found: Mapping[str, Any]) -> Table:
    rows = [
        (
            f"{question.replace('_', ' ')}: {name}",
            number(node["estimate"], signed=True),
            _bounds(node, signed=True),
            _chance(node["p"]),
        )
        for question, contrasts in found["arms"].items()
        for name, node in contrasts.items()
    ]
    return Table("Methods against each other", ("statement", "points", "95 % interval", "p"), tuple(rows))


def _sight(found: Mapping[str, Any]) -> Table:
    real, same = found["real"], found["same_patient"]
    rows = (
        ("tells drawn from real (AUC, 0.5 = cannot)", number(real["auc"]["estimate"]), _bounds(real["auc"])),
        ("“synthetic”, 1 to 5: drawn pictures", number(real["drawn"]), DASH),
        ("“synthetic”, 1 to 5: real pictures", number(real["real"]), DASH),
        ("“same patient”, 1 to 5: original and drawn", number(same[PAIR]["estimate"]), _bounds(same[PAIR])),
        ("“same patient”, 1 to 5: two patients", number(same[STRANGER]["estimate"]), _bounds(same[STRANGER])),
        ("tells one patient from two (AUC)", number(same["auc"]["estimate"]), _bounds(same["auc"])),
    )
    kept = tuple(row for row in rows if row[1] != DASH)
    note = (
        "AUC: a reader at a time, interval over readers. Two patients are the control: were they rated as high, the "
        "question told nothing."
    )
    return Table("Real or synthetic, one patient or two (blind)", ("", "value", "95 % interval"), kept, note)


def _heart(found: Mapping[str, Any]) -> Table:
    rows = []
    for group, words in ASKED.items():
        node = found["ctr"]["shift"][group]
        cells = (
            number(node["estimate"], 3, True),
            _bounds(node, 3, True),
            _chance(node["p"]),
            number(node["automatic"], 3, True),
        )
        rows.append((f"change of CTR, {words}", *cells))
    limits = found["ctr"]["limits"]
    rows.append(
        (
            "readers minus automatic CTR",
            number(limits["estimate"], 3, True),
            _bounds(limits, 3, True),
            _chance(limits["p"]),
            DASH,
        )
    )
    low, high = limits["limits"]
    rows.append(
        ("95 % limits of agreement", f"{number(low, 3, True)} to {number(high, 3, True)}", DASH, DASH, DASH)
    )
    kept = tuple(row for row in rows if row[1] not in (DASH, f"{DASH} to {DASH}"))
    return Table(
        "Heart size by the readers' own lines (blind)",
        ("", "estimate", "95 % interval", "p", "automatic"),
        kept,
        f"A shift under {READING_FLOOR} of one picture is none; limits are from the variance components, readers' too.",
    )


def _agreement(found: Mapping[str, Any]) -> Table:
    node = found["agreement"]
    rows = [
        (name.replace("_", " "), number(each["kappa"]), f"{each['same']:.0%}", str(each["n"]))
        for name, each in node.items()
        if name != "ctr" and each["n"]
    ]
    ctr = node["ctr"]
    if ctr["icc_within"]["n"]:
        rows.append(
            (
                "CTR, same reader twice (ICC)",
                number(ctr["icc_within"]["value"]),
                DASH,
                str(ctr["icc_within"]["n"]),
            )
        )
    if np.isfinite(ctr["icc_between"]):
        rows.append(("CTR, between readers (ICC)", number(ctr["icc_between"]), DASH, DASH))
    return Table(
        "Agreement of readers with themselves",
        ("", "weighted kappa or ICC", "same answer", "pairs"),
        tuple(rows),
        f"Quadratic weights. One reader's repeat deviation of the CTR is {number(ctr['repeat_sd'], 3)}.",
    )
