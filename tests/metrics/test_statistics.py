"""Statistics by patient: against plain formulae, scipy and known cases."""

import numpy as np
import pytest
from scipy import stats

from cfx.metrics import statistics as s


def test_average_within_a_patient_first() -> None:
    values, patients = np.array([1.0, 1.0, 1.0, 0.0, np.nan]), ["a", "a", "a", "b", "c"]
    assert s.by_patient(values, patients)[:2].tolist() == [1.0, 0.0]
    assert np.isnan(s.by_patient(values, patients)[2])
    assert s.patient_mean(values, patients) == 0.5
    assert np.isnan(s.patient_mean(np.array([np.nan]), ["a"]))


def test_interval_is_that_of_the_mean_where_each_patient_has_one_picture() -> None:
    values = np.random.default_rng(0).normal(2, 1, 400)
    mean, low, high = s.cluster_bootstrap(values, np.arange(400), resamples=4000)
    assert mean == pytest.approx(values.mean())
    half = 1.96 * values.std(ddof=1) / 20
    assert (low, high) == (pytest.approx(mean - half, abs=0.01), pytest.approx(mean + half, abs=0.01))


def test_copies_of_a_picture_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(1).normal(0, 1, 50)
    _, low, high = s.cluster_bootstrap(values, np.arange(50))
    _, low_copies, high_copies = s.cluster_bootstrap(np.repeat(values, 10), np.repeat(np.arange(50), 10))
    assert high_copies - low_copies == pytest.approx(high - low)
    _, low_plain, high_plain = s.cluster_bootstrap(np.repeat(values, 10), np.arange(500))
    assert high_plain - low_plain < 0.5 * (high - low)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        patients = np.repeat(np.arange(40), 3)
        values = np.repeat(generator.normal(0, 1, 40), 3) + generator.normal(0, 0.3, 120)
        _, low, high = s.cluster_bootstrap(values, patients, resamples=300)
        hits += low <= 0 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_any_statistic_agrees_with_the_mean() -> None:
    generator = np.random.default_rng(3)
    values, patients = generator.normal(0, 1, 90), np.arange(90)
    low, high = s.bootstrap_statistic(lambda rows: float(values[rows].mean()), patients, resamples=2000)
    _, plain_low, plain_high = s.cluster_bootstrap(values, patients)
    assert (low, high) == (pytest.approx(plain_low, abs=0.03), pytest.approx(plain_high, abs=0.03))


def test_joint_samples_make_the_interval_of_a_ratio() -> None:
    generator = np.random.default_rng(4)
    top = generator.normal(2, 0.1, 100)
    boot = s.PatientBootstrap(np.arange(100))
    (_, samples), (_, others) = boot.mean(top), boot.mean(2 * top)
    low, high = s.interval(samples / others)
    assert (low, high) == (pytest.approx(0.5), pytest.approx(0.5))


def test_wilcoxon_is_scipys_over_patients_and_refused_under_twenty() -> None:
    generator = np.random.default_rng(5)
    before = generator.normal(0, 1, 60)
    after = before + generator.normal(0.3, 1, 60)
    assert s.paired_wilcoxon(before, after, np.arange(60)) == pytest.approx(
        stats.wilcoxon(after - before).pvalue
    )
    means = (after - before).reshape(30, 2).mean(axis=1)
    halved = s.paired_wilcoxon(before, after, np.repeat(np.arange(30), 2))
    assert halved == pytest.approx(stats.wilcoxon(means).pvalue)
    assert s.paired_wilcoxon(before, after, np.repeat(np.arange(15), 4)) is None
    assert s.paired_wilcoxon(before[:19], after[:19], np.arange(19)) is None
    assert s.paired_wilcoxon(before, before, np.arange(60)) == 1.0


def test_effect_size_is_the_standardised_mean_difference() -> None:
    before, after = np.zeros(4), np.array([1.0, 2.0, 3.0, 2.0])
    assert s.effect_size(before, after, np.arange(4)) == pytest.approx(2 / np.std([1, 2, 3, 2], ddof=1))
    assert np.isnan(s.effect_size(before, before, np.arange(4)))


def test_holm_steps_down_and_ignores_refused_tests() -> None:
    assert s.holm([0.01, 0.04, None, 0.03]) == [
        pytest.approx(0.03),
        pytest.approx(0.06),
        None,
        pytest.approx(0.06),
    ]
    assert s.holm([0.9, 0.8]) == [1.0, 1.0]
    assert s.holm([]) == []


def test_the_bootstrap_p_agrees_with_a_t_test_and_is_never_zero() -> None:
    values = np.random.default_rng(1).normal(0.2, 1.0, 80)
    _, samples = s.PatientBootstrap(np.arange(80), 20_000).mean(values)
    assert s.bootstrap_p(samples, 80) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=0.25)
    assert s.bootstrap_p(np.ones(999), 80) == pytest.approx(2 / 1000)
    assert s.bootstrap_p(np.zeros(999), 80) == 1.0
    assert s.bootstrap_p(np.ones(999), 19) is None and s.bootstrap_p(np.full(9, np.nan), 80) is None
