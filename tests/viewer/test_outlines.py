"""Outlines and lines: they lie where the mask is, and the lines are the widths that are measured."""

import numpy as np
import pytest

from cfx.measurements import measure
from cfx.viewer.outlines import overlays


def masks(size: int = 64) -> np.ndarray:
    """A heart ellipse between two lungs, soft at the rim."""
    y, x = np.mgrid[0:size, 0:size] / (size - 1)

    def blob(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        return 1 / (1 + np.exp(40 * (np.hypot((x - cx) / rx, (y - cy) / ry) - 1)))

    return np.stack([blob(0.52, 0.6, 0.2, 0.16), blob(0.74, 0.5, 0.14, 0.3), blob(0.26, 0.5, 0.14, 0.3)])[
        None
    ]


def test_outlines_enclose_the_organs_and_lines_are_the_measured_widths() -> None:
    soft = masks()
    (found,) = overlays(soft, 64, 64)
    measured = measure(soft)
    (heart,) = found.outlines["heart"]
    points = np.array(heart)
    left, right = measured.heart_edges[0]
    assert points[:, 0].min() == pytest.approx(left, abs=0.01)
    assert points[:, 0].max() == pytest.approx(right, abs=0.01)
    x0, x1, y = found.lines["heart"]
    assert (x0, x1) == pytest.approx((left, right), abs=1e-4) and y == pytest.approx(0.6, abs=0.02)
    t0, t1, _ = found.lines["thorax"]
    assert (x1 - x0) / (t1 - t0) == pytest.approx(measured.ctr[0], abs=1e-3)
    # the patient's left lung is on the right of the picture
    assert np.mean([p[0] for p in found.outlines["left_lung"][0]]) > 0.6


def test_padding_is_taken_off() -> None:
    # a picture of 200 x 100 fills the middle half of its square's width
    (square,) = overlays(masks(), 64, 64)
    (tall,) = overlays(masks(), 200, 100)
    x0, x1, y0 = square.lines["heart"]
    t0, t1, y1 = tall.lines["heart"]
    assert (t0, t1) == pytest.approx(((x0 - 0.25) * 2, (x1 - 0.25) * 2), abs=1e-3)
    assert y1 == pytest.approx(y0, abs=1e-3)


def test_what_is_not_measurable_has_no_lines_and_no_outline() -> None:
    empty = np.zeros((2, 3, 32, 32))
    empty[1, 0, 10:20, 10:20] = 1
    nothing, heart_alone = overlays(empty, 32, 32)
    assert nothing.lines == {} and nothing.outlines == {"heart": [], "left_lung": [], "right_lung": []}
    assert heart_alone.lines == {} and len(heart_alone.outlines["heart"]) == 1
