"""What a run needs and how it is named, without training anything."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import cfx
from cfx import assembly, chain
from cfx.classifiers.networks import TransferNet
from cfx.cli import compose, plain
from cfx.data.attributes import ATTRIBUTES
from cfx.errors import MissingPath, UnknownChoice
from cfx.naming import fingerprint
from cfx.runs import Run


def config(*overrides: str) -> dict[str, Any]:
    return plain(compose("train", list(overrides)))


def folder(*overrides: str) -> str:
    made = config(*overrides)
    return chain.run_of(chain.own_config(made), Path("runs")).name


def test_places_trainers_and_loggers_do_not_change_a_runs_name() -> None:
    name = folder()
    assert name.startswith("cardiomegaly-phantom-explainer-")
    for same in (
        "trainer=cpu",
        "logger=wandb",
        "runs=elsewhere",
        "data.workers=2",
        "evaluation.resamples=10",
    ):
        assert folder(same) == name, same


def test_what_changes_the_result_changes_the_name() -> None:
    names = [
        folder(*more)
        for more in (
            [], ["seed=1"], ["task=edema"], ["loss=plain"], ["model.ema=0.9"],
            ["data.size=128"], ["blackbox.model.lr=0.001"], ["anatomy.judge.lr=0.001"],
        )
    ]  # fmt: skip
    assert len(set(names)) == len(names)


def test_the_plan_lists_what_an_explainer_needs_in_order(tmp_path: Path) -> None:
    stages = chain.plan(config(), tmp_path)
    roles = [stage.role for stage in stages]
    assert roles == ["blackbox", "transfer", "segmenter", "judge", "annotations", "explainer", "evaluation"]
    assert {stage.state for stage in stages} <= {"train", "make"}
    before: set[str] = set()
    for stage in stages:
        assert set(stage.needs) <= before | {stage.role}, stage
        before.add(stage.role)


def test_parts_are_shared_by_losses_and_segmenters_by_tasks() -> None:
    def parts(*overrides: str) -> dict[str, str]:
        made = chain.part_configs(config(*overrides))
        return {role: chain.run_of(part, Path()).name for role, part in made.items()}

    base, plain, edema = parts(), parts("loss=plain"), parts("task=edema")
    assert base == plain
    assert base["segmenter"] == edema["segmenter"] and base["judge"] == edema["judge"]
    assert base["blackbox"] != edema["blackbox"]
    assert base["blackbox"] != base["transfer"] and base["segmenter"] != base["judge"]


def test_a_part_trained_by_itself_is_the_one_the_chain_finds() -> None:
    alone = folder("model=classifier")
    assert alone == chain.run_of(chain.part_configs(config())["blackbox"], Path()).name
    alone = folder("model=segmenter")
    assert alone == chain.run_of(chain.part_configs(config())["segmenter"], Path()).name


def test_finished_parts_are_used_again_and_half_done_ones_go_on(tmp_path: Path) -> None:
    made = config()
    parts = chain.part_configs(made)
    finished = Run.create(chain.run_of(parts["blackbox"], tmp_path).path)
    finished.mark_finished()
    half = Run.create(chain.run_of(parts["judge"], tmp_path).path)
    half.checkpoints.mkdir()
    (half.checkpoints / "last.ckpt").touch()
    states = {stage.role: stage.state for stage in chain.plan(made, tmp_path)}
    assert states["blackbox"] == "reuse" and states["judge"] == "resume" and states["transfer"] == "train"
    assert "used again" in chain.describe(chain.plan(made, tmp_path))


def test_other_ranks_read_the_plan_of_rank_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = config()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert chain.rank() == 1
    with pytest.raises(MissingPath, match="rank 1"):
        chain.agreed_plan(made, tmp_path)
    monkeypatch.setenv("LOCAL_RANK", "0")
    run, written = chain.agreed_plan(made, tmp_path)
    (chain.run_of(chain.part_configs(made)["blackbox"], tmp_path).path).mkdir()
    Run(chain.run_of(chain.part_configs(made)["blackbox"], tmp_path).path).mark_finished()
    monkeypatch.setenv("LOCAL_RANK", "1")
    again, read = chain.agreed_plan(made, tmp_path)
    assert again.path == run.path and read == written  # what was finished meanwhile changes nothing


def test_published_masks_train_the_segmenters() -> None:
    made = config("data=chexpert", "data.root=/d", "anatomy=chexmask", "anatomy.root=/m")
    parts = chain.part_configs(made)
    assert parts["segmenter"]["data"]["masks"]["_target_"] == "cfx.data.chexmask.CheXmask"
    assert "masks" not in parts["blackbox"]["data"]


def test_a_task_read_by_the_recess_asks_for_a_detector_that_measures() -> None:
    roles = list(chain.part_configs(config("task=pleural_effusion")))
    # the phantom has masks of its devices, so that the loss needs no boxes about them
    assert roles == ["blackbox", "transfer", "segmenter", "judge", "box_judge"]
    assert list(chain.part_configs(config("task=pleural_effusion", "detector=none"))) == roles[:-1]
    assert "box_judge" not in chain.part_configs(config("task=edema"))


def test_a_detector_that_is_not_in_effect_changes_no_name() -> None:
    real = ("task=pleural_effusion", "data=chexpert", "data.root=/d")
    assert not chain.detects(config(*real))  # asked for by the task, but CheXpert has no boxes
    assert folder(*real) == folder(*real, "detector=none")
    assert folder("task=pleural_effusion") != folder("task=pleural_effusion", "detector=none")
    without = config()
    del without["detector"]
    assert chain.run_of(chain.own_config(without), Path("runs")).name == folder()


def test_boxes_of_the_runs_own_pictures_train_both_detectors(tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text("{}")
    given = ("data=chexpert", "data.root=/d", "detector=boxes", f"detector.boxes.path={boxes}")
    parts = chain.part_configs(config(*given))
    assert [role for role in parts if role in ("detector", "box_judge")] == ["detector", "box_judge"]
    assert parts["detector"]["data"]["boxes"]["path"] == str(boxes)
    assert parts["detector"]["data"]["splits"]["shares"] == {"anatomy": 1, "judge": 1}
    assert parts["box_judge"]["model"]["part"] == "judge"
    assert parts["detector"]["model"]["network"] != parts["box_judge"]["model"]["network"]
    assert "boxes" not in parts["blackbox"]["data"]
    assert "detector" not in chain.part_configs(config(*given, "loss=no_devices"))
    plan = chain.plan(config(*given), tmp_path)
    assert next(stage for stage in plan if stage.role == "annotations").needs == (
        "segmenter",
        "detector",
        "blackbox",
    )
    # another file of boxes is another run, wherever it lies
    before = folder(*given)
    boxes.write_text("{ }")
    assert folder(*given) != before


def test_a_folder_of_voc_files_counts_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "voc").mkdir()
    given = ("data=chexpert", "data.root=/d", "detector=boxes", f"detector.boxes.path={tmp_path / 'voc'}")
    (tmp_path / "voc/1.xml").write_text("<annotation/>")
    before = folder(*given)
    (tmp_path / "voc/2.xml").write_text("<annotation/>")
    assert folder(*given) != before


def test_a_detector_trained_by_itself_is_the_one_the_chain_finds(tmp_path: Path) -> None:
    given = ("detector=boxes_folder", f"detector.data.root={tmp_path}", "data=chexpert", "data.root=/d")
    alone = folder("model=detector", *given)
    part = chain.part_configs(config(*given))["detector"]
    assert part["model"]["network"]["size"] == part["data"]["size"] == 128
    assert part["data"]["source"]["_target_"].endswith("BoxesFolder")
    assert alone == chain.run_of(part, Path()).name
    small = (
        "detector=boxes_folder",
        f"detector.data.root={tmp_path}",
    )  # the phantom's pictures are of another size
    assert folder("model=detector", *small) == alone
    phantom = folder("model=detector")
    assert phantom.startswith("anatomy-phantom-detector-")
    assert [stage.role for stage in chain.plan(config("model=detector"), tmp_path)] == ["detector"]


@pytest.mark.parametrize("choice", ["none", "trained", "boxes", "boxes_folder", "checkpoint"])
def test_every_detector_choice_composes(choice: str, tmp_path: Path) -> None:
    more = {
        "boxes": [f"detector.boxes.path={tmp_path}"],
        "boxes_folder": [f"detector.data.root={tmp_path}"],
        "checkpoint": [f"detector.path={tmp_path}"],
    }.get(choice, [])
    made = config(f"detector={choice}", *more)
    assert chain.detects(made) == (choice != "none")
    assert chain.plan(made, tmp_path)


BLACK_BOXES = sorted(path.stem for path in (Path(__file__).parent.parent / "conf/blackbox").glob("*.yaml"))


@pytest.mark.parametrize("name", BLACK_BOXES)
def test_the_independent_classifier_sees_the_whole_picture_beside_every_black_box(name: str) -> None:
    path = ["blackbox.path=x"] if name in ("checkpoint", "exported") else []
    made = config(f"blackbox={name}", *path)
    transfer = {**made, "model": made["blackbox"]["transfer"]}
    network = assembly.network(transfer)
    assert isinstance(network, TransferNet)
    assert assembly.findings(transfer)[-3:] == list(ATTRIBUTES.values())
    assert network.outputs == len(assembly.findings(made)) + 3
    assert not any(isinstance(module, nn.AvgPool2d) for module in network.modules())


@pytest.mark.parametrize(
    "path",
    sorted(Path(cfx.__file__).parent.glob("pretrained/*/parts/transfer")),
    ids=lambda path: path.parts[-3],
)
def test_shipped_independent_classifiers_are_built_as_their_own_configuration_says(path: Path) -> None:
    run = Run.open(path)
    box = assembly.black_box_of(run, run.config["task"]["finding"])
    size = int(run.config["data"]["size"])
    assert ((box(torch.zeros(2, 1, size, size)) - 0.5).abs() < 0.5).all()
    assert box.names == tuple(assembly.findings(run.config))
    assert set(run.config["model"].get("attributes") or []) == set(box.names) & set(ATTRIBUTES.values())


def test_the_black_box_is_that_of_before_whatever_the_independent_classifier_learns_besides() -> None:
    made = config()
    without = {**made, "blackbox": {**made["blackbox"], "transfer": {**made["blackbox"]["transfer"]}}}
    del without["blackbox"]["transfer"]["attributes"]
    with_them, without_them = (
        {role: fingerprint(part) for role, part in chain.part_configs(each).items()}
        for each in (made, without)
    )
    changed = {role for role in with_them if with_them[role] != without_them[role]}
    assert changed == {"transfer"}


def test_an_attribute_that_is_none_is_refused() -> None:
    made = config()
    model = {**made["blackbox"]["transfer"], "attributes": ["Sex femal"]}
    with pytest.raises(UnknownChoice, match="did you mean 'Sex female'"):
        assembly.findings({**made, "model": model})
