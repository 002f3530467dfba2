"""The terms of both objectives: the evidence lower bound that trains the generator, and the cost of an exemplar.

Sources: Kingma and Welling, "Auto-encoding variational Bayes" (ICLR 2014), for the bound; Rybkin, Daniilidis and
Levine, "Simple and effective VAE training with calibrated decoders" (ICML 2021), for one learned standard deviation;
Joshi, Koyejo, Kim and Ghosh, "xGEMs: generating examplars to explain black-box models" (arXiv 1806.08867), for the
exemplar:

    ELBO(x)    = E_q(z|x)[log p(x | z)] - KL(q(z | x) || N(0, 1))
    exemplar   = G(z*) with z* = argmin_z  BCE(f(G(z)), c) + distance * mean (x - G(z))^2, from z = E_q(z|x)[z]
"""

import math

import torch
from torch import Tensor

from cfx.explainers.xgem.networks import Posterior

LEAST_LOG_SCALE = -6.0
"""The standard deviation never counts as less than a third of an 8-bit grey value: that is rounding."""


def log_likelihood(image: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log likelihood p(x | z) in nats, (B,), of pictures (B, 1, H, W): normal around `mean`, deviation exp(log_scale).

    In float32 at least, since it sums thousands of terms.
    """
    wide = torch.promote_types(image.dtype, torch.float32)
    off = (image.to(wide) - mean.to(wide)).flatten(1)
    log_deviation = log_scale.to(wide).clamp(min=LEAST_LOG_SCALE)
    squares = 0.5 * off.square().sum(dim=1) * torch.exp(-2 * log_deviation)
    return -squares - off.shape[1] * (log_deviation + 0.5 * math.log(2 * math.pi))


def divergence(posterior: Posterior) -> Tensor:
    """KL(q(z | x) || N(0, 1)) in nats, (B,); 0 where q is the prior, never negative."""
    mean, log_variance = posterior.mean.float(), posterior.log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1)


def elbo(image: Tensor, drawn: Tensor, posterior: Posterior, log_scale: Tensor, beta: float = 1.0) -> Tensor:
    """The evidence lower bound in nats, (B,), from one sample of q; with a `beta` other than 1 it is no bound."""
    return log_likelihood(image, drawn, log_scale) - beta * divergence(posterior)


def distance(drawn: Tensor, image: Tensor) -> Tensor:
    """Mean squared difference (B,) of pictures (B, 1, H, W): what holds an exemplar to the picture it explains."""
    return (drawn - image).square().flatten(1).mean(dim=1)
