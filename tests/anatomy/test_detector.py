"""The detectors: what they give, that they learn, resume their threshold and reload with identical outputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from cfx.anatomy.detection import Finder
from cfx.anatomy.detection_networks import DilatedDetector, LightDetector, ResNetDetector
from cfx.anatomy.detector import Detector, gathered, true_boxes
from cfx.errors import BadValue
from cfx.metrics.boxes import CLASSES, BoxSet
from cfx.runs import Run


def batch(count: int = 8, seed: int = 0, size: int = 64) -> dict[str, Any]:
    """Pictures with a bright square (a pacemaker) and a dark one (a healthy recess); the last has neither."""
    generator = torch.Generator().manual_seed(seed)
    image = 0.05 * torch.randn(count, 1, size, size, generator=generator)
    boxes, labels = [], []
    for row in range(count - 1):
        x, y = torch.randint(0, size // 2 - 10, (2,), generator=generator).tolist()
        image[row, 0, y : y + 10, x : x + 10] += 0.8
        image[row, 0, y + size // 2 : y + size // 2 + 8, x + 14 : x + 22] -= 0.8
        boxes.append(
            torch.tensor([[x, y, x + 10, y + 10], [x + 14, y + size // 2, x + 22, y + size // 2 + 8]]).float()
        )
        labels.append(torch.tensor([CLASSES.index("pacemaker"), CLASSES.index("healthy_recess")]))
    boxes.append(torch.zeros(0, 4))
    labels.append(torch.zeros(0, dtype=torch.int64))
    return {"image": image.clamp(-1, 1), "boxes": boxes, "box_labels": labels}


def light() -> LightDetector:
    torch.manual_seed(0)
    return LightDetector(size=64, width=8, channels=32)


def trained(folder: Path, steps: int = 50) -> tuple[Detector, pl.Trainer]:
    module = Detector(light(), lr=5e-3, ema=0.8)
    trainer = pl.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        check_val_every_n_epoch=5,
    )
    training = [batch(8, seed) for seed in range(5)]
    trainer.fit(module, DataLoader(training, batch_size=None), DataLoader([batch(8, 9)], batch_size=None))  # type: ignore[arg-type]
    return module, trainer


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Detector, pl.Trainer]:
    return trained(tmp_path_factory.mktemp("detector"))


def test_it_learns_and_logs_average_precision(fitted: tuple[Detector, pl.Trainer]) -> None:
    metrics = fitted[1].callback_metrics
    assert metrics["valid/ap50_pacemaker"] > 0.8
    assert "valid/ap50_tube" not in metrics  # none is there
    two = torch.stack([metrics["valid/ap50_pacemaker"], metrics["valid/ap50_healthy_recess"]])
    assert float(two.mean()) == pytest.approx(float(metrics["valid/ap50"]), abs=1e-5)


def test_thresholds_are_chosen_on_validation_pictures(fitted: tuple[Detector, pl.Trainer]) -> None:
    module, _ = fitted
    module.calibrate([batch(8, 9), batch(8, 10)])  # type: ignore[list-item]
    chosen = module.average.threshold
    assert chosen[CLASSES.index("tube")] == 0.5  # nothing to choose by
    assert 0 < chosen[CLASSES.index("pacemaker")] < 1
    recess = [CLASSES.index(name) for name in ("healthy_recess", "blunted_recess")]
    assert chosen[recess[0]] == chosen[recess[1]]


def test_weights_reload_with_identical_outputs(fitted: tuple[Detector, pl.Trainer], tmp_path: Path) -> None:
    module, _ = fitted
    run = Run.create(tmp_path / "run")
    run.write_weights(module.inference().state_dict())
    fresh = LightDetector(size=64, width=8, channels=32)
    fresh.load_state_dict(run.load_weights())
    image = batch(8, 11)["image"]
    for one, other in zip(
        Finder(module.inference(), 64)(image), Finder(fresh.eval(), 64)(image), strict=True
    ):  # type: ignore[arg-type]
        assert len(one) and np.array_equal(one.box, other.box) and np.array_equal(one.score, other.score)
        assert np.array_equal(one.label, other.label)
    assert torch.equal(fresh.threshold, module.average.threshold)
    assert "network" not in module.hparams


def test_a_finder_takes_pictures_of_any_size(fitted: tuple[Detector, pl.Trainer]) -> None:
    find = Finder(fitted[0].average, 64)  # type: ignore[arg-type]
    given = batch(6, 12)
    larger = torch.nn.functional.interpolate(given["image"], scale_factor=2, mode="nearest")
    for small, large in zip(find(given["image"])[:5], find(larger)[:5], strict=True):
        assert small.box[0] == pytest.approx(large.box[0], abs=0.03)
        assert (small.box >= 0).all() and (small.box <= 1).all()
    # sure boxes of devices alone, in pixels of the picture as given
    boxes = find.device_boxes(larger)
    sure = given["boxes"][0][0] * 2
    assert any((row - sure).abs().max() < 4 for row in boxes[0])


def test_the_averaged_network_stays_in_eval_mode_and_gets_no_gradient() -> None:
    module = Detector(light()).train()
    assert module.network.training and not module.average.training
    module.log = module.log_dict = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    module.training_step(batch(), 0).backward()  # type: ignore[arg-type]
    assert all(p.grad is None for p in module.average.parameters())
    assert all(p.grad is not None for p in module.network.parameters())


@pytest.mark.parametrize("make", [LightDetector, DilatedDetector])
def test_both_light_detectors_give_losses_and_boxes(make: Any) -> None:
    torch.manual_seed(0)
    network = make(size=64)
    given = batch(3, size=64)
    losses = network(given["image"], given["boxes"], given["box_labels"])
    assert all(value.ndim == 0 and torch.isfinite(value) for value in losses.values())
    # a batch without a single box still has a loss that reaches the weights
    empty = [torch.zeros(0, 4)] * 3, [torch.zeros(0, dtype=torch.int64)] * 3
    assert torch.stack(list(network(given["image"], *empty).values())).sum().requires_grad
    found = network.eval()(given["image"])
    assert len(found) == 3 and all((each["labels"] >= 0).all() for each in found)
    assert all((each["labels"] < len(CLASSES)).all() and len(each["boxes"]) <= 40 for each in found)


def test_the_two_share_no_weights() -> None:
    names = [
        {name for name, _ in network.named_parameters() if ".backbone." in name}
        for network in (LightDetector(), DilatedDetector())
    ]
    assert names[0] and names[1] and not names[0] & names[1]


def test_a_size_that_does_not_suit_is_refused() -> None:
    with pytest.raises(BadValue, match="multiple of 64"):
        LightDetector(size=96)


def test_faster_rcnn_keeps_pictures_as_they_are_and_fetches_nothing() -> None:
    torch.manual_seed(0)
    network = ResNetDetector(size=64)  # no_network would fail it
    transform: Any = network.model.transform
    assert tuple(transform.min_size) == (64,) and transform.max_size == 64
    given = batch(2, size=64)
    seen: list[tuple[int, ...]] = []
    network.model.backbone.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))  # type: ignore[union-attr]
    losses = network(given["image"], given["boxes"], given["box_labels"])
    assert seen == [(2, 3, 64, 64)]
    torch.stack(list(losses.values())).sum().backward()
    with torch.no_grad():
        assert len(network.eval()(given["image"])) == 2


def test_true_boxes_are_shares() -> None:
    sets = true_boxes(batch(3))  # type: ignore[arg-type]
    assert [len(each) for each in sets] == [2, 2, 0]
    assert sets[0].box[0, 2] - sets[0].box[0, 0] == pytest.approx(10 / 64)
    assert gathered([BoxSet.of([])])[0].box.shape == (0, 4)
