"""Re-identification of a patient among other studies."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from cfx.metrics.identity import Choice, choices, choosable, recognised, standardised


def world(patients: int = 30, spread: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 8) of two studies a patient, and the patients; each patient looks like itself within `spread`."""
    generator = np.random.default_rng(seed)
    who = np.repeat(np.arange(patients), 2)
    looks = generator.normal(size=(patients, 8))
    return looks[who] + spread * generator.normal(size=(len(who), 8)), who


def rate(queries: np.ndarray, features: np.ndarray, who: np.ndarray, others: int = 50) -> float:
    rows = np.arange(len(who))
    compared = choices(who, rows, rows, others)
    return float(recognised(queries, rows, features, compared).mean())


def test_patients_who_look_like_themselves_are_recognised_and_another_patient_is_not() -> None:
    features, who = world()
    assert rate(features, features, who) == 1
    assert rate(np.roll(features, 2, axis=0), features, who) == 0


def test_features_that_tell_nothing_recognise_by_chance() -> None:
    generator = np.random.default_rng(3)
    who = np.repeat(np.arange(400), 2)
    features = generator.normal(size=(800, 16))
    assert rate(features, features, who, others=4) == pytest.approx(1 / 5, abs=0.05)
    assert choices(who, np.arange(800), [0], others=4)[0].chance == pytest.approx(1 / 5)


def test_it_is_the_nearest_by_the_cosine_of_another_library() -> None:
    features, who = world(spread=1.5, seed=2)
    queries = features + np.random.default_rng(4).normal(size=features.shape)
    rows = np.arange(len(who))
    compared = choices(who, rows, rows, others=7)
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    far = cdist((queries - mean) / deviation, (features - mean) / deviation, "cosine")
    wanted = [far[row, compared[row].own].min() < far[row, compared[row].others].min() for row in rows]
    assert 0.1 < np.mean(wanted) < 0.9
    assert recognised(queries, rows, features, compared).tolist() == wanted


def test_choices_hold_other_studies_of_the_patient_and_a_picture_of_each_other_patient() -> None:
    patients = ["a", "a", "a", "b", "b", "c", "d"]
    studies = ["a1", "a1", "a2", "b1", "b2", "c1", "d1"]
    found = choices(patients, studies, range(7))
    assert sorted(found) == [0, 1, 2, 3, 4]  # c and d have one study
    assert found[0].own.tolist() == found[1].own.tolist() == [2] and found[2].own.tolist() == [0, 1]
    for row in found:
        others = [patients[each] for each in found[row].others]
        assert sorted(others) == sorted(set(patients) - {patients[row]})
    assert found[2].chance == pytest.approx(2 / 5)


def test_a_study_that_is_not_known_is_no_other_study() -> None:
    found = choices(["a", "a", "a", "b", "b"], ["a1", "", "a2", "", ""], range(5))
    assert sorted(found) == [0, 2] and found[0].own.tolist() == [2] and found[2].own.tolist() == [0]
    assert sorted(found[0].others)[0] in (3, 4)  # of another patient a picture is one whatever its study


def test_draws_are_seeded_and_bounded() -> None:
    who = np.repeat(np.arange(90), 2)
    first, again, other = (choices(who, np.arange(180), [7, 8], seed=seed) for seed in (0, 0, 1))
    assert len(first[7].others) == 50 and len(set(who[first[7].others])) == 50
    assert first[7].others.tolist() == again[7].others.tolist() != other[7].others.tolist()
    whole, part = choices(who, np.arange(180), range(180)), first
    assert whole[8].others.tolist() == part[8].others.tolist()  # whoever else is asked about


def test_what_can_not_be_told_is_not_told() -> None:
    features = np.eye(3)
    none = np.array([], dtype=np.int64)
    compared = {0: Choice(np.array([1]), none), 2: Choice(np.array([1]), np.array([0]))}
    assert np.isnan(Choice(np.array([1]), none).chance)
    queries = np.vstack([features[:2], [np.nan, 0, 0]])
    assert np.isnan(recognised(queries, [0, 1, 2], features, compared)).all()


def test_a_tie_is_no_recognition() -> None:
    features = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [-1.0, -2.0]])
    compared = {0: Choice(np.array([1]), np.array([2]))}
    assert recognised(features[:1], [0], features, compared).tolist() == [0.0]


def test_a_constant_feature_does_not_count() -> None:
    gallery = np.array([[5.0, 1.0], [5.0, -1.0]])
    assert standardised(gallery, gallery).tolist() == [[0.0, 1.0], [0.0, -1.0]]


def test_one_picture_without_features_spoils_no_other() -> None:
    features, who = world(spread=1.5, seed=2)
    rows = np.arange(len(who))
    compared = choices(who, rows, rows, others=7)
    broken = features.copy()
    broken[4, 0] = np.nan
    rest = np.delete(features, 4, axis=0)
    unit = standardised(broken, broken)
    assert np.isnan(unit[4]).all()
    assert np.delete(unit, 4, axis=0) == pytest.approx(standardised(rest, rest))
    found = recognised(broken, rows, broken, compared)
    assert np.isnan(
        found[[4, 5]]
    ).all()  # it has no features, and its patient's other picture nothing to be found by
    assert np.isfinite(np.delete(found, [4, 5])).all()
    without = {row: Choice(c.own[c.own != 4], c.others[c.others != 4]) for row, c in compared.items()}
    kept = choosable(compared, broken)
    assert [kept[row].chance for row in (0, 4)] == [without[row].chance for row in (0, 4)]
    assert np.isnan(kept[5].chance)
    left = np.delete(rows, [4, 5])
    scaled = (features - rest.mean(axis=0)) / rest.std(axis=0)
    far = cdist(scaled[left], scaled, "cosine")
    wanted = [
        far[k, without[row].own].min() < far[k, without[row].others].min() for k, row in enumerate(left)
    ]
    assert found[left].tolist() == wanted and 0.1 < np.mean(wanted) < 0.9


def test_a_gallery_without_features_tells_nothing() -> None:
    nothing = np.full((3, 2), np.nan)
    compared = {0: Choice(np.array([1]), np.array([2]))}
    assert np.isnan(recognised(np.ones((1, 2)), [0], nothing, compared)).all()
