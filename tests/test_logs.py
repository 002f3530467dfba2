"""What wandb is told of a run, read back from the files that it leaves offline."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from PIL import Image
from wandb.proto import wandb_internal_pb2

from cfx.files import write_json
from cfx.logs import end_loggers, further_loggers, log_evaluation, numbers
from cfx.runs import Run

HEADER, BLOCK, PREFIX = 7, 32768, 7
SIGNATURES = {b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10JF"}
PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp"}


def records(path: Path) -> Iterator[Any]:
    """The records of a `.wandb` file: LevelDB's log format, blocks of 32 KiB of chunks (crc, length, kind, content)."""
    content, place, parts = path.read_bytes(), HEADER, b""
    assert content[:4] == b":W&B"
    while place + PREFIX <= len(content):
        left = BLOCK - place % BLOCK
        if left < PREFIX:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + PREFIX])
        parts += content[place + PREFIX : place + PREFIX + length]
        place += PREFIX + length
        if kind in (1, 4):  # a whole record, or the last chunk of one
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


@dataclass
class Told:
    """What one offline run holds: its name, its group, its configuration, logged values by key, and the summary."""

    name: str = ""
    group: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: dict[str, list[Any]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)


def _named(items: Any) -> Iterator[tuple[str, Any]]:
    for item in items:
        yield item.key or "/".join(item.nested_key), json.loads(item.value_json)


def read_back(folder: Path) -> list[Told]:
    """All offline runs under a folder, in the order of their starts."""
    wandb.teardown()  # its service may write for a moment after a run has been finished
    found = []
    for path in sorted(folder.rglob("*.wandb"), key=lambda file: file.stat().st_mtime_ns):
        told = Told()
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                told.name, told.group = record.run.display_name, record.run.run_group
                told.config |= dict(_named(record.run.config.update))
            elif kind == "history":
                for key, value in _named(record.history.item):
                    told.history.setdefault(key, []).append(value)
            elif kind == "summary":
                told.summary |= dict(_named(record.summary.update))
        found.append(told)
    return found


