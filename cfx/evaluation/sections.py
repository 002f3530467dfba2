"""The sections of metrics.json that are made of rows: validity, clinical, oracle, transfer, identity, null test.

Every section is by patient: averaged within a patient, intervals over resampled patients. Where a picture failed
(no posterior, no measurement, no oracle) it is counted beside the figure that it is missing from.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cfx.evaluation.rows import extremes
from cfx.metrics import clinical, validity
from cfx.metrics.statistics import (
    PatientBootstrap,
    effect_size,
    interval,
    paired_wilcoxon,
)
from cfx.metrics.validity import DOWN, HIGH, LOW, UP

Array = npt.NDArray[Any]
Section = dict[str, Any]
DIRECTIONS = (UP, DOWN)
CALLS = {UP: {"TN": 0.0, "FN": 1.0}, DOWN: {"TP": 1.0, "FP": 0.0}}


def counts(rows: pd.DataFrame) -> Section:
    """Pictures and patients of some rows."""
    return {"n_images": int(rows["image_id"].nunique()), "n_patients": int(rows["patient_id"].nunique())}


def figures(values: dict[str, Array], boot: PatientBootstrap) -> Section:
    """Patient means of several figures, with their intervals under `ci95`."""
    section: Section = {"ci95": {}}
    for name, value in values.items():
        mean, samples = boot.mean(value)
        section[name] = mean
        section["ci95"][name] = list(interval(samples))
    return section


def spreader(base: pd.DataFrame) -> Callable[[pd.DataFrame, Array], Array]:
    """Return a function that puts one value a drawn picture into the order of all pictures, NaN for the others."""
    place = pd.Series(np.arange(len(base)), index=base["image_id"].to_numpy())

    def spread(asked: pd.DataFrame, values: Array) -> Array:
        everyone = np.full(len(base), np.nan)
        everyone[place.loc[asked["image_id"].to_numpy()].to_numpy()] = values
        return everyone

    return spread


def complete_grid(rows: pd.DataFrame, targets: Array) -> tuple[pd.DataFrame, Array, Array]:
    """Pictures drawn at every target of the grid.

    Returns:
        one row a picture (of its first target), posteriors (N, T) and the targets (T,); empty where no picture has
        the whole grid.
    """
    on_grid = rows[rows["target"].isin(targets)]
    table = on_grid.pivot_table(
        index="image_id", columns="target", values="p_after", aggfunc="first", dropna=False
    )
    count = on_grid.groupby("image_id")["target"].nunique()
    whole = count.index[count == len(targets)]
    table = table.reindex(index=whole, columns=targets)
    first = rows.drop_duplicates("image_id").set_index("image_id").reindex(whole).reset_index()
    return first, table.to_numpy(dtype=np.float64), targets


def validity_section(
    rows: pd.DataFrame, targets: Array, resamples: int, seed: int, ends: tuple[float, float] = (0.0, 1.0)
) -> Section:
    """EVALUATION section 2: reach and change by direction; error, monotony and the curve over the grid.

    `ends` is what the method aims at when asked for 0 and for 1: beyond them no change was possible (`cv_ceiling`).
    """
    section: Section = {}
    for group in DIRECTIONS:
        asked = extremes(rows, group)
        boot = PatientBootstrap(asked["patient_id"].to_numpy(), resamples, seed)
        before, after = asked["p_before"].to_numpy(), asked["p_after"].to_numpy()
        # a picture that could not be drawn has not reached its target
        hit = np.nan_to_num(validity.reached(after, group), nan=0.0)
        found = figures(
            {
                "reach": hit,
                "cv_0.8": np.nan_to_num(validity.changed(before, after), nan=0.0),
                "cv_ceiling": validity.could_change(before, group, ends=ends),
                "p_after": after,
            },
            boot,
        )
        calls = {}
        for call, label in CALLS[group].items():
            some = (asked["label"] == label).to_numpy()
            calls[call] = counts(asked[some]) | {"reach": boot.mean(np.where(some, hit, np.nan))[0]}
        section[group] = (
            found
            | counts(asked)
            | {
                "n_label": int((asked["label"] == 1).sum()),
                "failures": int(np.isnan(after).sum()),
                "calls": calls,
            }
        )
    return section | _grid_section(rows, targets, resamples, seed)


def _row_means(values: Array) -> Array:
    """Mean of each row (N, T) without its NaN; NaN for a row that has nothing else."""
    known = np.isfinite(values)
    total, count = np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1)
    means: Array = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return means


def _grid_section(rows: pd.DataFrame, targets: Array, resamples: int, seed: int) -> Section:
    """Target error, monotony and curve over pictures of all groups that were drawn on the whole grid."""
    first, after, targets = complete_grid(rows, targets)
    names = ("target_mae", "target_mae_worst", "monotone", "spans")
    if not len(first):
        return dict.fromkeys(names) | {
            "curve": None,
            "grid": {"n_images": 0, "n_patients": 0, "failures": 0},
            "ci95": {},
        }
    boot = PatientBootstrap(first["patient_id"].to_numpy(), resamples, seed)
    error = validity.target_error(after, targets)
    at_each = [boot.mean(error[:, k]) for k in range(len(targets))]
    worst = int(np.argmax([mean for mean, _ in at_each]))
    section = figures(
        {
            "target_mae": _row_means(error) if error.size else error,
            "monotone": validity.monotone(after),
            "spans": validity.spans(after),
        },
        boot,
    )
    section["target_mae_worst"] = at_each[worst][0]
    # another resample may have another worst target
    section["ci95"]["target_mae_worst"] = list(interval(np.fmax.reduce([each for _, each in at_each])))
    bins = validity.source_bins(first["p_before"].to_numpy())
    edges = validity.BIN_EDGES
    section["curve"] = {
        "targets": targets.tolist(),
        "bins": [[edges[k], edges[k + 1]] for k in range(len(edges) - 1)],
        "n_images": [int((bins == k).sum()) for k in range(len(edges) - 1)],
        "mean": [
            [boot.mean(np.where(bins == k, after[:, t], np.nan))[0] for t in range(len(targets))]
            for k in range(len(edges) - 1)
        ],
    }
    section["grid"] = counts(first) | {
        "failures": int(np.isnan(after).sum()),
        "mae": [mean for mean, _ in at_each],
        "worst_target": float(targets[worst]),
    }
    return section


def clinical_section(
    rows: pd.DataFrame,
    base: pd.DataFrame,
    *,
    name: str = "ctr",
    direction: int | None,
    repeat_error: float,
    oracle: pd.DataFrame | None,
    resamples: int,
    seed: int,
) -> Section:
    """EVALUATION section 3 for one measurement, by direction.

    Args:
        rows: of the method or control, with `<name>_before`, `<name>_net_before` and `<name>_after`.
        base: all pictures of the split as they are, from which the gap is taken, with `<name>_before`.
        name: of the measurement: `ctr`, or one that `with_recesses` adds.
        direction: +1 where the measurement rises with the finding, -1 where it falls. None where the task measures
            something else: then no way of it is the right one, and all that depends on one is NaN.
        repeat_error: 95 % repeat error of what measures; NaN where it is not known.
        oracle: rows of the oracle, for the shift as a share of the oracle's own; None without one.
        resamples: bootstrap samples.
        seed: of the resampling.
    """
    boot = PatientBootstrap(base["patient_id"].to_numpy(), resamples, seed)
    p, real = base["p_before"].to_numpy(), base[f"{name}_before"].to_numpy()
    high, high_samples = boot.mean(np.where(p > HIGH, real, np.nan))
    low, low_samples = boot.mean(np.where(p < LOW, real, np.nan))
    gap, gaps = high - low, high_samples - low_samples
    spread = spreader(base)
    section: Section = {}
    for group in DIRECTIONS:
        asked = extremes(rows, group)
        net, before = asked[f"{name}_net_before"].to_numpy(), asked[f"{name}_before"].to_numpy()
        after = asked[f"{name}_after"].to_numpy()
        heart = clinical.shift(asked["heart_width_before"].to_numpy(), asked["heart_width_after"].to_numpy())
        widths = asked["thorax_width_before"].to_numpy(), asked["thorax_width_after"].to_numpy()
        failed = np.isnan(net) | np.isnan(after)
        shifts = spread(asked, clinical.shift(net, after))
        right = clinical.moved_right(net, after, group, direction)
        found = figures(
            {
                "before": spread(asked, before),
                "after": spread(asked, after),
                "shift": spread(asked, clinical.shift(before, after)),
                "shift_net": shifts,
                "moved_right": spread(asked, right),
                "moved_beyond_noise": spread(
                    asked, clinical.moved_right(net, after, group, direction, repeat_error)
                ),
                "thorax_change": spread(asked, clinical.relative_change(*widths)),
                "thorax_shift": spread(asked, clinical.shift(*widths)),
                "heart_shift": spread(asked, heart),
                "not_measurable": spread(asked, np.where(np.isnan(asked["p_after"]), np.nan, failed)),
            },
            boot,
        )
        mean, samples = boot.mean(shifts)
        found["gap"], found["ci95"]["gap"] = gap, list(interval(gaps))
        whole, wholes = (gap, gaps) if direction is not None else (float("nan"), np.full_like(gaps, np.nan))
        found["gap_closed"] = float(clinical.gap_closed(mean, whole, group))
        found["ci95"]["gap_closed"] = list(interval(clinical.gap_closed(samples, wholes, group)))
        found["p"] = paired_wilcoxon(net, after, asked["patient_id"].to_numpy()) if len(asked) else None
        found["effect"] = effect_size(net, after, asked["patient_id"].to_numpy()) if len(asked) else None
        found["failures"] = int(failed.sum())
        found["of_oracle"], found["ci95"]["of_oracle"] = _of_oracle(
            shifts, oracle if direction is not None else None, group, name, spread, boot
        )
        found["calls"] = {}
        for call, label in CALLS[group].items():
            some = (asked["label"] == label).to_numpy()
            found["calls"][call] = counts(asked[some]) | {
                "shift_net": boot.mean(spread(asked[some], clinical.shift(net, after)[some]))[0],
                "moved_right": boot.mean(spread(asked[some], right[some]))[0],
            }
        section[group] = found | counts(asked)
    return section


def _of_oracle(
    shifts: Array,
    oracle: pd.DataFrame | None,
    group: str,
    name: str,
    spread: Callable[[pd.DataFrame, Array], Array],
    boot: PatientBootstrap,
) -> tuple[float | None, list[float] | None]:
    """Mean shift over that of the oracle, on the pictures for which the oracle reached its target."""
    if oracle is None or not len(oracle):
        return None, None
    best = extremes(oracle, group)
    moved = clinical.shift(best[f"{name}_net_before"].to_numpy(), best[f"{name}_after"].to_numpy())
    best_shift = spread(best, moved)
    both = np.isfinite(best_shift) & np.isfinite(shifts)
    mine, samples = boot.mean(np.where(both, shifts, np.nan))
    theirs, their_samples = boot.mean(np.where(both, best_shift, np.nan))
    if not np.isfinite(theirs) or abs(theirs) < 1e-9:
        return None, None
    return mine / theirs, list(interval(samples / their_samples))


def oracle_section(rows: pd.DataFrame, resamples: int, seed: int) -> Section:
    """EVALUATION section 4: the worse direction, both directions, and the grid where the oracle answered it."""
    names = ("ctr_mae", "ctr_mae_nothing", "l1_ratio", "ghost", "unreachable")
    section: Section = {
        group: _against_oracle(extremes(rows, group), resamples, seed) for group in DIRECTIONS
    }
    inner = rows[(rows["target"] > 0) & (rows["target"] < 1)]
    searched = inner.loc[inner["l1_nothing"].notna(), "image_id"].unique()
    section["grid"] = _against_oracle(inner[inner["image_id"].isin(searched)], resamples, seed)
    for name in names:
        values = [section[group][name] for group in DIRECTIONS if np.isfinite(section[group][name])]
        section[name] = max(values) if values else None
    if section["unreachable"] is not None:
        section["unreachable"] = int(sum(section[group]["unreachable"] for group in DIRECTIONS))
    share = [section[group]["ctr_mae_of_nothing"] for group in DIRECTIONS]
    section["ctr_mae_of_nothing"] = max((value for value in share if np.isfinite(value)), default=None)
    nothing = [section[group]["ctr_mae_nothing"] for group in DIRECTIONS]
    section["ctr_mae_nothing"] = min((value for value in nothing if np.isfinite(value)), default=None)
    return section


def _against_oracle(rows: pd.DataFrame, resamples: int, seed: int) -> Section:
    """CTR error, L1 ratio and ghost of some rows; the ratios are of patient means."""
    boot = PatientBootstrap(rows["patient_id"].to_numpy(), resamples, seed)
    known = rows["l1_nothing"].notna().to_numpy()
    oracle = rows["ctr_oracle"].to_numpy()
    error = np.abs(rows["ctr_after"].to_numpy() - oracle)
    nothing = np.abs(rows["ctr_before"].to_numpy() - oracle)
    section = figures({"ctr_mae": error, "ctr_mae_nothing": nothing}, boot)
    pairs = {
        "ctr_mae_of_nothing": (error, np.where(np.isfinite(error), nothing, np.nan)),
        "l1_ratio": (rows["l1_oracle"].to_numpy(), rows["l1_nothing"].to_numpy()),
        "ghost": (rows["ghost"].to_numpy(), rows["ghost_oracle"].to_numpy()),
    }
    for name, (top, bottom) in pairs.items():
        (mean, samples), (under, unders) = boot.mean(top), boot.mean(bottom)
        section[name] = mean / under if under > 0 else float("nan")
        section["ci95"][name] = list(
            interval(np.divide(samples, unders, where=unders > 0, out=np.full(len(samples), np.nan)))
        )
    return (
        section
        | counts(rows[known])
        | {
            "unreachable": int((~known).sum()),
            "failures": int((known & np.isnan(error)).sum()),
            "n_ghost": int(rows["ghost"].notna().sum()),
        }
    )
