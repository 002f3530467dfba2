"""A toy world whose answers are known: a chest with one sub-pixel heart width, and a linear black box that reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from cfx.explainers.base import Counterfactual, Explainer

SIZE = 32
THORAX = 26.0
SLOPE = 9.0
TASK = SimpleNamespace(name="cardiomegaly", finding="Cardiomegaly", measurement="ctr", direction="up")


def half_width(severity: Tensor) -> Tensor:
    """Half heart width in pixels: 4.5 at severity 0, 8.5 at severity 1 (CTR 0.35 to 0.65)."""
    return 4.5 + 4.0 * severity


def draw(severity: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures (B, 1, S, S) without noise and masks (B, 3, S, S) at severities (B,)."""
    at = torch.arange(SIZE, dtype=torch.float32)
    away = (at - 15.5).abs()
    rows = ((at >= 14) & (at < 26)).float()
    columns = (half_width(severity).unsqueeze(1) - away + 0.5).clamp(0, 1)
    heart = rows[None, :, None] * columns[:, None, :]
    inside = ((at >= 4) & (at < 28)).float()[:, None] * ((at >= 3) & (at < 29)).float()[None, :]
    lungs = inside[None] * (1 - heart)
    picture = 0.7 * heart - 0.7 * lungs
    left = (at >= 16).float()[None, None, :]
    masks = torch.stack([heart, lungs * left, lungs * (1 - left)], dim=1)
    return picture.unsqueeze(1), masks


def eight_bit(image: Tensor) -> Tensor:
    """Pictures as an 8-bit file holds them."""
    return ((image + 1) * 127.5).round() / 127.5 - 1


class ToyBox(nn.Module):
    """Posterior = sigmoid(9 (severity - 0.5)), the severity read from the mean grey value of a band of the chest."""

    prior = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)

    def severity(self, image: Tensor) -> Tensor:
        """Mean of the band is linear in the width."""
        mean = image[:, 0, 14:26, 5:27].mean(dim=(1, 2))
        return ((mean / 0.7 + 1) * 11 / 2 - 4.5) / 4.0

    def logit(self, image: Tensor) -> Tensor:
        """Log odds (B,)."""
        return self.scale * SLOPE * (self.severity(image) - 0.5)

    def forward(self, image: Tensor) -> Tensor:
        """Posterior (B,)."""
        return torch.sigmoid(self.logit(image))


class EdgeBox(ToyBox):
    """An independent reader of the same severity: from bright pixels alone, so that faint noise does not move it."""

    def severity(self, image: Tensor) -> Tensor:
        """Counts what is clearly heart."""
        bright = torch.sigmoid(20 * (image[:, 0, 16:24] - 0.2)).mean(dim=(1, 2)) * SIZE
        return (bright / 2 - 4.5) / 4.0


def judge(image: Tensor) -> Tensor:
    """Soft masks (B, 3, S, S) by grey value: bright is heart, dark is lung."""
    heart, lungs = torch.sigmoid(12 * (image - 0.1)), torch.sigmoid(12 * (-0.2 - image))
    left = (torch.arange(SIZE) >= 16).float()
    return torch.cat([heart, lungs * left, lungs * (1 - left)], dim=1)


@dataclass
class ToyOracle:
    """Draws a patient at any severity: same noise, same device."""

    severities: dict[str, float]
    extras: dict[str, Tensor]

    def severity(self, image_ids: Sequence[str], finding: str) -> Tensor:
        """Severity (B,)."""
        return torch.tensor([self.severities[name] for name in image_ids])

    def bounds(self, finding: str) -> tuple[float, float]:
        """Least and greatest."""
        return -0.2, 1.2

    def render(self, image_ids: Sequence[str], finding: str, severity: Tensor) -> Any:
        """Pictures and masks."""
        picture, masks = draw(severity)
        extra = torch.stack([self.extras[name] for name in image_ids])
        return SimpleNamespace(image=(picture + extra).clamp(-1, 1), masks=masks)


class ToySet:
    """A data set of toy pictures."""

    findings = ("Cardiomegaly",)

    def __init__(self, image: Tensor, masks: Tensor, label: Tensor) -> None:
        self.image, self.masks, self.label = image, masks, label

    def __len__(self) -> int:
        return len(self.image)

    def batch(self, keys: Sequence[int]) -> dict[str, Tensor]:
        """Pictures of some rows."""
        rows = torch.as_tensor(list(keys))
        return {
            "image": self.image[rows],
            "masks": self.masks[rows],
            "has_masks": torch.ones(len(rows), dtype=torch.bool),
            "label": self.label[rows].unsqueeze(1),
            "index": rows,
        }


def world(folder: Path, count: int = 120, seed: int = 0) -> tuple[pd.DataFrame, ToySet, ToyOracle]:
    """Table, data set and oracle of `count` pictures, two of every fourth patient; every third carries a device."""
    generator = torch.Generator().manual_seed(seed)
    severity = torch.rand(count, generator=generator) * 1.1 - 0.05
    picture, masks = draw(severity)
    extra = 0.01 * torch.randn(picture.shape, generator=generator)
    paths = []
    for i in range(count):
        bits = np.zeros((SIZE, SIZE), dtype=np.uint8)
        if i % 3 == 0:
            x, y, tall = 17 + i % 7, 5 + i % 5, i % 2
            place = (slice(y, y + 3 + tall), slice(x, x + 5 - 2 * tall))
            bits[place] = 1
            extra[i, 0][place] += 1.0
        path = folder / f"device{i}.png"
        Image.fromarray(bits).save(path)
        paths.append(str(path))
    names = [f"view{i}.jpg" for i in range(count)]
    patients = [f"p{i - 1}" if i % 4 == 3 else f"p{i}" for i in range(count)]
    label = (severity > 0.5).float()
    label[::17] = 1 - label[::17]
    table = pd.DataFrame(
        {
            "image_id": names,
            "patient_id": patients,
            "view": ["PA", "AP"] * (count // 2),
            "sex": ["F", "F", "M", "M"] * (count // 4),
            "age": np.linspace(20, 90, count),
            "split": "test",
            "device_path": paths,
        }
    )
    dataset = ToySet((picture + extra).clamp(-1, 1), masks, label)
    oracle = ToyOracle(dict(zip(names, severity.tolist(), strict=True)), dict(zip(names, extra, strict=True)))
    return table, dataset, oracle


class Faithful(Explainer):
    """Changes the width to what the black box asks for and nothing else: what every metric should praise."""

    def __init__(self, blackbox: ToyBox, off: float = 0.0) -> None:
        super().__init__()
        self.name = "faithful"
        self.blackbox, self.off = blackbox, off

    @torch.no_grad()
    def explain(self, image: Tensor, targets: Tensor) -> Counterfactual:
        """Add the difference of two drawings."""
        count, width = targets.shape
        own = self.blackbox.severity(image)
        asked = torch.where(
            (targets - self.blackbox(image).unsqueeze(1)).abs() < 1e-6,
            own.unsqueeze(1),
            torch.logit(targets.clamp(0.02, 0.98)) / SLOPE + 0.5 + self.off,
        )
        old = draw(own)[0].unsqueeze(1)
        new = draw(asked.reshape(-1))[0].reshape(count, width, 1, SIZE, SIZE)
        images = (image.unsqueeze(1) + new - old).clamp(-1, 1)
        posterior = self.blackbox(images.reshape(-1, 1, SIZE, SIZE)).reshape(count, width)
        return Counterfactual(images, targets, posterior)
