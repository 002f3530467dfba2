"""Each data set's real layout on disk, written small by seeded generators."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image

Bytes = npt.NDArray[np.uint8]

CHEXPERT_COLUMNS = [
    "Path",
    "Sex",
    "Age",
    "Frontal/Lateral",
    "AP/PA",
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
]


def draw(seed: int, height: int = 40, width: int = 32) -> Bytes:
    """A smooth grey picture, different for each seed."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = sum(
        random.uniform(0.2, 1) * np.cos(2 * np.pi * (a * x + b * y) + random.uniform(0, 6))
        for a, b in random.uniform(-2, 2, (4, 2))
    )
    return np.clip(128 + 40 * np.asarray(waves), 0, 255).astype(np.uint8)


def draw_bits(height: int = 40, width: int = 32) -> Bytes:
    """A mask: a heart, and two lungs of which the patient's left is on the right."""
    bits = np.zeros((height, width), dtype=np.uint8)
    bits[height // 2 : -6, width // 3 : 2 * width // 3] |= 1
    bits[5:-8, width // 2 + 3 : -3] |= 2
    bits[5:-8, 3 : width // 2 - 3] |= 4
    return bits


def save(path: Path, pixels: npt.NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))


@pytest.fixture(scope="session")
def picture() -> Callable[..., Bytes]:
    return draw


@pytest.fixture(scope="session")
def bits() -> Bytes:
    return draw_bits()


@pytest.fixture
def save_picture() -> Callable[[Path, npt.NDArray[Any]], None]:
    return save


def write_chexpert(root: Path, parts: dict[str, int]) -> Path:
    """CheXpert-v1.0-small: two frontal pictures and one lateral a patient; blanks and -1 among the labels."""
    number = 0
    for part, patients in parts.items():
        rows = []
        for _ in range(patients):
            number += 1
            person = f"patient{number:05d}"
            for view, (side, projection) in enumerate(
                (("Frontal", "AP"), ("Frontal", "PA"), ("Lateral", "")), 1
            ):
                relative = f"{part}/{person}/study{1 + view // 3}/view{view}_{side.lower()}.jpg"
                save(root / relative, draw(10 * number + view))
                row: dict[str, Any] = dict.fromkeys(CHEXPERT_COLUMNS, "")
                row |= {
                    "Path": f"CheXpert-v1.0-small/{relative}",
                    "Sex": ("Male", "Female")[number % 2],
                    "Age": 40 + number,
                    "Frontal/Lateral": side,
                    "AP/PA": projection,
                    "Cardiomegaly": (1.0, 0.0, -1.0, "")[number % 4],
                    "Pleural Effusion": (0.0, 1.0)[number % 2],
                    "No Finding": "",
                }
                rows.append(row)
        pd.DataFrame(rows, columns=CHEXPERT_COLUMNS).to_csv(root / f"{part}.csv", index=False)
    return root


@pytest.fixture
def chexpert_root(tmp_path: Path) -> Path:
    return write_chexpert(tmp_path / "CheXpert-v1.0-small", {"train": 16, "valid": 4, "test": 4})


@pytest.fixture
def chexpert_writer() -> Callable[[Path, dict[str, int]], Path]:
    return write_chexpert


@pytest.fixture
def mimic_root(tmp_path: Path) -> Path:
    """MIMIC-CXR-JPG: the three packed tables and the nested folders."""
    root = tmp_path / "mimic-cxr-jpg"
    metadata, labels, split = [], [], []
    for patient in range(12):
        subject, study = 10000032 + patient, 50414267 + patient
        for view in ("PA", "LATERAL") if patient % 3 else ("AP", ""):
            dicom = f"{patient:08x}-{len(metadata):08x}-c0ffee00"
            relative = f"files/p{str(subject)[:2]}/p{subject}/s{study}/{dicom}.jpg"
            save(root / relative, draw(len(metadata), 36, 30))
            metadata.append(
                {
                    "dicom_id": dicom,
                    "subject_id": subject,
                    "study_id": study,
                    "ViewPosition": view,
                    "Rows": 36,
                }
            )
            where = "test" if patient >= 10 else "validate" if patient >= 8 else "train"
            split.append({"dicom_id": dicom, "study_id": study, "subject_id": subject, "split": where})
        if patient != 5:  # this study has no row in the label table, as some have not
            cells: dict[str, Any] = {"subject_id": subject, "study_id": study}
            cells |= {"Cardiomegaly": (1.0, "", -1.0)[patient % 3], "Edema": 0.0, "Support Devices": 1.0}
            labels.append(cells)
    for kind, rows in (("metadata", metadata), ("chexpert", labels), ("split", split)):
        pd.DataFrame(rows).to_csv(root / f"mimic-cxr-2.0.0-{kind}.csv.gz", index=False)
    return root


def write_nih(root: Path, folders: int = 1) -> Path:
    """ChestX-ray14; with more than one folder the archives' layout, images_001/images and so on."""
    rows, train, test = [], [], []
    for patient in range(1, 13):
        for follow_up in range(1 + patient % 2):
            name = f"{patient:08d}_{follow_up:03d}.png"
            folder = f"images_{1 + patient % folders:03d}/images" if folders > 1 else "images"
            save(root / folder / name, draw(patient * 10 + follow_up, 32, 32))
            finding = ("No Finding", "Cardiomegaly", "Cardiomegaly|Effusion", "Infiltration")[patient % 4]
            rows.append(
                [name, finding, follow_up, patient, 30 + patient, "MF"[patient % 2], "PA", 2500, 2048]
            )
            (test if patient > 9 else train).append(name)
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
    )
    lines = [",".join(map(str, [*row, 0.143, 0.143])) for row in rows]
    (root / "Data_Entry_2017_v2020.csv").write_text(header + "\n".join(lines) + "\n")
    (root / "train_val_list.txt").write_text("\n".join(train) + "\n")
    (root / "test_list.txt").write_text("\n".join(test) + "\n")
    (root / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
        "00000001_000.png,Cardiomegaly,256.0,512.0,512.0,256.0,,,\n"
        "00000002_000.png,Infiltrate,0.0,0.0,102.4,1024.0,,,\n"
    )
    return root


@pytest.fixture
def nih_root(tmp_path: Path) -> Path:
    return write_nih(tmp_path / "nih")


@pytest.fixture
def nih_archives_root(tmp_path: Path) -> Path:
    return write_nih(tmp_path / "nih_archives", folders=3)


@pytest.fixture
def masks_root(tmp_path: Path) -> Path:
    """A folder of pictures, bit-field masks and a table, split train and val."""
    root = tmp_path / "contoured"
    rows = []
    for number in range(20):
        name = f"case_{number:04d}.png"
        save(root / "images" / name, draw(number))
        save(root / "masks" / name, draw_bits())
        reference = "" if number % 5 == 0 else 0.4 + number / 100
        split = "val" if number >= 15 else "train"
        rows.append([f"images/{name}", f"masks/{name}", f"case_{number:04d}", reference, split])
    columns = ["image", "mask", "patient_id", "ctr_reference", "split"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "ctr.csv", index=False)
    return root


@pytest.fixture
def table_root(tmp_path: Path) -> Path:
    """A folder with a table of somebody's own columns."""
    root = tmp_path / "own data, [2024]=x"
    rows = []
    for number in range(12):
        save(root / f"png/{number}.png", draw(number, 24, 50))
        rows.append([f"png/{number}.png", f"{number // 2:03d}", "pa", (1, 0)[number % 2], "female"])
    columns = ["file", "who", "Projection", "big heart", "Gender"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "table.csv", index=False)
    return root


@pytest.fixture
def real_data() -> Path:
    """The folder of real X-rays; the test is skipped without it."""
    place = os.environ.get("CFX_REAL_DATA", "")
    if not place or not Path(place).is_dir():
        pytest.skip("CFX_REAL_DATA names no folder of real X-rays")
    return Path(place)
