"""The section `drift` of metrics.json: what else changes in the eyes of the independent classifier.

It knows more outputs than the task's finding: the data's other findings, and view, sex and age where it was trained to
tell them (see `cfx.data.attributes`). What the oracle changes of them is the network's own entanglement.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cfx.data.attributes import ATTRIBUTES, attribute_labels
from cfx.evaluation.kept import REAL, Kept
from cfx.evaluation.sections import DIRECTIONS, Section, counts, figures
from cfx.metrics.calibration import auroc
from cfx.metrics.drift import changes, readable, worst
from cfx.metrics.statistics import PatientBootstrap, interval

Array = npt.NDArray[Any]
BY = "the independent (transfer) classifier"


@dataclass(frozen=True)
class Others:
    """What the independent classifier says beside the finding.

    Attributes:
        names: (K,) of all its outputs.
        finding: the one that is explained, which is left out.
        labels: (N, K) 1, 0 or NaN of the pictures as they are.
        posteriors: by method, rows and posteriors (n, K) of the pictures drawn at the extremes; `real`: of all.
    """

    names: tuple[str, ...]
    finding: str
    labels: Array
    posteriors: Kept


def others_of(names: tuple[str, ...], finding: str, table: pd.DataFrame, posteriors: Kept) -> Others | None:
    """Gather what drift is told by; None where the classifier knows nothing but the finding.

    Args:
        names: of its outputs. finding: the explained one. table: the split's rows, with labels as far as known.
        posteriors: see `Others`.
    """
    if not set(names) - {finding} or REAL not in posteriors:
        return None
    labels = np.full((len(table), len(names)), np.nan)
    for column, name in enumerate(names):
        if name in ATTRIBUTES.values():
            labels[:, column] = attribute_labels(table, name)
        elif name in table:
            labels[:, column] = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
    return Others(names, finding, labels, posteriors)


def drift_section(
    others: Others | None, method: str, base: pd.DataFrame, resamples: int, seed: int
) -> Section | None:
    """Mean |change| of every other output at the extremes: the worse direction, both, and how well each is read.

    `mean` and `worst` are over the other findings less those that the classifier is known not to read, whose number is
    `unreadable`; null where none is left. `view`, `sex` and `age` are null where the classifier does not know them.
    `oracle` is the same figure of the oracle, on the same pictures; `failures` are pictures without a change.

    Args:
        others: what the classifier says; None gives None.
        method: whose pictures: `method` or a control's name; None where none was kept of it.
        base: the pictures as they are. resamples, seed: of the bootstrap.
    """
    if others is None or method not in others.posteriors:
        return None
    real = others.posteriors[REAL][1]
    quality = {name: auroc(real[:, k], others.labels[:, k]) for k, name in enumerate(others.names)}
    section: Section = {"by": BY, "mean": None, "worst": None, "worst_finding": None}
    section |= dict.fromkeys(ATTRIBUTES)
    section |= {
        group: _direction(others, method, group, base, quality, resamples, seed) for group in DIRECTIONS
    }
    section["read"] = {
        name: {"auroc": value, "readable": readable(value)}
        for name, value in quality.items()
        if name != others.finding
    }
    for key in ("mean", *ATTRIBUTES):
        section[key] = worst({group: _figure(section[group], key) for group in DIRECTIONS})[1]
    group, section["worst"] = worst({group: section[group]["worst"] for group in DIRECTIONS})
    section["worst_finding"] = section[group]["worst_finding"] if group else None
    section["unreadable"] = sum(
        read["readable"] is False for name, read in section["read"].items() if name not in ATTRIBUTES.values()
    )
    return section


def _figure(direction: Section, key: str) -> float:
    """The figure of one direction, NaN where there is none."""
    if key not in ATTRIBUTES:
        return float(direction[key])
    made = direction["attributes"][key]
    return float("nan") if made is None else float(made["change"])


def _direction(
    others: Others,
    method: str,
    group: str,
    base: pd.DataFrame,
    quality: dict[str, float],
    resamples: int,
    seed: int,
) -> Section:
    """One direction: each output with its interval, the oracle's figure and how well the classifier reads it."""
    rows, moved = _moved(others, method, group, base)
    best_rows, best_moved = _moved(others, "oracle", group, base)
    place = {int(row): k for k, row in enumerate(best_rows)}
    best = np.array(
        [best_moved[place[row]] if row in place else np.full(moved.shape[1], np.nan) for row in rows]
    )
    best = best.reshape(moved.shape)
    boot = PatientBootstrap(base["patient_id"].to_numpy()[rows], resamples, seed)
    about = counts(base.iloc[rows])
    made: dict[str, Section] = {}
    for k, name in enumerate(others.names):
        if name == others.finding:
            continue
        figure = figures({"change": np.abs(moved[:, k]), "signed": moved[:, k]}, boot)
        both = np.isfinite(best[:, k]) & np.isfinite(moved[:, k])
        figure["oracle"] = boot.mean(np.where(both, np.abs(best[:, k]), np.nan))[0]
        figure["oracle_signed"] = boot.mean(np.where(both, best[:, k], np.nan))[0]
        figure |= {"auroc": quality[name], "readable": readable(quality[name])}
        made[name] = figure | about | {"failures": int((~np.isfinite(moved[:, k])).sum())}
    findings = {name: figure for name, figure in made.items() if name not in ATTRIBUTES.values()}
    read = [name for name, figure in findings.items() if figure["readable"] is not False]
    worst_name, largest = worst({name: findings[name]["change"] for name in read})
    mean, bounds = _mean_of(np.abs(moved[:, [others.names.index(name) for name in read]]), boot)
    return {
        "findings": findings,
        "attributes": {key: made.get(name) for key, name in ATTRIBUTES.items()},
        "mean": mean,
        "ci95": {"mean": bounds},
        "worst": largest,
        "worst_finding": worst_name,
        "unreadable": len(findings) - len(read),
        **about,
        "failures": int((~np.isfinite(moved).any(axis=1)).sum()),
    }


def _mean_of(changed: Array, boot: PatientBootstrap) -> tuple[float, list[float]]:
    """Mean over outputs of their patient means, and its interval: all outputs of a patient are drawn together.

    Args:
        changed: (n, K) |change| of each output; an output without a value is left out. boot: of the n rows.
    """
    made = [boot.mean(column) for column in changed.T if np.isfinite(column).any()]
    if not made:
        return float("nan"), [float("nan"), float("nan")]
    samples = np.mean([each for _, each in made], axis=0)  # NaN where a sample drew no value of one of them
    return float(np.mean([value for value, _ in made])), list(interval(samples))


def _moved(others: Others, method: str, group: str, base: pd.DataFrame) -> tuple[Array, Array]:
    """Rows (n,) of a method's pictures of one group, and the change (n, K) of every output."""
    real = others.posteriors[REAL][1]
    rows, after = others.posteriors.get(method, (np.zeros(0, dtype=np.int64), np.zeros((0, real.shape[1]))))
    asked = base["group"].to_numpy()[rows] == group
    return rows[asked], changes(real[rows[asked]], after[asked])
