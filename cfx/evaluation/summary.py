"""From rows to metrics.json: the same keys for the method and every control, null for whatever could not be made."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cfx.evaluation.clinical_sections import MEASURED, clinical_sections, with_recesses
from cfx.evaluation.drift import Others, drift_section
from cfx.evaluation.rows import NOTHING, READ_AS
from cfx.evaluation.same_patient import same_patient_section, unknown_studies
from cfx.evaluation.sections import (
    DIRECTIONS,
    Section,
    counts,
    oracle_section,
    validity_section,
)
from cfx.evaluation.settings import Settings
from cfx.evaluation.side_sections import (
    anatomy_section,
    blackbox_section,
    identity_section,
    null_section,
    realism_section,
    subgroup_section,
    transfer_section,
)
from cfx.measurements import READING_FLOOR
from cfx.metrics.clinical import SMALL_GAP
from cfx.metrics.statistics import FEWEST_PATIENTS

Array = npt.NDArray[Any]

SCHEMA = 1
CONTROL_KEYS = ("nothing", "nearest_real", "pixel_descent", "oracle")
METHOD_KEYS = (
    "validity", "clinical", "oracle", "realism", "identity", "transfer", "null_test", "drift", "subgroups", "speed",
)  # fmt: skip
RUN_KEYS = ("minutes", "peak_mib", "steps", "commit", "device", "seed", "overrides")
KEYS = (
    "schema", "task", "data", "method", "split", "n_images", "n_patients", "blackbox", "anatomy", "detector", "run",
    *METHOD_KEYS, "controls", "warnings",
)  # fmt: skip
COUNTERFEIT = 0.5
SMALL_SCP_GAP, LARGE_SCP_SHIFT = 0.05, 0.1


@dataclass(frozen=True)
class Collected:
    """All that an evaluation gathered.

    Attributes:
        rows: of the method.
        base: of the pictures as they are.
        controls: rows of each control that was drawn.
        features: rows and features of each method's pictures at the extremes, and of all pictures as they are (`real`).
        features_name: the feature network.
        others: what the independent classifier says beside the finding, None where it knows nothing else.
        latent: (N,) finding before label noise, or None.
        repeat_error: of the evaluation segmenter, in CTR.
        repeat_errors: of the recess score (`scp`), the costophrenic angle (`angle`) and the lungs' brightness (`haze`),
            where they are measured.
        threshold: of the transfer classifier.
        prior: of the black box, None where nobody has stated it.
        measurement: what the task is read by, as in its configuration.
        direction: +1 where the CTR rises with the finding, -1 where it falls, None where it is not what is measured.
        recess_direction: the same of the score of a healthy recess.
        haze_direction: the same of the lungs' brightness against the heart.
        detector: how good the evaluation detector is, see `detecting.detector_section`; None without one.
        has_oracle: whether there is an oracle.
        devices_by: who says where devices are, None where nobody.
        device: what it was computed on.
        ends: what each method aims at when asked for 0 and for 1 (see `Explainer.ends`); left out: 0 and 1.
        settings: sizes.
    """

    rows: pd.DataFrame
    base: pd.DataFrame
    controls: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    features: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)
    features_name: str | None = None
    others: Others | None = None
    latent: Array | None = None
    repeat_error: float = float("nan")
    repeat_errors: Mapping[str, float] = field(default_factory=dict)
    threshold: float = 0.5
    prior: float | None = None
    measurement: str = "ctr"
    direction: int | None = 1
    recess_direction: int | None = None
    haze_direction: int | None = None
    detector: Mapping[str, Any] | None = None
    has_oracle: bool = False
    devices_by: str | None = None
    device: str = "cpu"
    ends: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)


def clean(value: Any) -> Any:
    """Make a value fit for JSON: numpy scalars become Python's, NaN and infinities become None, at any depth."""
    if isinstance(value, Mapping):
        return {str(key): clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean(inner) for inner in value]
    if isinstance(value, np.ndarray):
        return clean(value.tolist())
    if isinstance(value, np.bool_ | bool):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def method_sections(rows: pd.DataFrame, name: str, collected: Collected) -> Section:
    """All sections of one method or control.

    Args:
        rows: its rows.
        name: `method` or a control's name, under which its features were kept.
        collected: all else.
    """
    settings = collected.settings
    resamples, seed = settings.resamples, settings.seed
    oracle = collected.controls.get("oracle")
    recess = collected.recess_direction
    section: Section = {
        "validity": validity_section(
            rows, np.array(settings.targets), resamples, seed, collected.ends.get(name, (0.0, 1.0))
        ),
        "clinical": dict.fromkeys((*MEASURED, "read_by"))
        if collected.measurement == NOTHING
        else clinical_sections(
            rows,
            collected.base,
            oracle,
            read_by=READ_AS.get(collected.measurement),
            directions={
                "ctr": collected.direction,
                "scp": recess,
                "angle": None if recess is None else -recess,
                "haze": collected.haze_direction,
            },
            repeat_errors={"ctr": collected.repeat_error, **collected.repeat_errors},
            resamples=resamples,
            seed=seed,
        ),
        "oracle": oracle_section(rows, resamples, seed) if collected.has_oracle else None,
        "realism": realism_section(
            collected.features.get(name),
            collected.features.get("real"),
            collected.base,
            collected.features_name,
            settings.kid_resamples,
            seed,
        ),
        "identity": identity_section(rows, collected.devices_by, resamples, seed)
        | same_patient_section(collected.features, name, collected.base, resamples, seed),
        "transfer": transfer_section(rows, collected.base, oracle, collected.threshold, resamples, seed),
        "null_test": null_section(rows, resamples, seed),
        "drift": drift_section(collected.others, name, collected.base, resamples, seed),
        "subgroups": subgroups(rows, collected) if name == "method" else None,
    }
    seconds = float(rows["seconds"].sum())
    section["speed"] = {
        "per_second": len(rows) / seconds if seconds > 0 else None,
        "device": collected.device,
    }
    return section


