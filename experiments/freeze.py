"""Freeze what finished runs measured into a study's folder, where `make criteria` holds it against its bars.

    python experiments/freeze.py phantom_cardiomegaly multirun/phantom_cardiomegaly
    python experiments/freeze.py nih_cardiomegaly runs/cardiomegaly-nih_cxr14-explainer-0123abcd

Each run gives `seed<N>/metrics.json` and `seed<N>/environment.json`; the first also gives the figure.
"""

import shutil
import sys
from pathlib import Path

from cfx.runs import Run, jobs_of

ROOT = Path(__file__).resolve().parent
FIGURES = {"progressions.png": "progression.png", "validity.png": "validity.png", "ctr.png": "ctr.png"}


def freeze(study: Path, run: Run, first: bool) -> Path:
    """Copy one run's figures into the study; returns the folder of its seed."""
    folder = study / f"seed{run.environment()['seed']}"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run.evaluation.path / "metrics.json", folder / "metrics.json")
    shutil.copyfile(run.path / "environment.json", folder / "environment.json")
    for name, final in FIGURES.items():
        if first and (run.evaluation.path / name).is_file():
            shutil.copyfile(run.evaluation.path / name, study / final)
    return folder


def main(arguments: list[str]) -> int:
    """Freeze the runs that the arguments name; exit code 2 where they name none."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    runs = [run for place in arguments[1:] for run in jobs_of(Path(place))]
    for number, run in enumerate(runs):
        print(freeze(ROOT / arguments[0], run, number == 0))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
