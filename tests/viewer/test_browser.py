"""The page in a real browser: choose, drop, turn the knob, be told what is wrong. Skipped without a Chromium."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browsing import PHONE, WIDE, Opened, Served
from PIL import Image
from visit import chest, dicom

from cfx.evaluation.explain_tools import Tools
from cfx.reporting.html import report_html
from cfx.reporting.run_files import Example, RunFiles
from cfx.reporting.study_files import Study
from cfx.viewer.server import Limits, viewer_app
from cfx.viewer.store import Visits
from cfx.viewer.study_server import study_app


@pytest.fixture
def url(tools: Tools, tmp_path: Path) -> Iterator[str]:
    """The viewer of the toy run with one example."""
    Image.fromarray(chest(32, 32)).save(tmp_path / "a.png")
    example = Example(
        "image7", "p1", "up", "TN", "best", (0.0, 1.0), (0.1, 0.9), (None, None), 0.2, 0.4,
        tmp_path / "a.png", (tmp_path / "a.png",) * 2, note="F, 63 y",
    )  # fmt: skip
    with Served(viewer_app(tools, [example], Limits(upload=400_000))) as found:
        yield found


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["desktop", "phone"])
def test_a_dropped_dicom_answers_to_the_knob(
    browser: Any, url: str, size: dict[str, int], tmp_path: Path
) -> None:
    opened = Opened(browser, url, size)
    page = opened.page
    page.wait_for_selector("#finding:text-is('cardiomegaly')")
    assert opened.narrow_enough() and page.is_visible("#welcome")
    (tmp_path / "film.dcm").write_bytes(dicom(chest(200, 160)))
    page.set_input_files("#file", str(tmp_path / "film.dcm"))
    page.wait_for_selector(".knob-slider")
    assert "film.dcm" in opened.text("#name") and not page.is_visible("#welcome")
    said, seen = [], []
    for index in (0, 10, 20):
        opened.turn(index)
        said.append(float(opened.text(".knob-facts dd b")))
        seen.append(opened.pixels())
    assert said[0] < 0.2 < 0.45 < said[1] < 0.55 < 0.8 < said[2]
    assert seen[0] != seen[1] != seen[2]
    assert page.is_visible(".knob-verdict") and opened.narrow_enough()
    assert {
        address.partition(":8")[0].split("/")[2].split(":")[0]
        for address in opened.asked
        if address.startswith("http")
    } == {"localhost"}
    assert opened.wrong == []
    page.close()


def test_the_keyboard_alone_is_enough(browser: Any, url: str) -> None:
    opened = Opened(browser, url, WIDE)
    page = opened.page
    page.click(".card")
    page.wait_for_selector(".knob-slider")
    assert page.evaluate("document.activeElement.className") == "knob-slider"
    opened.turn(10)
    before = opened.text(".knob-label b")
    page.keyboard.press("ArrowRight")
    assert float(opened.text(".knob-label b")) == pytest.approx(float(before) + 0.05)
    plain = opened.pixels()
    page.keyboard.press("o")
    assert page.get_attribute(".knob-toggle >> nth=0", "aria-pressed") == "false" and opened.pixels() != plain
    page.keyboard.press("d")
    assert "What changed" in opened.text(".knob-frame:nth-child(2) figcaption")
    page.keyboard.press("s")
    assert not page.is_visible(".knob-frame:nth-child(1)")
    page.keyboard.down("h")
    assert opened.text(".knob-frame:nth-child(2) figcaption") == "Original"
    page.keyboard.up("h")
    assert opened.text(".knob-frame:nth-child(2) figcaption") != "Original"
    assert opened.wrong == []
    page.close()


def test_a_bad_file_gives_a_message_and_the_next_one_works(browser: Any, url: str, tmp_path: Path) -> None:
    opened = Opened(browser, url, PHONE)
    page = opened.page
    (tmp_path / "notes.png").write_text("no picture")
    page.set_input_files("#file", str(tmp_path / "notes.png"))
    page.wait_for_selector("#message:not([hidden])")
    assert "notes.png is no PNG, JPEG or DICOM file" in opened.text("#message")
    (tmp_path / "large.png").write_bytes(b"x" * 500_000)
    page.set_input_files("#file", str(tmp_path / "large.png"))
    page.wait_for_selector("#message:has-text('larger than')")
    page.click(".card")
    page.wait_for_selector(".knob-slider")
    assert not page.is_visible("#message") and opened.narrow_enough()
    with page.expect_download() as begun:
        page.click("#download")
    assert begun.value.suggested_filename == "image7_counterfactuals.zip"
    page.close()


def test_leaving_the_page_drops_the_picture(browser: Any, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forget, gone = Visits.forget, threading.Event()

    def watched(self: Visits, name: str) -> None:
        forget(self, name)
        gone.set()

    monkeypatch.setattr(Visits, "forget", watched)
    opened = Opened(browser, url, WIDE)
    page = opened.page
    page.click(".card")
    page.wait_for_selector(".knob-slider")
    kept = url.rstrip("/") + str(page.get_attribute("#download", "href"))
    assert page.request.get(kept).status == 200 and not gone.is_set()
    page.goto("about:blank")
    for _ in range(300):  # a beacon is sent when the browser finds the time
        if gone.is_set():
            break
        page.wait_for_timeout(100)
    assert gone.is_set() and page.request.get(kept).status == 404
    page.close()


def test_the_reports_strips_have_the_same_knob(browser: Any, tmp_path: Path) -> None:
    targets = (0.0, 0.5, 1.0)
    for number in range(4):
        Image.fromarray(chest(64, 64, 0.3 + 0.1 * number, 3)).save(tmp_path / f"{number}.png")
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    example = Example(
        "i", "p", "up", "TN", "best", targets, (0.1, 0.5, 0.9), (0.4, 0.45, 0.5), 0.1, 0.4, paths[0], tuple(paths[1:])
    )  # fmt: skip
    files = RunFiles(tmp_path, {"task": "t", "data": "d", "method": "m"}, pd.DataFrame(), (example,))
    (tmp_path / "report.html").write_text(report_html(files), encoding="utf-8")
    opened = Opened(browser, (tmp_path / "report.html").as_uri(), PHONE)
    page = opened.page
    assert page.locator(".cell").count() == 5
    page.click("text=Turn the knob")
    page.wait_for_selector(".knob-slider")
    opened.turn(2)
    assert "0.90" in opened.text(".knob-facts") and "+0.10" in opened.text(".knob-facts")
    assert not page.is_visible(".cells") and opened.narrow_enough()
    page.click("text=Show all side by side")
    assert page.is_visible(".cells") and page.locator(".knob").count() == 0
    assert opened.wrong == []
    page.close()


def drag(page: Any, line: Any, to: float) -> None:
    """Drags a line to a share of its picture's width."""
    picture = line.locator("xpath=..").bounding_box()
    box = line.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(picture["x"] + to * picture["width"], box["y"] + box["height"] * 0.3, steps=3)
    page.mouse.up()


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["desktop", "phone"])
def test_a_reader_answers_a_pair(browser: Any, study: Study, size: dict[str, int]) -> None:
    with Served(study_app(study, Limits())) as url:
        opened = Opened(browser, url, size)
        page = opened.page
        page.fill("#code", "anna")
        page.click("#who button")
        page.wait_for_selector("#blind:not([hidden]) .line")
        assert opened.narrow_enough() and "cardio" not in opened.text("#blind").lower()
        page.click("#blind [type=submit]")
        assert "every question" in opened.text("#message")
        for name in ("real_left", "real_right", "same_patient"):
            page.check(f"input[name={name}][value='4']", force=True)
        page.click("#blind [type=submit]")
        assert "four lines" in opened.text("#message")
        wanted = {"heart": (0.36, 0.64), "thorax": (0.12, 0.9)}
        for organ, edges in wanted.items():
            for end, to in enumerate(edges):
                line = page.locator(f".sight:nth-child(1) .line.{organ}").nth(end)
                line.scroll_into_view_if_needed()
                drag(page, line, to)
        page.check(".sight:nth-child(2) .untold input")
        page.click("#blind [type=submit]")
        page.wait_for_selector(":is(#blind, #open):not([hidden]) [type=submit]:not([disabled])")
        record = study.answers("anna")[0]
        lines = record["answers"]["lines"]
        assert lines["right"] is None
        for organ, edges in wanted.items():
            assert lines["left"][organ] == pytest.approx(edges, abs=0.01)
        assert opened.wrong == [] and opened.narrow_enough()
        page.close()
