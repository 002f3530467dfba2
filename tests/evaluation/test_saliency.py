"""Saliency beside an explainer that changes exactly what is true, in a world whose black box reads a known band."""

from typing import Any

import numpy as np
import pytest
import torch
import toy
from torch import Tensor, nn

from cfx.attribution.maps import Settings
from cfx.classifiers.blackbox import BlackBox
from cfx.evaluation import saliency as s
from cfx.evaluation.saliency_summary import summarise
from cfx.files import jsonable
from cfx.reporting.saliency_figure import NAMES

QUICK = Settings(steps=4, samples=2)
METHODS = ("gradient", "integrated_gradients", "smoothgrad", "occlusion")


class Reader(nn.Module):
    """The toy's black box as a network; no convolution anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.toy = toy.ToyBox()

    def forward(self, image: Tensor) -> Tensor:
        return self.toy.logit(image).unsqueeze(1)


@pytest.fixture(scope="module")
def box() -> BlackBox:
    return BlackBox(Reader(), finding="Cardiomegaly")


@pytest.fixture(scope="module")
def sample(toy_world: Any, box: BlackBox) -> s.Sample:
    table, dataset, oracle = toy_world
    return s.draw_sample(toy.Faithful(toy.ToyBox()), box, table, dataset, oracle, "Cardiomegaly", images=12)


@pytest.fixture(scope="module")
def maps(sample: s.Sample, box: BlackBox) -> dict[str, Tensor]:
    return s.all_maps(sample, box, QUICK)


@pytest.fixture(scope="module")
def measured(sample: s.Sample, maps: dict[str, Tensor], box: BlackBox) -> s.Measured:
    return s.measure(sample, maps, box, steps=16)


def test_both_groups_are_drawn_with_counterfactuals_and_oracles(sample: s.Sample, box: BlackBox) -> None:
    table = sample.table
    assert table["group"].value_counts().to_dict() == {"up": 12, "down": 12}
    assert (table.loc[table["group"] == "up", "before"] < 0.2).all()
    assert (table.loc[table["group"] == "up", "after"] > 0.9).all()
    assert (table.loc[table["group"] == "down", "after"] < 0.1).all()
    assert sample.reached.all() and torch.equal(sample.called, box(sample.image) > 0.5)


def test_every_map_is_there_but_grad_cam_of_a_box_without_convolutions(
    sample: s.Sample, maps: dict[str, Tensor]
) -> None:
    assert list(maps) == [s.OWN, *METHODS, *s.CONTROLS]
    for map_ in maps.values():
        assert map_.shape == sample.image.shape and torch.isfinite(map_).all() and map_.min() >= 0
    assert set(maps) <= set(NAMES)  # each has a name in the figures


def test_the_same_for_all_has_not_seen_the_patient(sample: s.Sample) -> None:
    before = s.same_for_all(sample)
    oracle = sample.oracle.clone()
    patient, group = sample.table.loc[0, ["patient_id", "group"]]
    own = (sample.table["patient_id"] == patient).to_numpy()
    oracle[torch.tensor(own.tolist())] = 0.0
    after = s.same_for_all(s.Sample(sample.table, sample.image, sample.drawn, oracle))
    assert torch.equal(after[0], before[0])
    others = np.flatnonzero(~own & (sample.table["group"] == group).to_numpy())
    assert not torch.equal(after[others[0]], before[others[0]])


def test_what_knows_the_truth_scores_it_and_what_knows_nothing_scores_chance(measured: s.Measured) -> None:
    mean = measured.rows.groupby("method")[list(s.FIGURES)].mean()
    assert mean.loc["oracle", "auprc"] == pytest.approx(1, abs=1e-6)
    assert mean.loc["oracle", "rank"] == pytest.approx(1)
    assert mean.loc[s.OWN, "auprc"] > 0.9 and mean.loc[s.OWN, "pointing"] == 1
    assert mean.loc["random", "auprc"] == pytest.approx(measured.share.mean(), abs=0.04)
    assert mean.loc["random", "rank"] == pytest.approx(0, abs=0.05)
    # the band is all that the box reads: whatever finds it stays below a map that finds the change inside it
    assert mean.loc["random", "auprc"] < mean.loc["gradient", "auprc"] < mean.loc[s.OWN, "auprc"]


def test_curves_begin_and_end_where_they_must(sample: s.Sample, measured: s.Measured) -> None:
    p = np.where(sample.called, sample.table["before"], 1 - sample.table["before"])
    emptied = np.where(sample.called, measured.emptied, 1 - measured.emptied)
    smeared = np.where(sample.called, measured.smeared, 1 - measured.smeared)
    for method, gone in measured.deletion.items():
        come = measured.insertion[method]
        assert gone.shape == come.shape == (24, 17)
        assert np.allclose(gone[:, 0], p, atol=1e-5) and np.allclose(come[:, -1], p, atol=1e-5)
        assert np.allclose(gone[:, -1], emptied, atol=1e-5) and np.allclose(come[:, 0], smeared, atol=1e-5)


def test_an_unknown_truth_is_null_and_counted(
    sample: s.Sample, maps: dict[str, Tensor], box: BlackBox
) -> None:
    table = sample.table.assign(reached=sample.table.index != 0)
    oracle = sample.oracle.clone()
    oracle[0] = 0.0
    part = s.Sample(table, sample.image, sample.drawn, oracle)
    rows = s.measure(part, maps, box, steps=4).rows
    first = rows[rows["image_id"] == table.loc[0, "image_id"]].set_index("method")
    assert first[["auprc", "pointing", "mass", "rank"]].isna().all(axis=None)
    assert np.isfinite(first.loc["gradient", "deletion"]) and np.isnan(first.loc["oracle", "deletion"])
    others = rows[rows["image_id"] != table.loc[0, "image_id"]]
    assert others[list(s.FIGURES)].notna().all(axis=None)


def test_the_summary_has_means_over_patients_with_intervals(sample: s.Sample, measured: s.Measured) -> None:
    found = jsonable(summarise(sample, measured, resamples=200))
    for group in ("up", "down"):
        assert found["groups"][group]["n_images"] == found["groups"][group]["oracle_reached"] == 12
        own = found["methods"][s.OWN][group]["auprc"]
        rows = measured.rows[(measured.rows["method"] == s.OWN) & (measured.rows["group"] == group)]
        assert own["mean"] == pytest.approx(rows.groupby("patient_id")["auprc"].mean().mean())
        assert own["low"] <= own["mean"] <= own["high"] and own["n"] == 12
        less = found["explainer_minus"]["random"][group]["auprc"]
        assert less["mean"] == pytest.approx(own["mean"] - found["methods"]["random"][group]["auprc"]["mean"])
        assert less["low"] > 0
        curve = found["curves"]["gradient"][group]["deletion"]
        heights = (np.array(curve[:-1]) + np.array(curve[1:])) / 2
        assert heights.mean() == pytest.approx(found["methods"]["gradient"][group]["deletion"]["mean"])
    assert s.OWN not in found["explainer_minus"]
