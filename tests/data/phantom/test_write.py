"""The files: CheXpert's layout, whole or not at all, once, and the same every time."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cfx.data.labels import CHEXPERT_FINDINGS
from cfx.data.phantom import write
from cfx.data.phantom.devices import CLASSES
from cfx.data.phantom.source import Phantom
from cfx.data.reading import read_mask

SMALL = {"train": 4, "valid": 2, "test": 2}


def recipe(**changes: Any) -> write.Recipe:
    return replace(write.Recipe(size=32, patients=SMALL, seed=0, site="A", correlated=False), **changes)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_the_layout(data_folder: Path) -> None:
    assert data_folder.name == "CheXpert-v1.0-phantom"
    first = "train/patient00001/study1/view1_frontal"
    for name in (f"{first}.jpg", f"masks/{first}.png", f"devices/{first}.png"):
        assert (data_folder / name).is_file(), name
    for name in ("train.csv", "valid.csv", "test.csv", "boxes.csv", "truth.parquet", "phantom.json"):
        assert (data_folder / name).is_file(), name
    assert len(list(data_folder.glob("test/*/study1/*.jpg"))) == 10


def test_the_tables_are_chexperts(data_folder: Path) -> None:
    table = pd.read_csv(data_folder / "train.csv")
    head = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA"]
    assert list(table.columns) == head + list(CHEXPERT_FINDINGS)
    assert table["Path"][0] == "CheXpert-v1.0-phantom/train/patient00001/study1/view1_frontal.jpg"
    assert set(table["Sex"]) == {"Male", "Female"}
    assert set(table["AP/PA"]) == {"AP", "PA"}
    assert set(table["Frontal/Lateral"]) == {"Frontal"}
    assert table["Lung Lesion"].isna().all()
    assert set(table["Support Devices"]) == {0.0, 1.0}


def test_labels_are_those_of_the_truth(data_folder: Path) -> None:
    truth = pd.read_parquet(data_folder / "truth.parquet")
    for part in ("train", "valid", "test"):
        table = pd.read_csv(data_folder / f"{part}.csv")
        known = truth[truth["split"] == part].reset_index(drop=True)
        certain = table["Edema"] != -1
        assert (table["Edema"][certain] == known["label_edema"][certain]).all()
        if part != "train":
            assert certain.all()
        healthy = (known[["label_cardiomegaly", "label_pleural_effusion", "label_edema"]] == 0).all(axis=1)
        assert not table["No Finding"].notna()[~healthy].any()


def test_some_training_labels_are_uncertain() -> None:
    frame = write.population(recipe(patients={"train": 600, "valid": 50, "test": 50}))
    table = write._chexpert_table(frame)
    share = (table.loc[frame["split"] == "train", "Cardiomegaly"] == -1).mean()
    assert 0.01 < share < 0.10
    assert not (table.loc[frame["split"] != "train", "Cardiomegaly"] == -1).any()


def test_pictures_masks_and_devices(data_folder: Path) -> None:
    name = "test/patient70001/study1/view1_frontal"
    with Image.open(data_folder / f"{name}.jpg") as picture:
        assert picture.size == (64, 64)
        assert picture.mode == "L"
    bits = read_mask(data_folder / "masks" / f"{name}.png")
    assert bits.shape == (256, 256)
    assert set(np.unique(bits)) == {0, 1, 2, 4}
    with Image.open(data_folder / "devices" / f"{name}.png") as gear:
        assert gear.size == (64, 64)


def test_boxes_hold_their_devices(data_folder: Path) -> None:
    boxes = pd.read_csv(data_folder / "boxes.csv")
    assert list(boxes.columns) == ["path", "class", "x0", "y0", "x1", "y1"]
    assert set(boxes["class"]) <= set(CLASSES.values())
    bit_of = {name: bit for bit, name in CLASSES.items()}
    for row in boxes.itertuples():
        file = data_folder / "devices" / Path(str(row.path)).with_suffix(".png")
        with Image.open(file) as picture:
            gear = np.asarray(picture) & bit_of[str(row[2])]
        ys, xs = np.nonzero(gear)
        assert (row.x0, row.y0, row.x1, row.y1) == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def test_the_record_says_what_the_phantom_holds(data_folder: Path) -> None:
    record = json.loads((data_folder / "phantom.json").read_text())
    low, high = record["summary"]["findings"]["Cardiomegaly"]["bayes_posterior"]
    assert 0 < low < 0.03
    assert 0.97 < high < 1
    assert record["summary"]["patients"] == {"train": 24, "valid": 8, "test": 10}
    assert record["recipe"]["seed"] == 3


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert write.write(tmp_path / name, recipe())
    first, second = (contents(tmp_path / name / write.FOLDER) for name in ("a", "b"))
    assert first == second


def test_more_patients_leave_the_others_as_they_were(tmp_path: Path) -> None:
    write.write(tmp_path / "few", recipe())
    write.write(tmp_path / "more", recipe(patients={"train": 9, "valid": 2, "test": 3}))
    few, more = (contents(tmp_path / name / write.FOLDER) for name in ("few", "more"))
    pictures = [name for name in few if name.endswith((".jpg", ".png"))]
    assert len(pictures) == 24
    assert all(few[name] == more[name] for name in pictures)


def test_it_is_written_once_and_again_only_when_it_differs(tmp_path: Path) -> None:
    assert write.write(tmp_path, recipe())
    marked = write.folder(tmp_path) / "train.csv"
    stamp = marked.stat().st_mtime_ns
    assert not write.write(tmp_path, recipe())
    assert marked.stat().st_mtime_ns == stamp
    assert write.write(tmp_path, recipe(seed=1))
    assert write.is_written(tmp_path, recipe(seed=1))
    assert not write.is_written(tmp_path, recipe())


def test_a_writer_that_dies_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(write, "_boxes", die)
        with pytest.raises(RuntimeError, match="power cut"):
            write.write(tmp_path, recipe())
    assert not write.folder(tmp_path).exists()
    assert write.write(tmp_path, recipe())
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_dir()] == [write.FOLDER]


def test_of_many_writers_one_writes(tmp_path: Path) -> None:
    wrote: list[bool] = []
    threads = [
        threading.Thread(target=lambda: wrote.append(write.write(tmp_path, recipe()))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wrote) == [False, False, True]


def test_threads_do_not_change_the_pictures(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    counts = {"train": 20, "valid": 1, "test": 1}
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            Phantom(tmp_path / str(threads), 48, counts).prepare()
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    one, three = (contents(tmp_path / name) for name in ("1", "3"))
    assert one == three
