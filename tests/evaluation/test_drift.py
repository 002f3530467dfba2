"""Drift and re-identification of a whole evaluation: a toy world whose pictures show view, another finding, patient."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import toy
from toy_settings import SETTINGS

from cfx.data.attributes import ATTRIBUTES
from cfx.evaluation.drift import Others, drift_section
from cfx.evaluation.runner import evaluate
from cfx.evaluation.summary import warnings
from cfx.explainers.base import Counterfactual

FAINT = 0.08  # grey value of what is shown outside the chest: too faint for segmenter and black box


class Reader(toy.EdgeBox):
    """An independent classifier of the finding, of another one, of the view and, in vain, of the age."""

    names = ("Cardiomegaly", "Edema", ATTRIBUTES["view"], ATTRIBUTES["age"])

    def posteriors(self, image: torch.Tensor) -> torch.Tensor:
        """Posteriors (B, 4)."""
        top = image[:, 0, :4]
        marks = [
            top[..., 8:16].mean((1, 2)),
            top[..., :8].mean((1, 2)),
            top[..., 24:].mean((1, 2)) + FAINT / 2,
        ]
        seen = torch.sigmoid(150 * (torch.stack(marks, 1) - FAINT / 2))
        return torch.cat([self(image)[:, None], seen], 1)


class Ageing(toy.Faithful):
    """Draws the finding as it should be and turns every picture into an AP film besides."""

    @torch.no_grad()
    def explain(self, image: torch.Tensor, targets: torch.Tensor) -> Counterfactual:
        """The faithful pictures with the mark of the view."""
        drawn = super().explain(image, targets)
        drawn.images[..., :4, :8] = FAINT
        return drawn


def code(image: torch.Tensor) -> torch.Tensor:
    """Features (B, 8): the strip below the chest, which is a patient's own."""
    return image[:, 0, 28:].reshape(len(image), 4, 8, 4).mean((1, 3))


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The toy world with marks outside the chest and two studies of each patient."""
    table, dataset, oracle = toy.world(tmp_path_factory.mktemp("marked"))
    generator = np.random.default_rng(0)
    count = len(table)
    patients = [f"p{i // 2}" for i in range(count)]
    looks = FAINT * generator.random((count // 2, 8))
    view, other = (
        generator.permutation(["PA", "AP"] * (count // 2)),
        generator.permutation([0.0, 1.0] * (count // 2)),
    )
    table = table.assign(patient_id=patients, view=view, Edema=other)
    for i in range(count):
        for picture in (dataset.image[i, 0], oracle.extras[table["image_id"][i]][0]):
            picture[:4, :8] += FAINT * (view[i] == "AP")
            picture[:4, 8:16] += FAINT * other[i]
            picture[28:] += torch.tensor(looks[i // 2], dtype=torch.float32).repeat_interleave(4)
    return table, dataset, oracle


def measured(world: Any, explainer: Any = None, **more: Any) -> dict[str, Any]:
    table, dataset, oracle = world
    box = toy.ToyBox()
    given: dict[str, Any] = {"transfer": Reader(), "oracle": oracle, "features": code} | more
    return evaluate(
        explainer or toy.Faithful(box), box, table, dataset, judge=toy.judge, task=toy.TASK, settings=SETTINGS, **given
    )[1]  # fmt: skip


@pytest.fixture(scope="module")
def metrics(marked: Any) -> dict[str, Any]:
    return measured(marked)


def test_a_faithful_method_drifts_no_more_than_the_oracle(metrics: dict[str, Any]) -> None:
    drift = metrics["drift"]
    assert (
        drift["worst_finding"] == "Edema" and drift["worst"] == drift["mean"] < 0.02 and drift["view"] < 0.02
    )
    assert drift["sex"] is None  # the reader does not know it
    for group in ("up", "down"):
        edema = drift[group]["findings"]["Edema"]
        assert edema["n_images"] == drift[group]["n_images"] == metrics["validity"][group]["n_images"]
        assert (
            edema["oracle"] < 0.02
            and edema["ci95"]["change"][0] <= edema["change"] <= edema["ci95"]["change"][1]
        )
        assert set(drift[group]["findings"]) == {"Edema"}  # not the finding itself
    assert metrics["controls"]["oracle"]["drift"]["mean"] < 0.02


def test_another_patient_fails_drift_and_doing_nothing_does_not(metrics: dict[str, Any]) -> None:
    other, nothing = (metrics["controls"][name]["drift"] for name in ("nearest_real", "nothing"))
    assert (
        max(nothing[key] for key in ("mean", "worst", "view", "age")) < 1e-6
    )  # batches of another size round otherwise
    assert other["mean"] > 0.2 and other["view"] > 0.2
    assert set(other) == set(nothing) == set(metrics["drift"])


def test_what_the_network_can_not_read_is_flagged(metrics: dict[str, Any]) -> None:
    read = metrics["drift"]["read"]
    assert set(read) == {"Edema", ATTRIBUTES["view"], ATTRIBUTES["age"]}
    assert read[ATTRIBUTES["view"]] == {"auroc": pytest.approx(1.0), "readable": True}
    assert read[ATTRIBUTES["age"]]["readable"] is False and read[ATTRIBUTES["age"]]["auroc"] < 0.7
    assert metrics["drift"]["up"]["attributes"]["age"]["readable"] is False
    assert metrics["drift"]["up"]["attributes"]["sex"] is None


class Blind(Reader):
    """The same, and two more findings that it can not read: one moves with the finding, of one nothing is known."""

    names = (*Reader.names, "Fracture", "Pneumonia")

    def posteriors(self, image: torch.Tensor) -> torch.Tensor:
        """Posteriors (B, 6)."""
        read = super().posteriors(image)
        return torch.cat([read, read[:, :1], 0.5 + 0.2 * read[:, :1]], 1)


@pytest.fixture(scope="module")
def blind(marked: Any) -> dict[str, Any]:
    table, dataset, oracle = marked
    coin = np.random.default_rng(5).permutation([0.0, 1.0] * (len(table) // 2))
    return measured((table.assign(Fracture=coin), dataset, oracle), controls=(), transfer=Blind())["drift"]


def test_what_can_not_be_read_is_in_no_mean_and_not_the_worst(blind: dict[str, Any]) -> None:
    assert blind["read"]["Fracture"]["readable"] is False and blind["read"]["Pneumonia"]["readable"] is None
    assert blind["unreadable"] == 1
    assert blind["worst_finding"] == "Pneumonia"  # nobody knows whether it is read; Fracture would move most
    for group in ("up", "down"):
        side = blind[group]
        found = {name: side["findings"][name]["change"] for name in ("Edema", "Fracture", "Pneumonia")}
        assert found["Fracture"] > 2 * found["Pneumonia"] > 2 * found["Edema"]
        assert side["mean"] == pytest.approx((found["Edema"] + found["Pneumonia"]) / 2)
        assert side["worst"] == found["Pneumonia"] and side["unreadable"] == 1


def test_the_mean_of_the_outputs_has_one_interval(blind: dict[str, Any]) -> None:
    for group in ("up", "down"):
        side = blind[group]
        low, high = side["ci95"]["mean"]
        assert low < side["mean"] < high
        ends = np.array([side["findings"][name]["ci95"]["change"] for name in ("Edema", "Pneumonia")])
        assert (
            ends.mean(axis=0)[1] - ends.mean(axis=0)[0] >= high - low - 1e-9
        )  # no wider than if all moved at once
        assert side["failures"] == side["findings"]["Edema"]["failures"] == 0


def test_pictures_without_posteriors_are_counted_and_not_averaged() -> None:
    names = ("Cardiomegaly", "Edema", "Fracture")
    base = pd.DataFrame(
        {"image_id": list("abcd"), "patient_id": list("abcd"), "group": ["up"] * 2 + ["down"] * 2}
    )
    real = np.array([[0.1, 0.2, 0.9], [0.1, 0.2, 0.1], [0.9, 0.8, 0.9], [0.9, 0.8, 0.1]])
    drawn = real + np.array([[0.8, 0.1, 0.0], [0.8, np.nan, 0.1], [-0.8, np.nan, np.nan], [-0.8, -0.4, 0.0]])
    drawn[2] = np.nan
    labels = np.array(
        [[0, 0, 1], [0, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=float
    )  # Edema is read, Fracture not
    rows = np.arange(4)
    others = Others(names, names[0], labels, {"real": (rows, real), "method": (rows, drawn)})
    made = drift_section(others, "method", base, 50, 0)
    assert made is not None and made["read"]["Fracture"]["readable"] is False
    assert made["up"]["mean"] == pytest.approx(0.1) and made["down"]["mean"] == pytest.approx(0.4)
    assert made["mean"] == made["worst"] == pytest.approx(0.4) and made["worst_finding"] == "Edema"
    assert [made[group]["findings"]["Edema"]["failures"] for group in ("up", "down")] == [1, 1]
    assert [made[group]["failures"] for group in ("up", "down")] == [
        0,
        1,
    ]  # nothing at all is known of the third
    nothing = drift_section(
        replace(others, labels=1 - labels), "method", base, 50, 0
    )  # now Edema is not read
    assert nothing is not None and nothing["unreadable"] == 2
    assert np.isnan(nothing["mean"]) and np.isnan(nothing["worst"]) and nothing["worst_finding"] is None


def test_a_method_that_changes_the_view_is_told_which_way(marked: Any) -> None:
    drift = measured(marked, Ageing(toy.ToyBox()), controls=())["drift"]
    table = marked[0]
    for group in ("up", "down"):
        view = drift[group]["attributes"]["view"]
        assert view["signed"] == pytest.approx(view["change"], abs=0.01)  # always towards AP
        assert view["oracle"] is None and drift[group]["findings"]["Edema"]["change"] < 0.02
    assert drift["view"] == pytest.approx((table["view"] == "PA").mean(), abs=0.25) and drift["view"] > 0.3


def test_a_patient_is_recognised_and_another_is_not(metrics: dict[str, Any]) -> None:
    identity = metrics["identity"]
    assert identity["same_patient"] > 0.95 and identity["same_patient_ceiling"] > 0.95
    assert identity["same_patient_chance"] == pytest.approx(1 / 51)
    assert metrics["controls"]["nearest_real"]["identity"]["same_patient"] < 0.1
    nothing = metrics["controls"]["nothing"]["identity"]
    assert nothing["same_patient"] == nothing["same_patient_ceiling"]
    for group in ("up", "down"):
        side = identity["reidentification"][group]
        assert side["n_images"] == metrics["validity"][group]["n_images"]
        assert side["ci95"]["same_patient"][0] <= side["same_patient"]
    assert warnings(metrics) == metrics["warnings"] and not any(
        "same_patient" in w for w in metrics["warnings"]
    )


def test_pictures_of_one_study_are_no_other_study(marked: Any) -> None:
    table, dataset, oracle = marked
    one = measured((table.assign(study_id=table["patient_id"]), dataset, oracle), controls=())["identity"]
    assert one["same_patient"] is one["same_patient_ceiling"] is one["same_patient_chance"] is None
    alone = measured((table.assign(patient_id=table["image_id"]), dataset, oracle), controls=())["identity"]
    assert alone["reidentification"] == {"up": None, "down": None}


def test_where_nobody_knows_the_studies_nobody_is_recognised_and_it_is_said(marked: Any) -> None:
    table, dataset, oracle = marked
    made = measured((table.assign(study_id=""), dataset, oracle), controls=())
    assert made["identity"]["same_patient"] is None
    assert made["identity"]["reidentification"] == {"up": None, "down": None}
    count = made["identity"]["study_unknown"]
    assert count == sum(made["validity"][group]["n_images"] for group in ("up", "down"))
    assert any(f"of {count} drawn pictures nobody knows" in warning for warning in made["warnings"])
    alone = table.assign(study_id="", patient_id=table["image_id"])  # no other picture, so no question
    made = measured((alone, dataset, oracle), controls=())
    assert made["identity"]["study_unknown"] == 0 and not any(
        "nobody knows" in each for each in made["warnings"]
    )


def test_features_that_do_not_tell_patients_apart_are_warned_of(marked: Any) -> None:
    made = measured(marked, controls=(), features=lambda image: image[:, 0, 10:12, :4].flatten(1))
    assert any("same_patient tells nothing" in warning for warning in made["warnings"])


def test_a_classifier_of_the_finding_alone_tells_no_drift(marked: Any) -> None:
    assert measured(marked, transfer=toy.EdgeBox(), controls=())["drift"] is None
    assert measured(marked, transfer=None, controls=())["drift"] is None


def test_a_resumed_evaluation_says_the_same(marked: Any) -> None:
    parts: dict[int, pd.DataFrame] = {}
    quick = replace(SETTINGS, resamples=20)
    table, dataset, _ = marked
    box = toy.ToyBox()

    def run(**more: Any) -> dict[str, Any]:
        return evaluate(
            toy.Faithful(box), box, table, dataset, judge=toy.judge, task=toy.TASK, settings=quick, transfer=Reader(),
            features=code, controls=(), **more,
        )[1]  # fmt: skip

    whole = run(write_part=parts.__setitem__)
    again = run(finished={number: parts[number] for number in (0, 2)})
    assert again["drift"]["read"] == whole["drift"]["read"]
    assert again["drift"]["view"] == pytest.approx(whole["drift"]["view"], abs=1e-6)
    assert again["identity"] == whole["identity"]
