"""A dropped file: told by its bytes, held in memory, refused in words where it is too large or no X-ray."""

from collections.abc import Collection

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from cfx.data.dicom_header import content_problem
from cfx.data.reading import Float, read_content
from cfx.errors import BadImage

MEBIBYTE = 1 << 20
_OVERHEAD = 16 * 1024  # of the form around the file
_SHORTEST_SIDE = 16
# Deflated DICOM is unpacked as a whole before anything of it is known: a small file may become any size.
_DEFLATED = b"1.2.840.10008.1.2.1.99"


class Refused(Exception):
    """A request that is turned away.

    Args:
        status: of HTTP: 400 not understood, 413 too large, 415 not a type that is read, 422 not usable.
        message: for the visitor, a whole sentence.

    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def kind_of(content: bytes) -> str | None:
    """`PNG`, `JPEG` or `DICOM` by the first bytes of a file, whatever its name; None for anything else."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    return "DICOM" if content[128:132] == b"DICM" else None


async def receive(request: Request, most: int) -> tuple[str, bytes]:
    """The name and the content of the file in a form, never written to a disk.

    Args:
        request: a POST of multipart/form-data with one part `file`.
        most: bytes that the file may have.

    Raises:
        Refused: 413, 415 or 400.

    """
    too_large = Refused(413, f"The file is larger than {most / MEBIBYTE:g} MB, the most that is taken here.")
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refused(415, "Send the picture as a form with one file.")
    claimed = request.headers.get("content-length", "")
    if claimed.isdigit() and int(claimed) > most + _OVERHEAD:
        raise too_large

    received = 0

    async def counted() -> "object":
        nonlocal received
        async for chunk in request.stream():
            received += len(chunk)
            if received > most + _OVERHEAD:
                raise too_large
            yield chunk

    parser = MultiPartParser(request.headers, counted(), max_files=1, max_fields=4)  # type: ignore[arg-type]
    parser.spool_max_size = most + _OVERHEAD + 1  # above it starlette would write a temporary file
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Refused(400, f"The upload was not understood: {error.message}") from error
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise Refused(400, "No file came with the upload.")
    try:
        content = await file.read()
    finally:
        await file.close()
    if len(content) > most:
        raise too_large
    return (file.filename or "picture")[-120:].rpartition("/")[2].rpartition("\\")[2], content


def decode(name: str, content: bytes, views: Collection[str] = ()) -> Float:
    """The picture in a file's content, grey (H, W) in [0, 1].

    Args:
        name: what it is called in an answer.
        content: of the file.
        views: of the run, against which a DICOM header is held as `cfx.explain` does; empty: any.

    Raises:
        Refused: 415 where it is no PNG, JPEG or DICOM, 422 where it is one but cannot be used.

    """
    kind = kind_of(content)
    if kind is None:
        raise Refused(
            415, f"{name} is no PNG, JPEG or DICOM file. Give a frontal chest X-ray as one of these."
        )
    if kind == "DICOM" and _DEFLATED in content:
        raise Refused(
            415, f"{name} is deflated DICOM, which is not read here. Store it uncompressed or as JPEG."
        )
    try:
        problem = content_problem(content, name, views) if kind == "DICOM" else None
        image = read_content(content, name, "input")
    except BadImage as error:
        raise Refused(422, f"{name}: {error.problem}. {error.remedy.capitalize()}.") from error
    if problem is not None:
        raise Refused(422, f"{name} is not explained: {problem}.")
    if min(image.shape) < _SHORTEST_SIDE:
        height, width = image.shape
        raise Refused(422, f"{name} has {width} x {height} pixels, too few to show a chest.")
    return image
