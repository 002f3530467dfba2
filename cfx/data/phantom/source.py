"""The phantom as a data set: written when first asked for, read by CheXpert's reader, with an oracle."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cfx.data.boxes import Boxes
from cfx.data.chexpert import CheXpert
from cfx.data.phantom import write
from cfx.data.phantom.anatomy import site as site_of
from cfx.data.phantom.oracle import PhantomOracle
from cfx.data.phantom.recess import boxes_of
from cfx.data.phantom.shortcut import shortcut_of
from cfx.errors import BadValue

log = logging.getLogger(__name__)


class Phantom(CheXpert):
    """A phantom under `root`, in a folder of its own for each configuration.

    Args:
        root: where phantoms are kept; each configuration gets a folder named after it.
        size: side of the pictures in pixels, 32 to 512.
        patients: number of patients of `train`, `valid` and `test`, one picture each.
        seed: seed of patients and noise.
        site: "A", or "B" with another detector, other exposure and other anatomy.
        correlated: findings go together instead of independently.
        shortcut: {by: marker | pacemaker, strength: 0 to 1}, a sign that goes with the recorded label of cardiomegaly;
            None plants none (see `cfx.data.phantom.shortcut`).
        shuffle_labels: recorded labels belong to other patients in training and validation, never in the test part.

    Raises:
        BadValue: a size or a number of patients that can not be drawn.
        UnknownChoice: no such site.
    """

    name = "phantom"
    synthetic = True
    """No X-rays: what was trained here says nothing of real ones."""
    device_masks = True

    def __init__(
        self,
        root: str | Path,
        size: int = 64,
        patients: Mapping[str, int] | None = None,
        seed: int = 0,
        site: str = "A",
        correlated: bool = False,
        shortcut: Mapping[str, Any] | None = None,
        shuffle_labels: bool = False,
    ) -> None:
        counts = dict(patients) if patients is not None else {"train": 6600, "valid": 400, "test": 1100}
        _check(size, counts, seed)
        site_of(site)
        numbers = {part: int(counts[part]) for part in write.FIRST}
        self.recipe = write.Recipe(
            int(size),
            numbers,
            int(seed),
            site,
            bool(correlated),
            shortcut=shortcut_of(shortcut),
            shuffle_labels=bool(shuffle_labels),
        )
        place = Path(root).expanduser() / _folder_name(self.recipe)
        super().__init__(write.folder(place))
        self._place = place

    def prepare(self) -> None:
        """Write the phantom unless this very one is there, and say what it holds."""
        if write.write(self._place, self.recipe):
            log.info(self.describe())

    def describe(self) -> str:
        """One line on what was written: patients, ratios, and the range of the Bayes posterior of each finding."""
        record = json.loads((write.folder(self._place) / "phantom.json").read_text())["summary"]
        parts = ", ".join(f"{count} {part}" for part, count in record["patients"].items())
        ranges = "; ".join(
            f"{name} {values['bayes_posterior'][0]:.3f} to {values['bayes_posterior'][1]:.3f}"
            for name, values in record["findings"].items()
        )
        return f"phantom written: {parts}; Bayes posterior {ranges}"

    def frame(self) -> pd.DataFrame:
        """CheXpert's table with `mask_path` and `device_path`; writes the phantom first if it is missing.

        With a planted shortcut also `shortcut` (1 there, 0 not) and `shortcut_path`, a picture above 0 where it stands
        or would stand.
        """
        self.prepare()
        frame = super().frame()
        root = self.folder()
        stems = frame["image_id"].str.removesuffix(".jpg") + ".png"
        frame["mask_path"] = [str(root / "masks" / stem) for stem in stems]
        frame["device_path"] = [str(root / "devices" / stem) for stem in stems]
        if self.recipe.shortcut is not None:
            there = self.truth().set_index("image_id")["shortcut"]
            frame["shortcut"] = there.loc[frame["image_id"].tolist()].to_numpy()
            frame["shortcut_path"] = [str(root / "shortcut" / stem) for stem in stems]
        return frame

    def truth(self) -> pd.DataFrame:
        """Every parameter of every patient, `image_id`, `ctr_true`, severities, latent calls and Bayes posteriors."""
        self.prepare()
        return pd.read_parquet(self.folder() / "truth.parquet")

    def boxes(self, frame: pd.DataFrame) -> Boxes:
        """Boxes of the table's pictures: devices from boxes.csv, costophrenic recesses from the geometry."""
        return boxes_of(self.truth(), pd.read_csv(self.folder() / "boxes.csv"), self.recipe.size, frame)

    def oracle(self) -> PhantomOracle:
        """Draws these patients at other severities, and with or without a planted shortcut."""
        planted = self.recipe.shortcut
        by = None if planted is None else planted.by
        return PhantomOracle(self.truth(), self.recipe.seed, self.recipe.size, by)


def _check(size: int, patients: Mapping[str, int], seed: int) -> None:
    if not 32 <= int(size) <= 512:
        raise BadValue(
            "data.size", size, "the phantom is drawn at 32 to 512 pixels", "choose a size in that range"
        )
    if int(seed) < 0:
        raise BadValue("seed", seed, "a seed is not negative", "give 0 or more")
    if set(patients) != set(write.FIRST):
        given = ", ".join(sorted(patients))
        raise BadValue("data.source.patients", given, "needs train, valid and test", "give a number for each")
    for part, count in patients.items():
        if not 1 <= int(count) <= write.LARGEST:
            raise BadValue(
                f"data.source.patients.{part}", count, "out of range", f"give 1 to {write.LARGEST} patients"
            )


def _folder_name(recipe: write.Recipe) -> str:
    """A folder name that differs whenever the recipe does, so that phantoms never replace one another."""
    mark = zlib.crc32(json.dumps(recipe.record(), sort_keys=True).encode())
    return f"phantom-{recipe.site.lower()}-{recipe.size}px-seed{recipe.seed}-{mark:08x}"
