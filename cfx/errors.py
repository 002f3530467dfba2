"""The mistakes a user can make, each told in one line: the argument, its value, what is wrong, what to do.

Raised anywhere in cfx; `cfx.cli` prints the line on stderr and ends with exit code 2, without a traceback.
"""

import difflib
from collections.abc import Iterable

_LONGEST_VALUE = 300


def nearest(value: str, choices: Iterable[str]) -> str | None:
    """Return the choice most like `value`, or None where nothing resembles it.

    Case is ignored; of two equally near choices the earlier one wins.
    """
    by_folded: dict[str, str] = {}
    for choice in choices:
        by_folded.setdefault(choice.casefold(), choice)
    found = difflib.get_close_matches(value.casefold(), list(by_folded), n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def _one_line(text: str) -> str:
    return " ".join(text.split())


class UserError(Exception):
    """A mistake in what the user gave, with the way out of it.

    Args:
        argument: the key as it is typed on the command line, such as `data.root`.
        value: what was given; shown by repr, cut where it is long.
        problem: what is wrong with it, a clause without a full stop.
        remedy: what to do about it, a clause without a full stop.

    With one argument alone the text is taken as a finished message and its last line is kept: that is how
    torch's DataLoader raises a worker's error again in the main process.
    """

    def __init__(self, argument: str, value: object = None, problem: str = "", remedy: str = "") -> None:
        super().__init__(argument, value, problem, remedy)
        self.argument = argument
        self.value = value
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        """Return the line shown to the user."""
        if not self.problem:
            lines = [line for line in self.argument.splitlines() if line.strip()]
            last = lines[-1].strip() if lines else type(self).__name__
            return last.removeprefix(f"{type(self).__module__}.{type(self).__name__}: ")
        shown = repr(self.value) if isinstance(self.value, str) else str(self.value)
        if self.value is None:
            shown = "null"
        if len(shown) > _LONGEST_VALUE:
            shown = shown[: _LONGEST_VALUE - 3] + "..."
        head = f"{self.argument}={shown}" if self.argument else shown
        tail = f"; {self.remedy}" if self.remedy else ""
        return _one_line(f"{head}: {self.problem}{tail}")


class MissingPath(UserError):
    """A file or folder that was named is not there."""


class WrongLayout(UserError):
    """A folder or table is there but does not hold what its format asks for."""


class UnknownChoice(UserError):
    """A key, task, finding or option that does not exist."""


class BadImage(UserError):
    """A file that can not be read as an image."""


class TooFewPositives(UserError):
    """A finding has too few positive (or negative) images to learn or measure anything."""


class EmptySplit(UserError):
    """A split, or a split after its filters, holds no image."""


class CheckpointMismatch(UserError):
    """Weights that belong to another task, network or version."""


class BadValue(UserError):
    """A value of the wrong type or out of its range."""
