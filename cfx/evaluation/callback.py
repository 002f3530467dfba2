"""While an explainer trains: validity and CTR shifts on a fixed set of validation pictures, logged with pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from torch import Tensor

from cfx.evaluation.judging import Judge, in_batches, judge_images
from cfx.evaluation.marking import marked, png_info
from cfx.evaluation.rows import PictureSet
from cfx.explainers.base import Explainer
from cfx.metrics.clinical import MeasurementShift
from cfx.metrics.validity import DOWN, MIDDLE, UP, Validity, groups

TARGETS = (0.0, 0.25, 0.5, 0.75, 1.0)
STRIP = 20
"""Pixels of dark ground below the progressions, which the mark stands on so that it covers no picture."""


def sheet(source: Tensor, drawn: Tensor) -> npt.NDArray[np.uint8]:
    """Progressions as one picture: a row a patient, the source first, then its targets.

    Args:
        source: (B, 1, H, W) in [-1, 1].
        drawn: (B, T, 1, H, W) in [-1, 1].

    Returns:
        grey (B * H, (T + 1) * W) uint8.
    """
    every = torch.cat([source.unsqueeze(1), drawn], dim=1)[:, :, 0].float().cpu()
    count, width, height, side = every.shape
    grey = ((every.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    pixels: npt.NDArray[np.uint8] = grey.permute(0, 2, 1, 3).reshape(count * height, width * side).numpy()
    return pixels


class ClinicalCallback(Callback):
    """Logs `valid/reach`, `valid/target_mae`, `valid/monotone`, `valid/ctr_shift_up`, ... at the end of a validation.

    The set is the first pictures of each group by the black box, the same at every validation. Under DDP each process
    draws its share and the sums are added up, so that every process logs the same figures. The figures choose nothing:
    they are there to be looked at, since the segmenter they come from enters no loss.

    Args:
        dataset: validation pictures.
        blackbox: (B, 1, H, W) -> posterior (B,).
        judge: segmenter, (B, 1, H, W) -> soft masks (B, 3, h, w); None measures no CTR.
        explainer: makes the explainer of the module as it is now, with its averaged weights.
        direction: +1 where the CTR rises with the finding, -1 where it falls; None where the task measures something
            else, so that no way of the CTR is the right one.
        targets: rising from 0 to 1.
        size: pictures of each of the two groups; half as many of the middle.
        search: pictures of the data set that are looked at for them.
        shown: progressions in the picture.
        images: whether pictures may go to a logger that can send them away (wandb); TensorBoard stays on the machine.
        folder: where PNGs of the pictures go as well; None writes none.
    """

    def __init__(
        self,
        dataset: PictureSet,
        blackbox: Any,
        judge: Judge | None,
        explainer: Callable[[pl.LightningModule], Explainer],
        *,
        direction: int | None = 1,
        targets: Sequence[float] = TARGETS,
        size: int = 16,
        search: int = 512,
        shown: int = 6,
        images: bool = False,
        folder: Path | None = None,
    ) -> None:
        self.dataset, self.blackbox, self.judge, self.explainer = dataset, blackbox, judge, explainer
        self.direction, self.targets = direction, tuple(targets)
        self.size, self.search, self.shown = size, search, shown
        self.images, self.folder = images, folder
        self._image: Tensor | None = None
        self._posterior = torch.empty(0)

    def _choose(self, device: torch.device) -> Tensor:
        """The fixed pictures (N, 1, H, W), group after group, so that every process gets a share of each."""
        if self._image is None:
            image = self.dataset.batch(list(range(min(self.search, len(self.dataset)))))["image"]
            posterior = in_batches(self.blackbox, image.to(device), 256)
            group = groups(posterior.numpy())
            wanted = {UP: self.size, DOWN: self.size, MIDDLE: self.size // 2}
            rows = [int(row) for name, n in wanted.items() for row in np.flatnonzero(group == name)[:n]]
            self._image, self._posterior = image[rows], posterior[rows]
        return self._image.to(device)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw, measure and log."""
        if trainer.sanity_checking:
            return
        # Lightning validates in inference mode, whose tensors enter no graph; some methods descend a gradient.
        with torch.inference_mode(False), torch.no_grad():
            self._log(trainer, pl_module)

    def _log(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What `on_validation_epoch_end` does."""
        device = pl_module.device
        image = self._choose(device)
        posterior = self._posterior.to(device)
        mine = slice(trainer.global_rank, None, trainer.world_size)
        explainer = self.explainer(pl_module)
        validity = Validity(len(self.targets)).to(device)
        shifts = MeasurementShift(self.direction).to(device)
        some, p = image[mine], posterior[mine]
        if len(some):
            targets = torch.tensor(self.targets, device=device).expand(len(some), -1)
            drawn = explainer.explain(some, targets).images
            flat = drawn.flatten(0, 1)
            after = in_batches(self.blackbox, flat, 256).reshape(len(some), -1)
            validity.update(p, after, targets)
            if self.judge is not None:
                before = torch.from_numpy(judge_images(self.judge, some).ctr)
                low, high = (torch.from_numpy(judge_images(self.judge, drawn[:, k]).ctr) for k in (0, -1))
                shifts.update(p, before, low, high)
            if trainer.is_global_zero:
                few = np.unique(np.linspace(0, len(some) - 1, self.shown).round().astype(int))
                self._show(trainer, sheet(some[few], drawn[few]))
        found = {f"valid/{name}": value for name, value in validity.compute().items()}
        if self.judge is not None:
            found |= {f"valid/ctr_{name}": value for name, value in shifts.compute().items()}
        known = {name: value.float() for name, value in found.items() if torch.isfinite(value)}
        pl_module.log_dict(known, on_epoch=True, sync_dist=False)

    def _show(self, trainer: pl.Trainer, pixels: npt.NDArray[np.uint8]) -> None:
        """Hand the picture, marked as synthetic below, to each logger that takes pictures, and to the folder."""
        pixels = np.asarray(marked(np.pad(pixels / 255.0, ((0, STRIP), (0, 0)))))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("progressions", pixels, trainer.global_step, dataformats="HW")
            elif isinstance(logger, WandbLogger) and self.images:
                logger.log_image("progressions", [pixels], step=trainer.global_step)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = self.folder / f"progressions-{trainer.global_step:06d}.png"
            Image.fromarray(pixels).save(file, pnginfo=png_info())
