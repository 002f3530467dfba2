"""A reader study on paper: what is asked, how many are needed, and in which order a reader sees the pairs.

Each pair is answered in two steps. Blind: two pictures side by side, left and right at random, and nothing else is
known; which is real, is it one patient, and the reader's own lines of heart and thorax. Open: the same two as original
and explanation, with the classifier's posterior, and the five questions of Singla et al.'s study. A step that is saved
cannot be changed, so that what is learnt in the second does not reach the first.
"""

import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil, pi, sqrt
from typing import Any

import numpy as np

from cfx.errors import BadValue
from cfx.measurements import READING_FLOOR

SCALE = ("strongly disagree", "disagree", "neither", "agree", "strongly agree")
QUESTIONS = {
    "understandability": "I understand what the classifier bases its answer on.",
    "justification": "What changes in the pictures justifies the classifier's answer for this patient.",
    "visual_quality": "The drawn pictures look like chest X-rays.",
    "identity": "The drawn pictures show the same patient as the original.",
    "helpfulness": "This explanation helps me to judge the classifier's answer.",
}
"""The five aspects of the paper's study, in our words; answered 1 to 5 on `SCALE` when the pair is open."""
REAL_SCALE = ("surely real", "probably real", "cannot tell", "probably synthetic", "surely synthetic")
SAME_SCALE = ("surely not", "probably not", "cannot tell", "probably", "surely")
BLIND = ("real_left", "real_right", "same_patient")
"""Asked of the blind pair: of each picture on `REAL_SCALE`, of both on `SAME_SCALE`."""

# Assumed before anything is known. The paper's residents had standard deviations of .97 to 1.39 on such a scale; that
# readers and images each carry a fifth of the variance is a usual finding of reader studies, no measurement of ours.
SPREAD = 1.1
READER_SHARE, IMAGE_SHARE = 0.2, 0.2
TELLABLE = 0.65
"""Share of right answers to real-or-synthetic that the study should tell from guessing."""


@dataclass(frozen=True)
class Design:
    """What is decided before a study.

    Attributes:
        images: images of which each run draws a counterfactual, half of them upwards.
        strangers: pairs of two patients, both real.
        repeats: pairs that a reader sees twice.
        readers: how many are planned.
        effect: points of the scale to be seen.
        power, alpha: of the tests.
        seed: of choice and order.

    """

    images: int = 30
    strangers: int = 6
    repeats: int = 8
    readers: int = 12
    effect: float = 0.5
    power: float = 0.8
    alpha: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no study.

        Raises:
            BadValue: naming the key.

        """
        least = {"images": 2, "strangers": 0, "repeats": 0, "readers": 1}
        for key, bound in least.items():
            if getattr(self, key) < bound:
                raise BadValue(
                    f"design.{key}", getattr(self, key), "is too few", f"give a number of at least {bound}"
                )
        if self.repeats > self.images // 2:
            raise BadValue("design.repeats", self.repeats, "are more than half of the images", "give fewer")
        for key in ("power", "alpha"):
            if not 0 < getattr(self, key) < 1:
                raise BadValue(f"design.{key}", getattr(self, key), "is no probability", "give 0 to 1")
        if not 0 < self.effect < 4:
            raise BadValue("design.effect", self.effect, "is no difference on a scale of 1 to 5", "give 0.5")

    def numbers(self) -> dict[str, Any]:
        """The design as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Need:
    """How many of something a question needs.

    Attributes:
        question: what is to be seen.
        unit: what is counted.
        needed, planned: how many.

    """

    question: str
    unit: str
    needed: int
    planned: int

    def line(self) -> str:
        """The need in words."""
        verdict = "enough" if self.planned >= self.needed else f"{self.needed - self.planned} too few"
        return f"{self.question}: {self.needed} {self.unit} needed, {self.planned} planned ({verdict})"


