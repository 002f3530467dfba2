"""Command-line arguments made safe for Hydra's grammar: paths are quoted, so that they mean what was typed.

Hydra parses `data.root=/a b/x=1,[2]` as its own language and turns `output=2024` into a number. Values of path
keys are therefore wrapped in Hydra's quotes before it sees them; all other arguments pass untouched.
"""

import os
import re
from collections.abc import Iterable, Sequence

from hydra.core.override_parser.types import Quote, QuotedString

# The last part of a key that names a file or folder: `data.root`, `blackbox.path`, `output`, `run`, ...
PATH_LEAVES = frozenset(
    {
        "root",
        "path",
        "input",
        "output",
        "run",
        "runs",
        "pairs",
        "pairs_out",
        "multirun",
        "study",
        "table",
        "folder",
        "cache",
    }
)
LIST_LEAVES = frozenset({"run"})
_ASSIGNMENT = re.compile(r"^(?P<plus>\+{0,2})(?P<key>[A-Za-z_][\w./@:-]*)=(?P<value>.*)$", re.DOTALL)


def key_of(argument: str) -> str | None:
    """Return the key of `key=value`, `+key=value` or `~key`, None for a flag or anything else."""
    if argument.startswith("~"):
        return argument[1:].partition("=")[0]
    match = _ASSIGNMENT.match(argument)
    return match["key"] if match else None


def top_of(key: str) -> str:
    """Return the first part of a key: `model` of `model.explainer.knob`, `hydra` of `hydra/launcher`."""
    return re.split(r"[./@]", key)[0]


def is_path_key(key: str, leaves: Iterable[str] = PATH_LEAVES) -> bool:
    """Tell whether a key names a file or folder; keys of Hydra itself never do."""
    return (
        not key.startswith("hydra.")
        and "/" not in key
        and "@" not in key
        and key.split(".")[-1] in set(leaves)
    )


def _is_quoted(text: str) -> bool:
    return len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""


def _expand(text: str) -> str:
    return os.path.expanduser(text) if text.startswith("~") else text


def quote(text: str) -> str:
    """Return one path in Hydra's quotes, with a leading `~` expanded.

    `null` and an empty value stay as they are. A value already in quotes, as Hydra's manual writes them, is
    kept, unless a file of that very name exists. Interpolations such as `${oc.env:X}` still work in quotes.
    """
    if text in ("", "null") or (_is_quoted(text) and not os.path.exists(text)):
        return text
    return QuotedString(_expand(text), Quote.single).with_quotes()


def _split_list(inside: str) -> list[str]:
    """Split `a,'b,c',d` at the commas outside quotes."""
    items, current, closing = [], "", ""
    for character in inside:
        if closing:
            closing = "" if character == closing else closing
        elif character in "'\"" and not current.strip():
            closing = character
        elif character == ",":
            items.append(current)
            current = ""
            continue
        current += character
    return [item.strip() for item in [*items, current] if item.strip()]


def quote_argument(argument: str, leaves: Iterable[str] = PATH_LEAVES) -> str:
    """Return the argument with its value quoted where its key names a path.

    `run=[a,b]` stays a list of two, each quoted, unless something of that very name exists.
    """
    match = _ASSIGNMENT.match(argument)
    if argument.startswith("-") or match is None or not is_path_key(match["key"], leaves):
        return argument
    value = match["value"]
    a_list = value.startswith("[") and value.endswith("]") and match["key"].split(".")[-1] in LIST_LEAVES
    if a_list and not os.path.exists(value):
        quoted = f"[{','.join(quote(item) for item in _split_list(value[1:-1]))}]"
    else:
        quoted = quote(value)
    return f"{match['plus']}{match['key']}={quoted}"


def quote_arguments(arguments: Sequence[str], leaves: Iterable[str] = PATH_LEAVES) -> list[str]:
    """Return all arguments, those of path keys quoted; the originals are not changed."""
    names = frozenset(leaves)
    return [quote_argument(argument, names) for argument in arguments]


def split_own(arguments: Sequence[str], own: Iterable[str]) -> tuple[list[str], list[str]]:
    """Part the arguments of a verb from those meant for the run it reads.

    Args:
        arguments: what was typed, without the program's name.
        own: top-level keys of the verb's own YAML.

    Returns:
        The verb's flags and assignments, and the other assignments in their order.
    """
    keys = set(own)
    mine: list[str] = []
    others: list[str] = []
    for argument in arguments:
        key = key_of(argument)
        top = top_of(key) if key else None
        (mine if top is None or top == "hydra" or top in keys else others).append(argument)
    return mine, others
