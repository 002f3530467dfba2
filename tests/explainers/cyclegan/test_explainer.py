"""One picture towards each side, and a cross-fade in between."""

import torch
from torch import Tensor, nn

from cfx.explainers.cyclegan.explainer import CycleGanExplainer, share_of_way
from cfx.explainers.cyclegan.networks import Translation, TranslatorPair
from tests.explainers.gan.toys import Brightness, batch, black_box


class Shift(nn.Module):
    """Adds a grey value everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, image: Tensor, attend: bool = True) -> Translation:
        return Translation(image + self.value, torch.ones_like(image))


def explainer() -> CycleGanExplainer:
    pair = TranslatorPair(width=4, blocks=1, attention=4)
    pair.up, pair.down = Shift(0.4), Shift(-0.2)  # type: ignore[assignment]
    return CycleGanExplainer(pair, black_box(Brightness(slope=5.0)))


def test_the_ends_are_the_translators_pictures_and_the_way_is_linear() -> None:
    image = 0.2 * batch(3)["image"]
    made = explainer()
    own = made.blackbox(image)
    middle = own + 0.25 * (1 - own)
    targets = torch.stack([torch.zeros(3), own, middle, torch.ones(3)], dim=1)
    found = made.explain(image, targets)
    change = found.images - image.unsqueeze(1)
    expected = torch.tensor([-0.2, 0.0, 0.1, 0.4]).view(1, 4, 1, 1, 1).expand_as(change)
    torch.testing.assert_close(change, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.posterior[:, 1], own)
    assert found.edits is None


def test_the_share_never_leaves_its_range() -> None:
    posterior = torch.tensor([0.0, 1.0, 0.3])
    share = share_of_way(posterior, torch.tensor([[0.0, 0.5, 1.0]] * 3))
    torch.testing.assert_close(share[0], torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(share[1], torch.tensor([1.0, 0.5, 0.0]))
    torch.testing.assert_close(share[2], torch.tensor([1.0, 2 / 7, 1.0]))


def test_what_is_drawn_has_no_gradient_and_stays_in_range() -> None:
    torch.manual_seed(0)
    made = CycleGanExplainer(TranslatorPair(width=4, blocks=1, attention=4), black_box())
    made.train()
    assert not any(part.training for part in made.modules())
    drawn = made.explain(batch(2)["image"], torch.tensor([[0.0, 0.5, 1.0]] * 2))
    assert not drawn.images.requires_grad and float(drawn.images.abs().max()) <= 1.0
