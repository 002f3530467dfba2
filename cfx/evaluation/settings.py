"""How much of an evaluation is drawn: sizes of batches and of the subsets that the slow questions are asked of."""

from dataclasses import dataclass

from cfx.metrics.validity import GRID


@dataclass(frozen=True)
class Settings:
    """Numbers that bound the time an evaluation takes; every figure says how many pictures it is of.

    Attributes:
        targets: the grid of posteriors asked for, rising from 0 to 1.
        batch_size: pictures a network sees at a time.
        part_size: pictures of the data set in a part (a part is drawn, measured and written at once).
        control_images: pictures a direction for the controls on the whole grid; half as many of the middle.
        descent_images: pictures a direction for pixel descent, which is drawn at the extremes alone.
        oracle_grid_images: pictures for which the oracle answers the whole grid (the extremes: all of both groups).
        return_images: pictures a direction for the way back, x -> x_c -> p(x).
        repeat_images: pictures on which the evaluation segmenter's repeat error is measured.
        oracle_points: severities rendered for every patient before the search.
        resamples: bootstrap samples.
        kid_resamples: bootstrap samples of the kernel distance.
        seed: of resampling and subsets.
    """

    targets: tuple[float, ...] = GRID
    batch_size: int = 256
    part_size: int = 256
    control_images: int = 100
    descent_images: int = 100
    oracle_grid_images: int = 100
    return_images: int = 100
    repeat_images: int = 200
    oracle_points: int = 5
    resamples: int = 2000
    kid_resamples: int = 200
    seed: int = 0
