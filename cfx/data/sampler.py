"""The order of training: a function of (seed, epoch), entered at any step, shared by processes."""

from collections.abc import Iterator, Sized

import numpy as np
import numpy.typing as npt
from torch.utils.data.distributed import DistributedSampler

from cfx.data.dataset import Key
from cfx.errors import BadValue

Ints = npt.NDArray[np.int64]


class StepSampler(DistributedSampler[list[Key]]):
    """Yields whole batches as lists of keys, so that the data set can gather a batch at once.

    `batch_size` is the batch of **all** processes together: process r of w takes the r-th of w equal pieces
    of every batch, so that two processes see the same batches as one. It is a `DistributedSampler` so that Lightning
    calls `set_epoch` and puts no sampler of its own in its place.

    Args:
        dataset: anything with a length.
        batch_size: pictures in a step over all processes.
        seed: of the order.
        shuffle: draw anew each epoch; without it rows come in order, the last batch smaller.
        groups: int (N,), the group of each row; -1 is never drawn. With `shares` only.
        shares: float (G,), the share of the draws each group gets; empty groups' shares go to the others.
        rank, world: this process and the number of processes.

    An epoch is len(dataset) draws; a last batch that is not full is dropped when shuffling.

    Raises:
        BadValue: the batch can not be divided by the number of processes, or no row can be drawn.

    """

    def __init__(
        self,
        dataset: Sized,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        groups: Ints | None = None,
        shares: npt.NDArray[np.float64] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size < 1 or batch_size % world:
            raise BadValue(
                "batch_size",
                batch_size,
                f"can not be shared evenly by {world} processes",
                f"give a multiple of {world}",
            )
        super().__init__(dataset, num_replicas=world, rank=rank, shuffle=shuffle, seed=seed)  # type: ignore[arg-type]
        self.count = len(dataset)
        self.batch_size = (
            min(batch_size, max(world, self.count - self.count % world)) if shuffle else batch_size
        )
        self.groups = groups
        self.shares = shares
        self._entry = (0, 0)
        if groups is not None and not (groups >= 0).any():
            raise BadValue(
                "data.balance", "-", "no picture can be drawn", "see that posteriors or labels are known"
            )

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        if self.shuffle:
            return self.count // self.batch_size if self.count >= self.batch_size else 1
        return (self.count + self.batch_size - 1) // self.batch_size

    def start_at(self, step: int) -> None:
        """Go to the batch that comes after `step` batches of training, in whichever epoch that is."""
        epoch, offset = divmod(step, len(self))
        self._entry = (epoch, offset)
        self.set_epoch(epoch)

    def order(self, epoch: int) -> Ints:
        """Return the rows drawn in an epoch, int64 (N,)."""
        if not self.shuffle:
            return np.arange(self.count, dtype=np.int64)
        random = np.random.default_rng([self.seed, epoch])
        if self.groups is None or self.shares is None:
            return random.permutation(self.count).astype(np.int64)
        members = [np.flatnonzero(self.groups == group) for group in range(len(self.shares))]
        drawn = []
        for rows, quota in zip(members, _quotas(members, self.shares, self.count), strict=True):
            rounds = -(-quota // len(rows)) if quota else 0
            picks = [random.permutation(rows) for _ in range(rounds)]
            drawn.append(np.concatenate(picks)[:quota] if picks else rows[:0])
        return random.permutation(np.concatenate(drawn)).astype(np.int64)

    def __iter__(self) -> Iterator[list[Key]]:
        """Yield this process's piece of each batch of the epoch, from the step that `start_at` named."""
        order = self.order(self.epoch)
        draws = _occurrences(order)
        begin = self._entry[1] if self._entry[0] == self.epoch else 0
        for step in range(begin, len(self)):
            places = np.arange(step * self.batch_size, min((step + 1) * self.batch_size, len(order)))
            if len(places) < self.num_replicas:  # every process must take part in every step
                places = np.resize(places if len(places) else np.arange(len(order)), self.num_replicas)
            mine = np.array_split(places, self.num_replicas)[self.rank]
            yield [Key(int(order[place]), self.epoch, int(draws[place])) for place in mine]


def _quotas(members: list[Ints], shares: npt.NDArray[np.float64], count: int) -> list[int]:
    """Return each group's number of draws, `count` in all, by largest remainder; empty groups get none."""
    wanted = np.array([share if len(rows) else 0.0 for rows, share in zip(members, shares, strict=True)])
    exact = wanted / wanted.sum() * count
    quotas = np.floor(exact).astype(int)
    for group in np.argsort(quotas - exact, kind="stable")[: count - int(quotas.sum())]:
        quotas[group] += 1
    return [int(quota) for quota in quotas]


def _occurrences(order: Ints) -> Ints:
    """Return for each place how often its row was drawn before: 0, or more where pictures are oversampled."""
    ranked = np.argsort(order, kind="stable")
    sorted_rows = order[ranked]
    first = np.concatenate([[True], sorted_rows[1:] != sorted_rows[:-1]]) if len(order) else np.zeros(0, bool)
    starts = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    result = np.empty(len(order), dtype=np.int64)
    result[ranked] = np.arange(len(order)) - starts
    return result
