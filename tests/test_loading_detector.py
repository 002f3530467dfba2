"""Detectors that do not fit are refused in one line before anything is trained or scored with them."""

from pathlib import Path
from typing import Any

import pytest

from cfx import chain
from cfx.cli import compose, plain
from cfx.errors import BadValue, CheckpointMismatch, MissingPath
from cfx.loading import check_given, refuse_phantoms
from cfx.runs import Run

XRAYS = ("task=pleural_effusion", "data=chexpert", "data.root=/d")


def config(*overrides: str) -> dict[str, Any]:
    return plain(compose("train", list(overrides)))


@pytest.fixture
def phantoms(tmp_path: Path) -> Run:
    """A detector's run as the phantom's chain leaves it, without weights."""
    run = Run.create(tmp_path / "detector")
    run.write_config(chain.own_config(config("model=detector")))
    return run


def test_a_detector_trained_on_phantoms_never_scores_xrays(phantoms: Run) -> None:
    given = ("detector=checkpoint", f"detector.path={phantoms.path}")
    with pytest.raises(BadValue, match="phantoms does not score the real X-rays of data=chexpert") as told:
        check_given(config(*XRAYS, *given))
    assert str(told.value).startswith("detector.path=") and "detector=none" in str(told.value)
    check_given(config("task=pleural_effusion", *given))  # phantoms it may score
    check_given(config(*XRAYS, "detector=none"))


def test_another_node_of_data_does_not_hide_phantoms() -> None:
    own, real = config("data=phantom_b")["data"], config(*XRAYS)["data"]
    refuse_phantoms(own, config()["data"], "data", "phantom")
    refuse_phantoms(real, real, "data", "chexpert")
    with pytest.raises(BadValue, match="real X-rays"):
        refuse_phantoms(own, real, "data", "chexpert")


def test_a_checkpoint_must_be_a_detector_and_be_there(phantoms: Run, tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match=r"detector\.path"):
        check_given(config("detector=checkpoint", f"detector.path={tmp_path / 'nowhere'}"))
    phantoms.write_config(chain.own_config(config("model=segmenter")))
    with pytest.raises(CheckpointMismatch, match="model=segmenter"):
        check_given(config("detector=checkpoint", f"detector.path={phantoms.path}"))
