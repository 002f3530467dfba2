"""What a run is called: a fingerprint of its configuration, and folder names of plain letters."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# Keys that say where or how something is done, not what: they never change a fingerprint.
PLACE_KEYS = frozenset(
    {"root", "path", "judge_path", "cache", "output", "runs", "workers", "num_workers", "device", "devices"}
    | {"accelerator", "trainer", "logger", "hydra"}
)
# Keys of files that decide what is computed: what is in the file counts, not where it lies.
CONTENT_KEYS = frozenset({"path", "judge_path", "table"})
_BLOCK = 1 << 20
_LEFT_OUT = object()


def content_digest(path: Path) -> str | None:
    """Return the SHA-256 of a file, of a run folder's weights, or of the .xml files of any other folder (boxes);
    None where there is none of these.
    """
    file = path / "weights.safetensors" if path.is_dir() else path
    files = [file] if file.is_file() else sorted(path.rglob("*.xml")) if path.is_dir() else []
    if not files:
        return None
    digest = hashlib.sha256()
    for each in files:
        if len(files) > 1:
            digest.update(each.relative_to(path).as_posix().encode())
        with each.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def fingerprint(
    config: Mapping[str, Any], exclude: Iterable[str] = PLACE_KEYS, contents: Iterable[str] = CONTENT_KEYS
) -> str:
    """Return ten hex digits that stand for a resolved configuration.

    Two black boxes given by `blackbox.path` are told apart by what is in the files, wherever they lie.

    Args:
        config: plain dicts, lists and scalars; key order does not matter, and 1 and 1.0 are the same.
        exclude: keys left out wherever they occur: places, workers, devices.
        contents: keys whose value counts by the content of the file that it names (inside the node's `root`, where it
            has one); where there is no such file, the value itself counts unless `exclude` leaves it out.

    Raises:
        TypeError: a value is not plain.
    """
    left_out, by_content = frozenset(exclude), frozenset(contents)

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                str(key): item
                for key, raw in value.items()
                if (item := entry(str(key), raw, value)) is not _LEFT_OUT
            }
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value

    def entry(key: str, raw: Any, node: Mapping[str, Any]) -> Any:
        if key in by_content and isinstance(raw, str) and raw:
            place = Path(str(node["root"])).expanduser() / raw if node.get("root") else Path(raw).expanduser()
            digest = content_digest(place)
            if digest is not None:
                return digest
        return _LEFT_OUT if key in left_out else plain(raw)

    text = json.dumps(plain(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def slug(text: str) -> str:
    """Return a text in the letters that folder names use, [a-z0-9_-]; never empty."""
    return re.sub(r"[^a-z0-9_-]+", "_", text.lower()).strip("_") or "x"


def folder_name(task: str, data: str, model: str, digits: str) -> str:
    """Return `<task>-<data>-<model>-<fingerprint>`."""
    return "-".join(slug(part) for part in (task, data, model, digits))
