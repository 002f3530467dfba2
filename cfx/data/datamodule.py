"""The one data module: whichever the data set and the model, pictures come from here."""

import logging
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytorch_lightning as pl
from filelock import FileLock
from torch.utils.data import DataLoader

from cfx.data import loading
from cfx.data.annotations import Annotations
from cfx.data.attributes import ATTRIBUTES, with_attributes
from cfx.data.balance import BALANCES, drawn_quantiles, groups_of
from cfx.data.batch import Batch
from cfx.data.boxes import Boxes, BoxTable, known_boxes
from cfx.data.dataset import ChestXrayDataset, Transform
from cfx.data.frames import VIEWS
from cfx.data.labels import apply_policy, check_findings, check_positives
from cfx.data.sampler import StepSampler
from cfx.data.source import MaskTable, Source
from cfx.data.splits import Splits, patient_hash
from cfx.errors import BadValue, EmptySplit, UnknownChoice, nearest

log = logging.getLogger(__name__)

SPLITS: Final = ("train", "valid", "test")


class ChestXrayDataModule(pl.LightningDataModule):
    """Pictures, labels, masks, devices and posteriors of one data set, by split.

    Works with a trainer and without: `table` and `dataset` prepare what they need.

    Args:
        source: the data set.
        size: side of the pictures in pixels; see `cfx.data.reading.to_square`.
        findings: label columns, in the order of the labels; may be empty for a segmenter. View, sex and age can be
            among them, by their names in `cfx.data.attributes`.
        views: the views to keep, of PA, AP and LATERAL; where the data set knows no views at all, everything
            is kept.
        uncertain: what -1 becomes, see `cfx.data.labels.apply_policy`.
        splits: how patients are shared out.
        part: the training part whose rows are `train`.
        batch_size: pictures in a training step **over all processes**.
        workers: processes that load; 0 is fastest where nothing is augmented.
        seed: of the order, the augmentation and the limit.
        on_error: `raise`, or `skip` to leave out broken or missing files and repeated rows, with a count.
        transform: augmentation of the training pictures, or None.
        annotations: masks, devices and posteriors computed before; they take the place of the source's.
        masks_from: table of published masks, joined to the source's.
        boxes_from: where boxes come from if not from the source itself.
        balance: None, `finding` (positives of the finding make `balance_share` of the draws), `devices` (so do
            pictures with the box of a device), `posterior` (each of ten bins of the posterior is drawn equally often),
            `posterior_root` (each in proportion to the root of its size), or `extremes` (only pictures under 0.2 and
            over 0.8, half each).
        balance_share: see `balance`.
        limit: at most so many pictures a split, half of them positive where there are enough.
        cache: folder for decoded pictures, see `cfx.data.cache`; None keeps them in memory.
        extras: which of `masks` and `devices` to load where the data set has them. `boxes` keeps only pictures
            whose boxes are known.
        finding: the one that is explained: balance, folds and limit go by it, and it alone must have positives in
            the training part. Without it balance, folds and limit go by the first of `findings`, and all must.

    Raises:
        UserError: at construction for values that can not be meant, at `setup` for the data set's own faults.

    """

    def __init__(
        self,
        source: Source,
        *,
        size: int,
        findings: Sequence[str],
        views: Sequence[str] = ("PA", "AP"),
        uncertain: str | Mapping[str, str] = "ignore",
        splits: Splits | None = None,
        part: str = "train",
        batch_size: int = 32,
        workers: int = 0,
        seed: int = 0,
        on_error: str = "raise",
        transform: Transform | None = None,
        annotations: Annotations | None = None,
        masks_from: MaskTable | None = None,
        boxes_from: BoxTable | None = None,
        balance: str | None = None,
        balance_share: float = 0.5,
        limit: int | None = None,
        cache: str | Path | None = None,
        extras: Sequence[str] = ("masks", "devices"),
        finding: str | None = None,
    ) -> None:
        super().__init__()
        _check_choice("data.on_error", on_error, ("raise", "skip"))
        for view in views:
            _check_choice("data.views", view, VIEWS)
        for extra in extras:
            _check_choice("data.extras", extra, ("masks", "devices", "boxes"))
        if balance is not None:
            _check_choice("data.balance", balance, BALANCES)
        if not 8 <= size <= 4096:
            raise BadValue("data.size", size, "not a size for a picture", "give 8 to 4096 pixels")
        if not 0 < balance_share < 1:
            raise BadValue(
                "data.balance_share", balance_share, "not a share", "give a number between 0 and 1"
            )
        if finding is not None and finding not in findings:
            raise UnknownChoice("finding", finding, "is not among data.findings", "add it there")
        if limit is not None and limit < 1:
            raise BadValue("data.limit", limit, "leaves no picture", "give 1 or more, or null")
        self.source = source
        self.size = size
        self.findings = list(findings)
        self.views = list(views)
        self.uncertain: str | dict[str, str] = uncertain if isinstance(uncertain, str) else dict(uncertain)
        self.splits = splits or Splits()
        self.part = part
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed
        self.on_error = on_error
        self.transform = transform
        self.annotations = annotations
        self.masks_from, self.boxes_from = masks_from, boxes_from
        self.balance = balance
        self.balance_share = balance_share
        self.limit = limit
        self.cache = None if cache is None else Path(cache).expanduser()
        self.extras = tuple(extras)
        self.finding = finding if finding is not None else next(iter(self.findings), None)
        self._must_be_present = list(findings) if finding is None else [finding]
        self.skipped: dict[str, str] = {}
        """Names of rows left out under on_error=skip, with the reason."""
        self._boxes: Boxes = {}
        self._tables: dict[str, pd.DataFrame] = {}
        self._loaded: dict[str, loading.Loaded] = {}
        self._step = 0

    def prepare_data(self) -> None:
        """Let the source write its data, one process at a time on this machine."""
        place = str(getattr(self.source, "root", self.source.name))
        name = blake2b(str(Path(place).absolute()).encode(), digest_size=10).hexdigest()
        with FileLock(Path(tempfile.gettempdir()) / f"cfx-prepare-{name}.lock"):
            self.source.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Read the table, apply policies and filters, share out the patients. Decodes nothing yet."""
        self._step = 0  # a fit that resumes loads its state after this
        if self._tables:
            return
        frame = self.source.frame()
        if self.masks_from is not None:
            frame = self.masks_from.add(frame)
        check_findings(frame, [name for name in self.findings if name not in ATTRIBUTES.values()])
        frame = with_attributes(frame, self.findings)
        frame = loading.drop_repeats(frame, self._skip)
        frame = apply_policy(frame, self.findings, self.uncertain)
        frame = frame.assign(part=self.splits.assign(frame, self.finding))
        frame = self._keep_views(frame)
        if "boxes" in self.extras:
            self._boxes = known_boxes(self.source, self.boxes_from, frame)
            frame = frame[frame["image_id"].isin(set(self._boxes))]
        frame = loading.drop_missing(frame, self._skip)
        training = self.splits.names(self.part)
        for split in SPLITS:
            rows = frame[frame["part"] == (training if split == "train" else split)]
            if split == "train" and len(rows):
                check_positives(rows, self._must_be_present, f"the part {self.part!r}")
            self._tables[split] = self._limited(rows).reset_index(drop=True)

    def _skip(self, name: str, error: Exception) -> None:
        """Raise the error, or under on_error=skip note it and go on."""
        if self.on_error == "raise":
            raise error
        if name not in self.skipped:
            log.warning("left out: %s", error)
        self.skipped[name] = str(error)

    def _keep_views(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Keep the views asked for; a data set without any view is kept whole."""
        if not (frame["view"] != "").any():
            return frame
        kept = frame[frame["view"].isin(self.views)]
        if kept.empty:
            there = ", ".join(sorted(set(frame["view"]) - {""}))
            raise EmptySplit(
                "data.views", self.views, "no picture has one of these views", f"there are {there}"
            )
        return kept

    def _limited(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return at most `limit` rows, drawn by hash, positives of the finding and others in turn."""
        if self.limit is None or len(rows) <= self.limit:
            return rows
        key = pd.Series(
            [patient_hash(name, self.seed, "limit") for name in rows["image_id"]], index=rows.index
        )
        positive = pd.Series(False, index=rows.index)
        if self.finding is not None:
            positive = rows[self.finding] == 1.0
        turn = key.groupby(positive).rank(method="first")
        chosen = turn.sort_values(kind="stable").index[: self.limit]
        return rows.loc[rows.index.isin(chosen)]

    def rows(self, split: str) -> pd.DataFrame:
        """Return the rows of a split as `table` does, but before any file is decoded: broken ones too, perhaps none.

        Raises:
            UnknownChoice: not train, valid or test.

        """
        _check_choice("split", split, SPLITS)
        if not self._tables:
            self.prepare_data()
            self.setup()
        return self._tables[split]

    def table(self, split: str) -> pd.DataFrame:
        """Return the rows of a split, index 0..N-1: the source's columns, `part`, and labels of 1, 0 or NaN.

        Raises:
            UnknownChoice: not train, valid or test.
            EmptySplit: no row is left in it.

        """
        self.rows(split)
        if self.on_error == "skip":
            return self._load(split).table  # which files are broken is only known after decoding
        return self._require(split)

    def _require(self, split: str) -> pd.DataFrame:
        rows = self._tables[split]
        if rows.empty:
            what = f"the part {self.part!r}" if split == "train" else f"the {split} part"
            views = ", ".join(self.views)
            raise EmptySplit(
                "data.splits",
                split,
                f"{what} has no picture with the views {views}",
                "change splits, views or limit",
            )
        return rows

    def _load(self, split: str) -> "loading.Loaded":
        """Return the decoded pictures of a split, decoding at the first call."""
        if split not in self._loaded:
            self._loaded[split] = loading.load(
                self._require(split),
                self.size,
                extras=self.extras,
                skip=self._skip,
                stop=self.on_error == "raise",
                folder=self.cache,
                threads=max(1, min(self.workers, len(os.sched_getaffinity(0)))),
            )
            if self._loaded[split].table.empty:
                raise EmptySplit("data.splits", split, "every file is missing or broken", "check data.root")
        return self._loaded[split]

    def annotate(self, annotations: Annotations | None) -> None:
        """Take other annotations from now on; nothing is decoded again."""
        self.annotations = annotations

    def dataset(self, split: str, transform: Transform | None = None) -> ChestXrayDataset:
        """Return a split's pictures, not augmented unless a transform is given.

        Raises:
            UnknownChoice, EmptySplit: as `table`.

        """
        self.table(split)
        loaded = self._load(split)
        masks, has_masks, devices, posterior = loaded.masks, loaded.has_masks, loaded.devices, None
        if self.annotations is not None:
            found = self.annotations.lookup([str(name) for name in loaded.table["image_id"]], self.size)
            posterior = found.posterior
            if found.masks is not None and "masks" in self.extras:
                masks, has_masks = found.masks, found.has_masks
            if found.devices is not None and "devices" in self.extras:
                devices = found.devices
        return ChestXrayDataset(
            loaded.table,
            loaded.images,
            self.findings,
            masks=masks,
            has_masks=has_masks,
            devices=devices,
            posterior=posterior,
            boxes=[self._boxes[str(name)] for name in loaded.table["image_id"]] if self._boxes else None,
            transform=transform,
            seed=self.seed,
        )

    def sampler(self, dataset: ChestXrayDataset, *, training: bool) -> StepSampler:
        """Return the order in which a split is gone through by this process."""
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        groups, shares = self._balance(dataset) if training else (None, None)
        return StepSampler(
            dataset,
            self.batch_size,
            seed=self.seed,
            shuffle=training,
            groups=groups,
            shares=shares,
            rank=rank,
            world=world,
        )

    def posteriors(self, count: int = 1001) -> npt.NDArray[np.float32]:
        """Return what the black box says of training pictures in the shares in which they are drawn.

        Args:
            count: how many quantiles.

        Returns:
            float32 (count,), rising: quantiles of the annotated posteriors, weighted as the sampler draws pictures.

        Raises:
            BadValue: no posterior is known.
        """
        dataset = self.dataset("train")
        if dataset.posterior is None or not np.isfinite(dataset.posterior).any():
            raise BadValue(
                "data", self.source.name, "no posterior is known", "annotate with a black box first"
            )
        return drawn_quantiles(dataset.posterior, *self._balance(dataset), count)

    def _balance(self, dataset: ChestXrayDataset) -> tuple[Any, Any]:
        """Return the groups of training pictures and their shares, or None and None."""
        return groups_of(self.balance, self.balance_share, dataset, self.finding)

    def train_dataloader(self) -> "DataLoader[Batch]":
        """Return training batches, augmented, entered where a resumed run left off."""
        dataset = self.dataset("train", self.transform)
        sampler = self.sampler(dataset, training=True)
        sampler.start_at(self._step)
        return self._loader(dataset, sampler)

    def val_dataloader(self) -> "DataLoader[Batch]":
        """Return validation batches in order."""
        dataset = self.dataset("valid")
        return self._loader(dataset, self.sampler(dataset, training=False))

    def test_dataloader(self) -> "DataLoader[Batch]":
        """Return test batches in order."""
        dataset = self.dataset("test")
        return self._loader(dataset, self.sampler(dataset, training=False))

    def _loader(self, dataset: ChestXrayDataset, sampler: StepSampler) -> "DataLoader[Batch]":
        """Return a loader that asks the data set for whole batches."""
        return DataLoader(
            dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=self.workers if dataset.transform is not None else 0,
            persistent_workers=self.workers > 0 and dataset.transform is not None,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        )

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches have been trained on, for a checkpoint."""
        trainer = self.trainer
        if trainer is None or trainer.train_dataloader is None:
            return {"step": self._step}
        progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        return {"step": trainer.current_epoch * len(trainer.train_dataloader) + int(progress.processed)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the batches of a checkpoint."""
        # Lightning only knows of loaders that keep their own place; here the sampler is set to it
        warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
        self._step = int(state_dict["step"])


def _check_choice(argument: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is not among the choices, naming the nearest."""
    if value not in choices:
        near = nearest(str(value), choices)
        hint = f"did you mean {near!r}" if near else f"choose among {', '.join(choices)}"
        raise UnknownChoice(argument, value, "no such choice", hint)
