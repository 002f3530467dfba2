"""Counterfactuals as DICOM: conformant secondary captures that say what they are and whose they are not."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explain_toys import SIZE, Brighter, Brightness, bands, film_pixels, write
from torch import Tensor

from cfx.classifiers.blackbox import BlackBox
from cfx.data.dicom import read_dicom
from cfx.data.dicom_header import header_problem
from cfx.errors import BadValue
from cfx.evaluation.explain_files import Settings, Tools, explain_files
from cfx.evaluation.large_pictures import file_stems
from cfx.explainers.base import Counterfactual

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

TARGETS = (0.0, 0.5, 1.0)
# Attributes of the Secondary Capture Image IOD (PS3.3 A.8.1) that must have a value, and those that must be there.
WITH_VALUE = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "ConversionType",
    "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PixelData", "SpecificCharacterSet",
)  # fmt: skip
PRESENT = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber", "SeriesNumber", "InstanceNumber", "Manufacturer",
    "PatientOrientation",
)  # fmt: skip
IDENTIFYING = ("ller", "4711", "19500102", "20200304", "101112", "A1", "Doe")


def toy() -> Tools:
    blackbox = BlackBox(Brightness(), finding="Cardiomegaly")
    return Tools(Brighter(blackbox), blackbox, bands, None, SIZE, run="toy")


def series(source: Path, out: Path, tools: Tools | None = None, **settings: Any) -> list[Any]:
    """The data sets written for one file, read back with every value checked against its VR."""
    chosen = Settings(**{"targets": TARGETS, "full_resolution": (), "dicom": True, **settings})
    outcome = explain_files([source], source.parent, out, tools or toy(), chosen, echo=lambda line: None)[0]
    assert outcome.numbers is not None
    steps = outcome.numbers["steps"]
    names = [step["full_resolution"]["dicom"] for step in steps]
    assert names == ["dicom/c000.dcm", "dicom/c050.dcm", "dicom/c100.dcm"]
    before = pydicom.config.settings.reading_validation_mode
    pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE
    try:
        found = [pydicom.dcmread(out / outcome.folder / name) for name in names]
        for dataset in found:
            dataset.walk(lambda each, element: element.value)  # values are checked when they are asked for
        return found
    finally:
        pydicom.config.settings.reading_validation_mode = before


def check(dataset: Any) -> None:
    """What a conformance checker asks of a secondary capture."""
    assert dataset.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
    assert dataset.file_meta.MediaStorageSOPClassUID == dataset.SOPClassUID
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert all(dataset.get(name) not in (None, "") for name in WITH_VALUE)
    assert all(name in dataset for name in PRESENT)
    for name in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        assert dataset.get(name).is_valid and len(dataset.get(name)) <= 64
    assert (dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit) == (8, 8, 7)
    assert len(dataset.PixelData) == dataset.Rows * dataset.Columns + dataset.Rows * dataset.Columns % 2
    assert not any(element.tag.element == 0 for element in dataset)  # group lengths are retired
    assert not any(element.tag.is_private for element in dataset)
    assert len(dataset.SeriesDescription) <= 64 and len(dataset.DerivationDescription) <= 1024


def test_the_series_is_conformant_and_says_that_it_is_synthetic(
    tmp_path: Path, write_dicom: Callable[..., Path]
) -> None:
    source = write_dicom(tmp_path / "a.dcm", film_pixels(121, 91), PixelSpacing=[0.2, 0.2])
    found = series(source, tmp_path / "out")
    for number, dataset in enumerate(found, start=1):
        check(dataset)
        assert dataset.ImageType == ["DERIVED", "SECONDARY"] and dataset.ConversionType == "SYN"
        assert dataset.BurnedInAnnotation == "YES" and dataset.SyntheticData == "YES"
        assert (
            "SYNTHETIC" in dataset.SeriesDescription and "not a radiograph" in dataset.DerivationDescription
        )
        assert f"probability {TARGETS[number - 1]:g}" in dataset.DerivationDescription
        assert dataset.InstanceNumber == number and (dataset.Rows, dataset.Columns) == (121, 91)
        assert dataset.PixelSpacing == [0.2, 0.2]
    assert len({dataset.SeriesInstanceUID for dataset in found}) == 1
    assert len({dataset.SOPInstanceUID for dataset in found}) == 3


def test_it_refers_to_its_source_and_has_uids_of_its_own(
    tmp_path: Path, write_dicom: Callable[..., Path]
) -> None:
    source = write_dicom(tmp_path / "a.dcm", film_pixels(60, 60))
    origin = pydicom.dcmread(source)
    for dataset in series(source, tmp_path / "out"):
        item = dataset.SourceImageSequence[0]
        assert item.ReferencedSOPInstanceUID == origin.SOPInstanceUID
        assert item.ReferencedSOPClassUID == origin.SOPClassUID
        assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        own = {dataset.SOPInstanceUID, dataset.SeriesInstanceUID, dataset.StudyInstanceUID}
        assert not own & {origin.SOPInstanceUID, origin.SeriesInstanceUID, origin.StudyInstanceUID}


def test_the_patient_is_left_out_unless_it_is_kept(tmp_path: Path, write_dicom: Callable[..., Path]) -> None:
    source = write_dicom(tmp_path / "a.dcm", film_pixels(60, 60), PatientAge="070Y")
    removed = series(source, tmp_path / "removed")[0]
    assert removed.PatientIdentityRemoved == "YES" and removed.PatientID.startswith("CFX-")
    values = [
        str(element.value)
        for element in removed
        if element.VR not in ("UI", "SQ", "OB", "OW") and "Creation" not in element.keyword
    ]
    assert not [text for text in IDENTIFYING if any(text == value or text in value[:40] for value in values)]
    assert "PatientAge" not in removed
    kept = series(source, tmp_path / "kept", identifiers="keep")[0]
    check(kept)
    origin = pydicom.dcmread(source)
    assert str(kept.PatientName) == "Müller^Eva" and kept.PatientID == "4711" and kept.PatientAge == "070Y"
    assert kept.StudyInstanceUID == origin.StudyInstanceUID and kept.AccessionNumber == "A1"
    assert kept.SeriesInstanceUID != origin.SeriesInstanceUID and "PatientIdentityRemoved" not in kept


def test_the_mark_is_always_burned_in(tmp_path: Path, write_dicom: Callable[..., Path]) -> None:
    source = write_dicom(tmp_path / "a.dcm", film_pixels(200, 160))
    found = series(source, tmp_path / "out", mark=False, full_resolution=TARGETS)
    for dataset, stem in zip(found, ("c000", "c050", "c100"), strict=True):
        drawn = dataset.pixel_array
        bare = read_dicom_png(tmp_path / "out" / "a" / f"full_resolution_{stem}.png")
        differs = np.abs(drawn.astype(int) - bare).max(axis=1) > 2
        assert differs[-12:].any() and not differs[:150].any()


def read_dicom_png(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as opened:
        return np.asarray(opened).astype(int)


def test_a_png_becomes_a_series_of_an_unnamed_patient(tmp_path: Path) -> None:
    for dataset in series(write(tmp_path / "a.png", 50, 41), tmp_path / "out", identifiers="keep"):
        check(dataset)
        assert dataset.PatientID.startswith("CFX-") and not dataset.PatientName
        assert "SourceImageSequence" not in dataset and not dataset.PatientOrientation


def test_a_lossy_source_stays_known_as_lossy_and_its_orientation_is_taken_over(
    tmp_path: Path, write_dicom: Callable[..., Path]
) -> None:
    source = write_dicom(
        tmp_path / "a.dcm", film_pixels(64, 64), "baseline", LossyImageCompression="01",
        LossyImageCompressionRatio=10, PatientOrientation=["L", "F"],
    )  # fmt: skip
    dataset = series(source, tmp_path / "out")[0]
    assert dataset.LossyImageCompression == "01" and dataset.LossyImageCompressionRatio == 10
    assert dataset.PatientOrientation == ["L", "F"]


def test_what_was_drawn_is_refused_as_a_radiograph(tmp_path: Path) -> None:
    series(write(tmp_path / "a.png", 50, 41), tmp_path / "out")
    drawn = tmp_path / "out" / "a" / "dicom" / "c100.dcm"
    assert read_dicom(drawn).shape == (50, 41)
    assert "drawn by a model" in (header_problem(drawn) or "")


def test_a_method_without_edits_writes_its_pictures_at_their_own_size(
    tmp_path: Path, write_dicom: Callable[..., Path]
) -> None:
    class Redraws(Brighter):
        def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
            drawn = super().explain(image, targets)
            return Counterfactual(drawn.images, drawn.targets, drawn.posterior)

    tools = toy()
    redraws = Tools(Redraws(tools.blackbox), tools.blackbox, bands, None, SIZE, run="toy")
    source = write_dicom(tmp_path / "a.dcm", film_pixels(128, 64), PixelSpacing=[0.2, 0.2])
    dataset = series(source, tmp_path / "out", redraws)[0]
    assert (dataset.Rows, dataset.Columns) == (32, 16) and "PixelSpacing" not in dataset


def test_without_highdicom_the_remedy_is_told_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    source = write(tmp_path / "a.png", 50, 41)
    with pytest.raises(BadValue, match=r"pip install 'cfx\[dicom\]'"):
        explain_files([source], tmp_path, tmp_path / "out", toy(), Settings(dicom=True))
    assert not (tmp_path / "out").exists()


def test_targets_that_lie_close_get_files_of_their_own() -> None:
    assert file_stems([0.0, 0.25, 1.0]) == ["c000", "c025", "c100"]
    assert file_stems([0.331, 0.334]) == ["c0331", "c0334"]
