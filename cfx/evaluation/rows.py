"""The table of counterfactuals: its columns, and the parts of a data set that are drawn at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from cfx.metrics.validity import DOWN, UP

Array = npt.NDArray[Any]

KEYS = ("image_id", "patient_id", "view", "sex", "age", "split", "label", "group")
COLUMNS = (
    *KEYS,
    "p_before",
    "target",
    "p_after",
    "ctr_before",
    "ctr_net_before",
    "ctr_after",
    "heart_width_before",
    "heart_width_after",
    "thorax_width_before",
    "thorax_width_after",
    "scp_left_before",
    "scp_left_after",
    "scp_right_before",
    "scp_right_after",
    "devices_before",
    "devices_kept",
    "l1",
    "p_transfer_before",
    "p_transfer_after",
    "verdict",
    "seconds",
    "ctr_true_before",
    "ctr_oracle",
    "l1_oracle",
    "l1_nothing",
    # beyond the published columns: what the null test, ghosts and devices in the edited region are made of
    "devices_in_edit",
    "devices_in_edit_kept",
    "p_net",
    "l1_net",
    "l1_return",
    "ghost",
    "ghost_oracle",
    # recesses on the method's own output at c = p(x), their angles by the evaluation segmenter (at the extremes), and
    # devices as the evaluation detector sees them
    "scp_left_net_before",
    "scp_right_net_before",
    "angle_left_before",
    "angle_left_net_before",
    "angle_left_after",
    "angle_right_before",
    "angle_right_net_before",
    "angle_right_after",
    "devices_found",
    "devices_found_kept",
    "devices_found_in_edit",
    "devices_found_in_edit_kept",
    # brightness of the lungs against the heart, of tasks that are read by it
    "haze_before",
    "haze_net_before",
    "haze_after",
)
"""`verdict` says whether the picture may be interpreted (`cfx.evaluation.verdict`). The independent classifier and the
devices are asked at the extreme targets alone (`is_extreme`): elsewhere `p_transfer_after` and the counts of devices
are null, and the verdict goes by neither. `cfx.explain` asks both at every step, and looks on pictures larger than what
the black box sees for the old heart border too."""
TEXT = ("image_id", "patient_id", "view", "sex", "split", "group", "verdict")


NOTHING = "none"
"""The `measurement` of a task for whose finding nothing is measured: its clinical sections are null."""
READ_AS = {"ctr": "ctr", "recess": "scp", "lung_haze": "haze"}
"""Columns that a task is read by, by its `measurement`; a task of another is read by nothing."""


class PictureSet(Protocol):
    """A data set of pictures in the order of its table (see `cfx.data.dataset.ChestXrayDataset`)."""

    def __len__(self) -> int:
        """Return the number of pictures."""
        ...

    def batch(self, keys: Sequence[int]) -> Any:
        """Return the pictures of some rows as one `Batch`."""
        ...


class Task(Protocol):
    """The clinical question: which finding, and which way its measurement moves with it (`up` or `down`)."""

    @property
    def name(self) -> str:
        """Short name, such as `cardiomegaly`."""
        ...

    @property
    def finding(self) -> str:
        """Name of the finding in the data set."""
        ...

    @property
    def measurement(self) -> str:
        """What a radiologist would look at: one of `READ_AS`, or something that no column holds."""
        ...

    @property
    def direction(self) -> str:
        """`up` where that measurement rises with the finding, else `down`."""
        ...


def ctr_direction(measurement: str, direction: str) -> int | None:
    """+1 where the CTR rises with a task's finding, -1 where it falls, None where the task measures something else."""
    return _direction("ctr", measurement, direction)


def recess_direction(measurement: str, direction: str) -> int | None:
    """The same of the score of a healthy costophrenic recess."""
    return _direction("recess", measurement, direction)


def haze_direction(measurement: str, direction: str) -> int | None:
    """The same of the lungs' brightness against the heart."""
    return _direction("lung_haze", measurement, direction)


def _direction(of: str, measurement: str, direction: str) -> int | None:
    if measurement != of:
        return None
    return -1 if direction == "down" else 1


@dataclass(frozen=True)
class Part:
    """Some rows of the table with their pictures.

    Attributes:
        rows: (B,) int, positions in the table.
        image: (B, 1, H, W) in [-1, 1].
        label: (B,) 1/0/NaN.
        masks: (B, 3, H, W) in [0, 1], zero where `has_masks` is False.
        has_masks: (B,) bool.
        posterior: (B,) of the black box, NaN before it was asked.
    """

    rows: npt.NDArray[np.int64]
    image: Tensor
    label: Array
    masks: Tensor
    has_masks: npt.NDArray[np.bool_]
    posterior: Tensor


@dataclass(frozen=True)
class Drawn:
    """What a method or a control drew for a part.

    Attributes:
        images: (B, T, 1, H, W) in [-1, 1].
        net: (B, 1, H, W), its output at c = p(x).
        made: (B, T) bool, False where there is no such picture (an oracle out of reach).
        seconds: time for the whole part.
        returned: (B, 1, H, W) of the way back x -> x_c -> p(x) from the group's extreme target, or None.
        has_return: (B,) bool, whose way back was drawn.
    """

    images: Tensor
    net: Tensor
    made: npt.NDArray[np.bool_]
    seconds: float
    returned: Tensor | None = None
    has_return: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))


def load_part(dataset: PictureSet, rows: Sequence[int] | Array, label: int, device: torch.device) -> Part:
    """Read some items of a data set.

    Args:
        dataset: the pictures.
        rows: positions.
        label: which of the labels is the finding.
        device: where the pictures go.
    """
    batch = dataset.batch([int(row) for row in rows])
    image: Tensor = batch["image"]
    count = len(image)
    masks = batch.get("masks", torch.zeros(count, 3, *image.shape[-2:]))
    known = batch.get("has_masks", torch.full((count,), "masks" in batch))
    return Part(
        rows=np.asarray(rows, dtype=np.int64),
        image=image.to(device),
        label=batch["label"][:, label].double().numpy(),
        masks=masks,
        has_masks=known.numpy().astype(bool),
        posterior=torch.full((count,), float("nan"), device=device),
    )


def is_extreme(group: Array, target: Array) -> npt.NDArray[np.bool_]:
    """Where a row is the question its group is asked: `up` at 1, `down` at 0; broadcasts (B, 1) with (B, T)."""
    group, target = np.asarray(group), np.asarray(target, dtype=np.float64)
    return np.asarray(((group == UP) & (target >= 1.0)) | ((group == DOWN) & (target <= 0.0)))


def extremes(rows: pd.DataFrame, group: str) -> pd.DataFrame:
    """Rows of one group at the target it is asked for."""
    asked = is_extreme(rows["group"].to_numpy(), rows["target"].to_numpy())
    return rows[asked & (rows["group"] == group).to_numpy()]


def finish(columns: dict[str, Any]) -> pd.DataFrame:
    """Make the table in the fixed order; columns that nobody filled are NaN, or empty where they hold text."""
    count = len(columns["image_id"])
    table: dict[str, Any] = {}
    for name in COLUMNS:
        blank: Any = np.full(count, "") if name in TEXT else np.full(count, np.nan)
        value = columns.get(name, blank)
        if name in TEXT:
            table[name] = pd.array(np.asarray(value, dtype=object), dtype="str")
        else:
            table[name] = np.asarray(value, dtype=np.float64)
    return pd.DataFrame(table)
