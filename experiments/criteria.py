"""Every study's frozen numbers against its bars, the worst seed and the worse direction of each.

    python experiments/criteria.py [study ...]          # or: make criteria

A study is a folder beside this file with a `criteria.yaml`, a list of

    - {key: "validity.{up,down}.reach", op: ">=", bound: 0.97}
    - {key: "clinical.ctr.{up,down}.gap_closed", op: between, bound: [0.8, 1.2]}
    - {key: oracle.ctr_mae, op: "<=", bound: 0.25, of: oracle.ctr_mae_nothing}
    - {key: "dice.heart", op: ">=", bound: 0.945, file: segmenter.json}

`key` is the dotted place of a number in the study's `metrics.json` (or `file`): one in `seed*/` for each seed, or
one beside criteria.yaml. `{up,down}` stands for both, a number for a place in a list. `of` divides by another number
of the same file. `reduce` says how seeds and directions become one number: `worst` (default) or `mean`. A number that
is missing or null falls short. Exit code 0 where every bar is met, 1 where one is not, 2 where a study can not be read.
"""

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent
OPERATIONS = (">=", "<=", "between")
REDUCTIONS = ("worst", "mean")
_FIELDS = {"key", "op", "bound", "of", "file", "reduce"}


class StudyError(Exception):
    """A study that can not be read; the text says which file and why."""


@dataclass(frozen=True)
class Criterion:
    """One bar: the number at `key` must be `op` the `bound`."""

    key: str
    op: str
    bound: tuple[float, ...]
    of: str | None = None
    file: str = "metrics.json"
    reduce: str = "worst"

    def margin(self, value: float) -> float:
        """Return how far a number is on the good side of the bar; negative where it falls short."""
        if self.op == ">=":
            return value - self.bound[0]
        if self.op == "<=":
            return self.bound[0] - value
        return min(value - self.bound[0], self.bound[1] - value)

    def describe(self) -> str:
        """Return the bar as text, such as `>= 0.97` or `0.8 to 1.2`."""
        if self.op == "between":
            return f"{self.bound[0]:g} to {self.bound[1]:g}"
        return f"{self.op} {self.bound[0]:g}"


@dataclass(frozen=True)
class Verdict:
    """A criterion with the number that decides it; `value` is None where none was measured."""

    criterion: Criterion
    value: float | None
    where: str
    met: bool


def expand(key: str) -> list[str]:
    """Return the keys that `a.{up,down}.b` stands for."""
    match = re.search(r"\{([^{}]*)\}", key)
    if match is None:
        return [key]
    return [
        full
        for choice in match[1].split(",")
        for full in expand(key[: match.start()] + choice.strip() + key[match.end() :])
    ]


def number_at(tree: Any, key: str) -> float | None:
    """Return the finite number at a dotted place, None where there is none.

    A name that holds a dot itself, such as `cv_0.8`, is found as well: the longest name that fits is tried first.
    """
    if isinstance(tree, Mapping):
        parts = key.split(".")
        for length in range(len(parts), 0, -1):
            name = ".".join(parts[:length])
            if name in tree:
                rest = ".".join(parts[length:])
                return number_at(tree[name], rest) if rest else _finite(tree[name])
        return None
    if isinstance(tree, Sequence) and not isinstance(tree, str):
        head, _, rest = key.partition(".")
        if head.isdigit() and int(head) < len(tree):
            return number_at(tree[int(head)], rest) if rest else _finite(tree[int(head)])
    return None


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def measured(criterion: Criterion, tree: Any, key: str) -> float | None:
    """Return the number that a bar is about, divided by `of` where there is one."""
    value = number_at(tree, key)
    if value is None or criterion.of is None:
        return value
    filled = criterion.of
    for choice in ("up", "down"):  # {up,down} in `of` follows the direction of `key`
        if choice in key.split("."):
            filled = re.sub(r"\{[^{}]*\}", choice, filled)
    below = number_at(tree, filled)
    return value / below if below else None


