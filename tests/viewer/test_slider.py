"""The slider of a real progression answers in under 100 ms, measured in the page from its input to what is painted."""

import itertools
import os
import statistics
from collections.abc import Iterator
from typing import Any

import pytest
from browsing import PHONE, WIDE, Opened, Served

from cfx.explain import tools_of
from cfx.loading import load_explainer
from cfx.viewer.progression import STEPS
from cfx.viewer.server import viewer_app

MOST = 100.0
"""Milliseconds from an input to its picture."""
WATCH = """() => {
  window.answered = [];
  document.querySelector(".knob-slider").addEventListener("input", (event) => {
    // A frame's callbacks run before it is painted: the next frame begins after the painting.
    const after = () => window.answered.push(performance.now() - event.timeStamp);
    requestAnimationFrame(() => requestAnimationFrame(after));
  }, { capture: true });
}"""
# Looked for in the page, frame by frame: its policy forbids the text that `wait_for_function` sends.
ANSWERED = """count => new Promise((done) => {
  const look = () => (window.answered.length >= count ? done() : requestAnimationFrame(look));
  look();
})"""


@pytest.fixture(scope="module")
def shipped() -> Iterator[str]:
    """The viewer of the weights that ship with the package."""
    with Served(viewer_app(tools_of(load_explainer("pretrained/nih_cardiomegaly")))) as url:
        yield url


def steps(page: Any, key: str, opened: Opened) -> list[tuple[list[int], str]]:
    """Presses a key once a step; the picture and the posterior after each of them."""
    seen = []
    for number in range(1, len(STEPS)):
        page.keyboard.press(key)
        page.evaluate(ANSWERED, number)
        seen.append((opened.pixels(), opened.text(".knob-facts dd b")))
    return seen


@pytest.mark.slow  # a busy machine makes every frame longer
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["desktop", "phone"])
def test_every_step_of_the_slider_is_painted_within_100_ms(
    browser: Any, shipped: str, size: dict[str, int], record_property: Any
) -> None:
    opened = Opened(browser, shipped, size, scale=2)
    page = opened.page
    page.wait_for_selector("#without:not([hidden])")
    page.click("#phantom")
    page.wait_for_selector(".knob-slider")
    assert page.get_attribute(".knob-slider", "max") == str(len(STEPS) - 1)
    page.keyboard.press("o")  # without outlines a picture can differ by its grey values alone
    page.keyboard.press("Home")
    page.evaluate(WATCH)
    seen = steps(page, "ArrowRight", opened)
    bare = page.evaluate("window.answered")
    posteriors = [float(text) for _, text in seen]
    assert posteriors == sorted(posteriors) and posteriors[-1] - posteriors[0] > 0.3
    changed = sum(one[0] != two[0] for one, two in itertools.pairwise(seen))
    assert (
        changed >= len(seen) // 2 and seen[0][0] != seen[-1][0]
    )  # at its limit a run may draw the same again
    page.keyboard.press("o")
    page.evaluate("window.answered.length = 0")
    steps(page, "ArrowLeft", opened)
    outlined = page.evaluate("window.answered")
    for name, taken in (("bare", bare), ("outlined", outlined)):
        told = f"median {statistics.median(taken):.0f} ms, slowest {max(taken):.0f} ms"
        record_property(name, told)
        print(f"{name}: {told}")
        if statistics.median(taken) >= MOST and os.getloadavg()[0] > (os.cpu_count() or 1):
            pytest.skip(f"more work waits than this machine has cores, so it can not be timed; {told}")
        assert statistics.median(taken) < MOST, f"{name}: {told}"
    assert opened.wrong == []
    page.close()
