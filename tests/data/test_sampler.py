"""The order of training: reproducible, enterable anywhere, the same for one process and for several."""

import numpy as np
import pytest

from cfx.data.dataset import Key
from cfx.data.sampler import StepSampler
from cfx.errors import BadValue


def epoch(sampler: StepSampler, number: int) -> list[list[Key]]:
    sampler.set_epoch(number)
    return list(sampler)


def test_an_epoch_is_one_pass_and_epochs_differ() -> None:
    sampler = StepSampler(range(64), 8, seed=1)
    first, second = epoch(sampler, 0), epoch(sampler, 1)
    assert len(first) == len(sampler) == 8
    assert sorted(key.row for batch in first for key in batch) == list(range(64))
    assert first != second
    assert epoch(StepSampler(range(64), 8, seed=1), 0) == first
    assert epoch(StepSampler(range(64), 8, seed=2), 0) != first
    assert {key.epoch for batch in second for key in batch} == {1}


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("count", [64, 61, 9])
@pytest.mark.parametrize("shuffle", [True, False])
def test_processes_together_see_the_batches_of_one(world: int, count: int, shuffle: bool) -> None:
    alone = StepSampler(range(count), 8, seed=3, shuffle=shuffle)
    ranks = [StepSampler(range(count), 8, seed=3, shuffle=shuffle, rank=r, world=world) for r in range(world)]
    for number in range(3):
        whole = epoch(alone, number)
        pieces = [epoch(sampler, number) for sampler in ranks]
        assert len({len(piece) for piece in pieces}) == 1
        for step, batch in enumerate(whole):
            together = [key for piece in pieces for key in piece[step]]
            if len(batch) >= world:
                assert together == batch
            else:  # the last batch of an evaluation: nobody is left without a picture
                assert set(together) == set(batch)


@pytest.mark.parametrize("step", [0, 3, 7, 8, 21])
def test_it_starts_at_any_step(step: int) -> None:
    whole = StepSampler(range(64), 8, seed=5)
    everything = [batch for number in range(4) for batch in epoch(whole, number)]
    resumed = StepSampler(range(64), 8, seed=5)
    resumed.start_at(step)
    rest = list(resumed)
    for number in range(step // 8 + 1, 4):
        rest += epoch(resumed, number)
    assert rest == everything[step:]
    assert len(resumed) == 8


def test_evaluation_goes_in_order_to_the_last() -> None:
    batches = list(StepSampler(range(10), 4, shuffle=False))
    assert [[key.row for key in batch] for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_fewer_pictures_than_a_batch_still_train() -> None:
    sampler = StepSampler(range(5), 32)
    assert [len(batch) for batch in sampler] == [5]
    assert len(sampler) == 1


def test_groups_get_their_shares_and_repeats_are_counted() -> None:
    groups = np.array([1] * 6 + [0] * 94)
    sampler = StepSampler(range(100), 10, seed=0, groups=groups, shares=np.array([0.7, 0.3]))
    keys = [key for batch in epoch(sampler, 0) for key in batch]
    rows = np.array([key.row for key in keys])
    assert (rows < 6).sum() == 30
    assert all((rows == row).sum() == 5 for row in range(6))  # every positive equally often
    assert len({key.row for key in keys if key.row >= 6}) == 70
    assert len(set(keys)) == len(keys)  # so that two draws of one picture are augmented differently
    assert {key.draw for key in keys if key.row < 6} == {0, 1, 2, 3, 4}


def test_empty_groups_give_their_share_away_and_excluded_rows_are_never_drawn() -> None:
    groups = np.array([0] * 50 + [2] * 40 + [-1] * 10)
    sampler = StepSampler(range(100), 10, groups=groups, shares=np.full(3, 1 / 3))
    rows = sampler.order(0)
    assert (rows < 50).sum() == 50
    assert rows.max() < 90
    with pytest.raises(BadValue):
        StepSampler(range(3), 1, groups=np.full(3, -1), shares=np.ones(1))


def test_a_batch_that_can_not_be_shared_is_refused() -> None:
    with pytest.raises(BadValue, match="multiple of 3"):
        StepSampler(range(64), 8, world=3)
    with pytest.raises(BadValue):
        StepSampler(range(64), 0)
