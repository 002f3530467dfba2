"""The viewer's server: one page, the run's examples, one upload at a time, and the download of what was drawn."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from cfx.data.reading import Float
from cfx.evaluation.explain_tools import Tools
from cfx.reporting.progression_widget import jpeg_uri
from cfx.reporting.progressions import CALLS
from cfx.reporting.run_files import Example, read_grey
from cfx.viewer.guard import Guard
from cfx.viewer.pages import page
from cfx.viewer.payload import archive, archive_name, progression_json
from cfx.viewer.progression import STEPS, Shown, show
from cfx.viewer.store import LIFETIME, Visits
from cfx.viewer.uploads import MEBIBYTE, Refused, decode, receive

SWEEP_SECONDS = 30.0
MOST_WAITING = 8
_THUMBNAIL = 96


@dataclass(frozen=True)
class Limits:
    """What a visitor may do.

    Attributes:
        upload: bytes of a file.
        names: host names beside loopback that are answered to.
        addresses: whether any bare IP address is answered to.
        token: what a visitor from the network must know; None where there is none.

    """

    upload: int = 32 * MEBIBYTE
    names: tuple[str, ...] = ()
    addresses: bool = False
    token: str | None = None


async def refused(request: Request, error: Exception) -> Response:
    """A refusal as JSON with a sentence for the visitor."""
    assert isinstance(error, Refused)
    return JSONResponse({"error": error.message}, error.status)


async def not_there(request: Request, error: Exception) -> Response:
    """HTTP errors of the router as JSON."""
    assert isinstance(error, HTTPException)
    words = {404: "There is nothing of that name.", 405: "That is not how this address is used."}
    return JSONResponse({"error": words.get(error.status_code, error.detail)}, error.status_code)


async def defect(request: Request, error: Exception) -> Response:
    """What the visitor is told of a defect; the traceback goes to the terminal alone."""
    return JSONResponse({"error": "The server failed on this request; its terminal says why."}, 500)


HANDLERS: dict[Any, Any] = {Refused: refused, HTTPException: not_there, Exception: defect}


class Bench:
    """Works on one picture at a time, off the event loop; a few may wait."""

    def __init__(self) -> None:
        self._one = anyio.Lock()
        self._waiting = 0

    async def work(self, *job: Any) -> Any:
        """Calls `job[0]` with the rest, in a thread.

        Raises:
            Refused: 503 where too many wait already.

        """
        if self._waiting >= MOST_WAITING:
            raise Refused(503, "Too many pictures are waiting to be drawn. Try again in a few seconds.")
        self._waiting += 1
        try:
            async with self._one:
                return await anyio.to_thread.run_sync(*job)
        finally:
            self._waiting -= 1


class Viewer:
    """The handlers of one run.

    Args:
        tools: the run's parts.
        examples: the run's own progressions, whose originals may be chosen.
        limits: what a visitor may do.

    """

    def __init__(self, tools: Tools, examples: Sequence[Example], limits: Limits) -> None:
        self.tools, self.examples, self.limits = tools, examples, limits
        self.visits = Visits()
        self.bench = Bench()
        self.page = page("page")

    async def index(self, request: Request) -> HTMLResponse:
        """The page."""
        return self.page

    async def run(self, request: Request) -> Response:
        """What the page needs to know of the run, with its examples."""
        return JSONResponse(
            {
                "run": self.tools.run,
                "finding": self.tools.blackbox.finding,
                "prior": self.tools.blackbox.prior,
                "size": self.tools.size,
                "checked": self.tools.transfer is not None,
                "upload": self.limits.upload,
                "examples": [_card(example) for example in self.examples],
            }
        )

    async def example(self, request: Request) -> Response:
        """The progression of one of the run's examples, drawn anew."""
        number = request.path_params["number"]
        if number >= len(self.examples):
            raise Refused(404, "The run has no such example.")
        chosen = self.examples[number]
        return await self._answer(chosen.image_id, read_grey(chosen.original))

    async def phantom(self, request: Request) -> Response:
        """The progression of a drawn chest, for a visitor without an X-ray at hand."""
        return await self._answer("digital phantom (no patient)", await self.bench.work(phantom_picture))

    async def upload(self, request: Request) -> Response:
        """The progression of a file that was dropped."""
        name, content = await receive(request, self.limits.upload)
        image = await self.bench.work(decode, name, content, self.tools.views)
        return await self._answer(name, image)

    async def _answer(self, name: str, image: Float) -> Response:
        def job() -> tuple[Shown, dict[str, Any]]:
            shown = show(image, name, self.tools, STEPS)
            return shown, progression_json(shown)

        shown, told = await self.bench.work(job)
        return JSONResponse({"id": self.visits.add(shown), **told})

    def _visit(self, request: Request) -> Shown:
        found = self.visits.get(request.path_params["visit"])
        if found is None:
            minutes = round(LIFETIME / 60)
            raise Refused(
                404, f"This picture is no longer kept (after {minutes} minutes it goes). Give it again."
            )
        return found

    async def download(self, request: Request) -> Response:
        """Pictures and numbers as a zip."""
        shown = self._visit(request)
        packed = await self.bench.work(archive, shown)
        disposition = f'attachment; filename="{archive_name(shown)}"'
        return Response(packed, media_type="application/zip", headers={"Content-Disposition": disposition})

    async def forget(self, request: Request) -> Response:
        """Drops a picture as soon as its page is left."""
        self.visits.forget(request.path_params["visit"])
        return Response(status_code=204)

    def routes(self) -> list[Route]:
        """Where each handler is found."""
        return [
            Route("/", self.index),
            Route("/api/run", self.run),
            Route("/api/examples/{number:int}", self.example, methods=["POST"]),
            Route("/api/phantom", self.phantom, methods=["POST"]),
            Route("/api/upload", self.upload, methods=["POST"]),
            Route("/api/visits/{visit}/download", self.download),
            Route("/api/visits/{visit}/forget", self.forget, methods=["POST"]),
        ]