def sample_size(design: Design, runs: int = 1) -> list[Need]:
    """How many readers, images and answers the questions need, before anything is shown.

    Readers and images are both samples, so both are counted: for readers as such, each reader's mean over the images is
    one value; for images as such, each image's mean over the readers (tests by subject and by item, Clark 1973).

    Args:
        design: of the study.
        runs: how many methods are compared.

    Raises:
        BadValue: statsmodels is not installed.

    """
    try:
        power = importlib.import_module("statsmodels.stats.power")
        proportion = importlib.import_module("statsmodels.stats.proportion")
    except ImportError:
        raise BadValue(
            "study", None, "the sample size needs statsmodels", "pip install 'cfx[stats]'"
        ) from None
    chances = {"alpha": design.alpha, "power": design.power}

    def paired(difference: float, spread: float) -> int:
        # solve_power has no answer where two values are plenty
        if difference / spread > 6:
            return 2
        return ceil(float(power.TTestPower().solve_power(effect_size=difference / spread, **chances)))

    total = SPREAD**2
    rest = (1 - READER_SHARE - IMAGE_SHARE) * total
    by_reader = sqrt(READER_SHARE * total + rest / design.images)
    by_image = sqrt(IMAGE_SHARE * total + rest / design.readers)
    off = f"a mean rating {design.effect:g} points off the middle"
    needs = [
        Need(f"{off}, for readers like these", "readers", paired(design.effect, by_reader), design.readers),
        Need(f"{off}, for images like these", "images", paired(design.effect, by_image), design.images),
    ]
    if runs > 1:
        apart = paired(design.effect, sqrt(2 * rest / design.readers))
        needs.append(
            Need(
                f"two methods {design.effect:g} points apart on the same images",
                "images",
                apart,
                design.images,
            )
        )
    size = abs(float(proportion.proportion_effectsize(TELLABLE, 0.5)))
    answers = ceil(float(power.NormalIndPower().solve_power(effect_size=size, ratio=0, **chances)))
    needs.append(
        Need(
            f"real or synthetic, {TELLABLE:.0%} right against guessing",
            "answers",
            answers,
            design.images * design.readers * runs,
        )
    )
    # Two readers differ by the floor in the mean, so one reading has that over 2 / sqrt(pi) as its deviation.
    reading = READING_FLOOR * sqrt(pi) / 2
    shift = paired(READING_FLOOR, sqrt(2) * reading)
    needs.append(
        Need(f"a CTR shift of {READING_FLOOR} by one reader", "images a direction", shift, design.images // 2)
    )
    return needs


@dataclass(frozen=True)
class Showing:
    """One pair as one reader sees it.

    Attributes:
        position: 0, 1, ... in the reader's own order.
        item: the pair's name in the key.
        repeat: whether the reader has seen it before.
        original_left: on which side the original stands.

    """

    position: int
    item: str
    repeat: bool
    original_left: bool


def order_for(reader: str, pairs: Sequence[str], others: Sequence[str], design: Design) -> list[Showing]:
    """A reader's own order: a function of the study's seed and the reader's code, so that it can be gone on with.

    Pairs that come twice stand in the first third and come again in the last, left and right drawn anew; each side has
    the original equally often, up to one.

    Args:
        reader: the reader's code.
        pairs: names of the pairs that may be repeated.
        others: names of all other pairs.
        design: of the study.

    """
    digest = int.from_bytes(hashlib.sha256(reader.encode()).digest()[:8], "big")
    rng = np.random.default_rng([design.seed, digest])

    def shuffled(names: Sequence[str]) -> list[str]:
        return [names[int(place)] for place in rng.permutation(len(names))]

    twice = shuffled(pairs)[: design.repeats]
    rest = shuffled([name for name in [*pairs, *others] if name not in set(twice)])
    total = len(twice) + len(rest)
    third = max(total // 3 - len(twice), 0)
    first = shuffled([*twice, *rest[:third]])
    middle = len(rest[third:]) // 2
    last = [(name, False) for name in rest[third + middle :]] + [(name, True) for name in twice]
    mixed = [last[int(place)] for place in rng.permutation(len(last))]
    sequence = [(name, False) for name in [*first, *rest[third : third + middle]]] + mixed
    sides = rng.permutation(np.arange(len(sequence)) % 2 == 0)
    return [
        Showing(position, name, repeat, bool(sides[position]))
        for position, (name, repeat) in enumerate(sequence)
    ]
