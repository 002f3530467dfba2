"""External black boxes: what a user sets survives the way through a run's folder, which then needs nothing outside."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cfx.classifiers.networks import TransferNet
from cfx.classifiers.torchxrayvision_box import from_torchxrayvision
from cfx.cli import compose, plain
from cfx.errors import BadValue, MissingPath, WrongLayout
from cfx.loading import check_given, external_part, load_black_box, patient_warnings
from cfx.runs import Run


def config(*overrides: str) -> dict[str, Any]:
    return plain(compose("train", list(overrides)))


def written(folder: Path, made: dict[str, Any]) -> Run:
    """A run with its configuration and external black box, as the chain leaves it."""
    run = Run.create(folder)
    run.write_config(made)
    external_part(made, run.part("blackbox"))
    return run


class Colours(nn.Module):
    """Three probabilities of a colour picture, each of another channel."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x.mean((2, 3)) * torch.tensor([1.0, 2.0, 3.0]))


def exported(folder: Path) -> Path:
    file = folder / "their = model, [1].pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Colours(), torch.zeros(2, 3, 48, 48)).save(str(file))
    return file


def test_every_setting_of_an_exported_network_survives(tmp_path: Path) -> None:
    file = exported(tmp_path)
    asked = [
        "blackbox=exported", "blackbox.index=1", "blackbox.output=probability", "blackbox.size=48",
        "blackbox.channels=3", "blackbox.scale=[0.5,2.0,1.0]", "blackbox.shift=[0.1,-0.2,0.3]",
    ]  # fmt: skip
    made = config(*asked, f"blackbox.path='{file}'")
    run = written(tmp_path / "run", made)
    file.unlink()
    box = load_black_box(Run(run.path.rename(tmp_path / "moved")))
    image = torch.full((1, 1, 64, 64), 0.5)
    assert float(box(image)) == pytest.approx(
        float(torch.sigmoid(torch.tensor(2 * (0.5 * 2.0 - 0.2)))), abs=1e-4
    )
    assert box.size == 48 and box.channels == 3
    assert box.scale.flatten().tolist() == pytest.approx([0.5, 2.0, 1.0])


def test_a_file_of_torchxrayvisions_weights_is_the_one_that_is_explained(tmp_path: Path) -> None:
    models = pytest.importorskip("torchxrayvision.models")
    torch.manual_seed(3)
    file = tmp_path / "weights.pt"
    torch.save(models.DenseNet(weights=None).state_dict(), file)
    given = from_torchxrayvision("Cardiomegaly", path=file)
    run = written(
        tmp_path / "run",
        config("blackbox=torchxrayvision", "blackbox.weights=null", f"blackbox.path='{file}'"),
    )
    file.unlink()
    image = torch.rand(2, 1, 64, 64) * 2 - 1
    assert torch.allclose(load_black_box(run).logit(image), given.logit(image), atol=1e-5)


@pytest.mark.parametrize("choice", [["exported"], ["torchxrayvision", "blackbox.weights=null"]])
def test_a_file_that_is_not_there_is_told_before_anything_is_trained(
    choice: list[str], tmp_path: Path
) -> None:
    name, *more = choice
    made = config(f"blackbox={name}", *more, f"blackbox.path={tmp_path / 'gone.pt'}")
    with pytest.raises(MissingPath, match=r"blackbox\.path=.*gone\.pt"):
        check_given(made)


def shared_out(name: str = "table", seed: int = 0, patients: int | None = None) -> dict[str, Any]:
    """A configuration of which only the data matter; `patients` is the seed of a phantom's."""
    source = {"seed": patients} if patients is not None else {}
    return {"data": {"name": name, "source": source, "splits": {"seed": seed, "fold": None}}}


def test_who_may_have_seen_test_patients_depends_on_data_and_splits() -> None:
    run = shared_out(seed=0)
    trained = {
        "black box": shared_out(seed=1),
        "segmenter": shared_out("wingspan", 1),
        "judge": {"blackbox": {}},
    }
    (found,) = patient_warnings(run, trained, lambda: False)
    assert found.startswith("black box: ") and "seed 1 and not 0" in found
    assert (
        patient_warnings(run, trained, lambda: True) == []
    )  # an official test part is nobody's training part
    run["data"]["splits"]["fold"] = 2
    assert "fold None and not 2" in patient_warnings(run, trained, lambda: True)[0]
    phantom = shared_out("phantom", 1, patients=1)
    assert patient_warnings(shared_out("phantom", 0, patients=0), {"black box": phantom}, lambda: False) == []


@pytest.mark.parametrize(("split", "warned"), [("", True), ("test", False)])
def test_a_given_black_box_that_saw_other_patients_is_warned_of(
    split: str, warned: bool, tmp_path: Path
) -> None:
    root = tmp_path / "table"
    root.mkdir()
    (root / "table.csv").write_text(f"path,patient_id,split,Cardiomegaly\na.png,a,{split},1\nb.png,b,,0\n")
    data = ("data=table", f"data.root={root}")
    made = config("model=classifier", *data, "seed=0")
    node = {"_target_": "cfx.classifiers.networks.TransferNet", "width": 8, "stages": 2}
    run = Run.create(tmp_path / "classifier")
    run.write_config({**made, "model": {**made["model"], "network": node}})
    run.write_weights(TransferNet(1, width=8, stages=2).state_dict())
    given = ("blackbox=checkpoint", f"blackbox.path={run.path}")
    assert check_given(config(*data, *given, "seed=0")) == []
    found = check_given(config(*data, *given, "seed=1"))
    assert len(found) == int(warned)
    assert all(line.startswith("blackbox: ") and "seed 0 and not 1" in line for line in found)


def test_an_exported_file_is_tried_before_anything_is_trained(tmp_path: Path) -> None:
    text, archive = tmp_path / "notes.txt", tmp_path / "letters.zip"
    text.write_text("no program")
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("archive_format", "letters")
    for file in (text, archive):
        with pytest.raises(WrongLayout, match=r"blackbox\.path=.*is no TorchScript or torch\.export file"):
            check_given(config("blackbox=exported", f"blackbox.path='{file}'"))
    asked = ["blackbox=exported", f"blackbox.path='{exported(tmp_path)}'", "blackbox.channels=3"]
    with pytest.raises(BadValue, match=r"blackbox\.index=7: the network has 3 outputs"):
        check_given(config(*asked, "blackbox.index=7"))
    assert check_given(config(*asked)) == []
