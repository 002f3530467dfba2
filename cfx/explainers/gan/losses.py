"""Every term of the objective, as a pure function of tensors, and how the terms add up.

Source of the formulas: Singla et al., "Explaining the Black-box Smoothly" (arXiv 2101.04230; MedIA 84:102721,
2023), with the weights its authors' code uses; `SINGLA2021.md` says where we differ. With x the input, f the
black box, c the target, x_c = G(x, c), x_s = G(x, f(x)) the self-reconstruction and x_b = G(x_c, f(x)) the
way back:

    L_D = hinge_discriminator(D(x, f(x)), D(x_c, c)) + r1 * r1_penalty
    L_G = adversarial      * hinge_generator(D(x_c, c))
        + classifier       * classifier_consistency(f(x_c), c)
        + classifier_cycle * classifier_consistency(f(x_b), f(x))
        + reconstruction   * CARL(x, x_s)
        + cycle            * CARL(x, x_b)
        + embedding        * embedding_consistency(E(x | f(x)), E(x_c | f(x)))
        + change           * CARL(x, x_c), over the whole picture
        + smoothness       * smoothness(field)
        + residual         * residual_magnitude(residual)
        + total_variation  * total_variation(x_c)

The real picture is scored with its own condition, the drawn one with the target. `change` is the price of any
change: the whole picture is its one region, and devices count once more unless the kind is plain. The last three
lines belong to generators that edit rather than re-synthesise. Images are float (B, 1, H, W) in [-1, 1]; each function
returns one scalar, the batch mean.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

KINDS = ("context_aware", "plain")
R1_PIXELS = 64 * 64


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[max(0, 1 - D(x, f(x)))] + E[max(0, 1 + D(x_c, c))] from the two sets of scores, each (B,).

    The drawn pictures must have been detached from their generator: this is the discriminator's loss alone.
    """
    return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """-E[D(x_c, c)] from the scores (B,) of drawn pictures. Not clipped: the gradient never vanishes."""
    return -fake.mean()


