"""Several networks as one classifier."""

import torch

from cfx.classifiers.ensemble import Ensemble
from cfx.classifiers.module import Classifier
from cfx.data.batch import Batch


def test_the_mean_of_members_that_differ() -> None:
    torch.manual_seed(0)
    network = Ensemble(2, members=3, width=8, stages=2).eval()
    image = torch.randn(4, 1, 32, 32)
    each = network.each(image)
    assert each.shape == (3, 4, 2) and not torch.allclose(each[0], each[1])
    assert torch.allclose(network(image), each.mean(0))


def test_each_member_learns_from_its_own_error() -> None:
    """With the loss of the mean, all members would get the same gradient at the last layer's bias."""
    torch.manual_seed(0)
    module = Classifier(Ensemble(1, members=2, width=8, stages=2), findings=["Edema"])
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    batch: Batch = {
        "image": torch.randn(8, 1, 32, 32), "label": torch.ones(8, 1), "index": torch.arange(8),
    }  # fmt: skip
    module.training_step(batch, 0).backward()
    grads = [member.head.bias.grad for member in module.network.members]
    assert all(grad is not None and grad.abs().sum() > 0 for grad in grads)
    assert not torch.allclose(grads[0], grads[1])


def test_standardised_pictures_know_no_exposure() -> None:
    torch.manual_seed(0)
    network = Ensemble(1, members=1, width=8, stages=2, standardise=True).eval()
    image = torch.randn(2, 1, 32, 32)
    assert torch.allclose(network(image), network(0.5 * image + 0.2), atol=1e-4)
