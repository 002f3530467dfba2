"""The terms of the objective, as pure functions of tensors.

Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks" (ICCV 2017), with the
least-squares adversarial loss of Mao et al. (ICCV 2017) and attention masks (Mejjati et al., NeurIPS 2018). With U the
translator towards the finding and D the one away from it, x a picture of the low group and y one of the high group:

    L_judges      = lsgan_discriminator(J_high(y), J_high(U(x))) + lsgan_discriminator(J_low(x), J_low(D(y)))
    L_translators = adversarial * (lsgan_generator(J_high(U(x))) + lsgan_generator(J_low(D(y))))
                  + cycle       * (|D(U(x)) - x| + |U(D(y)) - y|)
                  + identity    * (|U(y) - y| + |D(x) - x|)

The black box is in none of them: it only sorts the pictures into the groups. Each function returns a scalar.
"""

import torch
from torch import Tensor


def lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Half of E[(J(real) - 1)^2] + E[J(fake)^2], scores of any shape; the fake pictures must have been detached."""
    return 0.5 * ((real.float() - 1.0).square().mean() + fake.float().square().mean())


def lsgan_generator(fake: Tensor) -> Tensor:
    """E[(J(fake) - 1)^2], scores of any shape."""
    return (fake.float() - 1.0).square().mean()


def cycle_consistency(image: Tensor, back: Tensor) -> Tensor:
    """Mean |x - D(U(x))| of pictures (B, 1, H, W)."""
    return (image - back).abs().mean()


def identity(image: Tensor, same: Tensor) -> Tensor:
    """Mean |y - U(y)|: a picture that is of the group already is to stay as it is."""
    return (image - same).abs().mean()


def seen(image: Tensor, mask: Tensor, threshold: float) -> Tensor:
    """What a discriminator sees of pictures (B, 1, H, W): all at threshold 0, else where the mask is at least that.

    The cut passes no gradient to the mask, so that a translator can not hide by closing it.
    """
    return image if threshold <= 0 else image * (mask.detach() >= threshold).to(image.dtype)


def total(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Weighted sum of the terms; a term without a weight, or a weight without its term, is a ValueError."""
    if set(terms) != set(weights):
        raise ValueError(f"terms {sorted(terms)} do not match weights {sorted(weights)}")
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
