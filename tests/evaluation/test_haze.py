"""Lung haze through a whole evaluation: a toy black box that reads the lungs' brightness, whose answers are known."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import toy
from torch import Tensor
from toy_settings import SETTINGS

from cfx.evaluation.judging import haze_by, jitter, judge_all
from cfx.evaluation.rows import extremes, haze_direction
from cfx.evaluation.runner import evaluate
from cfx.evaluation.verdict import FLOOR, INTERPRET, UNMEASURED
from cfx.explainers.base import Counterfactual

TASK = SimpleNamespace(name="edema", finding="Edema", measurement="lung_haze", direction="up")
QUICK = replace(
    SETTINGS, control_images=6, descent_images=2, oracle_grid_images=2, repeat_images=8, resamples=20
)
COLUMNS = ["haze_before", "haze_net_before", "haze_after"]


def draw(severity: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures (B, 1, S, S) of one heart and of lungs from -0.8 (severity 0) to -0.4, and their masks."""
    picture, masks = toy.draw(torch.full_like(severity, 0.5))
    lungs = masks[:, 1:].sum(1, keepdim=True)
    return picture + lungs * (0.4 * severity - 0.1).view(-1, 1, 1, 1), masks


def true_haze(severity: Any) -> Any:
    """The closed form: grey of the lungs over 0.85, that of the heart."""
    return (0.1 + 0.2 * severity) / 0.85


class HazeBox(toy.ToyBox):
    """Reads the severity from a patch of lung above the heart."""

    def severity(self, image: Tensor) -> Tensor:
        """Linear in the patch's mean."""
        return (image[:, 0, 6:12, 6:26].mean(dim=(1, 2)) + 0.8) / 0.4


class Hazing(toy.Faithful):
    """Brightens the lungs as far as the black box asks for."""

    @torch.no_grad()
    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        """Add grey to what is dark: the lungs, not the grey outside the chest."""
        own = self.blackbox.severity(image).unsqueeze(1)
        asked = torch.logit(targets.clamp(0.02, 0.98)) / toy.SLOPE + 0.5
        asked = torch.where((targets - self.blackbox(image).unsqueeze(1)).abs() < 1e-6, own, asked)
        added = 0.4 * (asked - own)[:, :, None, None, None] * (image < -0.2).float().unsqueeze(1)
        images = image.unsqueeze(1) + added
        posterior = self.blackbox(images.flatten(0, 1)).reshape(targets.shape)
        return Counterfactual(images, targets, posterior)


class HazeOracle(toy.ToyOracle):
    """Knows each patient's severity."""

    def render(self, image_ids: Sequence[str], finding: str, severity: Tensor) -> Any:
        """Pictures and masks."""
        picture, masks = draw(severity)
        return SimpleNamespace(image=picture + torch.stack([self.extras[n] for n in image_ids]), masks=masks)


@pytest.fixture(scope="module")
def world() -> tuple[pd.DataFrame, toy.ToySet, HazeOracle]:
    """100 patients, a picture each."""
    generator = torch.Generator().manual_seed(0)
    severity = torch.rand(100, generator=generator) * 1.1 - 0.05
    picture, masks = draw(severity)
    noise = 0.005 * torch.randn(picture.shape, generator=generator)
    names = [f"{i}.png" for i in range(100)]
    table = pd.DataFrame({"image_id": names, "patient_id": names, "sex": "F", "split": "test"})
    oracle = HazeOracle(
        dict(zip(names, severity.tolist(), strict=True)), dict(zip(names, noise, strict=True))
    )
    return table, toy.ToySet(picture + noise, masks, (severity > 0.5).float()), oracle


