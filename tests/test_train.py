"""The whole chain with real networks, two steps a stage, as a user starts it; then what its run is good for."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from cfx.data.attributes import ATTRIBUTES
from cfx.data.phantom.source import Phantom
from cfx.evaluation.rows import COLUMNS
from cfx.evaluation.summary import KEYS
from cfx.loading import load_black_box, load_explainer
from cfx.metrics.boxes import CLASSES
from cfx.runs import Run

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "PYTHONWARNINGS": "ignore"}


def cfx(verb: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a verb as a user does, in a folder that is not the checkout."""
    command = [sys.executable, "-m", f"cfx.{verb}", *arguments]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("user's folder, with [all] = sorts")


@pytest.fixture(scope="module")
def smoke(place: Path) -> Run:
    done = cfx("train", "task=cardiomegaly", "trainer=smoke", "logger=tensorboard", cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Plan" in done.stdout and "explainer" in done.stdout
    found = [
        path for path in (place / "runs/smoke").glob("cardiomegaly-phantom-explainer-*") if path.is_dir()
    ]
    assert len(found) == 1
    return Run.open(found[0])


def test_a_run_is_complete(smoke: Run) -> None:
    assert smoke.finished
    for name in ("config.yaml", "plan.json", "metrics.csv", "environment.json", "weights.safetensors"):
        assert (smoke.path / name).is_file(), name
    assert set(smoke.part_names()) >= {"blackbox", "transfer", "segmenter", "judge"}
    threshold = smoke.part("transfer").calibration()["threshold"]
    assert 0 < threshold < 1 and threshold != 0.5 and load_explainer(smoke).threshold == threshold
    # view, sex and age are learnt beside the findings by the independent classifier alone
    transfer = load_explainer(smoke).transfer
    assert transfer is not None and transfer.names[-3:] == tuple(ATTRIBUTES.values())
    assert not set(load_black_box(smoke).names) & set(ATTRIBUTES.values())
    environment = smoke.environment()
    assert environment["steps"] == 2 and environment["seed"] == 0
    assert str(Path.home()) not in json.dumps(environment)
    rows = smoke.evaluation.counterfactuals()
    assert list(rows.columns) == list(COLUMNS) and rows["target"].nunique() == 11
    metrics = smoke.evaluation.metrics()
    assert list(metrics) == list(KEYS)
    assert "NaN" not in (smoke.evaluation.path / "metrics.json").read_text()
    assert smoke.evaluation.report.is_file()
    seen = metrics["blackbox"]["posterior_histogram"]
    assert seen["n_train"] == seen["n_test"] == 48 and seen["apart"] is True
    logged = pd.read_csv(smoke.metrics_file)
    assert {"train/loss_generator", "train/loss_discriminator", "valid/target_mae"} <= set(logged.columns)
    assert list((smoke.path / "tensorboard").rglob("events.*"))


def test_the_same_command_finds_its_run(smoke: Run, place: Path) -> None:
    again = cfx("train", "task=cardiomegaly", "trainer=smoke", cwd=place)
    assert again.returncode == 0 and "finished already" in again.stdout


def test_a_moved_run_explains_a_file(smoke: Run, place: Path) -> None:
    moved = place / "moved, = run"
    shutil.copytree(smoke.path, moved)
    picture = next((place / "runs").rglob("view1_frontal.jpg"))
    done = cfx("explain", f"run={moved}", f"input={picture}", "output=out", cwd=place)
    assert done.returncode == 0, done.stderr[-2000:]
    numbers = json.loads(next((place / "out").rglob("numbers.json")).read_text())
    assert numbers and list((place / "out").rglob("progression.png"))


def test_another_data_set_needs_a_folder_of_its_own(smoke: Run, place: Path) -> None:
    refused = cfx("evaluate", f"run={smoke.path}", cwd=place)
    assert refused.returncode == 2 and "output" in refused.stderr and "Traceback" not in refused.stderr
    refused = cfx("evaluate", f"run={smoke.path}", "data.source.site=B", cwd=place)
    assert refused.returncode == 2 and "output" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["task=cardiomegally"], "cardiomegaly"),
        (["data.sise=64"], "size"),
        (["data=chexpert", "data.root=/nowhere"], "data.root"),
        (["data=chexpert"], "data.root"),
        (["task.finding=Cardiomegali"], "Cardiomegaly"),
        (["blackbox=checkpoint", "blackbox.path=/nowhere"], "blackbox.path"),
        (["blackbox=exported", "blackbox.path=/nowhere.pt"], "blackbox.path"),
        (["blackbox=checkpoint", "blackbox.path=pretrained/nih_cardiomegaly"], "model=explainer"),
        (["blackbox=exported", "blackbox.path=notes.txt"], "is no TorchScript or torch.export file"),
        (["data=table", "data.root=empty"], "table.csv"),
        (["model.explainer.knob=wrong"], "choose of calibrated, raw"),
        (["-m", "seed=0,abc"], "seed='abc': is not a whole number"),
        (["-m", "loss.change=1.0,-2.0"], "loss.change=-2.0: is negative"),
        (
            ["-m", "data=phantom_shortcut", "data.source.shortcut.strength=0.0,2"],
            "strength=2: is no strength",
        ),
        (["anatomy=checkpoint", "anatomy.path=pretrained/nih_cardiomegaly"], "anatomy.path"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], named: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no program")
    (tmp_path / "empty").mkdir()
    done = cfx("train", *arguments, "trainer=smoke", cwd=tmp_path)
    assert done.returncode == 2, done.stderr[-2000:]
    # before anything is planned, trained or written
    assert done.stdout == "" and sorted(os.listdir(tmp_path)) == ["empty", "notes.txt"]
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith("error: ") and named in lines[-1] and "Traceback" not in done.stderr


