"""A fingerprint stands for what is computed, never for where."""

import re
from pathlib import Path

import pytest

from cfx.naming import content_digest, fingerprint, folder_name, slug

CONFIG = {"task": {"finding": "Edema"}, "data": {"size": 64, "root": "/a", "workers": 2}, "seed": 0}


def test_places_and_workers_change_nothing() -> None:
    moved = {"seed": 0, "data": {"workers": 8, "root": "/b", "size": 64.0}, "task": {"finding": "Edema"}}
    assert fingerprint(moved) == fingerprint(CONFIG)


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"task": {"finding": "Pneumonia"}}, {"data": {"size": 65}}, {"more": None}]
)
def test_what_is_computed_changes_it(change: dict[str, object]) -> None:
    assert fingerprint({**CONFIG, **change}) != fingerprint(CONFIG)


def test_a_flag_is_not_a_number() -> None:
    assert fingerprint({"a": True}) != fingerprint({"a": 1})


def test_the_fingerprint_never_changes_between_versions() -> None:
    assert fingerprint({"a": [1, 2.5, None, "x"], "b": {"c": False}}) == "f0379ae966"


def test_a_black_box_counts_by_what_is_in_its_file(tmp_path: Path) -> None:
    first, second, moved = tmp_path / "a.pt", tmp_path / "b.pt", tmp_path / "c.pt"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    moved.write_bytes(b"one")

    def of(path: Path) -> str:
        return fingerprint({"blackbox": {"kind": "exported", "path": str(path)}})

    assert of(first) == of(moved) != of(second)


def test_a_run_counts_by_its_weights(tmp_path: Path) -> None:
    for name, weights in {"a": b"one", "b": b"two"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.safetensors").write_bytes(weights)
    digests = {content_digest(tmp_path / name) for name in ("a", "b")}
    assert len(digests) == 2 and None not in digests
    assert content_digest(tmp_path / "nothing") is None


def test_a_table_counts_by_its_rows_wherever_its_folder_lies(tmp_path: Path) -> None:
    for name, rows in {"a": "path\n1.png", "b": "path\n1.png", "c": "path\n2.png"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "table.csv").write_text(rows)

    def of(name: str) -> str:
        return fingerprint({"source": {"root": str(tmp_path / name), "table": "table.csv"}})

    assert of("a") == of("b") != of("c")


def test_folder_names_use_plain_letters_alone() -> None:
    name = folder_name("Pleural Effusion", "NIH/CXR 14", "Modèle", "0a1b")
    assert re.fullmatch(r"[a-z0-9_-]+", name)
    assert folder_name("cardiomegaly", "phantom", "explainer", "ab") == "cardiomegaly-phantom-explainer-ab"
    assert slug("///") == "x"
