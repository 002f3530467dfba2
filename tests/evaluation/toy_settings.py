"""How large an evaluation of the toy world is, and its features."""

from typing import Any

from cfx.evaluation.settings import Settings

SETTINGS = Settings(
    part_size=32, batch_size=64, control_images=30, descent_images=20, oracle_grid_images=12, return_images=10,
    repeat_images=20, resamples=200, kid_resamples=30,
)  # fmt: skip


def thumbnails(image: Any) -> Any:
    """Features of a toy picture: every fourth pixel."""
    return image[:, :, ::4, ::4].flatten(1)