TWO = ("trainer.devices=2", "trainer.strategy=ddp_find_unused_parameters_true")


@pytest.mark.slow
def test_two_processes_make_the_whole_chain(place: Path, smoke: Run) -> None:
    arguments = ["task=cardiomegaly", "trainer=smoke", "runs=fresh", f"data.root={place / 'runs/phantom'}"]
    done = cfx("train", *arguments, *TWO, cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    run = Run.open(place / "fresh/smoke" / smoke.name)
    assert run.finished and run.part_names() == smoke.part_names()
    assert run.evaluation.metrics()["n_images"] == smoke.evaluation.metrics()["n_images"]


@pytest.mark.slow
def test_two_processes_lose_what_one_loses(place: Path, smoke: Run) -> None:
    """With its parts made before, the explainer's losses by two CPU processes match one process's, step by step.

    The same parts: trained by two processes they would differ, since batch statistics are each process's own.
    """
    shutil.copytree(
        place / "runs/smoke", place / "half/smoke", ignore=shutil.ignore_patterns(smoke.name, "*.lock")
    )
    arguments = ["task=cardiomegaly", "trainer=smoke", "runs=half", f"data.root={place / 'runs/phantom'}"]
    done = cfx("train", *arguments, *TWO, cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "blackbox: training" not in done.stdout
    run = Run.open(place / "half/smoke" / smoke.name)
    one, both = (pd.read_csv(each.metrics_file) for each in (smoke, run))
    for name in ("train/loss_discriminator", "train/loss_generator"):
        assert both[name].dropna().tolist() == pytest.approx(one[name].dropna().tolist(), abs=2e-4), name


@pytest.fixture(scope="module")
def effusion(place: Path) -> Run:
    """A run of the task that is read by the recess, with the phantom's own boxes."""
    done = cfx("train", "task=pleural_effusion", "trainer=smoke", cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "box_judge" in done.stdout
    runs = (place / "runs/smoke").glob("pleural_effusion-phantom-explainer-*")
    return Run.open(next(path for path in runs if path.is_dir()))


@pytest.mark.slow
def test_the_chain_of_a_task_read_by_the_recess(effusion: Run, place: Path) -> None:
    assert effusion.finished and "box_judge" in effusion.part_names()
    assert "detector" not in effusion.part_names()  # the phantom has masks of its devices
    metrics = effusion.evaluation.metrics()
    assert list(metrics) == list(KEYS)
    assert set(metrics["detector"]["by_class"]) == {
        "pacemaker",
        "line",
        "tube",
        "healthy_recess",
        "blunted_recess",
    }
    assert (
        metrics["detector"]["trained_on"] == "phantom"
        and metrics["detector"]["n_images"] == metrics["n_images"]
    )
    assert metrics["identity"]["fop_by"] in ("the phantom's device masks", None)
    assert list(effusion.evaluation.counterfactuals().columns) == list(COLUMNS)
    part = next(path for path in (place / "runs/smoke").glob("anatomy-phantom-detector-*") if path.is_dir())
    measured = Run.open(part).evaluation
    assert "ap50" in measured.metrics()["detector"] and {"scp_left", "found"} <= set(
        measured.counterfactuals()
    )
    refused = cfx(
        "evaluate", f"run={effusion.path}", "data=table", f"data.root={place}", "output=real", cwd=place
    )
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "phantoms does not score the real X-rays" in refused.stderr.strip().splitlines()[-1]


def as_xrays(source: Phantom, root: Path) -> Path:
    """The phantom's pictures as anybody's: a table with masks but no devices, and a COCO file of boxes."""
    frame = source.frame()
    side = source.recipe.size
    table = frame[["path", "patient_id", "view", "Pleural Effusion", "mask_path"]].rename(
        columns={"mask_path": "mask"}
    )
    root.mkdir()
    table.to_csv(root / "table.csv", index=False)
    content: dict[str, list[dict[str, object]]] = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": place, "name": name} for place, name in enumerate(CLASSES)]
    for number, (name, boxes) in enumerate(source.boxes(frame).items()):
        content["images"].append({"id": number, "file_name": name, "width": side, "height": side})
        for (x0, y0, x1, y1), label in zip((boxes.box * side).tolist(), boxes.label.tolist(), strict=True):
            box = [x0, y0, x1 - x0, y1 - y0]
            content["annotations"].append({"image_id": number, "category_id": label, "bbox": box})
    (root / "boxes.json").write_text(json.dumps(content))
    return root


@pytest.mark.slow
def test_the_chain_on_boxes_of_somebodys_own(effusion: Run, place: Path) -> None:
    """Data without masks of devices: both detectors are trained on the files, the loss holds what one of them finds."""
    node = effusion.config["data"]["source"]
    source = Phantom(
        **{**{key: node[key] for key in ("size", "patients", "seed")}, "root": place / "runs/phantom"}
    )
    root = as_xrays(source, place / "own")
    arguments = ["task=pleural_effusion", "data=table", f"data.root={root}", "data.size=64", "trainer=smoke"]
    done = cfx("train", *arguments, "detector=boxes", f"detector.boxes.path={root / 'boxes.json'}", cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    runs = (place / "runs/smoke").glob("pleural_effusion-table-explainer-*")
    run = Run.open(next(path for path in runs if path.is_dir()))
    assert {"detector", "box_judge"} <= set(run.part_names())
    assert (run.path / "annotations/devices.npy").is_file()
    metrics = run.evaluation.metrics()
    assert metrics["detector"]["n_images"] > 0 and metrics["detector"]["trained_on"] == "table"
    assert metrics["identity"]["fop_by"] in ("the evaluation detector", None)


@pytest.mark.slow
def test_a_black_box_from_a_file_is_brought_to_its_prior_on_the_way(place: Path, smoke: Run) -> None:
    assert smoke.finished

    class Brightness(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 9 * x[:, 0, 30:50, 20:44].mean((1, 2)) - 2

    file = place / "their network.pt"
    torch.jit.trace(Brightness(), torch.zeros(2, 1, 64, 64)).save(str(file))
    done = cfx(
        "train", "task=cardiomegaly", "trainer=smoke", "blackbox=exported", f"blackbox.path={file}", "runs=given",
        f"data.root={place / 'runs/phantom'}", cwd=place,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "posterior brought to a prior of 0.5" in done.stdout
    run = next(
        path for path in (place / "given/smoke").glob("cardiomegaly-phantom-explainer-*") if path.is_dir()
    )
    found = Run(run).part("blackbox").calibration()
    assert found["prior"] == 0.5 and found["scale"] != 1
    assert load_black_box(Run(run)).prior == 0.5
    assert Run(run).evaluation.metrics()["blackbox"]["prior"] == 0.5


@pytest.mark.slow
def test_a_multirun_over_two_tasks(place: Path) -> None:
    done = cfx("train", "-m", "name=tasks", "task=cardiomegaly,pleural_effusion", "trainer=smoke", cwd=place)
    assert done.returncode == 0, done.stderr[-3000:]
    jobs = sorted((place / "multirun/tasks").glob("*/run.json"))
    assert len(jobs) == 2
    assert all(Run(place / json.loads(job.read_text())["run"]).finished for job in jobs)
