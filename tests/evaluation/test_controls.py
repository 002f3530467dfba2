"""The controls do what they are for, and every metric is failed by at least one of them."""

from typing import Any

import pytest
import torch
import toy

from cfx.evaluation.controls import NearestReal, Nothing, PixelDescent


@pytest.fixture
def box() -> toy.ToyBox:
    """The toy black box."""
    return toy.ToyBox()


def test_nothing_gives_the_input_back(toy_world: Any, box: toy.ToyBox) -> None:
    image = toy_world[1].image[:3]
    found = Nothing(box).explain(image, torch.tensor([[0.0, 1.0]] * 3))
    assert torch.equal(found.images[:, 1], image)
    torch.testing.assert_close(found.posterior[:, 0], box(image))


def test_nearest_real_answers_with_another_patient(toy_world: Any, box: toy.ToyBox) -> None:
    table, dataset, _ = toy_world
    patients = torch.from_numpy(table["patient_id"].astype("category").cat.codes.to_numpy().astype(int))
    control = NearestReal(box, dataset.image, box(dataset.image), patients)
    targets = torch.tensor([[0.0, 0.5, 1.0]]).expand(120, -1)
    found = control.explain(dataset.image, targets)
    assert (found.posterior[:, 0] < 0.2).all()
    assert (found.posterior[:, 2] > 0.8).all()
    assert (found.posterior[:, 1] - 0.5).abs().max() < 0.3
    same = (found.images[:, :, None] == dataset.image[None, None]).flatten(3).all(-1)  # (120, 3, 120)
    assert (patients[same.float().argmax(-1)] != patients[:, None]).all()


