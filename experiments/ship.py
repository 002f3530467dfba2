"""Put a finished run's weights into the package, without anything that was needed only to train it.

    python experiments/ship.py runs/cardiomegaly-nih_cxr14-explainer-0123abcd nih_cardiomegaly

Writes cfx/pretrained/<name>/: configuration (folders by their last name only), weights, parts, environment and the
measured figures. The model card beside them is written by hand.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import cfx
from cfx.runs import Run

PLACES = ("root", "path", "judge_path", "cache")
# Half precision for the part that nothing shipped was measured with: the evaluation measures with `judge`.
HALVED = "segmenter"
FILES = ("weights.safetensors", "environment.json", "calibration.json")


def without_places(node: Any) -> Any:
    """Return a configuration whose folders keep their last name alone."""
    if isinstance(node, dict):
        return {
            key: Path(value).name if key in PLACES and isinstance(value, str) else without_places(value)
            for key, value in node.items()
        }
    return [without_places(item) for item in node] if isinstance(node, list) else node


def ship(run: Run, name: str) -> Path:
    """Copy a run into the package and return its folder there."""
    target = Run.create(Path(cfx.__file__).parent / "pretrained" / name)
    parts = [(run, target)]
    parts += [(run.part(part), Run.create(target.part(part).path)) for part in run.part_names()]
    for source, copy in parts:
        if source.config_file.is_file():
            copy.write_config(without_places(source.config))
        for file in FILES:
            if (source.path / file).is_file():
                shutil.copyfile(source.path / file, copy.path / file)
        if copy.name == HALVED:
            copy.write_weights({key: value.half() for key, value in copy.load_weights().items()})
    (target.path / "evaluation").mkdir(exist_ok=True)
    shutil.copyfile(run.evaluation.path / "metrics.json", target.path / "evaluation" / "metrics.json")
    return target.path


def main(arguments: list[str]) -> int:
    """Ship the run named first under the name given second; exit code 2 for other arguments."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = ship(Run.open(arguments[0]), arguments[1])
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder.name}: {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