def phantom_picture(patient: int = 3, side: int = 256) -> Float:
    """A chest of the digital phantom, grey (side, side) in [0, 1]."""
    from cfx.data.phantom.anatomy import sample
    from cfx.data.phantom.render import render, tensors

    drawn = render(tensors(sample(0, [patient])), 0, side, with_devices=False)
    picture: Float = drawn.grey[0].clamp(0.0, 1.0).numpy().astype(np.float32)
    return picture


def _card(example: Example) -> dict[str, Any]:
    """What the page shows of an example before it is chosen."""
    grey = (read_grey(example.original) * 255.0).astype(np.uint8)
    picture = Image.fromarray(grey)
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return {
        "picture": jpeg_uri(picture),
        "posterior": example.p_before,
        "call": CALLS.get(example.call or "", "call unknown"),
        "note": example.note,
    }


def guarded(routes: Sequence[Route], limits: Limits, **more: Any) -> Guard:
    """An application of some routes, with errors as JSON, and the guard around all of it: answers to defects too."""
    app = Starlette(routes=list(routes), exception_handlers=HANDLERS, **more)
    return Guard(app, names=limits.names, addresses=limits.addresses, token=limits.token)


def viewer_app(tools: Tools, examples: Sequence[Example] = (), limits: Limits | None = None) -> Guard:
    """The viewer as an ASGI application.

    Args:
        tools: the run's parts.
        examples: the run's own progressions.
        limits: what a visitor may do.

    """
    limits = limits or Limits()
    viewer = Viewer(tools, _once(examples), limits)

    @contextlib.asynccontextmanager
    async def alive(app: Starlette) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await anyio.sleep(SWEEP_SECONDS)
                viewer.visits.sweep()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sweep)
            yield
            tasks.cancel_scope.cancel()

    return guarded(viewer.routes(), limits, lifespan=alive)


def _once(examples: Sequence[Example]) -> list[Example]:
    """Each picture once: an example may stand for several ranks."""
    seen: dict[str, Example] = {}
    for example in examples:
        seen.setdefault(example.image_id, example)
    return list(seen.values())


def warm_up(tools: Tools, side: int = 64) -> None:
    """Draws a grey picture once, so that the first visitor does not wait for libraries to be loaded."""
    ramp = np.linspace(0.2, 0.8, side, dtype=np.float32)
    image: Float = np.repeat(ramp[:, None], side, axis=1)
    progression_json(show(image, "", tools, STEPS))
