"""The one shape in which pictures, labels and annotations travel to every model."""

from typing import Final, TypedDict

from torch import Tensor

MASK_NAMES: Final = ("heart", "left_lung", "right_lung")
"""Order of the mask channels; left and right are the patient's (the left lung is on the picture's right)."""


class Batch(TypedDict, total=False):
    """A batch of B square pictures of H = W pixels and what is known of them.

    `image`, `label` and `index` are always there; the rest only where the data or an annotation stage gives
    it. One item of a data set has the same keys without the leading B.
    """

    image: Tensor
    """float32 (B, 1, H, W) in [-1, 1], black to white."""
    label: Tensor
    """float32 (B, K), 1 present, 0 absent, NaN unknown, in the order of the data module's `findings`."""
    masks: Tensor
    """float32 (B, 3, H, W) in [0, 1], soft; channels as in `MASK_NAMES`."""
    has_masks: Tensor
    """bool (B,): False where `masks` is all zero because nothing is known."""
    devices: Tensor
    """float32 (B, 1, H, W), 1 where a support device or a text marker is, else 0."""
    posterior: Tensor
    """float32 (B,): the black box's posterior in [0, 1]; NaN where unknown or where augmented."""
    boxes: list[Tensor]
    """One float32 (N, 4) a picture, x0, y0, x1, y1 in pixels, edges; only where a detector is trained."""
    box_labels: list[Tensor]
    """One int64 (N,) a picture, places in `cfx.metrics.boxes.CLASSES`."""
    index: Tensor
    """int64 (B,): row of the picture in the table of its split."""
