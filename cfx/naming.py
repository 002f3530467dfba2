"""What a run is called: a fingerprint of its configuration, and folder names of plain letters."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

# Keys that say where or how something is done, not what: they never change a fingerprint.
PLACE_KEYS = frozenset(
    {
        "root",
        "path",
        "cache",
        "output",
        "runs",
        "workers",
        "num_workers",
        "device",
        "devices",
        "accelerator",
        "trainer",
        "logger",
        "hydra",
        "name",
    }
)


def fingerprint(config: Mapping[str, Any], exclude: Iterable[str] = PLACE_KEYS) -> str:
    """Return ten hex digits that stand for a resolved configuration.

    Args:
        config: plain dicts, lists and scalars; key order does not matter, and 1 and 1.0 are the same.
        exclude: keys left out wherever they occur: places, workers, devices.

    Raises:
        TypeError: a value is not plain.
    """
    left_out = frozenset(exclude)

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items() if str(key) not in left_out}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value

    text = json.dumps(plain(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def slug(text: str) -> str:
    """Return a text in the letters that folder names use, [a-z0-9_-]; never empty."""
    return re.sub(r"[^a-z0-9_-]+", "_", text.lower()).strip("_") or "x"


def folder_name(task: str, data: str, model: str, digits: str) -> str:
    """Return `<task>-<data>-<model>-<fingerprint>`."""
    return "-".join(slug(part) for part in (task, data, model, digits))