def classifier_consistency(logit: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy between the posterior asked for and the black box's logit of the drawn picture.

    logit (B,) is the black box's logit, target (B,) in [0, 1]. With p = target and q = sigmoid(logit),
    BCE(p, q) = KL(p || q) + H(p): it differs from the paper's divergence by the entropy of the target, which
    no network can change, so both have the same gradient, (q - p) / B a picture, and the least BCE is H(p),
    not 0. Made from logits in at least float32: a saturated black box gives neither log(0) nor a gradient of
    zero.
    """
    if logit.shape != target.shape:
        raise ValueError(f"logit {tuple(logit.shape)} and target {tuple(target.shape)} must have one shape")
    precise = torch.promote_types(logit.dtype, torch.float32)
    return F.binary_cross_entropy_with_logits(logit.to(precise), target.to(precise))


def binary_entropy(target: Tensor) -> Tensor:
    """H(p) = -p log p - (1 - p) log(1 - p) in nats, elementwise; 0 at p = 0 and p = 1."""
    return -(torch.xlogy(target, target) + torch.xlogy(1.0 - target, 1.0 - target))


def _distance(x: Tensor, y: Tensor) -> Tensor:
    """|x - y| averaged over channels: (B, H, W)."""
    if x.shape != y.shape:
        raise ValueError(f"images of {tuple(x.shape)} and {tuple(y.shape)} cannot be compared")
    return (x - y).abs().mean(dim=1)


def _region_stack(
    x: Tensor, regions: Tensor, devices: Tensor | None, device_weight: float
) -> tuple[Tensor, Tensor]:
    """Weights in space (B, R [+ 1], H, W) and weights of the terms (R [+ 1],), the devices' union last."""
    if regions.ndim != 4 or regions.shape[0] != x.shape[0] or regions.shape[-2:] != x.shape[-2:]:
        raise ValueError(f"regions of {tuple(regions.shape)} do not fit images of {tuple(x.shape)}")
    factors = regions.new_ones(regions.shape[1])
    if devices is None:
        return regions, factors
    if devices.ndim != 4 or devices.shape[0] != x.shape[0] or devices.shape[-2:] != x.shape[-2:]:
        raise ValueError(f"devices of {tuple(devices.shape)} do not fit images of {tuple(x.shape)}")
    union = devices.amax(dim=1, keepdim=True).to(regions.dtype)
    stack = torch.cat([regions, union], dim=1)
    return stack, torch.cat([factors, factors.new_full((1,), device_weight)])


def context_aware(
    x: Tensor, y: Tensor, regions: Tensor, devices: Tensor | None = None, device_weight: float = 1.0
) -> Tensor:
    """The context-aware reconstruction loss (CARL): an L1 for each region, normalised by that region's area.

    For each image sum_j |S_j * (x - y)|_1 / sum S_j, then the mean over the batch, so that a small region
    counts as much as a large one. What lies in no region is not held at all: there the finding may show.

    x: the image that was explained, y: its reconstruction, both (B, 1, H, W). regions: soft masks (B, R, H,
    W) in [0, 1] of x (never of y: the mask must not follow the edit). devices: (B, D, H, W), masks or filled
    boxes (`fill_boxes`) of foreign objects; their union is one more term, weighted by `device_weight`. A
    region of less than one pixel is divided by one pixel, so an empty mask (a patient without a device, an
    image without masks) adds exactly 0 and no NaN.

    The paper's second term compares detections; like the authors' earlier code we hold the pixels of the
    devices instead.
    """
    stack, factors = _region_stack(x, regions, devices, device_weight)
    stack = stack.detach()
    numerator = (stack * _distance(x, y).unsqueeze(1)).sum(dim=(2, 3))
    mass = stack.sum(dim=(2, 3)).clamp_min(1.0)
    return ((numerator / mass) * factors).sum(dim=1).mean()


def plain_l1(
    x: Tensor, y: Tensor, regions: Tensor, devices: Tensor | None = None, device_weight: float = 1.0
) -> Tensor:
    """Mean |x - y| over all pixels, with the same total weight an image as `context_aware` would give it.

    Same arguments. The regions serve only to count terms (an empty one counts 0), so that an error spread
    evenly over the picture costs the same under both losses and an ablation compares where weight lies, not
    how much there is.
    """
    stack, factors = _region_stack(x, regions, devices, device_weight)
    total = (stack.detach().sum(dim=(2, 3)).clamp_max(1.0) * factors).sum(dim=1)
    return (_distance(x, y).mean(dim=(1, 2)) * total).mean()


def fill_boxes(boxes: Sequence[Tensor], height: int, width: int) -> Tensor:
    """Boxes of devices as a map (B, 1, H, W) for `context_aware`.

    boxes: for each image a tensor (N, 4) of x0, y0, x1, y1 in pixels, edges (so x1 - x0 is the width); N may
    be 0. A pixel that a box covers in part gets that part; overlapping boxes give their maximum, never more
    than 1.
    """
    if not boxes:
        raise ValueError(
            "fill_boxes needs one tensor of boxes an image, an empty one where there is no device"
        )
    maps = []
    for corners in boxes:
        table = corners.reshape(-1, 4).float()
        x0, y0, x1, y1 = table.unbind(dim=1)
        across = torch.arange(width, device=table.device, dtype=table.dtype)
        down = torch.arange(height, device=table.device, dtype=table.dtype)
        part_x = (torch.minimum(x1[:, None], across + 1) - torch.maximum(x0[:, None], across)).clamp(0, 1)
        part_y = (torch.minimum(y1[:, None], down + 1) - torch.maximum(y0[:, None], down)).clamp(0, 1)
        covered = part_y[:, :, None] * part_x[:, None, :]
        none = covered.new_zeros(1, height, width)
        maps.append(torch.cat([covered, none]).amax(dim=0, keepdim=True))
    return torch.stack(maps)


def embedding_consistency(source: Tensor, counterfactual: Tensor) -> Tensor:
    """Mean squared difference of E(x | f(x)) and E(x_c | f(x)), any equal shapes.

    Both sides receive gradient, as in the authors' code: the encoder learns to see one patient in both
    pictures.
    """
    if source.shape != counterfactual.shape:
        raise ValueError(
            f"embeddings of {tuple(source.shape)} and {tuple(counterfactual.shape)} cannot be compared"
        )
    return F.mse_loss(counterfactual, source)


def smoothness(field: Tensor) -> Tensor:
    """Bending energy of a displacement field (B, 2, g, g): mean of u_xx^2 + 2 u_xy^2 + u_yy^2, summed over x
    and y.

    Displacements are in fractions of the width and the grid spans the picture, so the energy does not depend
    on how fine the grid is. Zero for every shift, scaling, rotation and shear, which is why it does not
    shrink the edit: it only forbids folds and ripples. Needs a grid of at least 3 x 3.
    """
    height, width = field.shape[-2:]
    if height < 3 or width < 3:
        raise ValueError(f"bending energy needs a grid of at least 3 x 3, got {height} x {width}")
    step_y, step_x = 1.0 / (height - 1), 1.0 / (width - 1)
    u_xx = (field[..., 2:] - 2 * field[..., 1:-1] + field[..., :-2]) / step_x**2
    u_yy = (field[..., 2:, :] - 2 * field[..., 1:-1, :] + field[..., :-2, :]) / step_y**2
    along_x = field[..., 1:] - field[..., :-1]
    u_xy = (along_x[..., 1:, :] - along_x[..., :-1, :]) / (step_x * step_y)
    parts = (u_xx.square(), 2 * u_xy.square(), u_yy.square())
    energy = torch.stack([part.mean(dim=(-2, -1)).sum(dim=1) for part in parts])
    return energy.sum(dim=0).mean()


def residual_magnitude(residual: Tensor) -> Tensor:
    """Mean |residual| of the grey values an edit adds, (B, 1, g, g) in units of the [-1, 1] image."""
    return residual.abs().mean()


def total_variation(image: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, across plus down, of (B, C, H, W): the price of grain."""
    across = (image[..., :, 1:] - image[..., :, :-1]).abs().mean()
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().mean()
    return across + down


def r1_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """Half the mean squared norm of the discriminator's gradient at real pictures (Mescheder et al., ICML
    2018), times H W / 64^2.

    A picture of twice the side has four times the pixels, each of which moves the score a quarter as much: unscaled,
    the penalty would fall with the size. So one weight means the same at any size, and at 64 x 64 the factor is 1.

    scores (B,) of images (B, 1, H, W), which must have required gradient before they were scored. Each score
    must depend on its own image alone, which holds for every discriminator here. The weight that multiplies
    this is the usual gamma.
    """
    if not images.requires_grad:
        raise ValueError("r1_penalty needs images that required gradient before the discriminator saw them")
    (slope,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    pixels = images.shape[-2] * images.shape[-1]
    return 0.5 * slope.square().flatten(1).sum(dim=1).mean() * (pixels / R1_PIXELS)


@dataclass(frozen=True)
class LossWeights:
    """The weights of a `conf/loss` file. Each but `device_weight`, `r1` and `kind` multiplies the term of its
    name.

    The paper's lam_adv is `adversarial`, its lam_f both `classifier` and `classifier_cycle`, its lam_rec
    `reconstruction`, `cycle` and `embedding` at once. kind: "context_aware", or "plain" for the ablation.
    Raises ValueError for a negative or non-finite weight or an unknown kind.
    """

    adversarial: float = 1.0
    classifier: float = 1.0
    classifier_cycle: float = 0.0
    reconstruction: float = 1.0
    cycle: float = 1.0
    embedding: float = 0.0
    device_weight: float = 1.0
    change: float = 0.0
    smoothness: float = 0.0
    residual: float = 0.0
    total_variation: float = 0.0
    r1: float = 0.0
    kind: str = "context_aware"

    def __post_init__(self) -> None:
        """Refuse what would silently train another objective."""
        if self.kind not in KINDS:
            raise ValueError(f"loss.kind={self.kind!r} is unknown: use one of {', '.join(KINDS)}")
        for name, value in (
            *self.generator().items(),
            ("device_weight", self.device_weight),
            ("r1", self.r1),
        ):
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"loss.{name}={value!r} must be a finite number that is not negative")

    def generator(self) -> dict[str, float]:
        """Weight by name of every term of L_G."""
        apart = {"device_weight", "r1", "kind"}
        return {
            field.name: float(getattr(self, field.name)) for field in fields(self) if field.name not in apart
        }


def reconstruction_terms(
    x: Tensor,
    self_image: Tensor,
    cycle_image: Tensor | None,
    regions: Tensor,
    devices: Tensor | None,
    weights: LossWeights,
) -> dict[str, Tensor]:
    """The two reconstruction terms, `reconstruction` (x against x_s) and `cycle` (x against x_b; left out for
    None).

    Both use the same regions and devices, those of the source image x, as the paper's code does.
    """
    compare = context_aware if weights.kind == "context_aware" else plain_l1
    terms = {"reconstruction": compare(x, self_image, regions, devices, weights.device_weight)}
    if cycle_image is not None:
        terms["cycle"] = compare(x, cycle_image, regions, devices, weights.device_weight)
    return terms


def total(terms: Mapping[str, Tensor], weights: LossWeights) -> Tensor:
    """L_G of the module's docstring: the weighted sum of the terms, by name.

    A term of weight zero may be left out; a missing term of non-zero weight and a term of no known name are
    each a ValueError, for both would train something else than what the configuration says.
    """
    named = weights.generator()
    unknown = sorted(set(terms) - set(named))
    missing = sorted(name for name, weight in named.items() if weight > 0 and name not in terms)
    if unknown or missing:
        raise ValueError(f"loss terms do not match their weights: unknown {unknown}, missing {missing}")
    if not terms:
        raise ValueError("no loss term at all")
    return torch.stack([named[name] * term for name, term in terms.items()]).sum()
