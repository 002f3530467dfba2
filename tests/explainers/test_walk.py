"""Walks down a black box whose answer is known: targets are met, in order, and nobody turns back."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cfx.explainers.walk import Pace, Queues, walk
from tests.explainers.gan.toys import Brightness, batch, black_box

TARGETS = torch.linspace(0, 1, 11)
PACE = Pace(steps=60, rate=0.02)


def pixels(image: Tensor, targets: Tensor, pace: Pace = PACE, slope: float = 20.0) -> tuple[Tensor, Tensor]:
    """Pictures (B, T, 1, H, W) of a walk in pixels and what the black box of brightness says of them."""
    box = black_box(Brightness(slope=slope))
    drawn = walk(image, lambda x: x, box.logit, targets, pace=pace, limits=(-1.0, 1.0))
    return drawn, box(drawn.flatten(0, 1)).reshape(targets.shape)


def alone(image: Tensor, target: float, slope: float = 20.0) -> Tensor:
    """The same descent written once more, for one target and one picture at a time."""
    box, found = black_box(Brightness(slope=slope)), image.clone()
    velocity, rate, side = torch.zeros_like(found), 0.02, 0.0
    for _ in range(60):
        x = found.clone().requires_grad_(True)
        logit = box.logit(x)
        F.binary_cross_entropy_with_logits(logit, torch.full_like(logit, target)).backward()
        assert x.grad is not None
        off = float(torch.sigmoid(logit.detach())) - target
        if side * off < 0:
            rate, velocity = rate / 2, torch.zeros_like(velocity)
        side = 1.0 if off > 0 else -1.0
        velocity = 0.7 * velocity + x.grad / x.grad.abs().max()
        if abs(off) <= 0.01:
            break
        found = (found - rate * velocity).clamp(-1, 1)
    return found


def test_every_target_is_met_and_the_path_never_turns_back() -> None:
    image = 0.2 * batch(5)["image"]
    drawn, posterior = pixels(image, TARGETS.expand(5, -1))
    assert float((posterior - TARGETS.clamp(0.02, 0.98)).abs().max()) <= 0.0101
    assert float(drawn.mean(dim=(2, 3, 4)).diff(dim=1).min()) > 0


def test_the_ends_are_those_of_the_pace_and_a_picture_beyond_one_stays() -> None:
    image = torch.linspace(-0.2, 0.2, 5).view(5, 1, 1, 1).expand(5, 1, 16, 16).contiguous()
    own = black_box(Brightness(slope=20.0))(image)
    assert float(own[0]) < 0.1 and float(own[-1]) > 0.9
    drawn, posterior = pixels(image, TARGETS.expand(5, -1), Pace(steps=60, rate=0.02, limit=0.1))
    inner = slice(1, 4)
    assert float((posterior[inner] - TARGETS.clamp(0.1, 0.9)).abs().max()) <= 0.0101
    torch.testing.assert_close(drawn[0, 0], image[0])  # asked for 0, nothing rises
    torch.testing.assert_close(drawn[-1, -1], image[-1])
    assert float(posterior[0, -1]) == pytest.approx(0.9, abs=0.011)
    assert Pace(limit=0.1).ends == (0.1, 0.9)


@pytest.mark.parametrize("limit", [0.5, 1.0, -0.1])
def test_ends_that_are_none_are_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="limit"):
        Pace(limit=limit)


@pytest.mark.parametrize("target", [0.02, 0.3, 0.98])
def test_one_target_is_walked_to_as_if_it_were_alone(target: float) -> None:
    image = 0.2 * batch(3)["image"]
    drawn, _ = pixels(image, torch.full((3, 1), target))
    for k in range(3):
        torch.testing.assert_close(drawn[k, 0], alone(image[k : k + 1], target)[0], atol=1e-4, rtol=0)


def test_the_order_of_the_targets_does_not_matter() -> None:
    image = 0.2 * batch(2)["image"]
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    drawn, _ = pixels(image, TARGETS.expand(2, -1))
    mixed, _ = pixels(image, TARGETS[order].expand(2, -1))
    torch.testing.assert_close(mixed, drawn[:, order])


def test_queues_run_away_from_where_the_picture_stands() -> None:
    queues = Queues(torch.tensor([[0.9, 0.1, 0.5, 0.3]]), torch.tensor([0.4]))
    assert queues.length.tolist() == [2, 2]
    assert queues.order[0, :2].tolist() == [2, 0]  # 0.5, then 0.9
    assert queues.order[1, :2].tolist() == [3, 1]  # 0.3, then 0.1


def test_a_walk_that_gets_nowhere_gives_one_picture_and_ends() -> None:
    calls = 0
    box = black_box(Brightness(slope=0.01))

    def logit(image: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return box.logit(image)

    image = 0.2 * batch(2)["image"]
    targets = torch.tensor([[0.6, 0.8, 1.0]] * 2)
    drawn = walk(image, lambda x: x, logit, targets, pace=Pace(steps=5, rate=0.02))
    assert calls == 1 + 6  # where it starts, five steps and where they led; not once more for 0.8 and 1
    assert torch.equal(drawn[:, 0], drawn[:, 1]) and torch.equal(drawn[:, 0], drawn[:, 2])
    assert float((drawn[:, 0] - image).mean()) > 0


def test_it_walks_in_inference_mode_and_leaves_no_gradient() -> None:
    box = black_box(Brightness(slope=20.0))
    with torch.inference_mode():
        image = 0.2 * batch(2)["image"]
        drawn = walk(image, lambda x: x, box.logit, torch.ones(2, 1), pace=PACE)
        assert float(box(drawn[:, 0]).min()) > 0.95
    assert not drawn.requires_grad
    assert all(parameter.grad is None for parameter in box.parameters())


def test_a_pull_holds_the_walk_back() -> None:
    image = 0.2 * batch(2)["image"]
    box = black_box(Brightness(slope=4.0))

    def far(weight: float) -> float:
        drawn = walk(
            image, lambda x: x, box.logit, torch.ones(2, 1), pace=Pace(steps=40, rate=0.02),
            pull=lambda picture, rows: weight * (picture - image[rows]).square().flatten(1).sum(dim=1),
        )  # fmt: skip
        return float((drawn[:, 0] - image).abs().mean())

    assert far(1.0) < 0.5 * far(0.0)


def test_a_pace_that_goes_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="does not walk"):
        Pace(steps=0)
    with pytest.raises(ValueError, match="does not walk"):
        Pace(momentum=1.0)
