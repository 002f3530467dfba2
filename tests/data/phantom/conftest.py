"""Phantoms drawn once for all tests of the phantom: 64 px, seed 3."""

from pathlib import Path

import pandas as pd
import pytest

from cfx.data.phantom import anatomy, render
from cfx.data.phantom.source import Phantom


@pytest.fixture(scope="session")
def crowd() -> pd.DataFrame:
    """Forty patients."""
    return anatomy.sample(3, range(1, 41))


@pytest.fixture(scope="session")
def drawn(crowd: pd.DataFrame) -> render.Drawn:
    """Their pictures."""
    return render.render(render.tensors(crowd), 3, 64)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Phantom:
    """A small phantom on disk."""
    root = tmp_path_factory.mktemp("phantoms")
    source = Phantom(root, 64, {"train": 24, "valid": 8, "test": 10}, seed=3)
    source.prepare()
    return source


@pytest.fixture(scope="session")
def data_folder(written: Phantom) -> Path:
    """The folder that holds train.csv."""
    return written.folder()
