import sys
from pathlib import Path

import pytest
import torch

from cfx.classifiers import torchxrayvision_box
from cfx.classifiers.torchxrayvision_box import from_torchxrayvision
from cfx.errors import BadValue, CheckpointMismatch, MissingPath, UnknownChoice


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchxrayvision", None)
    with pytest.raises(MissingPath, match=r"not installed.*cfx\[xrv\]"):
        from_torchxrayvision("Cardiomegaly", random=True)


class TestWithThePackage:
    @pytest.fixture(autouse=True)
    def _package(self) -> None:
        pytest.importorskip("torchxrayvision")

    def test_random_weights_see_224_px_from_minus_to_plus_1024(self) -> None:
        box = from_torchxrayvision("Cardiomegaly", random=True)
        assert box.index == 10
        seen = box.prepare(torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 64, 64))
        assert seen.shape == (2, 1, 224, 224)
        assert seen[0].unique().tolist() == [-1024.0] and seen[1].unique().tolist() == [1024.0]
        image = torch.rand(2, 1, 64, 64, requires_grad=True)
        posterior = box(image)
        assert posterior.shape == (2,) and ((posterior >= 0) & (posterior <= 1)).all()
        (gradient,) = torch.autograd.grad(box.logit(image).sum(), image)
        assert gradient.abs().sum() > 0

    @pytest.mark.parametrize(
        ("finding", "index"), [("Pleural Effusion", 7), ("Effusion", 7), ("Pleural Thickening", 9)]
    )
    def test_findings_go_by_chexperts_names_too(self, finding: str, index: int) -> None:
        assert from_torchxrayvision(finding, random=True).index == index

    def test_a_file_of_weights_plain_or_whole(self, tmp_path: Path) -> None:
        from torchxrayvision.models import DenseNet

        torch.manual_seed(1)
        network = DenseNet(weights=None).eval()
        torch.save(network.state_dict(), tmp_path / "state.pt")
        torch.save(network, tmp_path / "whole.pt")
        image = torch.rand(2, 1, 224, 224)
        expected = network(image * 1024)[:, 4]
        for name in ("state.pt", "whole.pt"):
            box = from_torchxrayvision("Edema", path=tmp_path / name)
            assert torch.allclose(box.logit(image), expected, atol=1e-4)

    def test_the_operating_point_becomes_one_half(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from torchxrayvision import models

        torch.manual_seed(0)
        network = models.DenseNet(weights=None).eval()
        network.op_threshs = torch.full((18,), 0.2)
        network.op_threshs[7] = float("nan")
        points = network.op_threshs
        monkeypatch.setattr(models, "DenseNet", lambda weights: network)
        box = from_torchxrayvision("Cardiomegaly", weights="densenet121-res224-all")
        image = torch.rand(3, 1, 224, 224)
        raw = box.network.classifier(box.network.features2(box.prepare(image)))[:, 10]
        assert torch.allclose(box.logit(image), raw - torch.logit(torch.tensor(0.2)), atol=1e-4)
        network.op_threshs = points
        with pytest.raises(UnknownChoice, match="was not trained"):
            from_torchxrayvision("Effusion", weights="densenet121-res224-all")

    def test_mistakes_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(UnknownChoice, match="densenet121-res224-chex"):
            from_torchxrayvision("Cardiomegaly", weights="densenet121-res224-chexp")
        with pytest.raises(UnknownChoice, match=r"task\.finding='Broken Heart'"):
            from_torchxrayvision("Broken Heart", random=True)
        with pytest.raises(BadValue, match="exactly one"):
            from_torchxrayvision("Cardiomegaly")
        with pytest.raises(MissingPath, match="no such file"):
            from_torchxrayvision("Cardiomegaly", path=tmp_path / "gone.pt")
        torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
        with pytest.raises(CheckpointMismatch, match="does not load"):
            from_torchxrayvision("Cardiomegaly", path=tmp_path / "other.pt")


def test_every_translated_name_is_a_chexpert_name() -> None:
    assert "Pleural Effusion" in torchxrayvision_box.NAMES
