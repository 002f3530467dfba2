"""For all tests: no network, one torch thread, and the environment of a user's shell."""

import os
import socket
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # before anything imports albumentations
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")

_LOCAL = ("127.", "::1", "localhost", "0.0.0.0")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing downloads: a connection to anywhere but this machine fails the test."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(_LOCAL):
            raise AssertionError(f"a test opened a connection to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(autouse=True)
def users_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What run_verb sets for its own process does not leak from one test into another."""
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    yield
    os.environ.pop("HYDRA_FULL_ERROR", None)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that the tests are in."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real X-rays; tests that ask for them are skipped where CFX_REAL_DATA names no folder."""
    folder = os.environ.get("CFX_REAL_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CFX_REAL_DATA names no folder")
    return Path(folder)


@pytest.fixture
def write_dicom() -> Callable[..., Path]:
    """Writes a DICOM radiograph: `write_dicom(path, pixels, syntax="plain", **attributes)`; see `dicom_file`."""
    pytest.importorskip("pydicom")
    return dicom_file


def dicom_file(path: Path, pixels: Any, syntax: str = "plain", **attributes: Any) -> Path:
    """Writes a digital radiograph as a hospital's archive holds it.

    Args:
        path: the file.
        pixels: (H, W) unsigned or signed integers of 8 or 16 bits.
        syntax: plain, rle, baseline, lossless, j2k or jpegls.
        attributes: further DICOM attributes by keyword; None leaves one out.
    """
    import pydicom
    from pydicom.encaps import encapsulate

    pixels = np.asarray(pixels)
    bits = 8 * pixels.dtype.itemsize
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    known = {
        "SpecificCharacterSet": "ISO_IR 100", "SOPClassUID": pydicom.uid.DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": pydicom.uid.generate_uid(), "StudyInstanceUID": pydicom.uid.generate_uid(),
        "SeriesInstanceUID": pydicom.uid.generate_uid(), "Modality": "DX", "BodyPartExamined": "CHEST",
        "ViewPosition": "PA", "PatientName": "M\xfcller^Eva", "PatientID": "4711", "PatientBirthDate": "19500102",
        "PatientSex": "F", "AccessionNumber": "A1", "StudyDate": "20200304", "StudyTime": "101112", "StudyID": "S1",
        "ReferringPhysicianName": "Doe^John", "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0], "Columns": pixels.shape[1], "BitsAllocated": bits, "BitsStored": bits,
        "HighBit": bits - 1, "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }  # fmt: skip
    for name, value in {**known, **attributes}.items():
        if value is not None:
            setattr(dataset, name, value)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    if syntax == "rle":
        dataset.compress(pydicom.uid.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    elif syntax == "jpegls":
        dataset.compress(pydicom.uid.JPEGLSLossless, generate_instance_uid=False)
    elif syntax == "baseline":
        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, format="JPEG", quality=95)
        dataset.PixelData = encapsulate([buffer.getvalue()])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    if syntax in ("lossless", "j2k"):
        _recode(path, syntax)
    return path


def _recode(path: Path, syntax: str) -> None:
    """Compresses a plain file in place by GDCM, as no encoder of pydicom can."""
    gdcm = pytest.importorskip("gdcm")
    kinds = {"lossless": "JPEGLosslessProcess14_1", "j2k": "JPEG2000Lossless"}
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, kinds[syntax])))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
