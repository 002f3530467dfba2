"""Further sections of metrics.json: transfer, null test, identity, realism, subgroups, black box and anatomy."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cfx.evaluation.rows import extremes
from cfx.evaluation.sections import DIRECTIONS, Section, counts, figures, spreader
from cfx.metrics import clinical, realism, validity
from cfx.metrics.calibration import auprc, auroc, auroc_interval, brier, calibration_error
from cfx.metrics.clinical import wanted_sign
from cfx.metrics.devices import fop
from cfx.metrics.statistics import PatientBootstrap, interval
from cfx.metrics.validity import DOWN, HIGH, LOW, UP

Array = npt.NDArray[Any]
AGES = ((0, 40, "under 40"), (40, 65, "40 to 64"), (65, 200, "65 and over"))
FEWEST = 5


def _logit(p: Array) -> Array:
    """Log odds, finite at 0 and 1."""
    p = np.clip(np.asarray(p, dtype=np.float64), 1e-6, 1 - 1e-6)
    odds: Array = np.log(p / (1 - p))
    return odds


def _called_alike(asked: pd.DataFrame, group: str, threshold: float) -> pd.DataFrame:
    """Rows that the independent classifier calls as the black box does before anything is changed."""
    before = asked["p_transfer_before"]
    return asked[(before < threshold) if group == UP else (before >= threshold)]


def transfer_section(
    rows: pd.DataFrame,
    base: pd.DataFrame,
    oracle: pd.DataFrame | None,
    threshold: float,
    resamples: int,
    seed: int,
) -> Section | None:
    """The same question to an independent classifier, as a share of what was possible.

    Everything is by patient, over pictures that it calls as the black box does. `flip`: share of pictures that it calls
    otherwise after; `logit_shift`: its mean shift in log odds; `logit_gap`: by how much its log odds differ between the
    real groups; `logit_share`: the shift towards the group asked for over that gap, below 0 where it goes the other
    way. `share`: the flip rate over that on oracles of the same pictures, `logit_share` where there is no oracle.
    None where no picture was shown to one.
    """
    if not rows["p_transfer_after"].notna().any():
        return None
    section: Section = {"threshold": threshold}
    boot = PatientBootstrap(base["patient_id"].to_numpy(), resamples, seed)
    gap, gaps = _logit_gap(base, threshold, boot)
    spread = spreader(base)
    for group in DIRECTIONS:
        asked = _called_alike(extremes(rows, group), group, threshold)
        asked = asked[asked["p_transfer_after"].notna()]
        after = asked["p_transfer_after"].to_numpy()
        flip = _flipped(after, group, threshold)
        move = spread(asked, _logit(after) - _logit(asked["p_transfer_before"].to_numpy()))
        found = figures({"flip": spread(asked, flip), "logit_shift": move}, boot)
        towards, samples = boot.mean(wanted_sign(group) * move)
        found["logit_gap"] = gap
        found["logit_share"] = towards / gap if gap > 0 else float("nan")
        found["flip_oracle"], found["share"] = float("nan"), found["logit_share"]
        found["ci95"]["logit_share"] = found["ci95"]["share"] = list(interval(_over(samples, gaps)))
        found["share_of"] = "logit gap of the real groups"
        if oracle is not None and len(oracle):
            best = extremes(oracle, group).set_index("image_id")["p_transfer_after"]
            best_after = best.reindex(asked["image_id"]).to_numpy()
            known = np.isfinite(best_after)
            best_flip = _flipped(best_after, group, threshold)
            mine, samples = boot.mean(spread(asked, np.where(known, flip, np.nan)))
            theirs, their_samples = boot.mean(spread(asked, np.where(known, best_flip, np.nan)))
            found["flip_oracle"] = theirs
            found["share"] = mine / theirs if theirs > 0 else float("nan")
            found["ci95"]["share"] = list(interval(_over(samples, their_samples)))
            found["share_of"] = "flip rate on oracles"
        section[group] = found | counts(asked)
    return section


def _logit_gap(base: pd.DataFrame, threshold: float, boot: PatientBootstrap) -> tuple[float, Array]:
    """By how much the independent classifier's log odds differ between the black box's groups; with its samples."""
    p, before = base["p_before"].to_numpy(), base["p_transfer_before"].to_numpy()
    other = _logit(before)
    high, high_samples = boot.mean(np.where((p > HIGH) & (before >= threshold), other, np.nan))
    low, low_samples = boot.mean(np.where((p < LOW) & (before < threshold), other, np.nan))
    return high - low, high_samples - low_samples


def _flipped(after: Array, group: str, threshold: float) -> Array:
    """Whether the independent classifier calls pictures (N,) otherwise after, 1/0."""
    return np.asarray((after >= threshold) if group == UP else (after < threshold), dtype=np.float64)


def _over(top: Array, bottom: Array) -> Array:
    """Ratio of bootstrap samples, NaN where the denominator is not above 0."""
    ratio: Array = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
    return ratio


def null_section(rows: pd.DataFrame, resamples: int, seed: int) -> Section:
    """What the method does when asked for nothing (c = p(x)), and whether it finds the way back."""
    first = rows.drop_duplicates("image_id")
    boot = PatientBootstrap(first["patient_id"].to_numpy(), resamples, seed)
    back = rows.groupby("image_id")["l1_return"].max().reindex(first["image_id"]).to_numpy()
    change = np.abs(first["p_net"].to_numpy() - first["p_before"].to_numpy())
    section = figures({"posterior_change": change, "l1": first["l1_net"].to_numpy(), "l1_return": back}, boot)
    return section | counts(first) | {"n_return": int(np.isfinite(back).sum())}


BY_MASKS = ("devices_before", "devices_kept", "devices_in_edit", "devices_in_edit_kept")
BY_BOXES = ("devices_found", "devices_found_kept", "devices_found_in_edit", "devices_found_in_edit_kept")
BY_DETECTOR = "the evaluation detector"


def identity_section(rows: pd.DataFrame, devices_by: str | None, resamples: int, seed: int) -> Section:
    """Devices kept: the worse direction, both directions, and of those in the edited region.

    Where the data have masks of devices, these say where they are (`fop_by`), else the evaluation detector does; what
    it says stands under `by_detector` in either case.
    """
    by_masks = _kept_by(rows, BY_MASKS, devices_by, resamples, seed)
    by_boxes = _kept_by(rows, BY_BOXES, BY_DETECTOR, resamples, seed)
    none = {"fop": None, "fop_by": devices_by, "fop_in_edit": None, UP: None, DOWN: None}
    section = by_masks or by_boxes or none
    return section | {"by_detector": by_boxes}


def _kept_by(
    rows: pd.DataFrame, columns: tuple[str, ...], who: str | None, resamples: int, seed: int
) -> Section | None:
    """Devices kept by one way of looking for them; None where nobody looked.

    Args:
        rows: of a method or control.
        columns: devices there before, kept, in the edited region, and kept of these.
        who: tells where the devices are.
        resamples, seed: of the bootstrap.
    """
    if not rows[columns[0]].notna().any():
        return None
    section: Section = {"fop_by": who}
    for group in DIRECTIONS:
        section[group] = _kept(extremes(rows, group), columns, resamples, seed)
    for name in ("fop", "fop_in_edit"):
        values = [section[group][name] for group in DIRECTIONS if np.isfinite(section[group][name])]
        section[name] = min(values) if values else None
    return section


def _kept(rows: pd.DataFrame, columns: tuple[str, ...], resamples: int, seed: int) -> Section:
    """Devices kept of some rows: the share within a patient first, then over patients."""
    there, kept_of_all, in_edit, kept_in_edit = columns
    with_one = rows[rows[there] > 0]
    patients = with_one["patient_id"].to_numpy()
    names = {"fop": (kept_of_all, there), "fop_in_edit": (kept_in_edit, in_edit)}
    shares = {
        name: fop(with_one[kept].to_numpy(), with_one[before].to_numpy(), patients)
        for name, (kept, before) in names.items()
    }
    devices = {"n_devices": int(with_one[there].sum()), "n_in_edit": int(with_one[in_edit].sum())}
    return figures(shares, PatientBootstrap(patients, resamples, seed)) | counts(with_one) | devices


def realism_section(
    made: tuple[Array, Array] | None,
    real: tuple[Array, Array] | None,
    base: pd.DataFrame,
    name: str | None,
    resamples: int,
    seed: int,
) -> Section:
    """Kernel distance to real pictures of the destination group: the worse direction and both.

    `kid` is of the n_images drawn pictures against n_real real ones, and `kid_floor` is what two sets of real pictures
    of these very numbers differ by.

    Args:
        made: rows and features (N, d) of the pictures drawn at the extremes.
        real: rows and features of the real pictures of both groups.
        base: all pictures, for their groups and patients.
        name: of the feature network.
        resamples: bootstrap samples.
        seed: of the resampling.
    """
    section: Section = {"kid": None, "kid_floor": None, "fid": None, "features": name, UP: None, DOWN: None}
    if made is None or real is None:
        return section
    groups, patients = base["group"].to_numpy(), base["patient_id"].to_numpy()
    for group, destination in ((UP, DOWN), (DOWN, UP)):
        source, there = groups[made[0]] == group, groups[real[0]] == destination
        drawn, truth = made[1][source], real[1][there]
        drawn_patients, true_patients = patients[made[0]][source], patients[real[0]][there]
        if len(drawn) < 2 or len(truth) < 2:
            continue
        found = realism.kid(drawn, truth, drawn_patients, true_patients, resamples=resamples, seed=seed)
        section[group] = {
            "kid": found.kid,
            "ci95": {"kid": [found.low, found.high]},
            "kid_floor": realism.kid_floor(truth, true_patients, made=len(drawn), seed=seed),
            "fid": realism.fid(drawn, truth, seed=seed),
            "n_images": len(drawn),
            "n_patients": len(np.unique(drawn_patients.astype(str))),
            "n_real": len(truth),
        }
    both = [section[group] for group in DIRECTIONS if section[group] is not None]
    if both:
        worse = max(both, key=lambda one: one["kid"])
        section |= {key: worse[key] for key in ("kid", "kid_floor", "fid")}
    return section


def subgroup_section(
    rows: pd.DataFrame, direction: int | None, name: str | None = "ctr", threshold: float = 0.5
) -> Section:
    """Reach, shift of a measurement, transfer and devices kept by sex, age, view and device, of five patients or more.

    Realism and drift are not split: groups of a few dozen pictures have no kernel distance to speak of.

    Args:
        rows: of the method.
        direction: as `clinical.moved_right`.
        name: of the measurement; without one (None) its figures are NaN.
        threshold: from which on the independent classifier calls the finding.
    """
    devices = rows["devices_before"].fillna(rows["devices_found"])
    labels = {
        "sex": rows["sex"].to_numpy(),
        "view": rows["view"].to_numpy(),
        "age": np.select(
            [(rows["age"] >= low) & (rows["age"] < high) for low, high, _ in AGES],
            [name for _, _, name in AGES],
            default="",
        ),
        "device": np.where(devices.isna(), "", np.where(devices > 0, "with", "without")),
    }
    section: Section = {}
    for kind, label in labels.items():
        section[kind] = {}
        for value in sorted({str(each) for each in label} - {""}):
            some = rows[label == value]
            by_direction = {
                group: _subgroup(extremes(some, group), group, direction, name, threshold)
                for group in DIRECTIONS
            }
            if any(by_direction.values()):
                section[kind][value] = by_direction
    return section


def _subgroup(
    asked: pd.DataFrame, group: str, direction: int | None, name: str | None, threshold: float
) -> Section | None:
    """Figures of one subgroup and direction, None under five patients."""
    if asked["patient_id"].nunique() < FEWEST:
        return None
    boot = PatientBootstrap(asked["patient_id"].to_numpy(), 500)
    net = after = np.full(len(asked), np.nan)
    if name is not None:
        net, after = asked[f"{name}_net_before"].to_numpy(), asked[f"{name}_after"].to_numpy()
    hit = np.nan_to_num(validity.reached(asked["p_after"].to_numpy(), group), nan=0.0)
    values = {
        "reach": hit,
        "shift_net": clinical.shift(net, after),
        "moved_right": clinical.moved_right(net, after, group, direction),
        "flip": _flips(asked, group, threshold),
        "fop": _share_kept(asked),
    }
    return figures(values, boot) | counts(asked)


def _flips(asked: pd.DataFrame, group: str, threshold: float) -> Array:
    """Whether the independent classifier changes its call (N,); NaN: not asked, or of another mind before."""
    after = asked["p_transfer_after"].to_numpy(dtype=np.float64)
    alike = asked.index.isin(_called_alike(asked, group, threshold).index) & np.isfinite(after)
    return np.where(alike, _flipped(after, group, threshold), np.nan)


def _share_kept(asked: pd.DataFrame) -> Array:
    """Share of each patient's devices that are kept (N,), by masks where there are any, else by the detector."""
    columns = BY_MASKS if asked[BY_MASKS[0]].notna().any() else BY_BOXES
    there, kept = (asked[name].to_numpy(dtype=np.float64) for name in columns[:2])
    return fop(kept, there, asked["patient_id"].to_numpy())


