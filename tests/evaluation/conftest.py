"""One evaluation of the toy world, shared by the tests that read it."""

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import toy
from explain_toys import SIZE, Brighter, Brightness, bands
from toy_settings import SETTINGS, thumbnails

from cfx.classifiers.blackbox import BlackBox
from cfx.evaluation.explain_tools import Tools
from cfx.evaluation.runner import evaluate
from cfx.reporting.explained_figure import draw_explained


@pytest.fixture(scope="session")
def toy_world(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, toy.ToySet, toy.ToyOracle]:
    """Table, data set and oracle of 120 pictures."""
    return toy.world(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def evaluated(toy_world: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows and metrics of the faithful explainer with all controls."""
    table, dataset, oracle = toy_world
    box = toy.ToyBox()
    return evaluate(
        toy.Faithful(box), box, table, dataset, judge=toy.judge, task=toy.TASK, transfer=toy.EdgeBox(), oracle=oracle,
        settings=SETTINGS, features=thumbnails, features_name="thumbnail", data="toy", split="test",
        latent=(dataset.label.numpy() > 0.5), run={"minutes": 1.5},
    )  # fmt: skip


@pytest.fixture
def tools() -> Tools:
    """What a run that brightens pictures explains with."""
    blackbox = BlackBox(Brightness(), finding="Cardiomegaly")
    return Tools(Brighter(blackbox), blackbox, bands, blackbox, SIZE, run="toy", draw=draw_explained)
