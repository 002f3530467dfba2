"""A real browser for the tests: a page with what it asked for, and an application on a free port.

Nothing is downloaded: a Chromium of the system is taken, or the one that Playwright has been given before.
"""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from cfx.viewer.serving import bound

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 375, "height": 760}


def launched() -> Iterator[Any]:
    """A Chromium; the test that asks for it is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    with playwright.sync_playwright() as runner:
        if path is None and not Path(runner.chromium.executable_path).is_file():
            pytest.skip("no Chromium on this machine")
        # root, as in a container, has no sandbox to start
        sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        try:
            made = runner.chromium.launch(executable_path=path, args=sandbox, timeout=60_000)
        except playwright.Error as error:
            pytest.skip(f"the Chromium here does not start: {str(error).splitlines()[0]}")
        yield made
        made.close()


class Served:
    """An application on a free port of this machine, in a thread."""

    def __init__(self, app: Any) -> None:
        self.socket = bound("127.0.0.1", 0)
        self.url = f"http://localhost:{self.socket.getsockname()[1]}/"
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)

    def __enter__(self) -> str:
        self.thread.start()
        return self.url

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        self.socket.close()


class Opened:
    """A page, with what it asked for and what went wrong in it."""

    def __init__(self, browser: Any, url: str, size: dict[str, int], scale: float = 1.0) -> None:
        self.page = browser.new_page(viewport=size, device_scale_factor=scale)
        self.page.set_default_timeout(60_000)
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        self.page.goto(url)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def turn(self, index: int) -> None:
        """Moves the slider as a hand does."""
        self.page.eval_on_selector(
            ".knob-slider", "(s, v) => { s.value = v; s.dispatchEvent(new Event('input')) }", index
        )

    def narrow_enough(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    def pixels(self) -> list[int]:
        """The drawn picture as the canvas shows it, summed in a coarse grid."""
        grid = """c => { const small = document.createElement('canvas'); small.width = small.height = 12;
            const k = small.getContext('2d'); k.drawImage(c, 0, 0, 12, 12);
            return Array.from(k.getImageData(0, 0, 12, 12).data) }"""
        return list(self.page.eval_on_selector(".knob-frame:nth-child(2) canvas", grid))
