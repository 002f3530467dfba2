"""The reader study's server: one page, a reader's next pair, and answers that are on the disk before the next one."""

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from cfx.errors import BadValue
from cfx.reporting.study_design import BLIND, QUESTIONS, REAL_SCALE, SAME_SCALE, SCALE, Showing
from cfx.reporting.study_files import PAIR, Study, checked_reader
from cfx.viewer.guard import Guard
from cfx.viewer.pages import page
from cfx.viewer.server import Limits, guarded
from cfx.viewer.uploads import Refused

BLIND_STEP, OPEN_STEP = "blind", "open"
LARGEST_ANSWER = 20_000
SIDES = ("left", "right")
LINES = ("heart", "thorax")


def next_step(study: Study, reader: str) -> tuple[Showing, str] | None:
    """The first pair and step that the reader has not answered; None where all is done."""
    done = {(int(each["position"]), str(each["step"])) for each in study.answers(reader)}
    for showing in study.order(reader):
        if (showing.position, BLIND_STEP) not in done:
            return showing, BLIND_STEP
        if study.items[showing.item].kind == PAIR and (showing.position, OPEN_STEP) not in done:
            return showing, OPEN_STEP
    return None


def checked_answers(step: str, given: Any) -> dict[str, Any]:
    """The answers of a step, complete and in range.

    Args:
        step: `blind` or `open`.
        given: what the page sent.

    Raises:
        Refused: 422, with what is missing.

    """
    if not isinstance(given, Mapping):
        raise Refused(422, "The answers were not understood.")
    found: dict[str, Any] = {}
    for key in BLIND if step == BLIND_STEP else QUESTIONS:
        value = given.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 5:
            raise Refused(422, "Please answer every question.")
        found[key] = value
    if step == BLIND_STEP:
        lines = given.get("lines")
        if not isinstance(lines, Mapping):
            raise Refused(422, "Please place the lines on both pictures.")
        found["lines"] = {side: _checked_lines(lines.get(side)) for side in SIDES}
    return found


def _checked_lines(given: Any) -> dict[str, list[float]] | None:
    """Left and right edge of heart and thorax as fractions of the width; None where the reader could not tell."""
    if given is None:
        return None
    found = {}
    for name in LINES:
        edges = given.get(name) if isinstance(given, Mapping) else None
        if (
            not isinstance(edges, list)
            or len(edges) != 2
            or not all(isinstance(edge, int | float) and 0 <= edge <= 1 for edge in edges)
            or not edges[0] < edges[1]
        ):
            raise Refused(422, f"The lines of the {name} are not in order: the left one must be left.")
        found[name] = [round(float(edge), 5) for edge in edges]
    return found


class Reading:
    """The handlers of one study.

    Args:
        study: the study.

    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.page = page("study")
        self._writing = anyio.Lock()

    async def index(self, request: Request) -> HTMLResponse:
        """The page."""
        return self.page

    async def about(self, request: Request) -> Response:
        """What the page needs before a reader has named themselves."""
        return JSONResponse(
            {
                "finding": self.study.finding,
                "questions": QUESTIONS,
                "scales": {"agree": SCALE, "real": REAL_SCALE, "same": SAME_SCALE},
            }
        )

    async def next(self, request: Request) -> Response:
        """A reader's next step."""
        told = await _body(request)
        return self._told(_reader(told))

    async def answer(self, request: Request) -> Response:
        """Takes the answers of a step, and gives the next one."""
        told = await _body(request)
        reader = _reader(told)
        async with self._writing:
            due = next_step(self.study, reader)
            if due is None or (told.get("position"), told.get("step")) != (due[0].position, due[1]):
                raise Refused(
                    409,
                    "This pair has been answered already, perhaps in another window. Load the page again.",
                )
            showing, step = due
            answers = checked_answers(step, told.get("answers"))
            seconds = told.get("seconds")
            record = {
                "reader": reader,
                "position": showing.position,
                "item": showing.item,
                "repeat": showing.repeat,
                "original_left": showing.original_left,
                "step": step,
                "answers": answers,
                "seconds": float(seconds) if isinstance(seconds, int | float) else None,
            }
            self.study.append(reader, record)
        return self._told(reader)

    def _told(self, reader: str) -> Response:
        """The next step as the page shows it; nothing in it tells which picture is which before the pair is open."""
        order = self.study.order(reader)
        due = next_step(self.study, reader)
        if due is None:
            return JSONResponse({"done": True, "total": len(order)})
        showing, step = due
        item = self.study.items[showing.item]
        told: dict[str, Any] = {
            "done": False, "reader": reader, "position": showing.position, "total": len(order), "step": step,
        }  # fmt: skip
        if step == BLIND_STEP:
            names = (item.original, item.other) if showing.original_left else (item.other, item.original)
            told |= {side: _png(self.study.picture(name)) for side, name in zip(SIDES, names, strict=True)}
        else:
            told["progression"] = self.study.progression(item.item)
            told["group"] = item.group
        return JSONResponse(told)

    def routes(self) -> list[Route]:
        """Where each handler is found."""
        return [
            Route("/", self.index),
            Route("/api/study", self.about),
            Route("/api/next", self.next, methods=["POST"]),
            Route("/api/answer", self.answer, methods=["POST"]),
        ]


def _png(content: bytes) -> str:
    return "data:image/png;base64," + b64encode(content).decode("ascii")


async def _body(request: Request) -> dict[str, Any]:
    """The JSON of a request, of bounded size.

    Raises:
        Refused: 413 or 400.

    """
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_ANSWER:
            raise Refused(413, "The answer is too long.")
    try:
        told = json.loads(content)
    except ValueError:
        raise Refused(400, "The answer was not understood.") from None
    if not isinstance(told, dict):
        raise Refused(400, "The answer was not understood.")
    return told


def _reader(told: Mapping[str, Any]) -> str:
    """The reader's code of a request.

    Raises:
        Refused: 422.

    """
    try:
        return checked_reader(str(told.get("reader", "")).strip().lower())
    except BadValue:
        raise Refused(422, "Give a code of 1 to 32 letters, digits, - or _, without spaces.") from None


def study_app(study: Study, limits: Limits) -> Guard:
    """A study as an ASGI application; there is no viewer beside it, which would tell the originals."""
    return guarded(Reading(study).routes(), limits)