def subgroups(rows: pd.DataFrame, collected: Collected) -> Section:
    """Subgroups in the measurement that the task is read by, if it was made, else in the CTR; or by reach alone."""
    read_by, direction, name = READ_AS.get(collected.measurement), collected.direction, "ctr"
    if collected.measurement == NOTHING:
        return subgroup_section(rows, None, None, collected.threshold)
    if read_by == "scp" and collected.detector is not None:
        rows, direction, name = with_recesses(rows), collected.recess_direction, "scp"
    elif read_by == "haze":
        direction, name = collected.haze_direction, "haze"
    return subgroup_section(rows, direction, name, collected.threshold)


def summarise(
    collected: Collected,
    *,
    task: str,
    data: str | None = None,
    method: str | None = None,
    split: str | None = None,
    run: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Make `metrics.json`.

    Args:
        collected: rows and what belongs to them.
        task: name of the clinical question.
        data: name of the data set.
        method: name of the method.
        split: which part of the data.
        run: what is known of how the method was trained, by `RUN_KEYS`.

    Returns:
        A nested dict with the keys `KEYS`, ready for JSON.
    """
    settings = collected.settings
    own = method_sections(collected.rows, "method", collected)
    controls: Section = dict.fromkeys(CONTROL_KEYS)
    for name, rows in collected.controls.items():
        controls[name] = (counts(rows) | method_sections(rows, name, collected)) if len(rows) else None
    about = dict(run or {})
    metrics: Section = {
        "schema": SCHEMA,
        "task": task,
        "data": data,
        "method": method,
        "split": split,
        **counts(collected.base),
        "blackbox": blackbox_section(collected.base, collected.prior, collected.latent, settings.seed),
        "anatomy": anatomy_section(collected.base, collected.repeat_error, settings.resamples, settings.seed),
        "detector": collected.detector or {"ap50": None},
        "run": {name: about.get(name) for name in RUN_KEYS},
        **own,
        "controls": controls,
    }
    metrics["warnings"] = warnings(metrics)
    result: dict[str, Any] = clean(metrics)
    return result


def warnings(metrics: Mapping[str, Any]) -> list[str]:
    """What a reader of the figures must know: hallucinated explanations, tests without power, thin groups."""
    found = []
    for group in DIRECTIONS:
        found += _ctr_warnings(metrics["clinical"]["ctr"], group)
        found += _recess_warnings(metrics["clinical"].get("scp"), group)
        found += _haze_warnings(metrics["clinical"].get("haze"), group)
        found += _powerless(metrics, group)
        found += _unrecognised(metrics, group)
    return found + unknown_studies(metrics.get("identity"))


def _ctr_warnings(section: Mapping[str, Any] | None, group: str) -> list[str]:
    """What qualifies the CTR of one direction, and whether its patients are too few for a test."""
    if section is None:
        return []
    found, ctr = [], section[group]
    gap, shift = ctr["gap"], ctr["shift_net"]
    if _known(gap, shift) and abs(gap) < SMALL_GAP and abs(shift) > READING_FLOOR:
        found.append(
            f"{group}: CTR moves by {shift:+.3f} though the black box's own groups differ by {gap:+.3f} only: "
            "a hallucinated explanation"
        )
    if ctr["n_patients"] < FEWEST_PATIENTS:
        found.append(f"{group}: only {ctr['n_patients']} patients, too few for a test")
    if _known(ctr["not_measurable"]) and ctr["not_measurable"] > 0.05:
        found.append(f"{group}: CTR not measurable on {ctr['not_measurable']:.0%} of the pictures")
    return found


def _recess_warnings(scp: Mapping[str, Any] | None, group: str) -> list[str]:
    """What qualifies the recess score of one direction."""
    if scp is None:
        return []
    found, own = [], scp[group]
    gap, shift = own["gap"], own["shift_net"]
    if _known(gap, shift) and abs(gap) < SMALL_SCP_GAP and abs(shift) > LARGE_SCP_SHIFT:
        found.append(
            f"{group}: SCP moves by {shift:+.2f} though the black box's own groups differ by {gap:+.2f} only: a "
            "hallucinated explanation"
        )
    if _known(own["not_measurable"]) and own["not_measurable"] > 0.05:
        found.append(f"{group}: SCP not measurable on {own['not_measurable']:.0%} of the pictures")
    return found


def _haze_warnings(haze: Mapping[str, Any] | None, group: str) -> list[str]:
    """What qualifies the lungs' brightness in one direction."""
    if haze is None:
        return []
    found, own, noise = [], haze[group], haze["repeat_error"]
    gap, shift = own["gap"], own["shift_net"]
    # Nobody has said which difference of haze matters: what a picture seen again differs by is no difference.
    if _known(gap, shift, noise) and abs(gap) < noise < abs(shift):
        found.append(
            f"{group}: lung haze moves by {shift:+.3f} though the black box's own groups differ by {gap:+.3f} only: a "
            "hallucinated explanation"
        )
    if _known(own["not_measurable"]) and own["not_measurable"] > 0.05:
        found.append(f"{group}: lung haze not measurable on {own['not_measurable']:.0%} of the pictures")
    return found


def _unrecognised(metrics: Mapping[str, Any], group: str) -> list[str]:
    """Whether the feature network recognises real pairs of a patient at all."""
    side = ((metrics.get("identity") or {}).get("reidentification") or {}).get(group)
    if side is None:
        return []
    least, chance = side["ci95"]["same_patient_ceiling"][0], side["same_patient_chance"]
    if not _known(least, chance) or least > chance:
        return []
    return [
        f"{group}: patients are recognised by their other studies in {side['same_patient_ceiling']:.2f} of real "
        f"pictures, by chance in {chance:.2f}: same_patient tells nothing"
    ]


def _powerless(metrics: Mapping[str, Any], group: str) -> list[str]:
    """Whether pixel descent carries over more than half as often: then `transfer` had no power."""
    descent = (metrics["controls"].get("pixel_descent") or {}).get("transfer")
    own = metrics["transfer"]
    if not own or not descent:
        return []
    mine, noise = own[group]["share"], descent[group]["share"]
    own[group]["pixel_descent_share"] = noise
    if not _known(mine, noise):
        return []
    # a share below 0 went the wrong way: nothing carried over
    own[group]["power"] = bool(max(noise, 0.0) <= COUNTERFEIT * max(mine, 0.0))
    if own[group]["power"]:
        return []
    return [
        f"{group}: pixel descent carries over to the independent classifier in {noise:.2f}, the method in "
        f"{mine:.2f}: the transfer test had no power"
    ]


def _known(*values: Any) -> bool:
    """Whether all values are finite numbers."""
    return all(value is not None and math.isfinite(value) for value in values)