def blackbox_section(base: pd.DataFrame, prior: float | None, latent: Array | None, seed: int) -> Section:
    """How good and calibrated the black box is on this split; calibration at its stated prior.

    `posterior_histogram` is null: who evaluates a run on the data it was trained on fills it in.
    """
    posterior, label = base["p_before"].to_numpy(), base["label"].to_numpy()
    patients = base["patient_id"].to_numpy()
    section: Section = {
        "auroc": auroc(posterior, label),
        "auroc_latent": auroc(posterior, latent) if latent is not None else None,
        "auprc": auprc(posterior, label),
        "ece": calibration_error(posterior, label, prior),
        "brier": brier(posterior, label, prior),
        "prior": prior,
        "ci95": {"auroc": list(auroc_interval(posterior, label, patients, resamples=200, seed=seed))},
        "n_label": int((label == 1).sum()),
        "posterior_histogram": None,
    }
    if latent is not None:
        section["ci95"]["auroc_latent"] = list(
            auroc_interval(posterior, latent, patients, resamples=200, seed=seed)
        )
    return section | counts(base)


def anatomy_section(base: pd.DataFrame, repeat_error: float, resamples: int, seed: int) -> Section:
    """How well the evaluation segmenter measures this split, against the data set's own masks where it has them."""
    boot = PatientBootstrap(base["patient_id"].to_numpy(), resamples, seed)
    ctr, true = base["ctr_before"].to_numpy(), base["ctr_true_before"].to_numpy()
    names = ("dice_heart", "dice_left_lung", "dice_right_lung")
    values = {name: base[name].to_numpy() for name in names}
    values |= {"ctr_mae": np.abs(ctr - true), "not_measurable": np.isnan(ctr).astype(np.float64)}
    section = figures(values, boot)
    both = np.isfinite(ctr) & np.isfinite(true)
    varied = both.sum() > 2 and np.ptp(ctr[both]) > 0 and np.ptp(true[both]) > 0
    section["ctr_r"] = float(np.corrcoef(ctr[both], true[both])[0, 1]) if varied else None
    section["repeat_error"] = repeat_error
    return (
        section
        | counts(base)
        | {"n_masks": int(np.isfinite(true).sum()), "failures": int(np.isnan(ctr).sum())}
    )
