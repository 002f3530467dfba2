"""metrics.json: its keys, no NaN, sizes and intervals beside every figure, warnings."""

import json
from typing import Any

import numpy as np
import pytest

from cfx.evaluation import summary
from cfx.evaluation.summary import RUN_KEYS, clean, warnings

TOP = [
    "schema", "task", "data", "method", "split", "n_images", "n_patients", "blackbox", "anatomy", "detector", "run",
    "validity", "clinical", "oracle", "realism", "identity", "transfer", "null_test", "drift", "subgroups", "controls",
    "speed", "warnings",
]  # fmt: skip
INNER = {
    "blackbox": "auroc auroc_latent auprc ece brier prior posterior_histogram",
    "anatomy": "dice_heart dice_left_lung dice_right_lung ctr_mae ctr_r not_measurable",
    "detector": "ap50",
    "run": "minutes peak_mib steps",
    "validity": "up down target_mae target_mae_worst monotone spans curve",
    "clinical": "ctr scp angle haze",
    "oracle": "ctr_mae ctr_mae_nothing l1_ratio ghost unreachable",
    "realism": "kid kid_floor fid features",
    "identity": "fop fop_by fop_in_edit same_patient same_patient_ceiling",
    "controls": "nothing nearest_real pixel_descent oracle",
    "speed": "per_second device",
}
VALIDITY = ["reach", "cv_0.8", "cv_ceiling", "n_images", "n_patients", "n_label"]
CLINICAL = [
    "n_images", "n_patients", "before", "after", "shift", "shift_net", "gap", "gap_closed", "ci95", "p", "moved_right",
    "moved_beyond_noise", "thorax_change", "not_measurable",
]  # fmt: skip


def test_keys_are_those_of_the_definition(evaluated: Any) -> None:
    _, metrics = evaluated
    assert set(metrics) == set(TOP) == set(summary.KEYS)
    for section, keys in INNER.items():
        assert set(keys.split()) <= set(metrics[section]), section
    for group in ("up", "down"):
        assert set(VALIDITY) <= set(metrics["validity"][group])
        assert set(CLINICAL) <= set(metrics["clinical"]["ctr"][group])


def test_controls_have_the_same_keys(evaluated: Any) -> None:
    _, metrics = evaluated
    for control in metrics["controls"].values():
        assert set(summary.METHOD_KEYS) <= set(control)
        for section in ("validity", "clinical", "oracle", "identity", "null_test", "realism"):
            assert set(control[section]) == set(metrics[section])
        for group in ("up", "down"):
            assert set(control["clinical"]["ctr"][group]) == set(metrics["clinical"]["ctr"][group])
            assert set(control["validity"][group]) == set(metrics["validity"][group])


def test_it_is_json_without_nan(evaluated: Any) -> None:
    text = json.dumps(evaluated[1], allow_nan=False)
    assert json.loads(text) == evaluated[1]


def test_figures_stand_beside_their_sizes_intervals_and_failures(evaluated: Any) -> None:
    _, metrics = evaluated

    def sections(tree: dict[str, Any], path: str = "") -> Any:
        for key, value in tree.items():
            if isinstance(value, dict):
                yield from sections(value, f"{path}/{key}")
        if "ci95" in tree:
            yield path, tree

    found = list(sections(metrics))
    assert len(found) > 40
    for path, section in found:
        sizes = section.get("grid", section) if path.endswith("validity") else section
        assert {"n_images", "n_patients"} <= set(sizes), path
        for name, interval in section["ci95"].items():
            if section[name] is not None and interval is not None and None not in interval:
                assert interval[0] - 1e-9 <= interval[1], (path, name)
    for group in ("up", "down"):
        assert "failures" in metrics["validity"][group]
        assert "failures" in metrics["clinical"]["ctr"][group]
        low, high = metrics["clinical"]["ctr"][group]["ci95"]["gap_closed"]
        assert low < metrics["clinical"]["ctr"][group]["gap_closed"] < high


def test_true_and_false_calls_are_told_apart(evaluated: Any) -> None:
    _, metrics = evaluated
    up = metrics["validity"]["up"]
    assert set(up["calls"]) == {"TN", "FN"}
    assert sum(call["n_images"] for call in up["calls"].values()) == up["n_images"]
    assert up["calls"]["FN"]["n_images"] == up["n_label"]
    assert set(metrics["clinical"]["ctr"]["down"]["calls"]) == {"TP", "FP"}


def test_sizes_are_those_of_the_rows(evaluated: Any) -> None:
    rows, metrics = evaluated
    assert metrics["n_images"] == 120
    assert metrics["n_patients"] == 90
    down = rows[rows["group"] == "down"]
    assert metrics["validity"]["down"]["n_images"] == down["image_id"].nunique()
    assert metrics["validity"]["down"]["n_patients"] == down["patient_id"].nunique()
    assert metrics["subgroups"]["sex"].keys() == {"F", "M"}
    assert metrics["run"] == dict.fromkeys(RUN_KEYS) | {"minutes": 1.5}


def test_clean_reaches_every_depth() -> None:
    value = {
        "a": [np.nan, np.float32(1.5), np.inf],
        "b": {"c": np.int64(3), "d": (np.bool_(True), None, "x")},
        4: np.zeros(2),
    }
    assert clean(value) == {"a": [None, 1.5, None], "b": {"c": 3, "d": [True, None, "x"]}, "4": [0.0, 0.0]}


def some_metrics(**changed: Any) -> dict[str, Any]:
    """What `warnings` reads, of a good method, with the `up` direction changed."""
    good = {"gap": 0.12, "shift_net": 0.11, "n_patients": 50, "not_measurable": 0.0}
    return {
        "clinical": {"ctr": {"up": good | changed, "down": good}},
        "controls": {"pixel_descent": {"transfer": {"up": {"share": 0.1}, "down": {"share": 0.1}}}},
        "transfer": {"up": {"share": 0.9}, "down": {"share": 0.9}},
    }


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"gap": 0.004}, "hallucinated"),
        ({"n_patients": 12}, "too few"),
        ({"not_measurable": 0.2}, "not measurable on 20%"),
    ],
)
def test_each_warning_is_given(changed: dict[str, float], words: str) -> None:
    assert warnings(some_metrics()) == []
    found = warnings(some_metrics(**changed))
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize(
    ("gap", "noise", "unmeasured", "words"),
    [
        (0.12, 0.03, 0.0, None),
        (0.004, 0.03, 0.0, "lung haze moves by +0.110"),
        (0.004, None, 0.0, None),  # without a repeat error nobody knows what is small
        (0.12, 0.03, 0.2, "lung haze not measurable on 20%"),
    ],
)
def test_lung_haze_warns_by_its_own_repeat_error(
    gap: float, noise: float | None, unmeasured: float, words: str | None
) -> None:
    metrics = some_metrics()
    good = metrics["clinical"]["ctr"]["down"]
    up = good | {"gap": gap, "not_measurable": unmeasured}
    metrics["clinical"]["haze"] = {"up": up, "down": good, "repeat_error": noise}
    found = warnings(metrics)
    assert found == [] if words is None else len(found) == 1 and words in found[0]


def test_a_transfer_test_that_noise_passes_has_no_power() -> None:
    metrics = some_metrics()
    metrics["controls"]["pixel_descent"]["transfer"]["down"]["share"] = 0.6
    assert "no power" in warnings(metrics)[0]
    assert metrics["transfer"]["down"]["power"] is False
    assert metrics["transfer"]["up"]["power"] is True
