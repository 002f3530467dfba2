"""What a DICOM header says a picture is: enough to refuse a CT slice or a knee before it is explained."""

import re
from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from cfx.data.dicom import is_dicom, open_dicom, quiet

# Projection radiography, and what converters write who know nothing: other and secondary capture.
RADIOGRAPHY: Final = frozenset({"CR", "DX", "DR", "RG", "OT", "SC"})
# Spellings found in chest X-rays (CHEST, PORT CHEST, THORAX, TORAX, LUNG) and in coded regions; no spine and no ribs.
_CHEST: Final = re.compile(r"CHEST|THORAX|TORAX|THORACIC CAVITY|LUNG|PULM|HEART")
_LATERAL: Final = frozenset({"LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT"})
_OBLIQUE: Final = frozenset({"RAO", "LAO", "RPO", "LPO", "RLO", "LLO", "OBLIQUE"})


def header_problem(path: Path, views: Collection[str] = (), argument: str = "input") -> str | None:
    """What a file's header says against it being a chest radiograph of the views that a run knows.

    A header that says nothing is no problem; a file that is not DICOM has no header.

    Args:
        path: the file.
        views: the run's views, of PA, AP and LATERAL; empty: any.
        argument: name of the user's argument, for the error's text.

    Returns:
        a clause such as ``its header says Modality=CT, which is no radiograph``; None where there is none.

    Raises:
        BadImage: the file is called DICOM and is none, or pydicom is missing.
    """
    if not is_dicom(path):
        return None
    with quiet():
        return problem_of(open_dicom(path, argument, pixels=False), views)


def content_problem(content: bytes, name: str, views: Collection[str] = ()) -> str | None:
    """`header_problem` of a DICOM file's content; `name` is what it is called in an error's text.

    Raises:
        BadImage: as there.
    """
    with quiet():
        return problem_of(open_dicom(BytesIO(content), "input", name, pixels=False), views)


def problem_of(dataset: Any, views: Collection[str] = ()) -> str | None:
    """The same of a data set (`pydicom.Dataset`) that has been read."""
    if _word(dataset.get("SyntheticData")) == "YES":
        return "its header says SyntheticData=YES, so it was drawn by a model"
    modality = _word(dataset.get("Modality"))
    if modality and modality not in RADIOGRAPHY:
        return f"its header says Modality={modality}, which is no radiograph"
    part = _word(dataset.get("BodyPartExamined"))
    if not part and dataset.get("AnatomicRegionSequence"):
        part = _word(dataset.AnatomicRegionSequence[0].get("CodeMeaning"))
    if part and not _CHEST.search(part):
        return f"its header says BodyPartExamined={part}, which is no chest"
    view = _word(dataset.get("ViewPosition"))
    if views and ((view in _LATERAL and "LATERAL" not in views) or view in _OBLIQUE):
        return f"its header says ViewPosition={view}, and the run knows {', '.join(views)}"
    return None


def _word(value: Any) -> str:
    return "" if value is None else str(value).strip().upper()
