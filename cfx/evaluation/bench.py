"""The measuring bench: one code path from drawn pictures to rows, for the method and for every control."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from cfx.evaluation.detecting import FOUND_NAMES, Detecting, angles_of, both_sides
from cfx.evaluation.device_files import DEVICE_COUNTS, count_devices
from cfx.evaluation.judging import Judge, dice, haze_by, in_batches, judge_all
from cfx.evaluation.rows import KEYS, Drawn, Part, PictureSet, finish, is_extreme, load_part
from cfx.evaluation.settings import Settings
from cfx.evaluation.verdict import thorax_change, verdicts
from cfx.measurements import READING_FLOOR, measure
from cfx.metrics.boxes import BoxSet
from cfx.metrics.oracle import ghost_energies, l1
from cfx.metrics.recess import SIDES
from cfx.metrics.validity import groups

Array = npt.NDArray[Any]


def _contents(images: Tensor) -> list[bytes]:
    """A digest of each picture (N, 1, H, W): equal pictures have equal ones."""
    flat = images.detach().to("cpu", torch.float32).contiguous().flatten(1).numpy()
    return [hashlib.blake2b(picture.tobytes(), digest_size=16).digest() for picture in flat]


def _resized(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Masks (B, 3, h, w) at another size, averaged where they shrink."""
    if tuple(masks.shape[-2:]) == tuple(size):
        return masks
    smaller: Tensor = F.interpolate(
        masks, size=tuple(size), mode="bilinear", align_corners=False, antialias=True
    )
    return smaller


OracleAnswer = tuple[Tensor, Tensor]
"""Picture (1, H, W) and masks (3, H, W) of one oracle."""


