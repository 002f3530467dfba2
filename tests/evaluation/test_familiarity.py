"""Familiar pictures pass; inverted, turned, noisy and empty ones do not."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from cfx.evaluation.familiarity import Familiarity
from cfx.runs import Run

Bytes = npt.NDArray[np.uint8]


def chests(count: int, seed: int, size: int = 48) -> Bytes:
    """Dark lungs in a bright body, heart at the lower right, with varied sizes, exposure and noise."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size - 0.5
    pictures = []
    for _ in range(count):
        wide, tall, heart = rng.uniform(0.13, 0.19), rng.uniform(0.28, 0.38), rng.uniform(0.14, 0.24)
        picture = np.full((size, size), 0.6)
        for side in (-0.2, 0.2):
            picture[((x - side) / wide) ** 2 + (y / tall) ** 2 < 1] = 0.2
        picture[((x - 0.06) / heart) ** 2 + ((y - 0.14) / 0.18) ** 2 < 1] = 0.75
        picture = picture * rng.uniform(0.8, 1.1) + rng.normal(0, 0.02, picture.shape)
        pictures.append(np.clip(picture * 255, 0, 255).astype(np.uint8))
    return np.stack(pictures)


def tensor(pictures: Bytes) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures))[:, None].float() / 127.5 - 1.0


@pytest.fixture(scope="module")
def fitted() -> Familiarity:
    made = Familiarity.fit(chests(400, 0), chests(150, 1))
    assert made is not None
    return made


def test_new_pictures_of_the_same_kind_pass_at_any_size(fitted: Familiarity) -> None:
    assert fitted(tensor(chests(200, 2))).float().mean() > 0.94
    assert fitted(tensor(chests(100, 3, size=96))).float().mean() > 0.9


@pytest.mark.parametrize("what", ["inverted", "upside down", "sideways", "noise", "black", "grey"])
def test_what_people_feed_by_mistake_does_not_pass(fitted: Familiarity, what: str) -> None:
    good = chests(50, 4)
    bad = {
        "inverted": 255 - good,
        "upside down": good[:, ::-1],
        "sideways": np.rot90(good, 1, (1, 2)),
        "noise": np.random.default_rng(0).integers(0, 255, good.shape).astype(np.uint8),
        "black": np.zeros_like(good),
        "grey": np.full_like(good, 128),
    }[what]
    assert fitted(tensor(bad)).float().mean() < 0.1


def test_exposure_alone_is_not_unfamiliar(fitted: Familiarity) -> None:
    darker = (chests(100, 5) * 0.6 + 20).astype(np.uint8)
    assert fitted(tensor(darker)).float().mean() > 0.85


def test_it_travels_with_the_run(fitted: Familiarity, tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    assert Familiarity.load(run) is None
    fitted.save(run)
    loaded = Familiarity.load(run)
    assert loaded is not None
    pictures = tensor(np.concatenate([chests(20, 6), 255 - chests(20, 6)]))
    assert torch.equal(loaded(pictures), fitted(pictures))


def test_too_few_pictures_tell_nothing() -> None:
    assert Familiarity.fit(chests(20, 0), chests(5, 1)) is None
