"""Freeze what finished runs measured into a study's folder, where `make criteria` holds it against its bars.

    python experiments/freeze.py phantom_cardiomegaly multirun/phantom_cardiomegaly
    python experiments/freeze.py nih_cardiomegaly runs/cardiomegaly-nih_cxr14-explainer-0123abcd

Each run gives `seed<N>/metrics.json` and `seed<N>/environment.json`; the first also gives the figure.
"""

import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
FIGURES = {"progressions.png": "progression.png", "validity.png": "validity.png", "ctr.png": "ctr.png"}


def runs_of(place: Path) -> list[Path]:
    """Return the run folders of a multirun (its jobs' `run.json`), or the run itself."""
    jobs = sorted(place.glob("*/run.json"), key=lambda file: int(file.parent.name))
    return [Path(json.loads(job.read_text())["run"]) for job in jobs] or [place]


def freeze(study: Path, run: Path, first: bool) -> Path:
    """Copy one run's figures into the study; returns the folder of its seed."""
    environment = json.loads((run / "environment.json").read_text())
    folder = study / f"seed{environment['seed']}"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / "evaluation" / "metrics.json", folder / "metrics.json")
    shutil.copyfile(run / "environment.json", folder / "environment.json")
    for name, final in FIGURES.items():
        if first and (run / "evaluation" / name).is_file():
            shutil.copyfile(run / "evaluation" / name, study / final)
    return folder


def main(arguments: list[str]) -> int:
    """Freeze the runs that the arguments name; exit code 2 where they name none."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    runs = [run for place in arguments[1:] for run in runs_of(Path(place))]
    for number, run in enumerate(runs):
        print(freeze(ROOT / arguments[0], run, number == 0))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
