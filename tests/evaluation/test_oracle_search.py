"""The oracle's search: every answer hits its target, and what is out of reach is said to be."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import toy
from torch import Tensor

from cfx.evaluation.oracle import OracleSearch


def test_answers_hit_their_targets_with_the_same_patient(toy_world: Any) -> None:
    table, dataset, oracle = toy_world
    box, ids = toy.ToyBox(), table["image_id"].tolist()[:20]
    posterior = box(dataset.image[:20]).numpy()
    targets = np.tile(np.linspace(0, 1, 6), (20, 1))
    found = OracleSearch(oracle, box, "Cardiomegaly").search(ids, posterior, targets)
    asked = np.clip(targets, 0.02, 0.98).ravel()
    assert found.reached.all()
    assert np.abs(found.posterior - asked).max() <= 0.01
    assert np.abs(box(found.image).numpy() - asked).max() <= 0.0101
    again = oracle.render(
        [ids[k // 6] for k in range(120)], "Cardiomegaly", torch.tensor(found.severity).float()
    )
    torch.testing.assert_close(found.image, again.image)
    torch.testing.assert_close(found.masks, again.masks)
    exact = np.log(asked / (1 - asked)) / toy.SLOPE + 0.5
    assert (
        np.abs(found.severity - exact).max() < 0.06
    )  # noise in the pictures moves the toy's reading a little


def test_targets_out_of_reach_are_counted_and_not_replaced(toy_world: Any) -> None:
    table, dataset, oracle = toy_world

    class Timid(toy.ToyBox):
        def forward(self, image: Tensor) -> Tensor:
            return 0.1 + 0.8 * super().forward(image)

    box, ids = Timid(), table["image_id"].tolist()[:10]
    found = OracleSearch(oracle, box, "Cardiomegaly").search(
        ids, box(dataset.image[:10]).numpy(), np.tile([0.0, 0.5, 1.0], (10, 1))
    )
    reached = found.reached.reshape(10, 3)
    assert not reached[:, [0, 2]].any()
    assert reached[:, 1].all()
    assert np.isnan(found.severity.reshape(10, 3)[:, 0]).all()
    assert found.image.reshape(10, 3, -1)[:, 0].abs().max() == 0


def test_of_several_crossings_the_one_nearest_to_the_patient_counts() -> None:
    class Wave:
        """Grey value = severity; the box below is not monotone in it."""

        def severity(self, image_ids: list[str], finding: str) -> Tensor:
            return torch.full((len(image_ids),), 0.9)

        def bounds(self, finding: str) -> tuple[float, float]:
            return 0.0, 1.0

        def render(self, image_ids: list[str], finding: str, severity: Tensor) -> Any:
            picture = severity.view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
            return SimpleNamespace(image=picture, masks=picture.expand(-1, 3, -1, -1))

    def box(image: Tensor) -> Tensor:
        return 0.5 + 0.45 * torch.cos(6.2832 * image[:, 0, 0, 0])

    found = OracleSearch(Wave(), box, "x").search(
        ["a"], np.array([box(torch.full((1, 1, 2, 2), 0.9)).item()]), np.array([[0.5]])
    )
    assert found.severity[0] == pytest.approx(0.75, abs=0.01)  # not 0.25
