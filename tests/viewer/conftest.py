"""Fixtures of the viewer's tests; what they are made of stands in `visit.py`."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from cfx.evaluation.explain_tools import Tools
from cfx.reporting.study_files import Study
from cfx.viewer.server import Limits, viewer_app
from cfx.viewer.study_making import make_study

sys.path.insert(0, str(Path(__file__).parent))

from browsing import launched
from visit import HOST, SMALL, candidates, toy_tools


@pytest.fixture
def tools() -> Tools:
    """The toy run's parts, fresh for each test."""
    return toy_tools()


@pytest.fixture
def client(tools: Tools) -> Iterator[TestClient]:
    """The viewer of the toy run, as a browser on this machine sees it."""
    limits = Limits(upload=200_000)
    with TestClient(viewer_app(tools, limits=limits), base_url=HOST) as made:
        yield made


@pytest.fixture(scope="session")
def made_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder that nobody has answered."""
    folder = tmp_path_factory.mktemp("made")
    return make_study(folder / "study", {"toy": toy_tools()}, candidates(folder), SMALL).path


@pytest.fixture
def study(made_study: Path, tmp_path: Path) -> Study:
    """The study, a fresh copy for each test."""
    shutil.copytree(made_study, tmp_path / "study")
    return Study.open(tmp_path / "study")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser."""
    yield from launched()
