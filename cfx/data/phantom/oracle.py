"""The counterfactual no real data set has: the same patient, drawn again with one finding changed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from cfx.data.phantom import noise
from cfx.data.phantom.findings import BOUNDS, FINDINGS
from cfx.data.phantom.geometry import Values
from cfx.data.phantom.render import Drawn, render, tensors
from cfx.data.phantom.shortcut import with_shortcut
from cfx.data.source import OracleImages
from cfx.errors import BadValue, UnknownChoice, nearest


class PhantomOracle:
    """Draws patients of a written phantom again.

    Args:
        truth: the phantom's truth.parquet.
        seed: seed of the phantom.
        size: side of its pictures in pixels.
        shortcut: what a shortcut is planted by, None where there is none.
    """

    def __init__(self, truth: pd.DataFrame, seed: int, size: int, shortcut: str | None = None) -> None:
        self._truth = tensors(truth)
        self._row = {str(name): row for row, name in enumerate(truth["image_id"])}
        self._seed = seed
        self._size = size
        self._shortcut = shortcut

    def severity(self, image_ids: Sequence[str], finding: str) -> Tensor:
        """float32 (B,): the severity at which these pictures were drawn."""
        return self._truth[_column(finding)][self._rows(image_ids)].float()

    def bounds(self, finding: str) -> tuple[float, float]:
        """Least and greatest severity that can be drawn."""
        return BOUNDS[FINDINGS[_known(finding)]]

    def render(self, image_ids: Sequence[str], finding: str, severity: Tensor) -> OracleImages:
        """Draw the patients with the finding at `severity`, float (B,), all else as it was.

        At a patient's own severity the picture is the file's, bit for bit.

        Raises:
            UnknownChoice: a finding or a picture that the phantom does not have.
        """
        column = _column(finding)
        rows = self._rows(image_ids)
        values = {name: values[rows] for name, values in self._truth.items()}
        own = values[column]
        asked = severity.detach().to(device="cpu", dtype=torch.float64).clamp(*self.bounds(finding))
        # a float32 severity of the patient's own means the severity itself
        values[column] = torch.where(asked.float() == own.float(), own, asked)
        drawn = self._drawn(values)
        factor = drawn.masks.shape[-1] // self._size
        masks = torch.nn.functional.avg_pool2d(drawn.masks.float(), factor)
        return OracleImages(noise.through_file(drawn.grey), masks, drawn.ctr.float())

    def with_shortcut(self, image_ids: Sequence[str], present: Tensor) -> Tensor:
        """Draw the patients with the planted shortcut where `present`, bool (B,), and without it elsewhere.

        Returns:
            float32 (B, 1, H, W) in [-1, 1]; where the shortcut stays as it was, the file's picture bit for bit.

        Raises:
            BadValue: no shortcut is planted in this phantom.
            UnknownChoice: a picture that the phantom does not have.
        """
        if self._shortcut is None:
            raise BadValue("data.source.shortcut", None, "nothing is planted", "use data=phantom_shortcut")
        rows = self._rows(image_ids)
        values = {name: values[rows] for name, values in self._truth.items()}
        return noise.through_file(self._drawn(with_shortcut(values, self._shortcut, present.cpu())).grey)

    def _drawn(self, values: Values) -> Drawn:
        return render(values, self._seed, self._size, with_devices=False)

    def _rows(self, image_ids: Sequence[str]) -> Tensor:
        missing = [name for name in image_ids if name not in self._row]
        if missing:
            raise UnknownChoice(
                "image_id", missing[0], "no such picture in the phantom", "give one of its table"
            )
        return torch.tensor([self._row[name] for name in image_ids], dtype=torch.long)


def _known(finding: str) -> str:
    if finding not in FINDINGS:
        close = nearest(finding, list(FINDINGS))
        remedy = f"use {close or ', '.join(FINDINGS)}"
        raise UnknownChoice("task.finding", finding, "the phantom does not draw it", remedy)
    return finding


def _column(finding: str) -> str:
    return f"severity_{FINDINGS[_known(finding)]}"
