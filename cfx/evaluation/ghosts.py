"""Does the border that the heart had still show through where it should be gone?

An edit moves the large shapes of a picture and leaves its fine detail where it is. On a sharp picture part of an
organ's border counts as detail, so that a pale second outline can stay behind: a double contour, which no heart has. It
is looked for where the old border lies away from the new one: there the step of grey across it should have vanished.
"""

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cfx.data.reading import Float, to_square

Array = npt.NDArray[np.float64]

SIDE = 256
"""Pixels of the padded square that is looked at: enough for an outline that 64 px do not show."""
APART = 5 / 128
"""How far from the new border an old one must lie, as a share of the side: nearer by, one can not tell the two."""
BLUR = 1.5
"""Standard deviation in pixels of `SIDE` of the blur before slopes are taken: grain is no outline."""
NORMAL_BLUR = 3.0
"""The same of the mask, whose slope tells which way is across its border."""
SHORTEST = 0.06
"""Least length of such a border, in pixels of its rim, as a share of the side."""
LEVEL = 0.5


class OldBorder:
    """A heart's border on a picture, which is looked for again on what was drawn of it.

    Args:
        before: the picture, grey (H, W) in [0, 1], any size and aspect.
        old: its heart's mask on the padded square, soft (h, h), cut at 0.5.
    """

    def __init__(self, before: Float, old: npt.NDArray[np.floating]) -> None:
        self.shape = before.shape
        inside = _inside(old)
        self.rim = _rim(inside)
        slope = _slopes(ndimage.gaussian_filter(inside.astype(np.float64), NORMAL_BLUR))
        self.normal = slope / np.maximum(np.hypot(*slope), 1e-9)
        self.contrast = self._across(before)

    def _across(self, picture: Float) -> Array:
        """Slope (SIDE, SIDE) of a picture's grey values across the border, meaningful near it."""
        smooth = ndimage.gaussian_filter(to_square(picture, SIDE).astype(np.float64), BLUR)
        across: Array = (_slopes(smooth) * self.normal).sum(axis=0)
        return across

    def left(self, after: Float, new: npt.NDArray[np.floating]) -> float:
        """Share of the old border's contrast that is left where the heart has moved away from it.

        The slope of grey values across the old border is compared pixel by pixel, by least squares: 0 where nothing is
        left of it, 1 where it stands as before, whatever is drawn beside it. Vessels and ribs that run along it and
        rightly stay count too, so that a true picture has a little more than 0.

        Args:
            after: what was drawn of the picture, of its shape.
            new: the heart's mask on that, as `old`.

        Returns:
            the share, which noise takes below 0 and above 1; NaN where the heart has moved too little to tell, or is
            missing on either.

        Raises:
            ValueError: the pictures' shapes differ.
        """
        if after.shape != self.shape:
            raise ValueError(f"pictures must have one shape, got {self.shape} and {after.shape}")
        inside = _inside(new)
        if not inside.any():
            return float("nan")
        apart = ndimage.distance_transform_edt(~_rim(inside)) > APART * SIDE
        if (self.rim & apart).sum() < SHORTEST * SIDE:
            return float("nan")
        pixels = ndimage.binary_dilation(self.rim) & apart  # and a pixel on either side of the rim
        was, is_now = self.contrast[pixels], self._across(after)[pixels]
        strength = float((was**2).sum())
        return float((was * is_now).sum()) / strength if strength > 0 else float("nan")


def _inside(mask: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """A mask at `SIDE` pixels."""
    large = cv2.resize(np.asarray(mask, dtype=np.float32), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    inside: npt.NDArray[np.bool_] = large >= LEVEL
    return inside


def _rim(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Pixels of a mask that touch its outside."""
    rim: npt.NDArray[np.bool_] = inside & ~ndimage.binary_erosion(inside, border_value=1)
    return rim


def _slopes(values: Array) -> Array:
    """Change a pixel, down and across: (2, H, W)."""
    down, across = np.gradient(values)
    return np.stack([down, across])
