"""What is left of a heart's old border: nothing of one that moved, all of one that stayed, half of a blend."""

import numpy as np
import pytest

from cfx.evaluation.ghosts import OldBorder

SIZE = 256


def disc(radius: float, size: int = SIZE, x: float = 0.5, y: float = 0.55) -> np.ndarray:
    """A disc of ones whose radius is a share of the side, its edge a pixel soft."""
    rows, columns = (np.arange(size) + 0.5 for _ in range(2))
    distance = np.hypot(columns[None] - x * size, rows[:, None] - y * size)
    return np.clip(radius * size - distance + 0.5, 0, 1).astype(np.float32)


def chest(radius: float, size: int = SIZE) -> np.ndarray:
    """A heart of grey 0.7 before lungs of 0.3, with grain."""
    grain = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    return 0.3 + 0.4 * disc(radius, size) + 0.01 * grain


@pytest.mark.parametrize(("old", "new"), [(0.2, 0.3), (0.3, 0.2)])
def test_a_heart_drawn_anew_leaves_nothing_and_a_blend_its_share(old: float, new: float) -> None:
    before, after = chest(old), chest(new)
    masks = disc(old, 64), disc(new, 64)
    for share in (0.0, 0.25, 0.5, 1.0):
        blend = share * before + (1 - share) * after
        assert OldBorder(before, masks[0]).left(blend, masks[1]) == pytest.approx(share, abs=0.03)


def test_a_line_beside_the_old_border_is_none_of_it() -> None:
    before, after = chest(0.2), chest(0.3)
    after[:, 20:24] = 0.9
    assert OldBorder(before, disc(0.2, 64)).left(after, disc(0.3, 64)) == pytest.approx(0, abs=0.03)


def test_the_size_and_the_shape_of_the_picture_make_no_difference() -> None:
    masks = disc(0.2, 64), disc(0.3, 64)
    before, after = chest(0.2, 512), 0.4 * chest(0.2, 512) + 0.6 * chest(0.3, 512)
    assert OldBorder(before, masks[0]).left(after, masks[1]) == pytest.approx(0.4, abs=0.03)
    cut = slice(64, 448)  # padded to a square again, the hearts lie where the masks say
    assert OldBorder(before[:, cut], masks[0]).left(after[:, cut], masks[1]) == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize(("old", "new"), [(0.25, 0.26), (0.25, 0.0), (0.0, 0.25)])
def test_where_the_heart_hardly_moved_or_is_missing_nothing_can_be_told(old: float, new: float) -> None:
    assert np.isnan(OldBorder(chest(0.25), disc(old, 64)).left(chest(0.26), disc(new, 64)))


def test_pictures_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        OldBorder(chest(0.2), disc(0.2)).left(chest(0.2, 128), disc(0.2))
