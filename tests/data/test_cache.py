"""Decoded once, and again when a file changes."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfx.data.cache import build_array, fingerprint
from cfx.errors import BadImage


def test_fingerprints_follow_path_time_length_and_size(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("1")
    os.utime(file, ns=(1, 1))
    first = fingerprint("images", 64, [str(file)])
    assert first == fingerprint("images", 64, [str(file)])
    assert first != fingerprint("images", 32, [str(file)])
    assert first != fingerprint("masks", 64, [str(file)])
    os.utime(file, ns=(1, 2))
    assert first != fingerprint("images", 64, [str(file)])
    assert fingerprint("masks", 8, ["1 2", "3 4"]) != fingerprint("masks", 8, ["1 2", "3 5"])


@pytest.mark.parametrize("threads", [1, 4])
def test_rows_are_read_once_and_mapped_after(tmp_path: Path, threads: int) -> None:
    calls: list[int] = []

    def reader(row: int) -> Any:
        calls.append(row)
        return np.full((4, 4), row % 256, dtype=np.uint8)

    def build() -> Any:
        return build_array(reader, 300, (4, 4), stop=True, stem="x", folder=tmp_path, threads=threads)

    array, failures = build()
    again, _ = build()
    assert sorted(calls) == list(range(300))
    assert failures == {}
    assert isinstance(again, np.memmap)
    assert np.array_equal(array, again)
    assert (again[:, 0, 0] == np.arange(300) % 256).all()
    memory, _ = build_array(reader, 300, (4, 4), stop=True)
    assert np.array_equal(memory, array)


def test_failures_are_kept_with_the_array(tmp_path: Path) -> None:
    def reader(row: int) -> Any:
        if row == 2:
            raise BadImage("data", "b.png", "broken", "mend it")
        return np.ones((2, 2), dtype=np.uint8)

    for _ in range(2):
        array, failures = build_array(reader, 4, (2, 2), stop=False, stem="x", folder=tmp_path)
        assert list(failures) == [2]
        assert "b.png" in failures[2]
        assert array[:, 0, 0].tolist() == [1, 1, 0, 1]
    for folder in (None, tmp_path):
        with pytest.raises(BadImage, match=r"b\.png"):
            build_array(reader, 4, (2, 2), stop=True, stem="x", folder=folder)
