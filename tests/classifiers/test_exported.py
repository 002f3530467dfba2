import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cfx.classifiers.exported import from_exported, load_exported
from cfx.classifiers.networks import SmallNet
from cfx.errors import BadValue, CheckpointMismatch, MissingPath, WrongLayout


def network() -> nn.Module:
    torch.manual_seed(0)
    return SmallNet(3, width=8, stages=2).eval()


def script(folder: Path, made: nn.Module) -> Path:
    path = folder / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(made, torch.zeros(2, 1, 64, 64)).save(str(path))
    return path


def program(folder: Path, made: nn.Module) -> Path:
    path = folder / "program.pt2"
    batch = torch.export.Dim("batch", min=1, max=4096)
    exported = torch.export.export(made, (torch.zeros(2, 1, 64, 64),), dynamic_shapes=({0: batch},))
    torch.export.save(exported, path)
    return path


@pytest.mark.parametrize("save", [script, program])
def test_an_exported_network_answers_as_the_original_and_stays_frozen(
    save: Callable[[Path, nn.Module], Path], tmp_path: Path
) -> None:
    original = network()
    box = from_exported(save(tmp_path, original), finding="Edema", index=2, size=64)
    image = torch.rand(5, 1, 64, 64).mul(2).sub(1).requires_grad_()
    assert torch.allclose(box.logit(image), original(image)[:, 2], atol=1e-5)
    (gradient,) = torch.autograd.grad(box.logit(image).sum(), image)
    assert gradient.abs().sum() > 0
    before = box(image).detach()
    box.train()
    assert not box.training
    assert not any(p.requires_grad for p in box.parameters())
    assert torch.equal(box(image), before)


def test_what_is_no_exported_file_is_named(tmp_path: Path) -> None:
    text = tmp_path / "text.pt"
    text.write_text("no network")
    state = tmp_path / "state.pt"
    torch.save(network().state_dict(), state)
    with pytest.raises(MissingPath, match=r"blackbox\.path=.*gone"):
        load_exported(tmp_path / "gone.pt")
    for path in (text, state):
        with pytest.raises(WrongLayout, match=r"no TorchScript or torch.export file"):
            load_exported(path)


def test_a_network_that_can_not_be_explained_is_named(tmp_path: Path) -> None:
    class Detached(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach().mean((1, 2, 3))[:, None] * 3

    class Colour(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 2, 64)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x).flatten(1) * 40

    path = script(tmp_path, network())
    with pytest.raises(BadValue, match="the network has 3 outputs"):
        from_exported(path, finding="x", index=3)
    with pytest.raises(CheckpointMismatch, match="no gradient"):
        from_exported(script(tmp_path, Detached()), finding="x")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Colour(), torch.zeros(2, 3, 64, 64)).save(str(tmp_path / "colour.pt"))
    with pytest.raises(CheckpointMismatch, match="refuses pictures"):
        from_exported(tmp_path / "colour.pt", finding="x")
    box = from_exported(tmp_path / "colour.pt", finding="x", channels=3, size=64)
    assert box(torch.zeros(2, 1, 100, 100)).shape == (2,)
    with pytest.raises(BadValue, match="not within"):
        from_exported(
            tmp_path / "colour.pt", finding="x", channels=3, size=64, output="probability", scale=9, shift=9
        )
