"""What a data set must offer: a table of pictures and, for synthetic data alone, an oracle."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd
from torch import Tensor


@dataclass(frozen=True)
class OracleImages:
    """The same patients with only the finding changed, drawn by whoever knows their parameters.

    Attributes:
        image: float32 (B, 1, H, W) in [-1, 1], through the same 8-bit file format as the data set's pictures.
        masks: float32 (B, 3, H, W) in [0, 1]: heart, left lung, right lung.
        ctr: float32 (B,), the cardiothoracic ratio that was drawn.

    """

    image: Tensor
    masks: Tensor
    ctr: Tensor


class Oracle(Protocol):
    """Draws a patient of the data set again at another severity of one finding: same noise, same devices."""

    def severity(self, image_ids: Sequence[str], finding: str) -> Tensor:
        """Return float32 (B,): the severity at which these pictures were drawn."""
        ...

    def bounds(self, finding: str) -> tuple[float, float]:
        """Return the least and the greatest severity that can be drawn."""
        ...

    def render(self, image_ids: Sequence[str], finding: str, severity: Tensor) -> OracleImages:
        """Draw the pictures again with the finding at `severity`, float32 (B,)."""
        ...


class Source(Protocol):
    """A data set on disk, read as one table.

    Columns of the table: `image_id` (unique, the same on every machine), `path` (absolute), `patient_id`,
    `study_id` where several pictures can be of one study (empty: not known; without the column each picture is a
    study of its own), `view` (PA, AP, LATERAL or empty), `sex` (M, F or
    empty), `age` (years, NaN unknown), `split` (train, valid, test, or empty where the data set has no official
    one), one column a finding (1 present, 0 absent, -1 uncertain, NaN unknown), and where there are masks
    `mask_path` (bit field, see `read_mask`) and `device_path` (a picture whose pixels above 0 are device), or
    CheXmask's `heart_rle`, `left_rle`, `right_rle`, `mask_height`, `mask_width`. Other columns are kept and
    carry no meaning here.
    """

    name: str

    def prepare(self) -> None:
        """Write the data if this source makes them, else do nothing. May be called any number of times."""
        ...

    def frame(self) -> pd.DataFrame:
        """Return the table of all pictures, in an order that is the same on every machine."""
        ...

    def oracle(self) -> Oracle | None:
        """Return the oracle of a synthetic data set, else None."""
        ...


class MaskTable(Protocol):
    """A published table of masks that can be joined to a source's table."""

    def add(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return `frame` with mask columns filled where this table has the picture; rows and order stay."""
        ...
