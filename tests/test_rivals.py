"""Each rival through the whole chain, two steps a stage on small pictures, and what its run is good for afterwards."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from cfx import assembly, chain
from cfx.cli import compose, plain
from cfx.errors import BadValue
from cfx.evaluation.summary import KEYS
from cfx.loading import load_explainer
from cfx.runs import Evaluation, Run
from cfx.scoring import export_pairs, score_pairs
from cfx.stages import Session

RIVALS = ("pixel", "xgem", "cyclegan")
SMALL = (
    "trainer=smoke", "data.size=32", "evaluation.targets=[0,0.5,1]", "blackbox.model.network.width=8",
    "blackbox.transfer.network.width=8", "anatomy.model.network.width=8", "anatomy.judge.network.width=8",
)  # fmt: skip
TINY = {
    "pixel": ("model.explainer.steps=3",),
    "xgem": ("model.network.width=8", "model.network.latent=8", "model.explainer.steps=3"),
    "cyclegan": ("model.network.width=4", "model.discriminator.width=4"),
}


def config(*overrides: str) -> dict[str, Any]:
    return plain(compose("train", list(overrides)))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def runs(root: Path) -> dict[str, Run]:
    """A run of each rival; they share black box, segmenters and phantom."""
    made = {}
    for name in RIVALS:
        made[name] = Session(config(f"model={name}", f"runs={root}", *SMALL, *TINY[name]), root).run()
    return made


@pytest.mark.parametrize("name", RIVALS)
def test_a_rivals_run_is_complete_and_explains(name: str, runs: dict[str, Run]) -> None:
    run = runs[name]
    assert run.finished and f"-phantom-{name}-" in run.name
    assert run.weights_file.is_file() == (name != "pixel")
    assert set(run.part_names()) >= {"blackbox", "transfer", "segmenter", "judge"}
    assert run.environment()["steps"] == (0 if name == "pixel" else 2)
    metrics = run.evaluation.metrics()
    assert list(metrics) == list(KEYS) and metrics["method"] == name
    assert run.evaluation.report.is_file()
    loaded = load_explainer(run)
    image = torch.zeros(2, 1, 32, 32)
    found = loaded.explainer.explain(image, torch.tensor([[0.0, 1.0]] * 2))
    assert found.images.shape == (2, 2, 1, 32, 32) and bool(found.images.isfinite().all())


def test_a_finished_run_may_be_used_in_another_way(runs: dict[str, Run]) -> None:
    loaded = load_explainer(runs["pixel"])
    wanted = loaded.config | {
        "model": loaded.config["model"] | {"explainer": {**loaded.config["model"]["explainer"], "rate": 0.5}}
    }
    assert loaded.used_as(loaded.config) is loaded
    image, target = torch.zeros(1, 1, 32, 32), torch.ones(1, 1)
    own, other = (each.explainer.explain(image, target).images for each in (loaded, loaded.used_as(wanted)))
    assert float((other - image).abs().max()) > 5 * float((own - image).abs().max()) > 0


def test_a_setting_that_an_explainer_refuses_is_named(
    runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("rate must be positive")

    loaded = load_explainer(runs["pixel"])
    monkeypatch.setattr("cfx.loading.explainer_of", refuse)
    changed = {**loaded.config["model"]["explainer"], "rate": -1.0}
    with pytest.raises(BadValue, match=r"model\.explainer=\{'rate': -1\.0\}: rate must be positive"):
        loaded.used_as(loaded.config | {"model": loaded.config["model"] | {"explainer": changed}})


@pytest.mark.parametrize("name", ["xgem", "cyclegan"])
def test_what_is_trained_is_logged_and_resumable(name: str, runs: dict[str, Run]) -> None:
    header = runs[name].metrics_file.read_text().splitlines()[0]
    wanted = {"xgem": ("train/kl", "valid/elbo"), "cyclegan": ("train/loss_generator", "valid/reach_up")}
    assert all(column in header for column in wanted[name])
    assert "valid/target_mae" in header  # the figures at validation time, drawn by the explainer itself
    assert (runs[name].checkpoints / "last.ckpt").is_file()


def test_a_finished_rival_is_found_again(
    runs: dict[str, Run], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = Session(config("model=pixel", f"runs={root}", *SMALL, *TINY["pixel"]), root).run()
    assert again.path == runs["pixel"].path and "finished already" in capsys.readouterr().out


def test_a_runs_own_pairs_score_as_the_run(runs: dict[str, Run], tmp_path: Path) -> None:
    loaded = load_explainer(runs["cyclegan"])
    # The run's own evaluation is of a handful of pictures; so is this one.
    small = {**loaded.config, "data": {**loaded.config["data"], "limit": 48}}
    said = export_pairs(tmp_path / "pairs", loaded, small)
    own = loaded.run.evaluation.metrics()
    assert f"of {own['n_images']} images" in said
    with pytest.raises(BadValue, match="holds pairs already"):
        export_pairs(tmp_path / "pairs", loaded, small)
    written = score_pairs(
        tmp_path / "pairs", Evaluation(tmp_path / "scored"), small, loaded, method="cyclegan"
    )
    scored = json.loads((tmp_path / "scored" / "metrics.json").read_text())
    assert written.report.is_file() and list(scored) == list(own)
    assert scored["n_images"] == own["n_images"] and scored["n_patients"] == own["n_patients"]
    for side in ("up", "down"):
        for key in ("n_images", "n_label", "reach", "p_after"):
            assert scored["validity"][side][key] == pytest.approx(own["validity"][side][key], abs=0.01), key
    assert scored["validity"]["target_mae"] == pytest.approx(own["validity"]["target_mae"], abs=0.005)
    assert scored["null_test"]["l1"] == pytest.approx(own["null_test"]["l1"], abs=0.002)
    assert scored["oracle"] is None and own["oracle"] is not None


def test_a_method_without_weights_has_nothing_to_train_in_its_plan(tmp_path: Path) -> None:
    stages = {stage.role: stage.state for stage in chain.plan(config("model=pixel"), tmp_path)}
    assert stages["explainer"] == "none"
    assert "nothing to train" in chain.describe(chain.plan(config("model=pixel"), tmp_path))
    assert not assembly.is_trained(config("model=pixel")) and assembly.is_trained(config("model=xgem"))


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_share_the_parts_of_the_explainer_and_refuse_a_loss(name: str) -> None:
    def parts(*overrides: str) -> dict[str, str]:
        made = chain.part_configs(config(*overrides))
        return {role: chain.run_of(part, Path()).name for role, part in made.items()}

    assert parts(f"model={name}") == parts()
    assembly.check_explainer(config(f"model={name}"))
    with pytest.raises(BadValue, match=f"loss='plain': model={name}"):
        assembly.check_explainer(config(f"model={name}", "loss=plain"))
    with pytest.raises(BadValue, match="model=explainer needs an objective"):
        assembly.check_explainer(config("loss=none"))
