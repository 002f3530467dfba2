"""Every module of cfx has its place in the layers, so that none can import what it likes."""

import pkgutil
import re
import tomllib
from pathlib import Path

import cfx


def test_every_top_level_module_is_in_a_layer(repository: Path) -> None:
    settings = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["importlinter"]
    contract = next(each for each in settings["contracts"] if each["id"] == "layers")
    assert contract["exhaustive"] is True
    placed = [name for layer in contract["layers"] for name in re.findall(r"\w+", layer)]
    assert len(placed) == len(set(placed))
    assert {module.name for module in pkgutil.iter_modules(cfx.__path__)} <= set(placed)