def pictures_in(folder: Path) -> list[Path]:
    """Every picture in what could be sent away."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [file for file in files if file.suffix.lower() in PICTURES or file.read_bytes()[:8] in SIGNATURES]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """An evaluated run with two progressions."""
    made = Run.create(tmp_path / "cardiomegaly-phantom-explainer-0123abcd")
    made.write_config(
        {
            "task": {"name": "cardiomegaly", "finding": "Cardiomegaly"}, "loss": {"kind": "plain"}, "seed": 3,
            "data": {"name": "table", "root": "/secret/place"}, "model": {"name": "explainer"},
        }
    )  # fmt: skip
    examples = made.evaluation.examples
    examples.mkdir(parents=True)
    index = []
    for number, group in enumerate(("up", "down")):
        Image.fromarray(np.full((12, 12), 60 + number, dtype=np.uint8)).save(examples / f"{number}.png")
        index.append(
            {
                "image_id": f"secret{number}", "patient_id": f"patient{number}", "group": group, "call": "TP",
                "rank": "best", "targets": [0.0, 1.0], "posterior": [0.1, 0.9], "p_before": 0.25,
                "files": {"original": f"{number}.png", "steps": [f"{number}.png"] * 2},
            }
        )  # fmt: skip
    write_json(examples / "index.json", index)
    sides = {"up": {"reach": 0.9, "ci95": {"reach": [0.8, 1.0]}}, "down": {"reach": None}}
    made.evaluation.write_metrics({"task": "cardiomegaly", "n_images": 2, "validity": sides})
    return made


NODE = {"kind": "wandb", "images": False, "project": "cfx", "mode": "offline"}


def test_numbers_of_a_nested_table() -> None:
    node = {"a": 1, "b": {"c": 0.5, "d": None, "ci95": {"c": [0, 1]}, "e": {"f": "word"}}, "g": [1, 2]}
    assert dict(numbers(node)) == {"a": 1, "b/c": 0.5, "b/e/f": "word"}


def test_each_stage_is_a_run_of_its_own_without_pictures_or_paths(run: Run) -> None:
    for title, key in (("blackbox", "valid/auroc"), ("explainer", "train/loss_generator")):
        loggers = further_loggers(NODE, run, title)
        loggers[0].log_metrics({key: 0.5}, step=1)
        loggers[0].log_metrics({key: 0.25}, step=2)
        end_loggers(loggers)
    log_evaluation(NODE, run)
    blackbox, explainer, evaluation = read_back(run.path)
    assert [told.group for told in (blackbox, explainer, evaluation)] == [
        "blackbox",
        "explainer",
        "evaluation",
    ]
    assert {told.name for told in (blackbox, explainer, evaluation)} == {run.name}
    assert blackbox.history["valid/auroc"] == [0.5, 0.25] and "train/loss_generator" not in blackbox.history
    assert explainer.history["train/loss_generator"] == [0.5, 0.25] and "valid/auroc" not in explainer.history
    wanted = {"task": "cardiomegaly", "n_images": 2, "validity/up/reach": 0.9}
    assert {key: evaluation.summary.get(key) for key in wanted} == wanted
    assert not any("down" in key or "ci95" in key for key in evaluation.summary)
    facts = {"task": "cardiomegaly", "data": "table", "model": "explainer", "loss": "plain", "seed": 3}
    assert {key: explainer.config.get(key) for key in facts} == facts
    assert pictures_in(run.path / "wandb") == []
    for file in (run.path / "wandb").rglob("*"):
        assert not file.is_file() or b"/secret/place" not in file.read_bytes()


def test_a_table_of_progressions_where_pictures_are_asked_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "home"))
    log_evaluation({**NODE, "images": True}, run)
    (told,) = read_back(run.path)
    assert told.history["progressions/_type"] == ["table-file"] and told.history["progressions/nrows"] == [2]
    tables = [json.loads(file.read_text()) for file in (run.path / "wandb").rglob("*") if _is_table(file)]
    table = next(each for each in tables if isinstance(each["data"][0][-1], dict))
    assert table["columns"][-3:] == ["original", "asked for 0", "asked for 1"]
    assert [row[:4] for row in table["data"]] == [["up", "TP", "best", 0.25], ["down", "TP", "best", 0.25]]
    assert all(cell["_type"] == "image-file" for row in table["data"] for cell in row[-3:])
    assert pictures_in(run.path / "wandb")
    assert "secret" not in json.dumps(tables) and "patient0" not in json.dumps(tables)
    assert os.environ["WANDB_DATA_DIR"] == str(tmp_path / "home")
    assert not [file for file in (tmp_path / "home").rglob("*") if file.is_file()]  # all of it within the run


def _is_table(file: Path) -> bool:
    return file.is_file() and file.read_bytes()[:11] in (b'{"columns":', b'{"_type": "', b'{"column_ty')


def test_other_loggers_leave_no_summary(run: Run) -> None:
    log_evaluation({"kind": "none", "images": True}, run)
    assert not (run.path / "wandb").exists() and further_loggers({"kind": "none"}, run, "x") == []


@pytest.mark.slow
def test_a_whole_chain_leaves_scalars_by_stage_and_no_picture(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cfx.train", "trainer=smoke", "logger=wandb"], cwd=tmp_path, capture_output=True,
        text=True, timeout=1800, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = {each.group: each for each in read_back(tmp_path / "runs")}
    assert {"blackbox", "segmenter", "judge", "transfer", "explainer", "evaluation"} <= set(told)
    assert {"train/loss_generator", "train/loss_discriminator", "valid/target_mae"} <= set(
        told["explainer"].history
    )
    assert not any(key.startswith("train/loss_generator") for key in told["blackbox"].history)
    (path,) = (tmp_path / "runs/smoke").glob("cardiomegaly-phantom-explainer-*/evaluation/metrics.json")
    for key, value in numbers(json.loads(path.read_text())):
        assert told["evaluation"].summary[key] == (
            pytest.approx(value) if isinstance(value, float) else value
        )
    folders = list((tmp_path / "runs").rglob("wandb"))
    assert folders and not any(pictures_in(folder) for folder in folders)
