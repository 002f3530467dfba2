"""What a header says of the picture: radiographs of the chest pass, other things are told by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cfx.data.dicom_header import header_problem, problem_of

pydicom = pytest.importorskip("pydicom")
PIXELS = np.arange(64, dtype=np.uint8).reshape(8, 8)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({}, None),
        ({"Modality": "CR", "BodyPartExamined": "PORT CHEST"}, None),
        ({"Modality": None, "BodyPartExamined": None, "ViewPosition": None}, None),
        ({"Modality": "SC", "BodyPartExamined": "torax "}, None),
        ({"Modality": "CT"}, "Modality=CT"),
        ({"Modality": "MG"}, "Modality=MG"),
        ({"BodyPartExamined": "KNEE"}, "BodyPartExamined=KNEE"),
        ({"BodyPartExamined": "RIBCAGE"}, "BodyPartExamined=RIBCAGE"),
        ({"BodyPartExamined": "TSPINE"}, "BodyPartExamined=TSPINE"),
        ({"ViewPosition": "LL"}, "ViewPosition=LL, and the run knows PA, AP"),
        ({"ViewPosition": "RAO"}, "ViewPosition=RAO"),
        ({"ViewPosition": "AP"}, None),
        ({"SyntheticData": "YES"}, "drawn by a model"),
    ],
)
def test_headers(
    tmp_path: Path, write_dicom: Callable[..., Path], attributes: dict[str, Any], told: str | None
) -> None:
    found = header_problem(write_dicom(tmp_path / "a.dcm", PIXELS, **attributes), ("PA", "AP"))
    assert (found is None) if told is None else (found is not None and told in found)


def test_a_lateral_view_is_fine_where_the_run_knows_it_or_nothing_is_known() -> None:
    dataset = pydicom.Dataset()
    dataset.ViewPosition = "LL"
    assert problem_of(dataset, ("PA", "LATERAL")) is None and problem_of(dataset) is None


def test_a_coded_region_stands_in_for_a_missing_body_part() -> None:
    dataset, region = pydicom.Dataset(), pydicom.Dataset()
    region.CodeMeaning = "Hand"
    dataset.AnatomicRegionSequence = [region]
    assert problem_of(dataset) == "its header says BodyPartExamined=HAND, which is no chest"
    region.CodeMeaning = "Chest"
    assert problem_of(dataset) is None


def test_a_png_has_no_header(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    assert header_problem(tmp_path / "a.png") is None
