"""CheXmask's tables joined to the data sets they belong to."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cfx.data.chexmask import CheXmask
from cfx.data.chexpert import CheXpert
from cfx.data.datamodule import ChestXrayDataModule
from cfx.data.masks import bits_to_channels, encode_rle
from cfx.data.mimic_cxr import MimicCxr
from cfx.data.nih_cxr14 import NihCxr14
from cfx.errors import BadValue, MissingPath, WrongLayout


def write(root: Path, name: str, key: str, pictures: list[str], bits: Any, quality: list[float]) -> Path:
    """Write a CheXmask table for the pictures, all with the same masks."""
    runs = {
        title: encode_rle(bits & bit) for title, bit in (("Left Lung", 2), ("Right Lung", 4), ("Heart", 1))
    }
    rows = [
        {
            key: picture,
            "Dice RCA (Max)": 0.9,
            "Dice RCA (Mean)": dice,
            "Landmarks": "[1, 2]",
            **runs,
            "Height": bits.shape[0],
            "Width": bits.shape[1],
        }
        for picture, dice in zip(pictures, quality, strict=True)
    ]
    folder = root / "OriginalResolution"
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    return root


def test_chexpert_by_path(tmp_path: Path, chexpert_root: Path, bits: Any) -> None:
    frame = CheXpert(chexpert_root).frame()
    frontal = frame[frame["view"] != "LATERAL"]["image_id"].tolist()
    quality = [0.6 if number < 3 else 0.85 for number in range(len(frontal))]
    root = write(tmp_path / "chexmask", "CheXpert", "Path", frontal[::-1], bits, quality[::-1])
    joined = CheXmask(root).add(frame)
    assert joined["image_id"].tolist() == frame["image_id"].tolist()
    assert joined["heart_rle"].notna().sum() == len(frontal) - 3
    module = ChestXrayDataModule(
        CheXpert(chexpert_root), size=16, findings=["Cardiomegaly"], masks_from=CheXmask(root)
    )
    batch = module.dataset("train").batch(range(8))
    assert batch["has_masks"].tolist() == [False] * 3 + [True] * 5
    assert batch["masks"][0].sum() == 0
    assert np.array_equal((batch["masks"][4].numpy() * 255).round(), bits_to_channels(bits, 16))
    assert CheXmask(root, min_quality=0.5).add(frame)["heart_rle"].notna().sum() == len(frontal)


def test_mimic_by_dicom_id_and_nih_by_index(
    tmp_path: Path, mimic_root: Path, nih_root: Path, bits: Any
) -> None:
    mimic, nih = MimicCxr(mimic_root).frame(), NihCxr14(nih_root).frame()
    root = tmp_path / "chexmask"
    dicoms = [Path(name).stem for name in mimic["image_id"]]
    write(root, "MIMIC-CXR-JPG", "dicom_id", dicoms, bits, [0.8] * len(dicoms))
    write(root, "ChestX-Ray8", "Image Index", nih["image_id"].tolist(), bits, [0.8] * len(nih))
    for frame in (mimic, nih):  # the table of the right data set is found among several
        joined = CheXmask(root).add(frame)
        assert joined["heart_rle"].notna().all()
        assert (joined["mask_height"] == 40).all()


def test_mistakes(tmp_path: Path, nih_root: Path, bits: Any) -> None:
    frame = NihCxr14(nih_root).frame()
    with pytest.raises(MissingPath, match=r"anatomy\.root"):
        CheXmask(tmp_path / "gone").add(frame)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WrongLayout, match=r"CheXpert\.csv"):
        CheXmask(tmp_path / "empty").add(frame)
    root = write(tmp_path / "other", "ChestX-Ray8", "Image Index", ["99999999_000.png"], bits, [0.9])
    with pytest.raises(WrongLayout, match="no mask for any picture"):
        CheXmask(root).add(frame)
    file = root / "OriginalResolution" / "ChestX-Ray8.csv"
    pd.read_csv(file).drop(columns="Heart").to_csv(file, index=False)
    with pytest.raises(WrongLayout, match="Heart"):
        CheXmask(file).add(frame)
    file.write_text("a,b\n1,2\n")
    with pytest.raises(WrongLayout, match="dicom_id"):
        CheXmask(file).add(frame)
    with pytest.raises(BadValue):
        CheXmask(root, min_quality=70)
