"""A reader study's folder, the only place that reads or writes one.

design.json           what was decided before: numbers, runs, the finding, what the sample size is
key.json              which picture is which; nothing of it reaches a reader before the pair is open
pictures/*.png        both pictures of each pair, alike but for what is drawn; names tell nothing
progressions/*.json   what an open pair shows
answers/<reader>.jsonl   a line an answer, written as it comes; one file a reader
"""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfx.errors import BadValue, MissingPath, WrongLayout
from cfx.files import jsonable, read_json, write_json
from cfx.reporting.study_design import Design, Showing, order_for

SCHEMA = 1
PAIR, STRANGER = "counterfactual", "stranger"
READER = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True)
class Item:
    """A pair, as the key knows it.

    Attributes:
        item: its name.
        kind: `counterfactual` (original and what was drawn of it) or `stranger` (original and another patient).
        arm: the run that drew it, '' for strangers.
        image_id, patient_id: of the original.
        group: `up` (asked for the finding) or `down`.
        original, other: names of the two pictures.
        posterior: of the original and the other.
        ctr: automatic, of the original and the other; None where it could not be measured.
        verdict: whether the drawn picture may be interpreted, as `cfx.explain` says it; '' for strangers.

    """

    item: str
    kind: str
    arm: str
    image_id: str
    patient_id: str
    group: str
    original: str
    other: str
    posterior: tuple[float, float]
    ctr: tuple[float | None, float | None]
    verdict: str = ""


class Study:
    """A study that has been made.

    Args:
        path: its folder.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._design: dict[str, Any] = read_json(path / "design.json")
        self.items = {str(entry["item"]): _item(entry, path) for entry in read_json(path / "key.json")}
        self.design = Design(**self._design["design"])

    @staticmethod
    def is_made(path: Path) -> bool:
        """Whether a study is there; a folder without one may be filled."""
        return (path / "design.json").is_file()

    @classmethod
    def open(cls, path: Path) -> "Study":
        """Opens a study.

        Raises:
            MissingPath: there is none.
            WrongLayout: its key is not what this version writes.

        """
        if not cls.is_made(path):
            remedy = "make one: python -m cfx.app study=FOLDER run=RUN"
            raise MissingPath("study", str(path), "there is no study in this folder", remedy)
        return cls(path)

    @property
    def finding(self) -> str:
        """The finding whose classifier is explained."""
        return str(self._design["finding"])

    @property
    def needs(self) -> list[str]:
        """The sample size as it was computed beforehand, in lines."""
        return [str(line) for line in self._design["sample_size"]]

    def picture(self, name: str) -> bytes:
        """A picture of a pair as PNG."""
        return (self.path / "pictures" / f"{name}.png").read_bytes()

    def progression(self, item: str) -> dict[str, Any]:
        """What an open pair shows: pictures and posteriors, nothing measured."""
        found: dict[str, Any] = read_json(self.path / "progressions" / f"{item}.json")
        return found

    def order(self, reader: str) -> list[Showing]:
        """The reader's own order of pairs."""
        names = {kind: [n for n, i in self.items.items() if i.kind == kind] for kind in (PAIR, STRANGER)}
        return order_for(reader, names[PAIR], names[STRANGER], self.design)

    def readers(self) -> list[str]:
        """Codes of all who have answered something."""
        return sorted(file.stem for file in (self.path / "answers").glob("*.jsonl"))

    def answers(self, reader: str) -> list[dict[str, Any]]:
        """A reader's answers as they were written; a last line that was cut off is passed over.

        Raises:
            WrongLayout: another line cannot be read.

        """
        file = self.path / "answers" / f"{checked_reader(reader)}.jsonl"
        if not file.is_file():
            return []
        lines = file.read_text(encoding="utf-8").split("\n")
        found = []
        for number, line in enumerate(lines):
            if not line.strip():
                continue
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                if number == len(lines) - 1:  # no line end after it: the machine stopped while it was written
                    continue
                problem = f"line {number + 1} is not JSON"
                raise WrongLayout("study", str(file), problem, "restore or remove the line") from None
        return found

    def append(self, reader: str, answer: Mapping[str, Any]) -> None:
        """Adds one answer to the reader's file; it is on the disk when this returns."""
        folder = self.path / "answers"
        folder.mkdir(exist_ok=True)
        file = folder / f"{checked_reader(reader)}.jsonl"
        line = json.dumps(jsonable({**answer, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")}), allow_nan=False)
        with file.open("ab+") as stream:
            _drop_torn_line(stream)
            stream.write(line.encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())


def _drop_torn_line(stream: Any) -> None:
    """Cuts off what follows the last line end of a file."""
    stream.seek(0)
    content = stream.read()
    if content and not content.endswith(b"\n"):
        stream.truncate(content.rfind(b"\n") + 1)
    stream.seek(0, os.SEEK_END)


def checked_reader(reader: str) -> str:
    """The reader's code, which names a file.

    Raises:
        BadValue: it holds anything but small letters, digits, - and _.

    """
    if not READER.fullmatch(reader):
        raise BadValue("reader", reader, "is no reader's code", "give 1 to 32 small letters, digits, - or _")
    return reader


def _item(entry: Mapping[str, Any], path: Path) -> Item:
    try:
        fields = {**entry, "posterior": tuple(entry["posterior"]), "ctr": tuple(entry["ctr"])}
        return Item(**fields)
    except (KeyError, TypeError) as error:
        raise WrongLayout(
            "study", str(path / "key.json"), f"has an entry of another kind ({error})", "make the study anew"
        ) from error


def write_study(
    path: Path,
    design: Design,
    finding: str,
    runs: Sequence[str],
    needs: Sequence[str],
    fill: Callable[[Path], Sequence[Mapping[str, Any]]],
) -> Study:
    """Makes a study's folder, whole or not at all.

    Args:
        path: the folder; it may exist, but must be empty.
        design: of the study.
        finding: whose classifier is explained.
        runs: names of the methods.
        needs: the sample size in lines.
        fill: writes `pictures` and `progressions` into a folder and returns the key's entries.

    Raises:
        BadValue: something else is in the folder, or it can not be made.

    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise BadValue("study", str(path), "holds something else", "give an empty or a new folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        problem = f"can not be made ({error.strerror})"
        raise BadValue("study", str(path), problem, "give a folder that you may write in") from None
    try:
        for folder in ("pictures", "progressions", "answers"):
            (beside / folder).mkdir()
        entries = list(fill(beside))
        write_json(beside / "key.json", entries)
        write_json(
            beside / "design.json",
            {
                "schema": SCHEMA,
                "finding": finding,
                "runs": list(runs),
                "design": design.numbers(),
                "sample_size": list(needs),
            },
        )
        beside.chmod(0o755)
        if path.exists():
            path.rmdir()
        beside.rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Study(path)
