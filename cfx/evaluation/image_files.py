"""Which image files an input names, and the folder that each of them gets."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cfx.data.dicom import is_dicom
from cfx.errors import BadImage, MissingPath

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom"}


def find_images(place: Path, argument: str = "input", without: Path | None = None) -> list[Path]:
    """The image files that ``input=`` names: the file itself, or all in a folder and its subfolders, sorted.

    In a folder a file counts by its name's end, one without any end by the letters of a DICOM file; hidden
    files and all others are passed over.

    Args:
        place: the file or folder.
        argument: name of the user's argument, for the error's text.
        without: a folder whose files are passed over, such as the one that results go to.

    Raises:
        MissingPath: there is nothing of that name.
        BadImage: the folder holds no image.

    """
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise MissingPath(argument, str(place), "there is no such file or folder", "check the path")
    hidden = None if without is None else without.resolve()
    found = [
        path
        for path in sorted(place.rglob("*"))
        if _counts(path, place) and (hidden is None or not path.resolve().is_relative_to(hidden))
    ]
    if not found:
        raise BadImage(argument, str(place), "holds no image", "give a folder of PNG, JPEG or DICOM files")
    return found


def _counts(path: Path, place: Path) -> bool:
    if not path.is_file() or any(part.startswith(".") for part in path.relative_to(place).parts):
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        # A UID as a name, as archives write them, has dots and a number where others have an end.
        return (not path.suffix or path.suffix[1:].isdigit()) and is_dicom(path)
    except OSError:  # a file that may not be read
        return False


def folder_names(paths: Sequence[Path], root: Path) -> list[str]:
    """A folder name for each file, no two alike where case does not count.

    A file's path below the root without its end; with its end where two would collide; with letters from its
    SHA-256 behind it where they still do. Which of these depends on the names alone, so that a later run finds
    its folders again.
    """
    relative = [path.relative_to(root) if path.is_relative_to(root) else Path(path.name) for path in paths]
    names = ["__".join(_without_end(path).parts) for path in relative]
    longer = ["__".join(path.parts).replace(".", "_") for path in relative]
    names = _where_alike(names, longer)
    digests = [hashlib.sha256(path.as_posix().encode()).hexdigest()[:8] for path in relative]
    return _where_alike(names, [f"{name}_{digest}" for name, digest in zip(names, digests, strict=True)])


def _where_alike(names: list[str], instead: list[str]) -> list[str]:
    """The names, those that occur more than once replaced."""
    count = Counter(name.casefold() for name in names)
    return [other if count[name.casefold()] > 1 else name for name, other in zip(names, instead, strict=True)]


def _without_end(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
