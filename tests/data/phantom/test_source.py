"""The phantom as a data set, read by CheXpert's reader and behind the data module."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from cfx.data.datamodule import ChestXrayDataModule
from cfx.data.phantom.source import Phantom
from cfx.data.splits import Splits
from cfx.errors import BadValue, UnknownChoice


def test_the_table(written: Phantom) -> None:
    frame = written.frame()
    assert frame["split"].value_counts().to_dict() == {"train": 24, "valid": 8, "test": 10}
    assert frame["image_id"].is_unique
    assert frame["patient_id"].nunique() == 42
    assert all(Path(path).is_file() for name in ("path", "mask_path", "device_path") for path in frame[name])
    assert written.truth()["image_id"].tolist() == frame["image_id"].tolist()
    assert written.name == "phantom"


def test_it_writes_when_first_asked_and_says_what_it_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Phantom(tmp_path / "new folder", 32, {"train": 3, "valid": 2, "test": 2})
    with caplog.at_level("INFO", logger="cfx"):
        assert len(source.frame()) == 7
        source.prepare()
    lines = [record.message for record in caplog.records if "Bayes posterior" in record.message]
    assert len(lines) == 1
    assert "3 train, 2 valid, 2 test" in lines[0]


def test_configurations_do_not_replace_one_another(tmp_path: Path) -> None:
    counts = {"train": 2, "valid": 1, "test": 1}
    variants = [
        Phantom(tmp_path, 32, counts),
        Phantom(tmp_path, 48, counts),
        Phantom(tmp_path, 32, counts, seed=1),
        Phantom(tmp_path, 32, counts, site="B"),
        Phantom(tmp_path, 32, counts, correlated=True),
        Phantom(tmp_path, 32, counts | {"train": 3}),
    ]
    for source in variants:
        source.prepare()
    assert len({source.folder() for source in variants}) == 6
    assert all(len(source.frame()) == sum(source.recipe.patients.values()) for source in variants)


def test_it_takes_numbers_as_hydra_gives_them(tmp_path: Path) -> None:
    counts = OmegaConf.create({"train": 2, "valid": 1, "test": 1})
    assert Phantom(tmp_path, 32, counts).recipe.patients == {"train": 2, "valid": 1, "test": 1}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"size": 16}, "data.size=16"),
        ({"seed": -1}, "seed=-1"),
        ({"patients": {"train": 3}}, "data.source.patients='train'"),
        ({"patients": {"train": 3, "valid": 1, "test": 0}}, "data.source.patients.test=0"),
    ],
)
def test_what_can_not_be_drawn_is_named(tmp_path: Path, arguments: dict[str, object], named: str) -> None:
    with pytest.raises(BadValue) as caught:
        Phantom(tmp_path, **arguments)  # type: ignore[arg-type]
    assert str(caught.value).startswith(named)


def test_an_unknown_site_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownChoice, match=r"data\.source\.site"):
        Phantom(tmp_path, site="Z")


def test_behind_the_data_module(written: Phantom) -> None:
    module = ChestXrayDataModule(
        written,
        size=64,
        findings=["Cardiomegaly", "Edema"],
        views=["PA", "AP"],
        uncertain="ignore",
        splits=Splits(
            apart=True, shares={"blackbox": 1.0, "explainer": 1.0}, valid=0.1, folds=5, fold=None, seed=0
        ),
        part="blackbox",
        batch_size=4,
    )
    module.prepare_data()
    module.setup("fit")
    item = module.dataset("test")[0]
    assert item["image"].shape == (1, 64, 64)
    assert item["masks"].shape == (3, 64, 64)
    assert bool(item["has_masks"])
    assert item["devices"].shape == (1, 64, 64)
    assert 0.05 < item["masks"][0].mean() < 0.35
    partly = (item["masks"] > 0) & (item["masks"] < 1)
    assert partly.any()
    assert set(torch.unique(item["devices"]).tolist()) <= {0.0, 1.0}
