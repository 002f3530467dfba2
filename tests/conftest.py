"""For all tests: no network, one torch thread, and the environment of a user's shell."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # before anything imports albumentations
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")

_LOCAL = ("127.", "::1", "localhost", "0.0.0.0")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing downloads: a connection to anywhere but this machine fails the test."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(_LOCAL):
            raise AssertionError(f"a test opened a connection to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(autouse=True)
def users_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What run_verb sets for its own process does not leak from one test into another."""
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    yield
    os.environ.pop("HYDRA_FULL_ERROR", None)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that the tests are in."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real X-rays; tests that ask for them are skipped where CFX_REAL_DATA names no folder."""
    folder = os.environ.get("CFX_REAL_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CFX_REAL_DATA names no folder")
    return Path(folder)
