"""Files are whole or not there, JSON has no NaN, CSV keeps its rows."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from cfx.errors import MissingPath, WrongLayout
from cfx.files import append_rows, read_json, write_atomic, write_json, write_text


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_nan_and_infinity_become_null_and_arrays_lists(tmp_path: Path) -> None:
    value = {
        "nan": float("nan"),
        "inf": [np.inf, -np.inf, 1.5],
        "numpy": np.float32("nan"),
        "array": np.array([1.0, np.nan]),
        "tensor": torch.tensor([[1, 2]]),
        "scalar": torch.tensor(float("nan")),
        "path": Path("a/b"),
        "flag": np.bool_(True),
        3: None,
    }
    write_json(tmp_path / "m.json", value)
    text = (tmp_path / "m.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    assert json.loads(text) == {
        "nan": None,
        "inf": [None, None, 1.5],
        "numpy": None,
        "array": [1.0, None],
        "tensor": [[1, 2]],
        "scalar": None,
        "path": "a/b",
        "flag": True,
        "3": None,
    }


def test_what_is_no_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="object"):
        write_json(tmp_path / "m.json", {"a": object()})
    assert os.listdir(tmp_path) == []


def test_an_interrupted_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "a.txt"
    write_text(file, "old")

    def fail(beside: Path) -> None:
        beside.write_text("half")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        write_atomic(file, fail)
    assert file.read_text() == "old" and os.listdir(file.parent) == ["a.txt"]


def test_files_are_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


def test_reading_json_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match=r"no plan\.json"):
        read_json(tmp_path / "plan.json")
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(WrongLayout, match="not JSON"):
        read_json(tmp_path / "plan.json")


def test_rows_are_appended_and_new_columns_widen_the_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    append_rows(path, [{"step": 1, "train/loss": 0.5}])
    append_rows(path, [{"step": 2, "train/loss": float("nan")}, {"step": 3}])
    append_rows(path, [{"step": 3, "valid/auroc": 0.9}])
    append_rows(path, [])
    assert _rows(path) == [
        {"step": "1", "train/loss": "0.5", "valid/auroc": ""},
        {"step": "2", "train/loss": "", "valid/auroc": ""},
        {"step": "3", "train/loss": "", "valid/auroc": ""},
        {"step": "3", "train/loss": "", "valid/auroc": "0.9"},
    ]


def test_appending_without_new_columns_does_not_rewrite(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    append_rows(path, [{"step": 1}])
    inode = path.stat().st_ino
    append_rows(path, [{"step": 2}])
    assert path.stat().st_ino == inode
