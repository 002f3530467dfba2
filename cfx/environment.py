"""What a run was made with, for environment.json: versions and figures, never names of machines, users or folders."""

import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

import cfx

# What could change a number. The order is that of the file.
PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "omegaconf",
    "albumentations",
    "opencv-python-headless",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "pillow",
    "safetensors",
)


def versions() -> dict[str, str | None]:
    """Return the versions of cfx, Python and the packages that matter; None where one is not installed."""
    found: dict[str, str | None] = {"cfx": cfx.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def commit() -> str | None:
    """Return the commit of a checkout, `-dirty` where tracked files differ from it; None in a wheel."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (
            "-dirty" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.SubprocessError):
        return None


def describe(
    *, seed: int, steps: int, minutes: float, device: str, peak_mib: float | None, **more: Any
) -> dict[str, Any]:
    """Return what environment.json holds.

    Args:
        seed: of the run.
        steps: batches trained, over all sessions of the run.
        minutes: spent training, over all sessions of the run.
        device: `cpu`, `cuda:0`, or a card's model; no machine's name.
        peak_mib: largest resident memory of the process in MiB.
        more: further figures, such as `threads`.
    """
    return {
        "versions": versions(),
        "commit": commit(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device,
        "seed": seed,
        "steps": steps,
        "minutes": minutes,
        "peak_mib": peak_mib,
        **more,
    }


def without_places(node: Any) -> Any:
    """A configuration with absolute paths cut to their last name: results travel, the machine's folders do not."""
    if isinstance(node, Mapping):
        return {str(key): without_places(value) for key, value in node.items()}
    if isinstance(node, list):
        return [without_places(value) for value in node]
    if isinstance(node, str) and (node.startswith(("/", "~", "\\\\")) or node[1:3] == ":\\"):
        return f"…/{PurePath(node.replace(chr(92), '/')).name}"
    return node