@dataclass
class Bench:
    """Everything a row is measured with.

    Attributes:
        blackbox: the explained model.
        judge: the evaluation segmenter.
        table: one row a picture, in the order of the data set.
        dataset: the pictures.
        label: which of the data set's labels is the finding.
        settings: sizes.
        device: where networks live.
        transfer: independent classifier (B, 1, H, W) -> (B,), or None.
        threshold: the transfer classifier's own threshold.
        familiar: tells for pictures (B, 1, H, W) whether they are like the training data, or None.
        detecting: the evaluation detector at work, or None: no recess scores, no devices by boxes.
        read_by: what the task is read by, `ctr`, `scp` or `haze`, by which verdicts go; None: no verdict depends on it.
        floors: by what a task is read by, the least shift of one picture that is called a change; 0: not known.
        answers: oracles by (row, target), filled by the runner.
        seen: row of each of the data set's own pictures by its content, filled by `survey`.
        base: what was measured on the pictures themselves, filled by `survey`.
        found: boxes of the pictures themselves by the evaluation detector, filled by `survey`.
    """

    blackbox: Any
    judge: Judge
    table: pd.DataFrame
    dataset: PictureSet
    label: int
    settings: Settings
    device: torch.device
    transfer: Any = None
    threshold: float = 0.5
    familiar: Callable[[Tensor], Tensor] | None = None
    detecting: Detecting | None = None
    read_by: str | None = "ctr"
    floors: dict[str, float] = field(
        default_factory=lambda: {"ctr": READING_FLOOR, "scp": READING_FLOOR, "haze": 0.0}
    )
    answers: dict[tuple[int, float], OracleAnswer] = field(default_factory=dict)
    base: pd.DataFrame = field(default_factory=pd.DataFrame)
    seen: dict[bytes, int] = field(default_factory=dict)
    found: list[BoxSet] = field(default_factory=list)

    def load(self, rows: Sequence[int] | Array) -> Part:
        """Pictures of some rows, with the posterior that `survey` found."""
        part = load_part(self.dataset, rows, self.label, self.device)
        known = torch.as_tensor(self.base["p_before"].to_numpy()[part.rows], dtype=torch.float32)
        return replace(part, posterior=known.to(self.device))

    def survey(self) -> pd.DataFrame:
        """Measure the pictures as they are; the table becomes `base`, one row a picture.

        Columns: the keys, study_id, p_before, ctr_before, heart_width_before, thorax_width_before, p_transfer_before,
        ctr_true_before (from the data set's own masks), dice_heart, dice_left_lung, dice_right_lung, familiar,
        scp and angle by side, haze_before.
        """
        parts = []
        step = self.settings.part_size
        for start in range(0, len(self.table), step):
            rows = np.arange(start, min(start + step, len(self.table)))
            parts.append(self._survey_part(load_part(self.dataset, rows, self.label, self.device)))
        self.base = pd.concat(parts, ignore_index=True)
        return self.base

    def _survey_part(self, part: Part) -> pd.DataFrame:
        """One part of `survey`."""
        size = self.settings.batch_size
        keys = _contents(part.image)
        self.seen |= {key: int(row) for key, row in zip(keys, part.rows, strict=True)}
        posterior = in_batches(self.blackbox, part.image, size).numpy().astype(np.float64)
        masks = in_batches(self.judge, part.image, size)
        found = measure(masks.numpy())
        haze = haze_by(masks, part.image) if self.measures_haze else np.full(len(part.rows), np.nan)
        overlap = np.full((len(part.rows), 3), np.nan)
        true = np.full(len(part.rows), np.nan)
        if part.has_masks.any():
            some = torch.from_numpy(part.has_masks)
            known = part.masks[some]
            true[part.has_masks] = measure(known.numpy()).ctr
            overlap[part.has_masks] = dice(_resized(masks[some], known.shape[-2:]).numpy(), known.numpy())
        table = self.table.iloc[part.rows]
        text = {name: table[name].astype(str).to_numpy() for name in ("image_id", "patient_id")}
        for name in ("view", "sex", "split"):
            text[name] = (
                table[name].fillna("").astype(str).to_numpy() if name in table else np.full(len(table), "")
            )
        # without a word of studies each picture is one
        text["study_id"] = table["study_id" if "study_id" in table else "image_id"].astype(str).to_numpy()
        age = table["age"].to_numpy(dtype=np.float64) if "age" in table else np.full(len(table), np.nan)
        other = np.full(len(table), np.nan)
        if self.transfer is not None:
            other = in_batches(self.transfer, part.image, size).numpy().astype(np.float64)
        familiar = np.ones(len(table))
        if self.familiar is not None:
            familiar = self.familiar(part.image).cpu().numpy().astype(np.float64)
        scp = angle = np.full((len(table), 2), np.nan)
        if self.detecting is not None:
            boxes = self.detecting.survey(part.image, keys)
            self.found += boxes
            scp = self.detecting.scores(boxes)
        if self.measures_recess:
            angle = angles_of(self.judge, part.image, size)
        return pd.DataFrame(
            {
                **text,
                **{f"scp_{side}_before": scp[:, k] for k, side in enumerate(SIDES)},
                **{f"angle_{side}_before": angle[:, k] for k, side in enumerate(SIDES)},
                "age": age,
                "label": part.label,
                "group": groups(posterior),
                "p_before": posterior,
                "ctr_before": found.ctr,
                "heart_width_before": found.heart_width,
                "thorax_width_before": found.thorax_width,
                "haze_before": haze,
                "p_transfer_before": other,
                "ctr_true_before": true,
                "dice_heart": overlap[:, 0],
                "dice_left_lung": overlap[:, 1],
                "dice_right_lung": overlap[:, 2],
                "familiar": familiar,
            }
        )

    @property
    def measures_recess(self) -> bool:
        """Whether the costophrenic angle is measured beside the CTR."""
        return self.read_by == "scp" or self.detecting is not None

    @property
    def measures_haze(self) -> bool:
        """Whether the lungs' brightness is measured beside the CTR."""
        return self.read_by == "haze"

    def rows(self, part: Part, targets: Array, drawn: Drawn) -> pd.DataFrame:
        """Measure what was drawn.

        Args:
            part: the sources.
            targets: (B, T) posteriors asked for.
            drawn: the pictures for them.

        Returns:
            B * T rows in the order of `COLUMNS`: the targets of a picture follow each other.
        """
        count, width = targets.shape
        base = self.base.iloc[part.rows]
        flat = drawn.images.reshape(count * width, *drawn.images.shape[2:])
        made = drawn.made.reshape(-1)
        size = self.settings.batch_size

        def blank(values: Array) -> Array:
            return np.where(made, np.asarray(values, dtype=np.float64), np.nan)

        after = blank(in_batches(self.blackbox, flat, size).numpy())
        keys, net_keys = _contents(flat), _contents(drawn.net)
        ctr, heart, thorax, haze = self._measured(flat, keys)
        net, _, _, net_haze = self._measured(drawn.net, net_keys)
        source = part.image.repeat_interleave(width, dim=0)
        columns: dict[str, Any] = {name: np.repeat(base[name].to_numpy(), width) for name in KEYS}
        for name in ("p_before", "ctr_before", "heart_width_before", "thorax_width_before", "haze_before"):
            columns[name] = np.repeat(base[name].to_numpy(), width)
        columns["p_transfer_before"] = np.repeat(base["p_transfer_before"].to_numpy(), width)
        columns["ctr_true_before"] = np.repeat(base["ctr_true_before"].to_numpy(), width)
        columns |= {
            "target": targets.reshape(-1),
            "p_after": after,
            "ctr_net_before": np.repeat(net, width),
            "ctr_after": blank(ctr),
            "haze_net_before": np.repeat(net_haze, width),
            "haze_after": blank(haze),
            "heart_width_after": blank(heart),
            "thorax_width_after": blank(thorax),
            "l1": blank(l1(flat, source).cpu().numpy()),
            "seconds": np.full(count * width, drawn.seconds / max(count * width, 1)),
            "p_net": np.repeat(in_batches(self.blackbox, drawn.net, size).numpy(), width),
            "l1_net": np.repeat(l1(drawn.net, part.image).cpu().numpy(), width),
        }
        extreme = is_extreme(base["group"].to_numpy()[:, None], targets)
        asked = extreme.reshape(-1) & made
        columns["p_transfer_after"] = self._transfer(flat, asked)
        columns["l1_return"] = self._returned(part, drawn, extreme)
        columns |= self._devices(part, drawn.images, extreme & drawn.made)
        columns |= self._detected(part, drawn, keys, net_keys, extreme & drawn.made)
        columns |= self._angles(part, drawn, extreme & drawn.made)
        columns |= self._oracle(part, targets, drawn)
        other = columns["p_transfer_after"] if self.transfer is not None else None
        columns["verdict"] = verdicts(
            columns["target"],
            after,
            *self._read(columns),
            transfer_after=other,
            threshold=self.threshold,
            familiar=np.repeat(base["familiar"].to_numpy() > 0.5, width),
            floor=self.floors.get(self.read_by or "", READING_FLOOR),
            thorax_change=thorax_change(
                columns["thorax_width_before"], columns["thorax_width_after"], self.read_by
            ),
            devices_lost=self._lost(columns),
        )
        return finish(columns)

    def _lost(self, columns: Mapping[str, Array]) -> Array:
        """Devices of the input that are gone (N,); NaN: nobody looked, as away from the extreme targets.

        By the detector where there is one, as `cfx.explain` has it, else by the data's own masks.
        """
        known = columns["devices_found"] - columns["devices_found_kept"]
        return np.where(np.isfinite(known), known, columns["devices_before"] - columns["devices_kept"])

    def _read(self, columns: Mapping[str, Array]) -> tuple[Array | None, Array | None]:
        """What a verdict goes by (N,), before and after; None where it is not measured."""
        if self.read_by in ("ctr", "haze"):
            return columns[f"{self.read_by}_net_before"], columns[f"{self.read_by}_after"]
        if self.read_by is None or self.detecting is None:
            return None, None
        before, after = (
            both_sides(np.stack([columns[f"scp_{side}_{when}"] for side in SIDES], axis=1))
            for when in ("net_before", "after")
        )
        return before, after

    def _detected(
        self, part: Part, drawn: Drawn, keys: Sequence[bytes], net_keys: Sequence[bytes], asked: Array
    ) -> Mapping[str, Array]:
        """Recess scores of every picture, and devices there before and kept at the extremes, by the detector."""
        width = asked.shape[1]
        scores = {f"scp_{side}_{when}" for side in SIDES for when in ("before", "net_before", "after")}
        values: dict[str, Array] = {name: np.full(asked.size, np.nan) for name in (*scores, *FOUND_NAMES)}
        if self.detecting is None:
            return values
        found = self.detecting.boxes(drawn.images.reshape(asked.size, *drawn.images.shape[2:]), keys)
        after = np.where(drawn.made.reshape(-1, 1), self.detecting.scores(found), np.nan)
        net = self.detecting.scores(self.detecting.boxes(drawn.net, net_keys))
        there = self.detecting.boxes(part.image, _contents(part.image))
        for k, side in enumerate(SIDES):
            values[f"scp_{side}_before"] = np.repeat(
                self.base[f"scp_{side}_before"].to_numpy()[part.rows], width
            )
            values[f"scp_{side}_net_before"] = np.repeat(net[:, k], width)
            values[f"scp_{side}_after"] = after[:, k]
        for row, column in zip(*np.nonzero(asked), strict=True):
            grey = [
                (picture.cpu().numpy().astype(np.float64) + 1) / 2
                for picture in (part.image[row, 0], drawn.images[row, column, 0])
            ]
            place = row * width + column
            counted = self.detecting.kept(grey[0], grey[1], there[row], found[place])
            for name, count in zip(FOUND_NAMES, counted, strict=True):
                values[name][place] = count
        return values

    def _angles(self, part: Part, drawn: Drawn, asked: Array) -> Mapping[str, Array]:
        """Costophrenic angles of both sides: of the input, of the output at c = p(x), and at the extremes."""
        width = asked.shape[1]
        names = [f"angle_{side}_{when}" for side in SIDES for when in ("before", "net_before", "after")]
        values: dict[str, Array] = {name: np.full(asked.size, np.nan) for name in names}
        some = np.flatnonzero(asked.any(axis=1))
        if not self.measures_recess or not len(some):
            return values
        size = self.settings.batch_size
        chosen = torch.from_numpy(some).to(drawn.net.device)
        net = np.full((len(asked), 2), np.nan)
        net[some] = angles_of(self.judge, drawn.net[chosen], size)
        rows, columns = np.nonzero(asked)
        after = np.full((asked.size, 2), np.nan)
        after[asked.reshape(-1)] = angles_of(self.judge, drawn.images[rows, columns], size)
        for k, side in enumerate(SIDES):
            before = self.base[f"angle_{side}_before"].to_numpy()[part.rows]
            values[f"angle_{side}_before"] = np.repeat(before, width)
            values[f"angle_{side}_net_before"] = np.repeat(net[:, k], width)
            values[f"angle_{side}_after"] = after[:, k]
        return values

    def rows_of(self, images: Tensor) -> Array:
        """Row (N,) of each of the data set's own pictures (N, 1, H, W), -1 for any other picture."""
        return np.array([self.seen.get(key, -1) for key in _contents(images)], dtype=np.int64)

    def _measured(self, images: Tensor, keys: Sequence[bytes]) -> tuple[Array, Array, Array, Array]:
        """CTR, heart width, thorax width and haze (N,) of pictures; the data set's own are not measured twice."""
        row = np.array([self.seen.get(key, -1) for key in keys])
        names = ["ctr_before", "heart_width_before", "thorax_width_before", "haze_before"]
        values = self.base[names].to_numpy()[row]
        new = row < 0
        if new.any():
            chosen = images[torch.from_numpy(new).to(images.device)]
            found, haze = judge_all(self.judge, chosen, self.settings.batch_size, haze=self.measures_haze)
            values[new] = np.stack([found.ctr, found.heart_width, found.thorax_width, haze], axis=1)
        return values[:, 0], values[:, 1], values[:, 2], values[:, 3]

    def _transfer(self, flat: Tensor, asked: Array) -> Array:
        """Posterior (N,) of the independent classifier at the extremes, NaN elsewhere."""
        values = np.full(len(flat), np.nan)
        if self.transfer is not None and asked.any():
            chosen = flat[torch.from_numpy(asked).to(flat.device)]
            values[asked] = in_batches(self.transfer, chosen, self.settings.batch_size).numpy()
        return values

    def _returned(self, part: Part, drawn: Drawn, extreme: Array) -> Array:
        """L1 (N,) of the way back to the source, at the extremes where it was drawn, NaN elsewhere."""
        values = np.full(extreme.shape, np.nan)
        if drawn.returned is not None:
            back = np.where(drawn.has_return, l1(drawn.returned, part.image).cpu().numpy(), np.nan)
            values = np.where(extreme, back[:, None], np.nan)
        return values.reshape(-1)

    def _devices(self, part: Part, images: Tensor, asked: Array) -> Mapping[str, Array]:
        """Devices there before, kept, and the same of those in the edited region, at the extremes."""
        if "device_path" not in self.table:
            return {name: np.full(asked.size, np.nan) for name in DEVICE_COUNTS}
        counts = count_devices(self.table["device_path"].to_numpy()[part.rows], part.image, images, asked)
        return {name: value.reshape(-1) for name, value in counts.items()}

    def _oracle(self, part: Part, targets: Array, drawn: Drawn) -> Mapping[str, Array]:
        """CTR of the oracle's masks, L1 to it from the drawn picture and from the source, and ghosts."""
        names = ("ctr_oracle", "l1_oracle", "l1_nothing", "ghost", "ghost_oracle")
        values = {name: np.full(targets.shape, np.nan) for name in names}
        keys = [
            (i, j)
            for i, row in enumerate(part.rows)
            for j in range(targets.shape[1])
            if (int(row), round(float(targets[i, j]), 6)) in self.answers
        ]
        if keys:
            found = [self.answers[int(part.rows[i]), round(float(targets[i, j]), 6)] for i, j in keys]
            oracle, masks = torch.stack([a for a, _ in found]), torch.stack([m for _, m in found])
            i, j = (np.array(index) for index in zip(*keys, strict=True))
            image, source = drawn.images[i, j].cpu(), part.image[i].cpu()
            values["ctr_oracle"][i, j] = measure(masks.numpy()).ctr
            values["l1_oracle"][i, j] = l1(image, oracle).numpy()
            values["l1_nothing"][i, j] = l1(source, oracle).numpy()
            old = part.masks[i, :1]
            known = torch.from_numpy(part.has_masks[i])
            ghost, there = ghost_energies(image, oracle, old, masks[:, :1])
            values["ghost"][i, j] = torch.where(known, ghost, float("nan")).numpy()
            values["ghost_oracle"][i, j] = torch.where(known, there, float("nan")).numpy()
        return {name: value.reshape(-1) for name, value in values.items()}
