"""Freeze what finished runs measured into a study's folder, where `make criteria` holds it against its bars.

    python experiments/freeze.py phantom_cardiomegaly multirun/phantom_cardiomegaly
    python experiments/freeze.py nih_cardiomegaly runs/cardiomegaly-nih_cxr14-explainer-0123abcd

Each run gives `seed<N>/metrics.json`, `seed<N>/environment.json` and `seed<N>/verdicts.json`: by direction how many
pictures got which verdict at the extreme target, and in what share the thorax changed by more than 2 %. The first also
gives the figures.
"""

import shutil
import sys
from pathlib import Path

import pandas as pd

from cfx.evaluation.rows import extremes
from cfx.files import write_json
from cfx.metrics.validity import DOWN, UP
from cfx.runs import Run, jobs_of

THORAX = 0.02
ROOT = Path(__file__).resolve().parent
FIGURES = {"progressions.png": "progression.png"} | {
    name: name for name in ("validity.png", "ctr.png", "scp.png", "haze.png")
}


def verdicts(table: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Count the verdicts of each direction at the extreme target."""
    found: dict[str, dict[str, object]] = {}
    for group in (UP, DOWN):
        rows = extremes(table, group)
        change = (rows["thorax_width_after"] / rows["thorax_width_before"] - 1).abs().dropna()
        found[group] = {
            "n_images": len(rows),
            "verdicts": {str(name): int(count) for name, count in rows["verdict"].value_counts().items()},
            "thorax_changed": float((change > THORAX).mean()) if len(change) else None,
        }
    return found


def freeze(study: Path, run: Run, first: bool) -> Path:
    """Copy one run's figures into the study; returns the folder of its seed."""
    folder = study / f"seed{run.environment()['seed']}"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run.evaluation.path / "metrics.json", folder / "metrics.json")
    shutil.copyfile(run.path / "environment.json", folder / "environment.json")
    write_json(folder / "verdicts.json", verdicts(run.evaluation.counterfactuals()))
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
    unfinished = [str(run.path) for run in runs if not run.finished]
    if unfinished:
        print(f"error: not finished, or not there: {', '.join(unfinished)}", file=sys.stderr)
        return 2
    for number, run in enumerate(runs):
        print(freeze(ROOT / arguments[0], run, number == 0))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
