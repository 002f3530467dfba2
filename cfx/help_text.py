"""What `--help` of a verb says: its commands, its choices if it has any, its keys with the comments of its YAML."""

import textwrap
from pathlib import Path

FLAGS = frozenset({"--help", "-h"})


def help_text(config_name: str, about: str, directory: str) -> str:
    """Return the help of a verb.

    Args:
        config_name: its file in conf/ without the suffix.
        about: the docstring of its module, with the commands.
        directory: the configuration folder.
    """
    lines = (Path(directory) / f"{config_name}.yaml").read_text(encoding="utf-8").splitlines()
    choices = [line for line in _block(lines, "defaults:") if "/" not in line and ": " in line]
    groups = [_group(line, Path(directory)) for line in choices]
    keys = _without(_without(lines, "defaults:"), "hydra:")
    parts = [about.strip()]
    if groups:
        parts.append("Choices (group=choice; the default is in brackets)\n" + "\n".join(groups))
        parts.append(
            "Every key of a choice can be changed: --cfg job prints them all, such as loss.change=20."
        )
    parts.append("Keys (key=value)\n" + textwrap.indent("\n".join(keys).strip("\n"), "  "))
    return "\n\n".join(parts)


def _block(lines: list[str], head: str) -> list[str]:
    """The lines below a top-level key, up to the next one."""
    if head not in lines:
        return []
    start = lines.index(head) + 1
    ends = [
        place for place, line in enumerate(lines[start:], start) if line and not line.startswith((" ", "-"))
    ]
    return lines[start : min(ends, default=len(lines))]


def _without(lines: list[str], head: str) -> list[str]:
    """The lines without a top-level key and what is below it, nor comments that stand alone at the top."""
    block = _block(lines, head)
    start = lines.index(head) if head in lines else 0
    kept = lines[:start] + lines[start + len(block) + 1 :] if head in lines else lines
    return [line for place, line in enumerate(kept) if place or not line.startswith("#")]


def _group(line: str, directory: Path) -> str:
    """A line of a defaults list as `group [default]: choices   # comment`."""
    entry, _, comment = line.strip().removeprefix("- ").removeprefix("optional ").partition("#")
    name, _, default = (part.strip() for part in entry.partition(":"))
    found = ", ".join(sorted(file.stem for file in (directory / name).glob("*.yaml")))
    text = f"{name} [{default}]: {found}"
    body = textwrap.fill(text, 116, initial_indent="  ", subsequent_indent="      ")
    said = comment.strip() if "|" not in comment else ""
    return f"{body}\n      # {said}" if said else body
