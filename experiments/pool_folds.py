"""Pool the out-of-fold rows of a cross-validation into one file of figures.

    python -m cfx.train -m name=nih_blackbox_folds experiment=nih_cardiomegaly model=classifier_xray \
        data.splits.fold=0,1,2,3,4
    python experiments/pool_folds.py multirun/nih_blackbox_folds experiments/nih_cardiomegaly/blackbox.json

Every image is judged once, by the network that has not seen its patient; intervals resample patients.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from cfx.evaluation.parts import classifier_metrics, segmenter_metrics
from cfx.files import write_json
from cfx.runs import Run, jobs_of


def pool(runs: list[Run]) -> dict[str, Any]:
    """Return the figures of all folds together, of each fold, and what they were trained with."""
    tables = [run.evaluation.counterfactuals() for run in runs]
    rows = pd.concat(tables, ignore_index=True)
    if rows["image_id"].duplicated().any():
        raise ValueError("an image is in two folds: these runs are not one cross-validation")
    prior = float(runs[0].config["model"].get("prior", 0.5))
    classifier = "posterior" in rows

    def figures(table: pd.DataFrame) -> dict[str, Any]:
        return classifier_metrics(table, prior) if classifier else segmenter_metrics(table)

    key = "auroc" if classifier else "dice_heart"
    environments = [run.environment() for run in runs]
    return {
        "model": runs[0].config["model"],
        "folds": len(runs),
        "pooled": figures(rows),
        f"{key}_by_fold": [figures(table)[key] for table in tables],
        "minutes_by_fold": [environment["minutes"] for environment in environments],
        "commit": environments[0]["commit"],
        "device": environments[0]["device"],
        "seed": environments[0]["seed"],
    }


def main(arguments: list[str]) -> int:
    """Pool the multirun named first into the file named second; exit code 2 for other arguments."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    pooled = pool(jobs_of(Path(arguments[0])))
    write_json(Path(arguments[1]), pooled)
    print(json.dumps(pooled["pooled"], indent=2, default=float))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
