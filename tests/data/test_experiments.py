"""Every experiment goes as far as a training goes before anything is trained, on its data sets' layouts on disk."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from torch import nn

from cfx import assembly, chain
from cfx.build import build
from cfx.classifiers.blackbox import BlackBox
from cfx.cli import MOST_JOBS, _jobs_of, compose, own_keys, plain
from cfx.errors import UserError
from cfx.stages import Session
from cfx.train import check_job

CONF = Path(__file__).resolve().parents[2] / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


@pytest.fixture(autouse=True)
def real_sets(
    nih_root: Path, masks_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Path]:
    """The folder that CFX_REAL_DATA names, with the data sets that experiments read."""
    # The contoured set has a picture that its configuration leaves out by name.
    for kind in ("images", "masks"):
        (masks_root / kind / "case_0000.png").rename(masks_root / kind / "wing_0120.png")
    table = masks_root / "ctr.csv"
    table.write_text(table.read_text().replace("case_0000", "wing_0120"))
    place = tmp_path / "real"
    place.mkdir()
    sets = {"nih_cxr14": nih_root, "wingspan_ctr": masks_root}
    for name, root in sets.items():
        (place / name).symlink_to(root, target_is_directory=True)
    monkeypatch.setenv("CFX_REAL_DATA", str(place))
    return sets


def smoke(name: str) -> Session:
    """What `cfx.train experiment=NAME trainer=smoke` makes, into a folder that is not there."""
    config = plain(compose("train", [f"experiment={name}", "trainer=smoke"]), complete=True)
    return Session(config, Path("nowhere/runs"))


@pytest.fixture(scope="module")
def keys_of_training() -> set[str]:
    return set(own_keys("train"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_nothing_refuses_it_and_all_that_it_trains_can_be_made(
    name: str, keys_of_training: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    session = smoke(name)
    config = session.config
    assert session.smoke and session.refuse() == []
    assert set(config) == keys_of_training  # a file can add a key that nobody reads
    roles = [stage.role for stage in chain.plan(config, session.root)]
    parts = chain.part_configs(config)
    assert roles == [*parts, "annotations", "explainer", "evaluation"]
    assert {"blackbox", "segmenter", "judge"} <= set(parts)
    networks = {role: made_of(part) for role, part in parts.items()}
    if assembly.is_trained(config):
        blackbox = BlackBox(networks["blackbox"], finding=config["task"]["finding"])
        assembly.explainer_module(config, blackbox, [0.1, 0.5, 0.9])
        assembly.explainer_of(config, assembly.network(config), blackbox)
    assert (CONF / f"experiment/{name}.yaml").read_text().startswith("# @package _global_")
    assert not Path("nowhere").exists() and not Path("runs").exists()


def made_of(config: dict[str, Any]) -> nn.Module:
    """The network of a part, after its module and its data have been made as for its training."""
    model = config["model"]
    network = assembly.network(config)
    extra = {"findings": assembly.findings(config)} if model["name"] == "classifier" else {}
    build(model, network, drop=assembly.CHAIN_KEYS, place="model", **extra)
    assembly.data_module(config, part=model["part"], batch_size=model["fit"]["batch_size"])
    return network


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_all_that_it_sweeps_over_is_checked_and_makes_a_run_of_its_own(name: str) -> None:
    jobs = _jobs_of("train", ["-m", f"experiment={name}", "trainer=smoke"], None)
    written = OmegaConf.load(CONF / f"experiment/{name}.yaml")
    swept = OmegaConf.select(written, "hydra.sweeper.params") or {}
    assert 0 < len(jobs) <= MOST_JOBS and (len(jobs) > 1) == bool(swept)
    for job in jobs:
        check_job(job)
    runs = {chain.run_of(chain.own_config(plain(job)), Path()).name for job in jobs}
    assert len(runs) == len(jobs)


@pytest.mark.parametrize("gone", ["nih_cxr14/train_val_list.txt", "wingspan_ctr/ctr.csv"])
def test_a_data_set_that_lacks_a_file_is_seen_before_anything_is_trained(
    gone: str, real_sets: dict[str, Path]
) -> None:
    folder, _, file = gone.partition("/")
    (real_sets[folder] / file).unlink()
    with pytest.raises(UserError, match=file.partition(".")[0]):
        smoke("nih_cardiomegaly").refuse()
