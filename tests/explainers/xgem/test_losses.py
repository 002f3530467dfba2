"""The bound against torch's own distributions, in order of how good a reconstruction is."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from cfx.explainers.xgem import losses
from cfx.explainers.xgem.networks import Posterior, VariationalAutoencoder
from tests.explainers.gan.toys import batch


def posterior(seed: int = 0) -> Posterior:
    source = torch.Generator().manual_seed(seed)
    return Posterior(torch.randn(3, 5, generator=source), torch.randn(3, 5, generator=source))


def test_the_terms_are_those_of_normal_distributions() -> None:
    image, drawn = batch(3)["image"], batch(3, seed=1)["image"]
    scale = torch.tensor(-0.7)
    likelihood = Normal(drawn, scale.exp()).log_prob(image).flatten(1).sum(dim=1)
    torch.testing.assert_close(losses.log_likelihood(image, drawn, scale), likelihood, rtol=1e-5, atol=1e-2)
    q = posterior()
    kl = kl_divergence(Normal(q.mean, (0.5 * q.log_variance).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(losses.divergence(q), kl)
    bound = losses.elbo(image, drawn, q, scale)
    torch.testing.assert_close(bound, likelihood - kl, rtol=1e-5, atol=1e-2)


def test_a_better_reconstruction_and_a_plainer_posterior_raise_the_bound() -> None:
    image, q, scale = batch(3)["image"], posterior(), torch.tensor(-1.0)
    plain = Posterior(torch.zeros(3, 5), torch.zeros(3, 5))
    exact = losses.elbo(image, image, q, scale)
    assert bool((exact > losses.elbo(image, image + 0.1, q, scale)).all())
    assert bool((losses.elbo(image, image, plain, scale) > exact).all())
    assert losses.divergence(plain).tolist() == [0.0, 0.0, 0.0]


def test_the_best_deviation_is_that_of_the_errors() -> None:
    image = batch(2)["image"]
    drawn = image + 0.3 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    scales = torch.linspace(-2.0, 0.0, 81)
    bounds = torch.stack([losses.log_likelihood(image, drawn, scale).sum() for scale in scales])
    assert float(scales[bounds.argmax()].exp()) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("term", ["likelihood", "divergence"])
def test_who_receives_gradient(term: str) -> None:
    torch.manual_seed(0)
    network, image = VariationalAutoencoder(size=16, latent=4, width=4), batch(2, size=16)["image"]
    drawn, q = network(image, torch.randn(2, 4))
    value = {
        "likelihood": losses.log_likelihood(image, drawn, network.log_scale),
        "divergence": losses.divergence(q),
    }
    value[term].sum().backward()
    encoder, decoder = (
        sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None)
        for part in (network.encoder, network.decoder)
    )
    assert encoder > 0
    assert (decoder > 0) == (term == "likelihood")
    assert (network.log_scale.grad is not None) == (term == "likelihood")


def test_distance_is_the_mean_square() -> None:
    image = batch(2)["image"]
    assert losses.distance(image + 0.5, image).tolist() == pytest.approx([0.25, 0.25])
