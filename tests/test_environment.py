"""environment.json says with what a run was made, and never where or by whom."""

import getpass
import json
import platform
import re
from pathlib import Path

import pytest

import cfx.environment
from cfx.environment import commit, describe, versions, without_places


def test_versions_are_those_installed() -> None:
    found = versions()
    assert found["python"] == platform.python_version()
    assert re.match(r"\d+\.\d+", str(found["torch"])) and found["cfx"] == cfx.__version__


def test_a_package_that_is_not_installed_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cfx.environment, "PACKAGES", ("no-such-package",))
    assert versions()["no-such-package"] is None


def test_a_checkout_has_a_commit_and_a_wheel_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = commit()
    assert found is None or re.fullmatch(r"[0-9a-f]{40,64}(-dirty)?", found)
    monkeypatch.setattr(cfx.environment, "__file__", str(tmp_path / "cfx" / "environment.py"))
    assert commit() is None


def test_it_names_no_machine_user_or_folder() -> None:
    found = describe(seed=1, steps=20, minutes=0.5, device="cpu", peak_mib=100.0, threads=2)
    assert {
        "seed": 1,
        "steps": 20,
        "minutes": 0.5,
        "device": "cpu",
        "peak_mib": 100.0,
        "threads": 2,
    }.items() <= found.items()
    text = json.dumps(found)
    assert "/" not in text
    for name in (platform.node(), str(Path.home())):
        assert len(name) < 4 or name not in text
    assert getpass.getuser() not in json.dumps({key: found[key] for key in ("system", "device", "seed")})


def test_absolute_paths_are_cut_to_their_last_name() -> None:
    found = without_places({"a": ["~/x", "C:\\data\\y"], "b": 3, "c": "plain"})
    assert found == {"a": ["…/x", "…/y"], "b": 3, "c": "plain"}
    assert without_places(["data.root", "/home/me/nih"]) == ["data.root", "…/nih"]