def judge(criterion: Criterion, files: Mapping[str, Any]) -> Verdict:
    """Hold one bar against the frozen files.

    Args:
        criterion: the bar.
        files: parsed JSON by the name shown, such as `seed0`.
    """
    found: list[tuple[float, str]] = []
    for name, tree in files.items():
        for key in expand(criterion.key):
            value = measured(criterion, tree, key)
            if value is None:
                return Verdict(criterion, None, f"{name}: no {key}", False)
            found.append((value, f"{name} {key}" if key != criterion.key else name))
    if not found:
        return Verdict(criterion, None, f"no {criterion.file}", False)
    if criterion.reduce == "mean":
        mean = sum(value for value, _ in found) / len(found)
        return Verdict(criterion, mean, f"mean of {len(found)}", criterion.margin(mean) >= 0)
    value, where = min(found, key=lambda pair: criterion.margin(pair[0]))
    return Verdict(criterion, value, where, criterion.margin(value) >= 0)


def read_criteria(path: Path) -> list[Criterion]:
    """Read a criteria.yaml.

    Raises:
        StudyError: an entry that is not as the top of this file says, named.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: is not YAML ({error})") from None
    if not isinstance(entries, list) or not entries:
        raise StudyError(f"{path}: is not a list of bars")
    criteria = []
    for entry in entries:
        wrong = not isinstance(entry, dict) or not {"key", "op", "bound"} <= set(entry) <= _FIELDS
        bound = (
            () if wrong else tuple(entry["bound"] if isinstance(entry["bound"], list) else [entry["bound"]])
        )
        if (
            wrong
            or entry["op"] not in OPERATIONS
            or entry.get("reduce", "worst") not in REDUCTIONS
            or len(bound) != (2 if entry["op"] == "between" else 1)
            or any(_finite(number) is None for number in bound)
        ):
            raise StudyError(f"{path}: {entry} is not {{key, op, bound}} as experiments/criteria.py explains")
        criteria.append(Criterion(**{**entry, "bound": tuple(float(number) for number in bound)}))
    return criteria


def read_frozen(study: Path, name: str) -> dict[str, Any]:
    """Return the parsed JSON files of that name, by seed's folder, or the one beside criteria.yaml as `all`.

    Raises:
        StudyError: a file that is not JSON.
    """
    files = sorted(study.glob(f"seed*/{name}")) or sorted(study.glob(name))
    frozen = {}
    for file in files:
        try:
            frozen["all" if file.parent == study else file.parent.name] = json.loads(
                file.read_text(encoding="utf-8")
            )
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise StudyError(f"{file}: is not JSON ({error})") from None
    return frozen


def studies(root: Path, names: Sequence[str] = ()) -> list[Path]:
    """Return the folders with a criteria.yaml, or those named.

    Raises:
        StudyError: a folder with frozen metrics and no criteria.yaml, or a name that is no study.
    """
    folders = [root / name for name in names] or sorted(entry for entry in root.iterdir() if entry.is_dir())
    chosen = []
    for folder in folders:
        if (folder / "criteria.yaml").is_file():
            chosen.append(folder)
        elif names or read_frozen(folder, "metrics.json"):
            raise StudyError(f"{folder}: has no criteria.yaml")
    return chosen


def report(study: Path) -> bool:
    """Print one study's bars and numbers; return whether all are met."""
    print(study.name)
    all_met = True
    for criterion in read_criteria(study / "criteria.yaml"):
        verdict = judge(criterion, read_frozen(study, criterion.file))
        value = "not measured" if verdict.value is None else f"{verdict.value:.4g}"
        label = criterion.key if criterion.of is None else f"{criterion.key} / {criterion.of}"
        state = "met" if verdict.met else "FALLS SHORT"
        print(f"  {label:<50} {value:>12}  {criterion.describe():<12} {state:<11}  ({verdict.where})")
        all_met = all_met and verdict.met
    return all_met


def main(names: Sequence[str], root: Path = ROOT) -> int:
    """Report every study, or those named, and return the exit code."""
    try:
        chosen = studies(root, names)
        short = [study.name for study in chosen if not report(study)]
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if short:
        print(f"falls short: {', '.join(short)}")
        return 1
    print(f"{len(chosen)} studies meet their bars" if chosen else "no study has a criteria.yaml yet")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
