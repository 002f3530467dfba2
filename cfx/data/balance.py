"""How often which training pictures are drawn: by the finding, by devices, or by what a black box says of them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from cfx.data.boxes import carry_devices
from cfx.data.dataset import ChestXrayDataset
from cfx.errors import BadValue, TooFewPositives
from cfx.metrics.validity import HIGH, LOW

Array = npt.NDArray[Any]

BALANCES = ("finding", "posterior", "posterior_root", "extremes", "devices")
_BINS = 10


def groups_of(
    balance: str | None, share: float, dataset: ChestXrayDataset, finding: str | None
) -> tuple[Array | None, Array | None]:
    """Return the groups between which draws are balanced.

    Args:
        balance: one of `BALANCES`, see `cfx.data.datamodule.ChestXrayDataModule`; None: every picture as often.
        share: of the draws that go to positives of the finding, or to pictures with the box of a device.
        dataset: the training pictures.
        finding: which of the data set's findings, where they are balanced by it.

    Returns:
        the group (N,) of each picture, -1 for one that is never drawn, and the share (G,) of each group; None and None
        where nothing is balanced.

    Raises:
        BadValue: there is no finding, or no posterior is known.
        TooFewPositives: there is no picture of one of the extremes.
    """
    if balance == "finding":
        if finding is None:
            raise BadValue("data.balance", balance, "there is no finding", "name one in data.findings")
        positive = (dataset.labels[:, dataset.findings.index(finding)] == 1.0).astype(np.int64)
        return positive, np.array([1 - share, share])
    if balance == "devices":
        return carry_devices(dataset.boxes or []), np.array([1 - share, share])
    if balance in ("posterior", "posterior_root", "extremes"):
        if dataset.posterior is None:
            raise BadValue(
                "data.balance", balance, "no posterior is known", "annotate with a black box first"
            )
        known = np.isfinite(dataset.posterior)
        if balance == "extremes":
            return _extremes(np.where(known, dataset.posterior, 0.5)), np.array([0.5, 0.5])
        bins = np.minimum(np.floor(np.where(known, dataset.posterior, 0) * _BINS), _BINS - 1)
        groups = np.where(known, bins, -1).astype(np.int64)
        if balance == "posterior":
            return groups, np.full(_BINS, 1 / _BINS)
        root = np.sqrt(np.bincount(groups[groups >= 0], minlength=_BINS))
        return groups, root / root.sum()
    return None, None


def _extremes(posterior: Array) -> Array:
    """Return 0 for the pictures that a black box calls clearly negative, 1 for the clearly positive, -1 for the rest.

    Raises:
        TooFewPositives: one side is empty.
    """
    group = np.where(posterior < LOW, 0, np.where(posterior > HIGH, 1, -1)).astype(np.int64)
    for side, where in ((0, f"under {LOW}"), (1, f"over {HIGH}")):
        if not (group == side).any():
            raise TooFewPositives(
                "model.fit.balance",
                "extremes",
                f"the black box says {where} of no training picture",
                "take another model, or a black box that is surer",
            )
    return group


def drawn_quantiles(
    posterior: Array, groups: Array | None, shares: Array | None, count: int
) -> npt.NDArray[np.float32]:
    """Return quantiles of posteriors as they come when pictures are drawn.

    Args:
        posterior: (N,) in [0, 1], NaN where it is not known; at least one is.
        groups, shares: as `groups_of` gives them.
        count: how many quantiles.

    Returns:
        float32 (count,), rising.
    """
    known = np.isfinite(posterior)
    weights = known.astype(np.float64)
    if groups is not None and shares is not None:
        sizes = np.bincount(groups[groups >= 0], minlength=len(shares))
        weights *= np.where(groups >= 0, (shares / np.maximum(sizes, 1))[groups], 0.0)
    order = np.argsort(posterior[known], kind="stable")
    rising, mass = posterior[known][order], np.cumsum(weights[known][order])
    levels = (np.arange(count) + 0.5) / count * mass[-1]
    found: Array = rising[np.searchsorted(mass, levels).clip(0, len(rising) - 1)]
    return found.astype(np.float32)
