"""A study on paper: sizes against simulation, orders that are shuffled, balanced and the same again."""

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from cfx.errors import BadValue
from cfx.reporting.study_design import IMAGE_SHARE, READER_SHARE, SPREAD, Design, Need, order_for, sample_size

PAIRS = [f"k{i}" for i in range(30)]
OTHERS = [f"s{i}" for i in range(6)]


def test_every_pair_comes_once_and_the_repeats_twice() -> None:
    order = order_for("anna", PAIRS, OTHERS, Design())
    assert [s.position for s in order] == list(range(44))
    counts = Counter(s.item for s in order)
    assert set(counts) == {*PAIRS, *OTHERS} and sum(v == 2 for v in counts.values()) == 8
    assert all(counts[name] == 1 for name in OTHERS)
    first = {s.item: s.position for s in order if not s.repeat}
    gaps = [s.position - first[s.item] for s in order if s.repeat]
    assert min(gaps) >= 8  # so far apart that nobody remembers the lines they drew


def test_orders_are_a_readers_own_and_the_same_again() -> None:
    anna, again, ben = (order_for(name, PAIRS, OTHERS, Design()) for name in ("anna", "anna", "ben"))
    assert anna == again and [s.item for s in anna] != [s.item for s in ben]
    assert order_for("anna", PAIRS, OTHERS, Design(seed=1)) != anna


def test_sides_are_balanced_and_tell_nothing() -> None:
    rights = []
    for number in range(200):
        order = order_for(f"r{number}", PAIRS, OTHERS, Design())
        left = [s.original_left for s in order]
        assert sum(left) == 22
        rights.append([s.original_left for s in sorted(order, key=lambda s: s.item) if not s.repeat])
    share = np.mean(rights, axis=0)
    assert np.abs(share - 0.5).max() < 0.15
    positions = [
        s.position
        for n in range(200)
        for s in order_for(f"r{n}", PAIRS, OTHERS, Design())
        if s.item == "k3" and not s.repeat
    ]
    assert np.mean(positions) == pytest.approx(17.5, abs=3) and np.std(positions) > 8


def test_as_many_repeats_as_half_of_few_pairs() -> None:
    design = Design(images=4, strangers=0, repeats=2)
    order = order_for("x", PAIRS[:4], [], design)
    assert len(order) == 6 and sum(s.repeat for s in order) == 2


def test_the_sample_size_gives_the_power_it_promises() -> None:
    design = Design(images=30, readers=12)
    needs = sample_size(design)
    readers = next(n for n in needs if n.unit == "readers").needed
    rng = np.random.default_rng(0)
    shares = READER_SHARE, IMAGE_SHARE, 1 - READER_SHARE - IMAGE_SHARE
    reader_sd, _, rest_sd = (SPREAD * np.sqrt(share) for share in shares)
    found = []
    for _ in range(2000):
        means = (
            design.effect
            + rng.normal(0, reader_sd, readers)
            + rng.normal(0, rest_sd, (readers, 30)).mean(axis=1)
        )
        found.append(stats.ttest_1samp(means, 0).pvalue < design.alpha)
    assert np.mean(found) == pytest.approx(0.8, abs=0.06) or np.mean(found) > 0.8


def test_more_power_or_a_smaller_effect_need_more() -> None:
    def readers(**changes: float) -> int:
        return sample_size(Design(**changes))[0].needed  # type: ignore[arg-type]

    assert readers(effect=0.3) > readers(effect=0.5) > readers(effect=1.0) >= 2
    assert readers(power=0.95) > readers(power=0.8) and readers(alpha=0.01) > readers(alpha=0.05)
    assert len(sample_size(Design(), runs=2)) == len(sample_size(Design())) + 1
    assert sample_size(Design(effect=3.9, readers=400))[1].needed >= 2


def test_a_need_says_whether_it_is_met() -> None:
    assert Need("a", "readers", 11, 12).line() == "a: 11 readers needed, 12 planned (enough)"
    assert Need("a", "images", 15, 12).line().endswith("(3 too few)")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": 1}, r"design\.images=1"),
        ({"repeats": 16}, r"design\.repeats=16.*half"),
        ({"power": 1.0}, r"design\.power=1\.0"),
        ({"effect": 0}, r"design\.effect=0"),
        ({"readers": 0}, r"design\.readers=0"),
    ],
)
def test_what_is_no_study_is_refused(changes: dict[str, float], words: str) -> None:
    with pytest.raises(BadValue, match=words):
        Design(**changes)  # type: ignore[arg-type]
