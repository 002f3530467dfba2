"""Who is trained on whom: parts by patient, stable under the order of rows and the machine.

A patient's part is a function of a hash of the patient's name and the seed, so that adding rows never moves
anyone (Python's own hash is salted by process and can not be used).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import pandas as pd

from cfx.errors import BadValue, UnknownChoice, WrongLayout, nearest

HELD: Final = "held"
"""Part of images set aside: the official test images while folds go over the training part alone."""


def patient_hash(patient: str, seed: int, salt: str = "") -> float:
    """Return a number in [0, 1) that depends on the patient, the seed and the question asked (`salt`)."""
    digest = blake2b(f"{salt}:{seed}:{patient}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def check_leaks(frame: pd.DataFrame, column: str = "split") -> None:
    """Refuse a table in which a patient is in more than one split.

    Args:
        frame: a table with `patient_id` and `column`; rows with an empty split do not count.
        column: `split` for the official one, `part` for the assigned one.

    Raises:
        WrongLayout: the first such patient is named, with how many there are.

    """
    known = frame[frame[column] != ""]
    splits = known.groupby("patient_id", sort=True)[column].nunique()
    crossing = splits[splits > 1]
    if len(crossing):
        patient = str(crossing.index[0])
        where = sorted(set(known.loc[known["patient_id"] == patient, column]))
        raise WrongLayout(
            "data.splits",
            patient,
            f"this patient is in {' and in '.join(where)}, as are {len(crossing) - 1} others",
            "correct the split lists, or use data.splits.fold to split again by patient",
        )


def inherit_splits(frame: pd.DataFrame) -> "pd.Series[str]":
    """Return the official split of every row, a blank one filled from the patient's other rows.

    Else a hash would decide about the blank rows, and a patient of the test part would be trained on as well. Where
    a patient's rows disagree, `test` wins over `train` over `valid`; only folds get that far (see `check_leaks`).

    Args:
        frame: a table with `patient_id` and `split`.
    """
    split, patients = frame["split"].astype(str), frame["patient_id"].astype(str)
    named = pd.DataFrame({"patient": patients, "split": split})[split != ""].sort_values("split")
    of_patient = named.drop_duplicates("patient").set_index("patient")["split"].to_dict()
    return split.where(split != "", patients.map(lambda name: of_patient.get(name, ""))).astype(str)


def has_official(frame: pd.DataFrame) -> bool:
    """Tell whether a table names pictures that test: without them a hash of the patient decides."""
    return bool(frame["split"].isin(["valid", "test"]).any())


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Name what of two `data.splits` nodes shares out the same patients differently.

    Args:
        one, other: nodes with the arguments of `Splits`; what is missing has its default.

    Returns:
        Such as `["seed 0 and not 1"]`, the value of `one` first; empty where nobody can change sides.
    """
    folds = any(node.get("fold") is not None for node in (one, other))
    keys = ("seed", "fold", "apart", *(("folds", "over") if folds else ("test",)))
    values = [(key, *(node.get(key, getattr(Splits, key)) for node in (one, other))) for key in keys]
    return [f"{key} {a} and not {b}" for key, a, b in values if a != b]


