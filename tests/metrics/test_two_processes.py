"""Every metric class, over two processes of uneven shares, says exactly what one process says of all pictures."""

import importlib
import inspect
import json
import os
import pkgutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics import Metric

import cfx.metrics
from cfx.metrics.clinical import MeasurementShift
from cfx.metrics.validity import Validity

N = 40
SHARES = (slice(0, 27), slice(27, N))
"""Which pictures each process sees: an average over processes would not be one over pictures."""
BATCHES = (3, 1)
"""In how many batches each process sees them."""


def grid(generator: np.random.Generator, *shape: int) -> Tensor:
    """Numbers from 0 to 1 in steps of 1/64: sums of them are exact, so that their order makes no difference."""
    return torch.from_numpy(generator.integers(0, 65, shape) / 64)


def validity_batch() -> tuple[Tensor, ...]:
    generator = np.random.default_rng(0)
    targets = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64).expand(N, -1)
    after = (targets + (grid(generator, N, 5) - 0.5) / 2).clamp(0, 1)
    before = grid(generator, N)
    before[SHARES[1]] /= 2  # no picture of the smaller share is of the group `down`
    after[::11] = 0.5  # a flat line does not span the grid
    return before, after, targets


def shift_batch() -> tuple[Tensor, ...]:
    generator = np.random.default_rng(1)
    posterior, before, low, high = (grid(generator, N) for _ in range(4))
    posterior[SHARES[1]] /= 2
    before[::9] = float("nan")  # not measurable
    high[1::7] = float("nan")
    return posterior, before, low, high


CASES: dict[str, tuple[Callable[[], Metric], Callable[[], tuple[Tensor, ...]]]] = {
    "Validity": (lambda: Validity(5), validity_batch),
    "MeasurementShift": (lambda: MeasurementShift(-1), shift_batch),
}


def shown(name: str, rows: slice, batches: int = 1) -> Metric:
    """A metric that has seen these pictures."""
    make, batch = CASES[name]
    metric = make()
    parts = [value[rows].chunk(batches) for value in batch()]
    for part in zip(*parts, strict=True):
        metric.update(*part)
    return metric


def told(metric: Metric) -> dict[str, str]:
    """What it computes, to the last bit, so that a NaN equals a NaN."""
    return {name: float(value).hex() for name, value in metric.compute().items()}


def process(folder: str, rank: str) -> None:
    """What one of the two processes does: show each metric its share, write what it says of all pictures."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=int(rank), world_size=2
    )
    found = {name: told(shown(name, SHARES[int(rank)], BATCHES[int(rank)])) for name in CASES}
    (Path(folder) / f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, str]]]:
    """What each of two processes says; they are started once for all metrics."""
    folder = tmp_path_factory.mktemp("processes")
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": loopback}
    started = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder), rank], env=environment, stderr=subprocess.PIPE, text=True
        )
        for rank in "01"
    ]
    try:
        errors = [process.communicate(timeout=600)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "".join(errors)[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in "01"]


def test_no_metric_class_is_left_out() -> None:
    modules = [
        importlib.import_module(each.name)
        for each in pkgutil.walk_packages(cfx.metrics.__path__, "cfx.metrics.")
    ]
    classes = {
        name
        for module in modules
        for name, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, Metric) and each.__module__ == module.__name__
    }
    assert classes == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_say_what_one_says(name: str, found: list[dict[str, dict[str, str]]]) -> None:
    whole = told(shown(name, slice(None)))
    assert [each[name] for each in found] == [whole, whole]
    halves = [shown(name, rows).compute() for rows in SHARES]
    assert len(whole) > 6
    for figure, value in whole.items():
        mean = (halves[0][figure] + halves[1][figure]) / 2
        assert float(mean).hex() != value, (
            f"{figure} would not tell a sum over pictures from a mean over processes"
        )


if __name__ == "__main__":
    process(*sys.argv[1:])
