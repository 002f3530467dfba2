"""The default discriminator."""

import torch

from cfx.explainers.gan.aligned import AlignedDiscriminator


def test_scores_do_not_depend_on_the_batch_but_on_picture_condition_and_place() -> None:
    torch.manual_seed(0)
    network = AlignedDiscriminator(width=8).eval()
    pictures, condition = torch.randn(4, 1, 64, 64), torch.tensor([0.1, 0.4, 0.6, 0.9])
    scores = network(pictures, condition)
    assert scores.shape == (4,)
    assert torch.allclose(scores[:1], network(pictures[:1], condition[:1]), atol=1e-5)
    assert not torch.allclose(scores, network(pictures, condition.flip(0)))
    assert not torch.allclose(scores, network(pictures.roll(8, dims=-1), condition))


def test_any_resolution_is_looked_at_alike() -> None:
    torch.manual_seed(0)
    network = AlignedDiscriminator(width=8).eval()
    small = torch.randn(2, 1, 32, 32)
    large = small.repeat_interleave(4, dim=-1).repeat_interleave(4, dim=-2)
    condition = torch.tensor([0.2, 0.8])
    assert torch.allclose(network(small, condition), network(large, condition), atol=1e-4)