@pytest.fixture(scope="module")
def hazed(world: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The evaluation of an explainer that does what is asked for, and two controls."""
    box = HazeBox()
    return evaluate(
        Hazing(box), box, *world[:2], judge=toy.judge, task=TASK, oracle=world[2], settings=QUICK,
        controls=("nothing", "oracle"),
    )  # fmt: skip


def test_haze_of_every_picture_is_the_closed_form(hazed: Any, world: Any) -> None:
    rows, _ = hazed
    severity = rows["image_id"].map(world[2].severities)
    assert rows["haze_before"].to_numpy() == pytest.approx(true_haze(severity), abs=0.005)
    assert rows["haze_net_before"].to_numpy() == pytest.approx(rows["haze_before"].to_numpy(), abs=1e-6)
    asked = np.log(rows["target"].clip(0.02, 0.98) / (1 - rows["target"].clip(0.02, 0.98))) / toy.SLOPE + 0.5
    assert rows["haze_after"].to_numpy() == pytest.approx(true_haze(asked).to_numpy(), abs=0.005)


def test_the_section_of_haze_says_what_the_ctrs_would(hazed: Any) -> None:
    clinical = hazed[1]["clinical"]
    assert clinical["read_by"] == "haze" and clinical["haze"]["repeat_error"] > 0
    for group, sign in (("up", 1), ("down", -1)):
        found = clinical["haze"][group]
        assert found.keys() == clinical["ctr"][group].keys()
        assert found["moved_right"] == found["moved_beyond_noise"] == 1
        assert found["shift_net"] * sign > 0.1 and found["p_holm"] < 0.01
        assert found["gap_closed"] == pytest.approx(1, abs=0.2)
        assert found["of_oracle"] == pytest.approx(1, abs=0.02)
        assert clinical["ctr"][group]["moved_right"] is None
        assert hazed[1]["subgroups"]["sex"]["F"][group]["shift_net"] == pytest.approx(found["shift_net"])


def test_a_control_that_changes_nothing_makes_no_lung_hazier(hazed: Any) -> None:
    nothing = hazed[1]["controls"]["nothing"]["clinical"]
    assert nothing["read_by"] == "haze"
    for group in ("up", "down"):
        assert nothing["haze"][group]["shift_net"] == 0 and nothing["haze"][group]["moved_right"] == 0
        assert hazed[1]["controls"]["oracle"]["clinical"]["haze"][group]["of_oracle"] == pytest.approx(1)


def test_a_verdict_goes_by_haze_with_its_own_repeat_error_as_floor(hazed: Any) -> None:
    rows, metrics = hazed
    assert (extremes(rows, "up")["verdict"] == INTERPRET).all()
    move = (rows["haze_after"] - rows["haze_net_before"]).abs().to_numpy()
    under = move < metrics["clinical"]["haze"]["repeat_error"]
    assert 0 < under.sum() < len(rows)
    assert rows["verdict"].str.contains(FLOOR).to_numpy() == pytest.approx(under)


def test_a_task_that_is_not_read_by_haze_does_not_measure_it(world: Any) -> None:
    box = HazeBox()
    rows, metrics = evaluate(
        Hazing(box), box, *world[:2], judge=toy.judge, task=toy.TASK, settings=QUICK, controls=()
    )
    assert rows[COLUMNS].isna().all(axis=None) and metrics["clinical"]["haze"] is None
    assert metrics["clinical"]["read_by"] == "ctr"


def test_a_task_that_names_no_measurement_has_no_clinical_figures(world: Any) -> None:
    box = HazeBox()
    task = SimpleNamespace(name="fracture", finding="Fracture", measurement="none", direction="up")
    rows, metrics = evaluate(
        Hazing(box), box, *world[:2], judge=lambda image: 0 * toy.judge(image), task=task, settings=QUICK,
        controls=("nothing",),
    )  # fmt: skip
    null = dict.fromkeys(("ctr", "scp", "angle", "haze", "read_by"))
    assert metrics["clinical"] == metrics["controls"]["nothing"]["clinical"] == null
    assert (extremes(rows, "up")["verdict"] == f"do not interpret: {UNMEASURED}").all()
    assert not any("CTR" in warning for warning in metrics["warnings"])
    found = metrics["subgroups"]["sex"]["F"]["up"]
    assert found["reach"] == 1 and found["shift_net"] is found["moved_right"] is None


def test_masks_of_another_size_are_fitted_to_the_picture() -> None:
    picture, masks = draw(torch.tensor([0.1, 0.9]))
    small = torch.nn.functional.avg_pool2d(masks, 2)
    expected = pytest.approx(true_haze(np.array([0.1, 0.9])), abs=1e-4)
    assert haze_by(masks, picture) == expected and haze_by(small, picture) == expected


def test_the_repeat_error_is_of_the_same_picture_seen_again(hazed: Any, world: Any) -> None:
    images = world[1].image
    again = jitter(images, torch.Generator().manual_seed(0))
    first, second = (judge_all(toy.judge, seen, haze=True)[1] for seen in (images, again))
    largest = np.abs(second - first).max()
    assert 0 < hazed[1]["clinical"]["haze"]["repeat_error"] < 1.5 * largest


def test_the_right_way_of_haze_is_that_of_its_own_task() -> None:
    assert haze_direction("lung_haze", "up") == 1 and haze_direction("lung_haze", "down") == -1
    assert haze_direction("ctr", "up") is None
