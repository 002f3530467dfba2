"""Posteriors of training and test images side by side, on samples whose bins and distance are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cfx.data.annotations import Annotations
from cfx.errors import WrongLayout
from cfx.evaluation.posterior_histogram import (
    EDGES,
    evaluated_posteriors,
    patients_apart,
    posterior_histogram,
    same_images,
    training_posteriors,
)


def sample(*posterior: float, label: float = 0.0, **columns: Any) -> pd.DataFrame:
    """An image a posterior, two images a patient."""
    names = [f"p{number // 2}" for number in range(len(posterior))]
    return pd.DataFrame({"patient_id": names, "posterior": posterior, "label": label} | columns)


def data(**changes: Any) -> dict[str, Any]:
    """A data node, with keys of its own, of its source (`source_...`) or of its splits (`splits_...`)."""
    node: dict[str, Any] = {
        "name": "chexpert",
        "root": "/data/a",
        "size": 128,
        "views": ["PA"],
        "source": {"_target_": "cfx.data.chexpert.CheXpert", "root": "/data/a"},
        "splits": {"apart": True, "seed": 0, "shares": {"blackbox": 1, "explainer": 1}},
    }
    for key, value in changes.items():
        place, _, inner = key.partition("_")
        node = node | ({place: node[place] | {inner: value}} if inner else {key: value})
    return node


def trained(own: dict[str, Any], box: dict[str, Any] | None, part: str = "blackbox") -> dict[str, Any]:
    """Configurations of an explainer and of its black box; None: a program, of whose training nothing is known."""
    theirs = {"blackbox": {"kind": "exported"}} if box is None else {"data": box, "model": {"part": part}}
    return {"explainer": {"data": own, "model": {"part": "explainer"}}, "blackbox": theirs}


def test_known_posteriors_fall_into_known_bins() -> None:
    # A value on an edge belongs to the bin above it, 1.0 to the last; what is not known is not counted.
    train = sample(0.0, 0.02, 0.05, 0.95, 1.0, np.nan, label=1.0)
    test = sample(0.5, 0.52, 0.97, 0.6, label=[1.0, 0.0, np.nan, 0.0])
    found = posterior_histogram(train, test, apart=False)
    assert found is not None and found["edges"] == list(EDGES) and len(EDGES) == 21
    assert np.flatnonzero(found["train"]).tolist() == [0, 1, 19] and sum(found["train"]) == 5
    assert [found["train"][number] for number in (0, 1, 19)] == [2, 1, 2]
    assert {number: found["test"][number] for number in (10, 12, 19)} == {10: 2, 12: 1, 19: 1}
    assert (found["n_train"], found["n_test"]) == (5, 4)
    assert (found["n_patients_train"], found["n_patients_test"]) == (3, 2)
    assert found["positive_train"] == 1.0 and found["positive_test"] == pytest.approx(1 / 3)
    # of the training images 3 of 5 lie below 0.5, of the others none
    assert found["distance"] == pytest.approx(0.6) and found["apart"] is False


def test_the_distance_is_scipys_and_has_its_ends() -> None:
    random = np.random.default_rng(0)
    first, second = random.beta(0.4, 0.6, 700), random.beta(1.0, 1.2, 300)
    found = posterior_histogram(sample(*first), sample(*second), apart=None)
    assert found is not None
    assert found["distance"] == pytest.approx(stats.ks_2samp(first, second).statistic, abs=1e-12)
    same = posterior_histogram(sample(*first), sample(*first), apart=True)
    none = posterior_histogram(sample(0.1, 0.2), sample(0.7, 0.9), apart=True)
    assert same is not None and same["distance"] == 0.0 and same["train"] == same["test"]
    assert none is not None and none["distance"] == 1.0


def test_nothing_is_told_where_one_side_has_no_posterior() -> None:
    some = sample(0.1, 0.9)
    assert posterior_histogram(some, sample(np.nan, np.nan), apart=False) is None
    assert posterior_histogram(sample(), some, apart=False) is None
    unlabelled = posterior_histogram(some, sample(0.3, label=np.nan), apart=False)
    assert unlabelled is not None and unlabelled["positive_test"] is None


def test_training_posteriors_are_found_by_name(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {"image_id": ["b", "a", "new"], "patient_id": ["q", "p", "r"], "Edema": [1.0, 0.0, np.nan]}
    )
    assert training_posteriors(tmp_path, rows, "Edema") is None  # a run without annotations
    posterior = np.array([0.25, 0.75, 0.5], dtype=np.float32)
    Annotations(["a", "b", "of validation"], posterior=posterior).save(tmp_path)
    found = training_posteriors(tmp_path, rows, "Edema")
    assert found is not None and found["patient_id"].tolist() == ["q", "p", "r"]
    assert found["posterior"].tolist()[:2] == [0.75, 0.25] and np.isnan(found["posterior"][2])
    assert found["label"].tolist()[:2] == [1.0, 0.0]
    np.save(tmp_path / "posterior.npy", posterior[:2])
    with pytest.raises(WrongLayout, match="2 rows for 3 images"):
        training_posteriors(tmp_path, rows, "Edema")
    Annotations(["a"]).save(tmp_path)
    assert training_posteriors(tmp_path, rows, "Edema") is None  # of a run that was not told any posterior


def test_an_evaluated_image_counts_once_however_many_targets_it_has() -> None:
    rows = pd.DataFrame(
        {
            "image_id": ["a", "a", "b"],
            "patient_id": "p",
            "p_before": [0.1, 0.1, 0.9],
            "label": [0.0, 0.0, 1.0],
        }
    )
    assert evaluated_posteriors(rows)["posterior"].tolist() == [0.1, 0.9]


@pytest.mark.parametrize(
    ("own", "box", "part", "apart"),
    [
        (data(), data(), "blackbox", True),
        (data(), data(root="/moved", source_root="/moved", views=["AP"]), "blackbox", True),
        (data(), data(), "explainer", False),  # apart, but both are trained on the same part
        (data(splits_apart=False), data(splits_apart=False), "blackbox", False),
        (data(), data(splits_seed=1), "blackbox", None),
        (data(), data(source_blank="ignore"), "blackbox", None),
        (data(), None, "blackbox", None),
    ],
)
def test_whether_black_box_and_explainer_have_patients_apart(
    own: dict[str, Any], box: dict[str, Any] | None, part: str, apart: bool | None
) -> None:
    assert patients_apart(trained(own, box, part)) is apart


def test_other_data_views_or_splits_are_other_images_and_another_place_is_not() -> None:
    assert same_images(data(), data(root="/b", source_root="/b", workers=4, limit=10))
    for other in (data(splits_fold=0), data(views=["AP"]), data(size=64), data(source_site="B")):
        assert not same_images(data(), other)
