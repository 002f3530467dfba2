r"""Counterfactuals as a DICOM secondary capture series (the extra `dicom`), marked so that none is taken for real.

Each file says that it is synthetic where a viewer, an archive and a script look: in the pixels (the mark is always
burned in), in Series Description, Derivation Description and Image Comments, by ImageType DERIVED\SECONDARY,
ConversionType SYN and Synthetic Data YES. UIDs are new; the source is named in the Source Image Sequence.
"""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cfx import __version__
from cfx.data.dicom import is_dicom, open_dicom, quiet
from cfx.data.reading import Float
from cfx.errors import BadValue
from cfx.evaluation.explain_tools import Tools
from cfx.evaluation.explained import MARK, Step
from cfx.evaluation.marking import marked
from cfx.files import write_atomic

SERIES_NUMBER = 9001  # behind the series that a modality makes
_STUDY = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "ReferringPhysicianName",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
)
# How large a pixel is and what an earlier compression lost hold for the counterfactual too.
_PIXELS = (
    "PixelSpacing",
    "PixelSpacingCalibrationType",
    "PixelSpacingCalibrationDescription",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)


def check_dicom(argument: str = "dicom") -> ModuleType:
    """The library that writes DICOM files.

    Raises:
        BadValue: it is not installed.
    """
    try:
        return importlib.import_module("highdicom")
    except ImportError as error:
        raise BadValue(
            argument, "true", "writing DICOM needs highdicom", "pip install 'cfx[dicom]'"
        ) from error


class Series:
    """The series of one image file.

    Args:
        source: the image file; where it is DICOM, the series refers to it.
        sha256: of that file; a replaced patient ID is made of it, so that it says nothing of the patient and is
            the same in a later run.
        tools: the run's parts.
        identifiers: `keep` files the series under the source's patient and study, `remove` under a new study of a
            patient without a name. The reference to the source's UID stays in both.
    """

    def __init__(self, source: Path, sha256: str, tools: Tools, identifiers: str) -> None:
        check_dicom()
        self.source = open_dicom(source, "input", pixels=False) if is_dicom(source) else None
        self.keep = identifiers == "keep" and self.source is not None
        self.pseudonym = f"CFX-{sha256[:12]}"
        self.tools = tools
        new = importlib.import_module("pydicom.uid").generate_uid
        known = self.source.get("StudyInstanceUID") if self.keep and self.source is not None else None
        self.study = str(known) if known else new(prefix=None)
        self.uid = new(prefix=None)

    def write(self, picture: Float, path: Path, index: int, step: Step, *, whole: bool) -> None:
        """Writes one counterfactual, with the mark.

        Args:
            picture: grey (H, W) in [0, 1], unmarked.
            path: the file.
            index: its place in the series, from 0.
            step: the target and what was read of it.
            whole: whether the picture has the source's own pixels, so that their spacing holds.
        """
        with quiet():
            dataset = self._made(np.asarray(marked(picture)), index, whole)
        finding = self.tools.blackbox.finding
        said = (
            f"SYNTHETIC counterfactual, not a radiograph: drawn by cfx {__version__} ({self.tools.run},"
            f" {self.tools.explainer.name}) from the source image so that a classifier gives {finding} the"
            f" probability {step.target:g}; it gives {step.reading.posterior:.3f}. For research, not for diagnosis."
        )
        dataset.SeriesDescription = f"SYNTHETIC counterfactual: {finding}"[:64]
        dataset.DerivationDescription = said[:1024]
        dataset.ImageComments = f"{MARK}: {finding} at probability {step.target:g}"
        with quiet():
            write_atomic(path, lambda beside: dataset.save_as(beside, enforce_file_format=True))

    def _made(self, pixels: Any, index: int, whole: bool) -> Any:
        """A complete secondary capture instance but for its descriptions."""
        new = importlib.import_module("pydicom.uid").generate_uid
        dataset = check_dicom().sc.SCImage(
            pixels,
            photometric_interpretation="MONOCHROME2",
            bits_allocated=8,
            coordinate_system="PATIENT",
            study_instance_uid=self.study,
            series_instance_uid=self.uid,
            series_number=SERIES_NUMBER,
            sop_instance_uid=new(prefix=None),
            instance_number=index + 1,
            manufacturer="cfx",
            manufacturer_model_name=self.tools.run[:64] or "cfx",
            software_versions=__version__,
            patient_id=self.pseudonym,
            patient_orientation=("L", "F"),
        )
        dataset.SpecificCharacterSet = "ISO_IR 192"
        # The constructor wants an orientation; whether a picture without one is mirrored nobody knows: empty says so.
        dataset.PatientOrientation = None
        dataset.ImageType = ["DERIVED", "SECONDARY"]
        dataset.ConversionType = "SYN"
        dataset.SyntheticData = "YES"
        # The mark is burned in, and whatever letters the source has: YES keeps it from passing as free of text.
        dataset.BurnedInAnnotation = "YES"
        dataset.BodyPartExamined = "CHEST"
        if self.source is not None:
            self._tie(dataset, self.source, whole)
        return dataset

    def _tie(self, dataset: Any, source: Any, whole: bool) -> None:
        """What a DICOM source hands on: a reference, geometry, and the patient where that is wanted."""
        orientation = source.get("PatientOrientation")
        if orientation is not None and len(orientation) == 2:
            dataset.PatientOrientation = list(orientation)
        if str(source.get("LossyImageCompression", "")) == "01":
            dataset.LossyImageCompression = "01"
        for name in _PIXELS if whole else _PIXELS[3:]:
            if source.get(name) not in (None, ""):
                dataset[name] = source[name]  # as it is: setting a value would refuse what archives hold
        if source.get("SOPClassUID") and source.get("SOPInstanceUID"):
            dataset.SourceImageSequence = [_reference(source)]
        if self.keep:
            for name in _STUDY:
                if name in source:
                    dataset[name] = source[name]
        else:
            dataset.PatientIdentityRemoved = "YES"
            dataset.DeidentificationMethod = "cfx: patient and study of the source left out, UIDs new"


def _reference(source: Any) -> Any:
    """An item of the Source Image Sequence."""
    dataset = importlib.import_module("pydicom").Dataset
    item = dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    purpose = dataset()
    purpose.CodeValue = "121322"
    purpose.CodingSchemeDesignator = "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item
