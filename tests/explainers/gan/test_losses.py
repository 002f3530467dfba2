"""Each term of the objective: against a plain loop in float64, its order, and who receives its gradient."""

import math
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cfx.explainers.gan import losses
from cfx.explainers.gan.losses import LossWeights

# Vectorised float64 against a plain Python loop: only the order of additions differs.
TOLERANCE = 1e-12


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Reproducible float64 values in [-1, 1]."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def close(value: Tensor, reference: float) -> bool:
    """Equal to the stated tolerance, relative or absolute, whichever is larger."""
    return math.isclose(float(value), reference, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


# --- independent references


def test_hinge_losses_equal_a_loop() -> None:
    real, fake = draw(7, seed=1) * 3, draw(7, seed=2) * 3
    expected = (
        sum(max(0.0, 1 - r) for r in real.tolist()) / 7 + sum(max(0.0, 1 + f) for f in fake.tolist()) / 7
    )
    assert close(losses.hinge_discriminator(real, fake), expected)
    assert close(losses.hinge_generator(fake), -sum(fake.tolist()) / 7)


def test_classifier_consistency_equals_cross_entropy_and_kl_plus_entropy() -> None:
    logit, target = draw(9, seed=3) * 4, (draw(9, seed=4) + 1) / 2
    cross, divergence, entropy = 0.0, 0.0, 0.0
    for z, p in zip(logit.tolist(), target.tolist(), strict=True):
        q = 1 / (1 + math.exp(-z))
        cross -= p * math.log(q) + (1 - p) * math.log(1 - q)
        divergence += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        entropy -= p * math.log(p) + (1 - p) * math.log(1 - p)
    value = losses.classifier_consistency(logit, target)
    assert close(value, cross / 9)
    assert close(value, (divergence + entropy) / 9)
    assert close(losses.binary_entropy(target).sum(), entropy)
    assert losses.binary_entropy(torch.tensor([0.0, 1.0])).tolist() == [0.0, 0.0]


def loop_context_aware(x: Tensor, y: Tensor, regions: Tensor, devices: Tensor | None, weight: float) -> float:
    """The formula of the paper, pixel by pixel."""
    total = 0.0
    batch, channels, height, width = x.shape
    for b in range(batch):
        masks = [(regions[b, j], 1.0) for j in range(regions.shape[1])]
        if devices is not None:
            masks.append((devices[b].max(dim=0).values, weight))
        for mask, factor in masks:
            above, below = 0.0, 0.0
            for i in range(height):
                for j in range(width):
                    gap = sum(abs(float(x[b, c, i, j] - y[b, c, i, j])) for c in range(channels)) / channels
                    above += float(mask[i, j]) * gap
                    below += float(mask[i, j])
            total += factor * above / max(below, 1.0)
    return total / batch


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("with_devices", [False, True])
def test_context_aware_equals_a_loop(channels: int, with_devices: bool) -> None:
    x, y = draw(3, channels, 6, 5, seed=5), draw(3, channels, 6, 5, seed=6)
    regions = (draw(3, 2, 6, 5, seed=7) + 1) / 2
    regions[1, 0] = 0.0
    devices = ((draw(3, 2, 6, 5, seed=8) > 0.6).double()) if with_devices else None
    value = losses.context_aware(x, y, regions, devices, 0.7)
    assert close(value, loop_context_aware(x, y, regions, devices, 0.7))


def test_plain_l1_equals_a_loop() -> None:
    x, y, regions = (
        draw(2, 1, 4, 4, seed=9),
        draw(2, 1, 4, 4, seed=10),
        torch.ones(2, 3, 4, 4, dtype=torch.float64),
    )
    regions[1, 2] = 0.0
    expected = 0.0
    for b, count in ((0, 3), (1, 2)):
        pixels = [abs(float(x[b, 0, i, j] - y[b, 0, i, j])) for i in range(4) for j in range(4)]
        expected += count * sum(pixels) / 16 / 2
    assert close(losses.plain_l1(x, y, regions), expected)


def test_embedding_residual_and_variation_equal_loops() -> None:
    a, b = draw(2, 3, 2, 2, seed=11), draw(2, 3, 2, 2, seed=12)
    pairs = list(zip(a.flatten().tolist(), b.flatten().tolist(), strict=True))
    assert close(losses.embedding_consistency(a, b), sum((p - q) ** 2 for p, q in pairs) / len(pairs))
    assert close(losses.residual_magnitude(a), sum(abs(p) for p, _ in pairs) / len(pairs))
    image = draw(1, 1, 3, 4, seed=13)[0, 0].tolist()
    across = [abs(image[i][j + 1] - image[i][j]) for i in range(3) for j in range(3)]
    down = [abs(image[i + 1][j] - image[i][j]) for i in range(2) for j in range(4)]
    value = losses.total_variation(torch.tensor(image, dtype=torch.float64)[None, None])
    assert close(value, sum(across) / len(across) + sum(down) / len(down))


def test_smoothness_equals_a_loop_and_closed_forms() -> None:
    field = draw(2, 2, 5, 4, seed=14) * 0.1
    expected = 0.0
    for b in range(2):
        for k in range(2):
            u = field[b, k].tolist()
            xx = [((u[i][j + 1] - 2 * u[i][j] + u[i][j - 1]) * 9) ** 2 for i in range(5) for j in (1, 2)]
            yy = [((u[i + 1][j] - 2 * u[i][j] + u[i - 1][j]) * 16) ** 2 for i in (1, 2, 3) for j in range(4)]
            xy = [
                ((u[i + 1][j + 1] - u[i + 1][j] - u[i][j + 1] + u[i][j]) * 12) ** 2
                for i in range(4)
                for j in range(3)
            ]
            expected += (sum(xx) / len(xx) + sum(yy) / len(yy) + 2 * sum(xy) / len(xy)) / 2
    # The differences are multiplied by up to 16, so a little more rounding is allowed here.
    assert float(losses.smoothness(field)) == pytest.approx(expected, rel=1e-11)
    for grid in (8, 16, 33):
        place = torch.linspace(0, 1, grid, dtype=torch.float64)
        bowl = torch.zeros(1, 2, grid, grid, dtype=torch.float64)
        bowl[0, 0] = 0.05 * place[None, :] ** 2
        assert float(losses.smoothness(bowl)) == pytest.approx(0.01, rel=1e-9), (
            "u = a x^2 costs 4 a^2 on every grid"
        )


def test_r1_penalty_equals_its_closed_form() -> None:
    images = draw(4, 1, 3, 3, seed=15).requires_grad_()
    value = losses.r1_penalty(images.square().flatten(1).sum(dim=1), images)
    norms = [sum((2 * v) ** 2 for v in image.flatten().tolist()) for image in images.detach()]
    assert close(value.detach(), 0.5 * sum(norms) / 4 * 9 / 4096)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_r1_penalty_does_not_depend_on_the_size_of_the_picture(size: int) -> None:
    small = torch.linspace(-1, 1, 64).view(2, 1, 8, 4).repeat_interleave(2, dim=3)
    images = torch.nn.functional.interpolate(small, size=size).requires_grad_()
    left = images[..., : size // 2]
    value = losses.r1_penalty(3 * left.square().mean(dim=(1, 2, 3)), images)
    slopes = (3 * 2 * small[..., :4]).square().sum(dim=(1, 2, 3)) / 32**2  # of the 8 x 8 picture
    assert float(value.detach()) == pytest.approx(0.5 * float(slopes.mean()) * 64 / 4096, rel=1e-5)


# --- ordering: better input, lower loss


def test_discriminator_prefers_telling_apart_and_generator_prefers_fooling() -> None:
    high, low = torch.full((4,), 0.8), torch.full((4,), -0.8)
    assert losses.hinge_discriminator(high, low) < losses.hinge_discriminator(low, high)
    assert losses.hinge_discriminator(high + 1, low - 1) == 0
    assert losses.hinge_generator(high) < losses.hinge_generator(low)


@pytest.mark.parametrize("target", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_classifier_term_is_least_where_the_target_is_met(target: float) -> None:
    wanted = torch.tensor([target])
    posteriors = torch.linspace(0.01, 0.99, 99)
    values = torch.stack([losses.classifier_consistency(torch.logit(p[None]), wanted) for p in posteriors])
    assert abs(float(posteriors[values.argmin()]) - min(max(target, 0.01), 0.99)) < 0.006
    falling = values[: int(values.argmin()) + 1]
    rising = values[int(values.argmin()) :]
    assert bool((falling.diff() < 0).all()) and bool((rising.diff() > 0).all())


def test_context_aware_charges_inside_regions_and_devices_only() -> None:
    x = torch.zeros(1, 1, 8, 8)
    regions, devices = torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 8)
    regions[0, 0, :4, :4] = 1.0
    regions[0, 1, 4:6, 4:6] = 1.0
    devices[0, 0, 7, 7] = 1.0

    def cost(row: int, column: int, size: float = 0.5, weight: float = 2.0) -> float:
        y = x.clone()
        y[0, 0, row, column] = size
        return float(losses.context_aware(x, y, regions, devices, weight))

    assert cost(0, 7) == 0, "outside every region the picture is free"
    assert 0 < cost(0, 0) < cost(4, 4) < cost(7, 7), "a pixel of a smaller region costs more"
    assert cost(0, 0, size=0.1) < cost(0, 0, size=0.5)
    assert cost(7, 7, weight=1.0) == pytest.approx(cost(7, 7, weight=2.0) / 2)
    assert losses.context_aware(x, x, regions, devices) == 0


def test_context_aware_survives_empty_regions_and_soft_edges() -> None:
    x, y = torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8)
    empty = torch.zeros(2, 3, 8, 8)
    assert losses.context_aware(x, y, empty, torch.zeros(2, 1, 8, 8)) == 0
    soft = torch.full((2, 1, 8, 8), 0.25)
    assert losses.context_aware(x, y, soft) == pytest.approx(1.0), "a soft mask is normalised by its own mass"
    faint = torch.full((2, 1, 8, 8), 0.001)
    assert 0 < float(losses.context_aware(x, y, faint)) < 0.1, (
        "noise of an empty mask is not blown up to a region"
    )


def test_plain_and_context_aware_weigh_an_even_error_alike() -> None:
    x, regions = torch.zeros(3, 1, 8, 8), (draw(3, 3, 8, 8, seed=16).float() + 1) / 2
    regions[2, 1] = 0.0
    devices = torch.zeros(3, 1, 8, 8)
    devices[0, 0, 2:5, 2:5] = 1.0
    y = x + 0.3
    even = losses.plain_l1(x, y, regions, devices, 1.5)
    assert even == pytest.approx(float(losses.context_aware(x, y, regions, devices, 1.5)), rel=1e-6)
    assert even == pytest.approx(0.3 * ((3 + 1.5) + 3 + 2) / 3, rel=1e-6)
    assert losses.plain_l1(x, x + 0.1, regions) < even


def test_edit_terms_prefer_smooth_small_and_even() -> None:
    place = torch.linspace(-1, 1, 16)
    down, across = torch.meshgrid(place, place, indexing="ij")
    affine = torch.stack([0.05 * across + 0.02 * down + 0.01, -0.03 * across])[None]
    bump = torch.stack([0.05 * torch.exp(-4 * (across**2 + down**2)), torch.zeros(16, 16)])[None]
    ripple = bump + 0.01 * torch.sin(20 * across)
    assert losses.smoothness(affine) < 1e-6
    assert losses.smoothness(affine) < losses.smoothness(bump) < losses.smoothness(ripple)
    assert losses.residual_magnitude(bump * 0.1) < losses.residual_magnitude(bump)
    assert losses.total_variation(bump) < losses.total_variation(ripple)
    assert losses.embedding_consistency(affine, affine) == 0
    assert losses.embedding_consistency(affine, affine + 0.1) < losses.embedding_consistency(
        affine, affine + 0.2
    )


def test_r1_penalty_prefers_a_flat_discriminator() -> None:
    images = torch.rand(2, 1, 4, 4, requires_grad=True)
    steep = losses.r1_penalty(5 * images.flatten(1).sum(dim=1), images)
    flat = losses.r1_penalty(0.1 * images.flatten(1).sum(dim=1), images)
    assert flat < steep


def test_boxes_become_maps_with_partial_pixels() -> None:
    boxes = [torch.tensor([[1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 4.5, 3.0]]), torch.zeros(0, 4)]
    maps = losses.fill_boxes(boxes, 6, 8)
    assert maps.shape == (2, 1, 6, 8)
    assert maps[1].sum() == 0
    assert maps[0, 0, 2].tolist() == [0, 1, 1, 1, 0.5, 0, 0, 0]
    assert maps[0, 0, 3].tolist() == [0, 1, 1, 0, 0, 0, 0, 0]
    assert maps.max() == 1, "overlapping boxes are a union, not a sum"
    with pytest.raises(ValueError, match="one tensor of boxes"):
        losses.fill_boxes([], 6, 8)


# --- who receives gradient


def gradients(loss: Callable[..., Tensor], *inputs: Tensor) -> list[bool]:
    """For each input whether the loss sends it a finite gradient that is not all zero."""
    leaves = [value.clone().requires_grad_() for value in inputs]
    found = torch.autograd.grad(loss(*leaves), leaves, allow_unused=True)
    for slope in found:
        assert slope is None or bool(torch.isfinite(slope).all())
    return [slope is not None and bool((slope != 0).any()) for slope in found]


def test_adversarial_terms_send_gradient_to_the_scores() -> None:
    real, fake = draw(5, seed=17), draw(5, seed=18)
    assert gradients(losses.hinge_discriminator, real, fake) == [True, True]
    assert gradients(losses.hinge_generator, fake) == [True]
    assert gradients(losses.hinge_discriminator, real + 5, fake - 5) == [False, False], (
        "beyond the margin nothing pulls"
    )
    assert gradients(losses.hinge_generator, fake - 50) == [True], (
        "the generator is pulled however badly it does"
    )


def test_classifier_term_pulls_towards_the_target() -> None:
    logit = torch.tensor([-3.0, 3.0, 0.0], requires_grad=True)
    losses.classifier_consistency(logit, torch.tensor([0.9, 0.1, 0.5])).backward()
    assert logit.grad is not None
    assert logit.grad[0] < 0 < logit.grad[1], (
        "descent must raise a posterior below its target and lower one above"
    )
    assert logit.grad[2] == pytest.approx(0.0, abs=1e-7)
    assert torch.allclose(
        logit.grad, (torch.sigmoid(logit.detach()) - torch.tensor([0.9, 0.1, 0.5])) / 3, atol=1e-7
    )


def test_context_aware_pulls_on_the_drawing_not_on_the_masks() -> None:
    x, y = draw(2, 1, 6, 6, seed=19), draw(2, 1, 6, 6, seed=20)
    regions, devices = torch.zeros(2, 2, 6, 6).double(), torch.zeros(2, 1, 6, 6).double()
    regions[:, 0, :3] = 1.0
    devices[:, 0, 5, 5] = 1.0
    for loss in (losses.context_aware, losses.plain_l1):
        assert gradients(lambda a, m, d, f=loss: f(x, a, m, d), y, regions, devices) == [True, False, False]
    y.requires_grad_()
    losses.context_aware(x, y, regions, devices).backward()
    assert y.grad is not None
    held = (regions.sum(dim=1, keepdim=True) + devices) > 0
    assert bool((y.grad[held] != 0).all()) and bool((y.grad[~held] == 0).all())


def test_remaining_terms_pull_on_what_they_name() -> None:
    a, b, field = draw(2, 4, 2, 2, seed=21), draw(2, 4, 2, 2, seed=22), draw(2, 2, 6, 6, seed=23)
    assert gradients(losses.embedding_consistency, a, b) == [True, True]
    assert gradients(losses.smoothness, field) == [True]
    assert gradients(losses.residual_magnitude, a) == [True]
    assert gradients(losses.total_variation, a) == [True]
    slope = torch.nn.Parameter(torch.tensor(2.0))
    images = draw(2, 1, 3, 3, seed=24).float().requires_grad_()
    losses.r1_penalty((slope * images).flatten(1).sum(dim=1), images).backward()
    assert slope.grad is not None and slope.grad == pytest.approx(2.0 * 9 * 9 / 4096), (
        "the penalty trains the discriminator"
    )


# --- composition


def test_total_is_the_weighted_sum_by_name() -> None:
    weights = losses.LossWeights(adversarial=0.5, classifier=2.0, reconstruction=3.0, cycle=0.0)
    terms = {
        "adversarial": torch.tensor(1.0),
        "classifier": torch.tensor(10.0),
        "reconstruction": torch.tensor(0.1),
    }
    assert losses.total(terms, weights) == pytest.approx(0.5 + 20.0 + 0.3)
    assert losses.total({**terms, "cycle": torch.tensor(9.0)}, weights) == pytest.approx(20.8)


def test_the_objective_at_the_top_names_every_term() -> None:
    assert losses.__doc__ is not None
    summands = re.findall(r"^ +(?:L_G =|\+) (\w+) +\* ", losses.__doc__, flags=re.MULTILINE)
    assert sorted(summands) == sorted(LossWeights().generator())


def test_total_refuses_terms_that_do_not_match_their_weights() -> None:
    weights = losses.LossWeights()
    terms = {name: torch.tensor(1.0) for name, weight in weights.generator().items() if weight > 0}
    assert losses.total(terms, weights) == sum(weights.generator().values())
    with pytest.raises(ValueError, match=r"missing.*cycle"):
        losses.total({name: value for name, value in terms.items() if name != "cycle"}, weights)
    with pytest.raises(ValueError, match=r"unknown.*cyc1e"):
        losses.total({**terms, "cyc1e": torch.tensor(1.0)}, weights)


def test_total_sends_each_term_its_weight_as_gradient() -> None:
    weights = losses.LossWeights(classifier_cycle=4.0, embedding=5.0, smoothness=6.0)
    leaves = {name: torch.tensor(1.0, requires_grad=True) for name in weights.generator()}
    losses.total(leaves, weights).backward()
    assert {
        name: float(leaf.grad) for name, leaf in leaves.items() if leaf.grad is not None
    } == weights.generator()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cycle": -1.0}, "loss.cycle"),
        ({"classifier": math.nan}, "loss.classifier"),
        ({"kind": "l3"}, "loss.kind"),
    ],
)
def test_weights_refuse_nonsense(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        losses.LossWeights(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", losses.KINDS)
def test_reconstruction_terms_follow_the_kind(kind: str) -> None:
    x, y, z = draw(2, 1, 4, 4, seed=25), draw(2, 1, 4, 4, seed=26), draw(2, 1, 4, 4, seed=27)
    regions = (draw(2, 2, 4, 4, seed=28) > 0).double()
    weights = losses.LossWeights(kind=kind, device_weight=0.5)
    compare = losses.context_aware if kind == "context_aware" else losses.plain_l1
    terms = losses.reconstruction_terms(x, y, z, regions, None, weights)
    assert terms == {"reconstruction": compare(x, y, regions), "cycle": compare(x, z, regions)}
    assert set(losses.reconstruction_terms(x, y, None, regions, None, weights)) == {"reconstruction"}


def test_shapes_that_do_not_fit_are_refused() -> None:
    x = torch.zeros(2, 1, 8, 8)
    with pytest.raises(ValueError, match="regions"):
        losses.context_aware(x, x, torch.zeros(2, 3, 4, 4))
    with pytest.raises(ValueError, match="devices"):
        losses.context_aware(x, x, torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8))
    with pytest.raises(ValueError, match="compared"):
        losses.context_aware(x, torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8))
    with pytest.raises(ValueError, match="one shape"):
        losses.classifier_consistency(torch.zeros(2, 1), torch.zeros(2))
    with pytest.raises(ValueError, match="3 x 3"):
        losses.smoothness(torch.zeros(1, 2, 2, 8))
    with pytest.raises(ValueError, match="required gradient"):
        losses.r1_penalty(torch.zeros(2), x)
    with pytest.raises(ValueError, match="embeddings"):
        losses.embedding_consistency(x, x[:1])