def test_nearest_real_never_answers_with_another_picture_of_the_patient(
    toy_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool is thinned to 60 of 120 pictures: it holds second pictures of patients whose first it does not hold."""
    from toy_settings import SETTINGS

    from cfx.evaluation import runner

    asked = []
    real = NearestReal.explain

    def explain(self: NearestReal, image: torch.Tensor, targets: torch.Tensor) -> Any:
        found = real(self, image, targets)
        asked.append((image, found.images))
        return found

    monkeypatch.setattr(NearestReal, "explain", explain)
    monkeypatch.setattr(runner, "POOL", 60)
    table, dataset, _ = toy_world
    # every patient's two pictures become nearly the same, so that the other one is always the nearest
    box = toy.ToyBox()
    image = dataset.image.clone()
    image[3::4] = image[2::4] + 0.01
    whose = {image[k].numpy().tobytes(): name for k, name in enumerate(table["patient_id"])}
    runner.evaluate(
        Nothing(box), box, table, toy.ToySet(image, dataset.masks, dataset.label), judge=toy.judge, task=toy.TASK,
        settings=SETTINGS, controls=("nearest_real",),
    )  # fmt: skip
    sources = [whose[one.numpy().tobytes()] for some, _ in asked for one in some]
    answers = [[whose[one.numpy().tobytes()] for one in row] for _, drawn in asked for row in drawn]
    assert len(sources) >= 75
    assert not any(name in row for name, row in zip(sources, answers, strict=True))


def test_pixel_descent_reaches_targets_with_little_change(toy_world: Any, box: toy.ToyBox) -> None:
    image = toy_world[1].image[:16]
    targets = torch.tensor([[0.0, 0.3, 1.0]]).expand(16, -1)
    found = PixelDescent(box).explain(image, targets)
    assert (found.posterior - targets.clamp(0.02, 0.98)).abs().max() < 0.02
    assert found.images.abs().max() <= 1
    assert not any(parameter.requires_grad for parameter in box.parameters())
    own = PixelDescent(box).explain(image, box(image).clamp(0.02, 0.98).unsqueeze(1))
    assert (own.images[:, 0] - image).abs().mean() < 0.01


# For each figure: how to read it from a method's sections, and which control it must fail.
def _worse(section: dict[str, Any], *path: str, high: bool) -> float:
    """The worse direction of a figure."""
    values = []
    for group in ("up", "down"):
        value: Any = section
        for key in path:
            value = value[group] if key == "*" else value[key]
        values.append(float(value))
    return max(values) if high else min(values)


FAILS = {
    "reach": (("validity", "*", "reach"), False, "nothing"),
    "cv": (("validity", "*", "cv_0.8"), False, "nothing"),
    "gap_closed": (("clinical", "ctr", "*", "gap_closed"), False, "pixel_descent"),
    "of_oracle": (("clinical", "ctr", "*", "of_oracle"), False, "pixel_descent"),
    "moved_beyond_noise": (("clinical", "ctr", "*", "moved_beyond_noise"), False, "nothing"),
    "moved_right": (("clinical", "ctr", "*", "moved_right"), False, "nothing"),
    "ctr_of_nothing": (("oracle", "*", "ctr_mae_of_nothing"), True, "pixel_descent"),
    "l1_ratio": (("oracle", "*", "l1_ratio"), True, "nearest_real"),
    "kid": (("realism", "*", "kid"), True, "pixel_descent"),
    "fop": (("identity", "*", "fop"), False, "nearest_real"),
    "transfer": (("transfer", "*", "flip"), False, "nothing"),
}


@pytest.mark.parametrize("name", FAILS)
def test_each_metric_is_failed_by_a_control_that_the_faithful_method_passes(
    evaluated: Any, name: str
) -> None:
    _, metrics = evaluated
    path, high, control = FAILS[name]
    good, bad = _worse(metrics, *path, high=high), _worse(metrics["controls"][control], *path, high=high)
    if high:
        assert bad > 3 * max(good, 0.001) or bad > good + 0.5
    else:
        assert bad < 0.7 * good


def test_single_figures_are_failed_too(evaluated: Any) -> None:
    _, metrics = evaluated
    controls = metrics["controls"]
    assert controls["nothing"]["validity"]["target_mae"] > 0.3 > metrics["validity"]["target_mae"]
    assert controls["nothing"]["validity"]["target_mae_worst"] > 0.4
    assert controls["nothing"]["validity"]["spans"] == 0
    assert controls["nothing"]["validity"]["monotone"] is None  # flat lines are not called monotone
    assert controls["nearest_real"]["validity"]["monotone"] < 1 == metrics["validity"]["monotone"]
    assert controls["nothing"]["oracle"]["down"]["ghost"] > 2
    assert controls["nothing"]["oracle"]["l1_ratio"] == pytest.approx(1)
    assert controls["nearest_real"]["null_test"]["l1"] > 10 * metrics["null_test"]["l1"]
    assert controls["nearest_real"]["null_test"]["l1_return"] > 10 * metrics["null_test"]["l1_return"]


def test_each_control_wins_what_it_is_there_to_win(evaluated: Any) -> None:
    """No single metric tells a method from a control: nothing wins identity, the others validity."""
    _, metrics = evaluated
    controls = metrics["controls"]
    assert controls["nothing"]["null_test"]["l1"] == 0
    assert controls["nothing"]["identity"]["fop"] == 1
    for name in ("nearest_real", "pixel_descent", "oracle"):
        assert controls[name]["validity"]["up"]["reach"] == controls[name]["validity"]["down"]["reach"] == 1
    assert controls["nearest_real"]["realism"]["kid"] < controls["pixel_descent"]["realism"]["kid"]
    assert controls["oracle"]["oracle"]["l1_ratio"] == 0
    for group in ("up", "down"):
        assert controls["oracle"]["clinical"]["ctr"][group]["of_oracle"] == 1


def test_a_narrowed_chest_is_seen(toy_world: Any) -> None:
    """A CTR that moves by the chest: thorax_change tells, though gap_closed looks fine."""
    from toy_settings import SETTINGS

    from cfx.evaluation.runner import evaluate
    from cfx.explainers.base import Counterfactual

    class Squeeze(toy.Faithful):
        def explain(self, image: torch.Tensor, targets: torch.Tensor) -> Counterfactual:
            drawn = super().explain(image, targets)
            drawn.images[..., :6] = drawn.images[..., :6].clamp(min=0.0)
            drawn.images[..., -6:] = drawn.images[..., -6:].clamp(min=0.0)
            return drawn

    table, dataset, _ = toy_world
    box = toy.ToyBox()
    _, metrics = evaluate(
        Squeeze(box), box, table, dataset, judge=toy.judge, task=toy.TASK, settings=SETTINGS, controls=()
    )
    assert metrics["clinical"]["ctr"]["up"]["thorax_change"] > 0.1
