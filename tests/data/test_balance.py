"""Which training pictures are drawn how often: through the data module, and by the groups themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cfx.data.annotations import Annotations
from cfx.data.balance import BALANCES, drawn_quantiles, groups_of
from cfx.data.chexpert import CheXpert
from cfx.data.datamodule import ChestXrayDataModule
from cfx.errors import BadValue, TooFewPositives, UnknownChoice


def chexpert(root: Path, **options: Any) -> ChestXrayDataModule:
    arguments: dict[str, Any] = {"size": 16, "findings": ["Cardiomegaly"], "batch_size": 8} | options
    return ChestXrayDataModule(CheXpert(root), **arguments)


def test_balance_by_finding_and_by_posterior(chexpert_root: Path) -> None:
    module = chexpert(chexpert_root, balance="finding", balance_share=0.75, uncertain="zeros")
    labels = torch.cat([batch["label"] for batch in module.train_dataloader()])
    assert labels.mean().item() == 0.75
    other = {"findings": ["Cardiomegaly", "Pleural Effusion"], "finding": "Pleural Effusion"}
    module = chexpert(chexpert_root, balance="finding", balance_share=0.25, **other)
    labels = torch.cat([batch["label"] for batch in module.train_dataloader()])
    assert labels[:, 1].mean().item() == 0.25
    with pytest.raises(UnknownChoice):
        chexpert(chexpert_root, finding="Edema")
    with pytest.raises(BadValue, match="no posterior"):
        chexpert(chexpert_root, balance="posterior").train_dataloader()
    ids = module.dataset("train").image_ids
    posterior = np.concatenate([np.full(24, 0.05), np.full(7, 0.95), [np.nan]]).astype(np.float32)
    module = chexpert(chexpert_root, balance="posterior", annotations=Annotations(ids, posterior=posterior))
    drawn = torch.cat([batch["posterior"] for batch in module.train_dataloader()])
    assert (drawn > 0.5).float().mean().item() == 0.5
    assert not drawn.isnan().any()


def test_posteriors_are_quantiles_in_the_shares_in_which_pictures_are_drawn(chexpert_root: Path) -> None:
    ids = chexpert(chexpert_root).dataset("train").table["image_id"].tolist()
    posterior = np.concatenate([np.full(24, 0.05), np.full(7, 0.95), [np.nan]]).astype(np.float32)
    known = Annotations(ids, posterior=posterior)
    expected = {None: 7 / 31, "posterior": 0.5, "posterior_root": 7**0.5 / (7**0.5 + 24**0.5)}
    for balance, share in expected.items():
        values = chexpert(chexpert_root, balance=balance, annotations=known).posteriors()
        assert (np.diff(values) >= 0).all()
        assert abs(float((values > 0.5).mean()) - share) < 0.01
    with pytest.raises(BadValue, match="no posterior"):
        chexpert(chexpert_root).posteriors()


def test_balance_by_extremes_draws_both_ends_and_nothing_between(chexpert_root: Path) -> None:
    ids = chexpert(chexpert_root).dataset("train").image_ids
    posterior = np.concatenate([np.full(8, 0.05), np.full(18, 0.5), np.full(4, 0.95), [np.nan, 0.2]])
    annotations = Annotations(ids, posterior=posterior.astype(np.float32))
    module = chexpert(chexpert_root, balance="extremes", annotations=annotations)
    drawn = torch.cat([batch["posterior"] for batch in module.train_dataloader()])
    assert sorted(set(drawn.tolist())) == pytest.approx([0.05, 0.95])
    assert float((drawn > 0.5).float().mean()) == 0.5
    for gone, words in ((posterior > 0.5, "over 0.8"), (posterior < 0.2, "under 0.2")):
        annotations = Annotations(ids, posterior=np.where(gone, 0.5, posterior).astype(np.float32))
        with pytest.raises(TooFewPositives, match=words):
            chexpert(chexpert_root, balance="extremes", annotations=annotations).train_dataloader()


def test_without_a_balance_every_picture_is_drawn_as_often(chexpert_root: Path) -> None:
    dataset = chexpert(chexpert_root).dataset("train")
    assert groups_of(None, 0.5, dataset, "Cardiomegaly") == (None, None)
    with pytest.raises(BadValue, match="there is no finding"):
        groups_of("finding", 0.5, dataset, None)
    for balance in BALANCES:
        assert chexpert(chexpert_root, balance=balance).balance == balance


def test_quantiles_weigh_pictures_by_their_groups_share() -> None:
    posterior = np.array([0.1, 0.1, 0.1, 0.9, np.nan])
    alike = drawn_quantiles(posterior, None, None, 100)
    assert (alike > 0.5).mean() == pytest.approx(0.25) and alike.dtype == np.float32
    groups, shares = np.array([0, 0, 0, 1, -1]), np.array([0.2, 0.8])
    assert (drawn_quantiles(posterior, groups, shares, 100) > 0.5).mean() == pytest.approx(0.8)
