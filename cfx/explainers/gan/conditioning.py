"""How a posterior becomes a condition: ten bins as in the paper, or the number itself.

The published networks see only which tenth of [0, 1] the posterior lies in. What the classifier term then
asks for is a choice: the authors' code takes the bin's **lower edge** (0, 0.1, ..., 0.9; Singla et al., MedIA
2023, their released training script), a later re-implementation its **centre** (DeGrave et al.), and our
default explainer keeps the number (`continuous`, as in Singla et al., "Augmentation by Counterfactual
Explanation", WACV 2023).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

RULES = ("lower", "centre", "continuous")
# A float32 0.7 times ten is 6.9999998: without this slack the lower edge of bin 7 would fall into bin 6.
_EDGE_SLACK = 1e-5


def posterior_to_bin(posterior: Tensor, bins: int = 10) -> Tensor:
    """Which of `bins` equal parts of [0, 1] a posterior lies in: floor(bins * p), int64, any shape.

    An edge belongs to the bin above it, and 1.0 to the last bin. Values outside [0, 1] are a ValueError, NaN
    included.
    """
    if bins < 2:
        raise ValueError(f"bins={bins} must be at least 2")
    if posterior.numel() and not bool(((posterior >= 0) & (posterior <= 1)).all()):
        raise ValueError("posteriors must lie in [0, 1]")
    return (posterior * bins + _EDGE_SLACK).floor().long().clamp(0, bins - 1)


def bin_target(index: Tensor, bins: int = 10, rule: str = "lower") -> Tensor:
    """The posterior that a bin asks for, float32: its lower edge k / bins, or its centre (k + 0.5) / bins.

    With lower edges and ten bins nothing above 0.9 is ever asked for, so that `f(x_c) > 0.8` is met with
    little margin.
    """
    if rule not in ("lower", "centre"):
        raise ValueError(f"a bin has a lower edge and a centre, not {rule!r}")
    shift = 0.0 if rule == "lower" else 0.5
    return (index.to(torch.float32) + shift) / bins


def ordinal_codes(bins: int = 10) -> Tensor:
    """Row k says which thresholds bin k has passed: float32 (bins, bins - 1), ones in the first k places.

    r(c | x) = sum over i < c of <v_i, phi(x)> is then codes[c] @ V phi(x), with one vector v_i for each
    threshold.
    """
    return torch.tril(torch.ones(bins, bins), diagonal=-1)[:, : bins - 1]


@dataclass(frozen=True)
class Conditioning:
    """The rule by which targets are drawn in training and rounded at any time.

    rule: "lower", "centre" or "continuous"; bins: how many, without meaning for "continuous".
    """

    rule: str = "continuous"
    bins: int = 10

    def __post_init__(self) -> None:
        """Refuse a rule that no network here understands."""
        if self.rule not in RULES:
            raise ValueError(f"conditioning rule {self.rule!r} is unknown: use one of {', '.join(RULES)}")
        if self.bins < 2:
            raise ValueError(f"bins={self.bins} must be at least 2")

    def round(self, target: Tensor) -> Tensor:
        """What is really asked for by `target` (any shape, in [0, 1]): itself, or the number its bin stands for."""
        if self.rule == "continuous":
            return target
        return bin_target(posterior_to_bin(target, self.bins), self.bins, self.rule)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Targets (count,) for training: a uniform bin's number, or uniform in [0, 1], from the generator
        given.

        As published, a bin may be the source's own: one pair in ten then trains identity through the target
        path.
        """
        if self.rule == "continuous":
            return torch.rand(count, generator=generator)
        index = torch.randint(self.bins, (count,), generator=generator)
        return bin_target(index, self.bins, self.rule)