@dataclass(frozen=True)
class Splits:
    """How the images of a data set are shared out.

    Official splits are kept where they exist. The test part is the official `test`; without one the official
    `valid` is the test part (CheXpert's 234 radiologist-read images); without both, a hash takes `test` of
    the patients. The validation part is the official `valid` where it is not the test part, else a hash takes
    `valid` of the training patients.

    Attributes:
        apart: True gives each name in `shares` its own patients; False gives all of them the whole training
            part.
        shares: relative sizes of the training parts, such as {blackbox: 4, explainer: 4, anatomy: 1}.
        valid: share of the training patients that validate, where no official part does.
        folds: number of folds for cross-validation.
        fold: None, or the fold that is the test part; official splits are then set aside, positives are dealt
            out evenly.
        seed: another seed, another hash.
        test: share of the patients that test, where the data set has no official part for it.
        over: `all`, or `train` to make the folds inside the official training (and validation) part only, so
            that nothing is chosen on the test part; its images are then `held`.

    """

    apart: bool = False
    shares: Mapping[str, float] = field(default_factory=lambda: {"train": 1.0})
    valid: float = 0.1
    folds: int = 5
    fold: int | None = None
    seed: int = 0
    test: float = 0.2
    over: str = "all"

    def __post_init__(self) -> None:
        """Refuse values that can not be meant."""
        for name, share in self.shares.items():
            if share < 0:
                raise BadValue(
                    f"data.splits.shares.{name}", share, "a share below 0", "give a number above 0"
                )
            if name in ("valid", "test", HELD):
                raise BadValue(
                    "data.splits.shares", name, "this name is taken", "call the part something else"
                )
        if not self.shares or sum(self.shares.values()) <= 0:
            raise BadValue(
                "data.splits.shares", dict(self.shares), "no share above 0", "give at least one part"
            )
        for key, value in (("valid", self.valid), ("test", self.test)):
            if not 0 <= value < 1:
                raise BadValue(f"data.splits.{key}", value, "not in [0, 1)", "give a share of the patients")
        if self.fold is not None and not 0 <= self.fold < self.folds:
            raise BadValue("data.splits.fold", self.fold, "no such fold", f"choose 0 to {self.folds - 1}")
        if self.fold is not None and self.folds < 2:
            raise BadValue("data.splits.folds", self.folds, "fewer than two folds", "give 2 or more")
        if self.over not in ("all", "train"):
            raise UnknownChoice("data.splits.over", self.over, "no such choice", "use all or train")

    def names(self, part: str) -> str:
        """Return the label under which `assign` files the training part called `part`.

        Raises:
            UnknownChoice: no such part.

        """
        if not self.apart:
            return "train"
        if part not in self.shares:
            near = nearest(part, self.shares)
            hint = f"did you mean {near!r}" if near else f"choose among {', '.join(self.shares)}"
            raise UnknownChoice("part", part, "data.splits.shares has no such part", hint)
        return part

    def assign(self, frame: pd.DataFrame, finding: str | None = None) -> "pd.Series[str]":
        """Return the part of every row: a name of `shares` (`train` when not `apart`), valid, test or held.

        Args:
            frame: a source's table.
            finding: column whose positive patients the folds share evenly; only folds use it.

        Raises:
            WrongLayout: an official split has a patient on two sides.

        """
        if self.fold is None:
            check_leaks(frame)
        frame = frame.assign(split=inherit_splits(frame))
        official = frame["split"].to_numpy(dtype=object)
        if self.fold is not None:
            official = self._by_fold(frame, finding)
        patients = frame["patient_id"].astype(str)
        part_of = {patient: self._training_part(patient) for patient in patients.unique()}
        valid = {patient: patient_hash(patient, self.seed, "valid") < self.valid for patient in part_of}
        test_name = "test" if (official == "test").any() else "valid"
        if not np.isin(official, ("valid", "test")).any():
            drawn = {patient: patient_hash(patient, self.seed, "test") < self.test for patient in part_of}
            official = np.where(patients.map(drawn).to_numpy(dtype=bool), "test", official)
            test_name = "test"
        has_valid = test_name == "test" and (official == "valid").any()
        parts = patients.map(part_of).to_numpy(dtype=object)
        if not has_valid:
            parts = np.where(patients.map(valid).to_numpy(dtype=bool), "valid", parts)
        parts = np.where(official == "valid", "valid", parts)
        parts = np.where(official == test_name, "test", parts)
        parts = np.where(official == HELD, HELD, parts)
        return pd.Series(parts, index=frame.index, name="part", dtype="object").astype(str)

    def _training_part(self, patient: str) -> str:
        """Return the training part of a patient, by cumulated shares."""
        if not self.apart:
            return "train"
        place = patient_hash(patient, self.seed, "part") * sum(self.shares.values())
        name = ""
        for name, share in self.shares.items():
            place -= share
            if place < 0:
                return name
        return name

    def _by_fold(
        self, frame: pd.DataFrame, finding: str | None
    ) -> "np.ndarray[tuple[int], np.dtype[np.object_]]":
        """Return `test` for the rows of the fold, `held` for those set aside, empty for the rest.

        Patients go one by one, those with the most positive images first, to the fold that has the fewest
        positive images so far, then the fewest images: folds differ by about one patient in either, although
            one patient may
        have twenty images.
        """
        inside = np.ones(len(frame), dtype=bool)
        if self.over == "train":
            inside = (frame["split"] != "test").to_numpy()
        pool = frame[inside]
        positive = pd.Series(False, index=pool.index)
        if finding is not None and finding in pool:
            positive = pool[finding] == 1.0
        groups = positive.groupby(pool["patient_id"].astype(str)).agg(["sum", "size"])
        images = {str(patient): (int(row["sum"]), int(row["size"])) for patient, row in groups.iterrows()}
        order = sorted(images, key=lambda name: (-images[name][0], patient_hash(name, self.seed, "fold")))
        totals = [(0, 0, fold) for fold in range(self.folds)]
        chosen = set()
        for name in order:
            positives, count, fold = min(
                totals, key=lambda t: (t[0], t[1], t[2]) if images[name][0] else t[1:]
            )
            totals[fold] = (positives + images[name][0], count + images[name][1], fold)
            if fold == self.fold:
                chosen.add(name)
        parts = np.full(len(frame), "", dtype=object)
        parts[frame["patient_id"].astype(str).isin(chosen).to_numpy()] = "test"
        parts[~inside] = HELD
        return parts
