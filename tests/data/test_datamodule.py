"""The one data module over every layout, and every mistake that can be made with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cfx.data.annotations import Annotations
from cfx.data.chexpert import CheXpert
from cfx.data.datamodule import ChestXrayDataModule
from cfx.data.masks_folder import MasksFolder
from cfx.data.mimic_cxr import MimicCxr
from cfx.data.nih_cxr14 import NihCxr14
from cfx.data.reading import load_tensor
from cfx.data.splits import Splits
from cfx.data.table import Table
from cfx.data.transforms import build_transform
from cfx.errors import (
    BadImage,
    BadValue,
    EmptySplit,
    MissingPath,
    TooFewPositives,
    UnknownChoice,
    WrongLayout,
)

CARDIOMEGALY = ["Cardiomegaly"]


def chexpert(root: Path, **options: Any) -> ChestXrayDataModule:
    arguments: dict[str, Any] = {"size": 16, "findings": CARDIOMEGALY, "batch_size": 8} | options
    return ChestXrayDataModule(CheXpert(root), **arguments)


def test_batches_have_one_shape_for_every_data_set(
    chexpert_root: Path, mimic_root: Path, nih_root: Path, masks_root: Path, table_root: Path
) -> None:
    labels = {"big heart": "Cardiomegaly"}
    sources: list[tuple[Any, list[str]]] = [
        (CheXpert(chexpert_root), CARDIOMEGALY),
        (MimicCxr(mimic_root), CARDIOMEGALY),
        (NihCxr14(nih_root), CARDIOMEGALY),
        (Table(table_root, patient="who", labels=labels), CARDIOMEGALY),
        (MasksFolder(masks_root), []),
    ]
    for source, findings in sources:
        module = ChestXrayDataModule(
            source, size=24, findings=findings, batch_size=4, splits=Splits(valid=0.3, test=0.4, seed=1)
        )
        for loader in (module.train_dataloader(), module.val_dataloader(), module.test_dataloader()):
            batch = next(iter(loader))
            assert batch["image"].shape[1:] == (1, 24, 24)
            assert batch["image"].dtype == torch.float32
            assert -1 <= batch["image"].min() < batch["image"].max() <= 1
            assert batch["label"].shape == (len(batch["image"]), len(findings))
            assert ("masks" in batch) == isinstance(source, MasksFolder)
        assert set(module.table("train")["patient_id"]).isdisjoint(module.table("test")["patient_id"])


def test_the_table_and_the_batches_are_the_same_rows(chexpert_root: Path) -> None:
    module = chexpert(chexpert_root, findings=["Pleural Effusion", "Cardiomegaly"], uncertain="ones")
    table = module.table("train")
    assert table.index.tolist() == list(range(32))
    assert set(table["view"]) == {"PA", "AP"}
    batch = module.dataset("train").batch([7, 30])
    assert (
        batch["label"].tolist()
        == table.loc[[7, 30], ["Pleural Effusion", "Cardiomegaly"]].to_numpy().tolist()
    )
    assert torch.equal(batch["image"][1], load_tensor(table["path"][30], 16))  # as when one file is explained
    assert set(table["Cardiomegaly"]) == {0.0, 1.0}


def test_views_are_filtered(chexpert_root: Path) -> None:
    assert set(chexpert(chexpert_root, views=["PA"]).table("train")["view"]) == {"PA"}
    assert len(chexpert(chexpert_root, views=["LATERAL"]).table("test")) == 4
    with pytest.raises(UnknownChoice, match="did you mean 'LATERAL'"):
        chexpert(chexpert_root, views=["LATRAL"])
    for name in ("train", "valid", "test"):
        table = pd.read_csv(chexpert_root / f"{name}.csv")
        table[table["AP/PA"] == "AP"].to_csv(chexpert_root / f"{name}.csv", index=False)
    with pytest.raises(EmptySplit, match="there are AP"):
        chexpert(chexpert_root, views=["PA"]).table("train")


def test_parts_have_patients_of_their_own(chexpert_root: Path) -> None:
    splits = Splits(apart=True, shares={"blackbox": 1, "explainer": 1})
    one = set(chexpert(chexpert_root, splits=splits, part="blackbox").table("train")["patient_id"])
    two = set(chexpert(chexpert_root, splits=splits, part="explainer").table("train")["patient_id"])
    assert one and two
    assert one.isdisjoint(two)
    assert len(one | two) == 16
    with pytest.raises(UnknownChoice, match="blackbox"):
        chexpert(chexpert_root, splits=splits, part="blackbocks").table("train")


def test_labels_may_be_missing_for_a_black_box(table_root: Path) -> None:
    module = ChestXrayDataModule(Table(table_root), size=16, findings=CARDIOMEGALY, batch_size=2)
    batch = next(iter(module.train_dataloader()))
    assert batch["label"].isnan().all()
    assert batch["label"].shape == (2, 1)


def test_unknown_findings_and_findings_without_positives(chexpert_root: Path) -> None:
    with pytest.raises(UnknownChoice, match="did you mean 'Cardiomegaly'"):
        chexpert(chexpert_root, findings=["Cardiomegalie"]).setup()
    with pytest.raises(TooFewPositives, match="Edema"):
        chexpert(chexpert_root, findings=["Cardiomegaly", "Edema"]).setup()
    # a finding beside the one that is explained may be absent from a small part
    module = chexpert(chexpert_root, findings=["Edema", "Cardiomegaly"], finding="Cardiomegaly")
    assert module.table("train")["Edema"].sum() == 0


def test_empty_splits_are_named(chexpert_root: Path, nih_root: Path) -> None:
    with pytest.raises(EmptySplit, match="valid part"):
        ChestXrayDataModule(
            NihCxr14(nih_root), size=16, findings=CARDIOMEGALY, splits=Splits(valid=0.0)
        ).val_dataloader()
    splits = Splits(apart=True, shares={"blackbox": 1, "judge": 0})
    with pytest.raises(EmptySplit, match="part 'judge'"):
        chexpert(chexpert_root, splits=splits, part="judge").dataset("train")
    with pytest.raises(UnknownChoice, match="valid"):
        chexpert(chexpert_root).table("val")


@pytest.fixture
def broken_root(chexpert_root: Path) -> Path:
    """A text called .jpg, a truncated JPEG, a row without a file and a row twice."""
    folder = chexpert_root / "train/patient00002/study1"
    (folder / "view1_frontal.jpg").write_text("no picture")
    whole = (folder / "view2_frontal.jpg").read_bytes()
    (folder / "view2_frontal.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (chexpert_root / "train/patient00003/study1/view1_frontal.jpg").unlink()
    table = pd.read_csv(chexpert_root / "train.csv")
    pd.concat([table, table.iloc[[15]]]).to_csv(chexpert_root / "train.csv", index=False)
    return chexpert_root


def test_faults_of_the_data_set_are_raised_by_name(broken_root: Path) -> None:
    with pytest.raises(WrongLayout, match=r"patient00006.*2 rows"):
        chexpert(broken_root).setup()
    table = pd.read_csv(broken_root / "train.csv").drop_duplicates()
    table.to_csv(broken_root / "train.csv", index=False)
    with pytest.raises(MissingPath, match=r"patient00003.*view1.*1 of 48 are missing"):
        chexpert(broken_root).setup()
    table[~table["Path"].str.contains("patient00003")].to_csv(broken_root / "train.csv", index=False)
    with pytest.raises(BadImage, match=r"patient00002.*view1.*on_error=skip"):
        chexpert(broken_root).dataset("train")
    table[~table["Path"].str.contains("patient00003|patient00002/study1/view1")].to_csv(
        broken_root / "train.csv", index=False
    )
    with pytest.raises(BadImage, match=r"patient00002.*view2"):
        chexpert(broken_root, workers=2).dataset("train")


@pytest.mark.parametrize("cached", [False, True])
def test_faults_are_skipped_and_counted_when_told_so(
    broken_root: Path, tmp_path: Path, cached: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):  # with a cache the second time reads the array
        module = chexpert(broken_root, on_error="skip", cache=tmp_path / "cache" if cached else None)
        table = module.table("train")
        assert len(table) == len(module.dataset("train")) == 32 - 3
        assert sorted(Path(name).parts[1] for name in module.skipped) == [
            "patient00002",
            "patient00002",
            "patient00003",
            "patient00006",
        ]
        assert table.index.tolist() == list(range(29))
        last = module.dataset("train")[28]["image"]
        assert torch.equal(last, load_tensor(table["path"][28], 16))
    assert "left out" in caplog.text


def test_nothing_left_after_skipping(chexpert_root: Path) -> None:
    for file in chexpert_root.glob("test/*/*/*.jpg"):
        file.write_text("no picture")
    module = chexpert(chexpert_root, on_error="skip")
    assert len(module.rows("test")) == 8  # as planned: no file has been looked into yet
    with pytest.raises(EmptySplit, match="missing or broken"):
        module.dataset("test")
    assert len(module.dataset("train")) == 32


def test_a_broken_mask_leaves_the_picture(masks_root: Path) -> None:
    (masks_root / "masks/case_0016.png").write_text("no picture")
    with pytest.raises(BadImage, match="case_0016"):
        ChestXrayDataModule(MasksFolder(masks_root), size=16, findings=[]).dataset("test")
    module = ChestXrayDataModule(MasksFolder(masks_root), size=16, findings=[], on_error="skip")
    batch = module.dataset("test").batch(range(5))
    assert batch["has_masks"].tolist() == [True, False, True, True, True]
    assert batch["masks"][1].sum() == 0
    assert list(module.skipped) == ["masks of images/case_0016.png"]
    assert "masks" not in ChestXrayDataModule(
        MasksFolder(masks_root), size=16, findings=[], extras=[]
    ).dataset("test").batch([0])


def test_devices_are_read_where_there_are_some(table_root: Path) -> None:
    table = pd.read_csv(table_root / "table.csv").assign(device="")
    table.loc[3, "device"] = "wire.png"
    wire = np.zeros((24, 50), dtype=np.uint8)
    wire[:, 25] = 2
    Image.fromarray(wire).save(table_root / "wire.png")
    table.to_csv(table_root / "table.csv", index=False)
    splits = Splits(valid=0, test=0)
    dataset = ChestXrayDataModule(Table(table_root), size=25, findings=[], splits=splits).dataset("train")
    devices = dataset.batch(range(12))["devices"]
    assert devices.sum(dim=(1, 2, 3)).tolist() == [0, 0, 0, 13, *[0] * 8]  # 12 rows of wire, one half covered
    assert devices[3, 0, 12, 12] == 1


def test_annotations_take_the_place_of_the_sources(masks_root: Path) -> None:
    module = ChestXrayDataModule(MasksFolder(masks_root), size=16, findings=[], splits=Splits(valid=0.2))
    truth = module.dataset("train").batch([0])["masks"]
    annotations = Annotations.compute(
        module.dataset("train"),
        lambda image: torch.full((len(image), 3, 16, 16), 0.5),
        lambda image: torch.linspace(0, 1, len(image)),
    )
    module.annotate(annotations)
    batch = module.dataset("train").batch([0])
    assert not torch.equal(batch["masks"], truth)
    assert batch["masks"].unique().tolist() == [pytest.approx(128 / 255)]
    assert batch["posterior"].tolist() == [0.0]
    assert module.dataset("test").batch([0])["posterior"].isnan().all()  # not annotated
    assert not module.dataset("test").batch([0])["has_masks"].any()


def test_a_limit_keeps_both_classes(chexpert_root: Path) -> None:
    table = chexpert(chexpert_root, limit=6, uncertain="zeros").table("train")
    assert len(table) == 6
    assert table["Cardiomegaly"].sum() == 3
    assert chexpert(chexpert_root, limit=6).table("train")["image_id"].tolist() == table["image_id"].tolist()
    assert len(chexpert(chexpert_root, limit=600).table("train")) == 32


def test_workers_load_the_same_batches(chexpert_root: Path) -> None:
    transform = build_transform(affine={"shift": 0.1}, noise=0.1)
    alone = list(chexpert(chexpert_root, transform=transform).train_dataloader())
    helped = list(chexpert(chexpert_root, transform=transform, workers=2).train_dataloader())
    assert len(alone) == len(helped) == 4
    for one, two in zip(alone, helped, strict=True):
        assert torch.equal(one["image"], two["image"])
        assert torch.equal(one["index"], two["index"])


def test_a_cache_on_disk_gives_the_same_pictures(chexpert_root: Path, tmp_path: Path) -> None:
    memory = chexpert(chexpert_root).dataset("train").images
    module = chexpert(chexpert_root, cache=tmp_path / "cache")
    assert isinstance(module.dataset("train").images, np.memmap)
    assert np.array_equal(module.dataset("train").images, memory)
    next(iter(module.train_dataloader()))
    files = sorted(file.suffix for file in (tmp_path / "cache").iterdir())
    assert ".npy" in files and ".tmp" not in files
    first = Path(module.table("train")["path"][0])
    Image.fromarray(np.zeros((40, 32), dtype=np.uint8)).save(first)
    assert chexpert(chexpert_root, cache=tmp_path / "cache").dataset("train").images[0].max() == 0


def test_the_source_is_prepared_once_before_it_is_read(chexpert_root: Path) -> None:
    calls: list[str] = []

    class Written(CheXpert):
        def prepare(self) -> None:
            calls.append("prepare")

        def frame(self) -> pd.DataFrame:
            calls.append("frame")
            return super().frame()

    module = ChestXrayDataModule(Written(chexpert_root), size=16, findings=CARDIOMEGALY)
    module.table("train")
    module.dataset("test")
    module.setup("fit")
    assert calls == ["prepare", "frame"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"on_error": "ignore"}, UnknownChoice),
        ({"balance": "label"}, UnknownChoice),
        ({"extras": ["mask"]}, UnknownChoice),
        ({"size": 1}, BadValue),
        ({"balance_share": 1.0}, BadValue),
        ({"limit": 0}, BadValue),
    ],
)
def test_values_that_can_not_be_meant(chexpert_root: Path, options: dict[str, Any], error: type) -> None:
    with pytest.raises(error) as caught:
        chexpert(chexpert_root, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.real
def test_epochs_over_real_pictures_cost_no_decoding(real_data: Path, time: Callable[[], float]) -> None:
    module = ChestXrayDataModule(NihCxr14(real_data / "nih_cxr14"), size=128, findings=CARDIOMEGALY)
    batches = len(list(module.train_dataloader()))
    begin = time()
    assert len(list(module.train_dataloader())) == batches == len(module.table("train")) // 32
    assert time() - begin < 10


@pytest.fixture
def time() -> Callable[[], float]:
    import time as clock

    return clock.process_time
