"""Does the recess score tell small effusions of the phantom from none? Frozen beside the figures of their study.

    python experiments/recess.py phantom_effusion runs/pleural_effusion-phantom-explainer-0123abcd

A *small* effusion is one that is just called: severity past halfway (0.43) and under 0.75, where the median patient
with one has 1.0. Each side of each test picture is a case: with fluid of a small effusion, or without fluid in a
patient of severity under 0.2. Writes `recess.json`: AUROC of 1 - SCP with its interval by patient, a side and the worse
of both, and how many sides the detector found no recess on (not measurable, left out).
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from cfx.assembly import data_module
from cfx.data.phantom.findings import HALFWAY
from cfx.data.phantom.source import Phantom
from cfx.errors import BadValue
from cfx.files import write_json
from cfx.metrics.calibration import auroc, auroc_interval
from cfx.runs import Run

ROOT = Path(__file__).resolve().parent
SMALL, NONE = 0.75, 0.2


def cases(rows: pd.DataFrame, truth: pd.DataFrame, side: str) -> pd.DataFrame:
    """Return one row a picture and side that counts: patient_id, fluid (1/0), score (NaN: no recess was found)."""
    pictures = rows.drop_duplicates("image_id").set_index("image_id")
    known = truth.set_index("image_id").loc[pictures.index]
    severity, there = known["severity_pleural_effusion"], known[f"fluid_{side}"] == 1
    small = (severity > HALFWAY) & (severity < SMALL) & there
    none = severity < NONE
    table = pd.DataFrame(
        {
            "patient_id": pictures["patient_id"],
            "fluid": small.astype(float),
            "score": pictures[f"scp_{side}_before"],
        }
    )
    return table[small | none]


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Return AUROC of 1 - SCP for fluid over sides whose recess was found, with its interval by patient."""
    found = table[table["score"].notna()]
    fluid, unlike = found["fluid"].to_numpy(), 1.0 - found["score"].to_numpy()

    low, high = auroc_interval(unlike, fluid, found["patient_id"].to_numpy())
    return {
        "auroc": auroc(unlike, fluid),
        "ci95": [low, high],
        "n_small": int(fluid.sum()),
        "n_none": int((fluid == 0).sum()),
        "not_measurable_small": int((table["score"].isna() & (table["fluid"] == 1)).sum()),
        "not_measurable_none": int((table["score"].isna() & (table["fluid"] == 0)).sum()),
    }


def main(arguments: list[str]) -> int:
    """Measure and freeze; exit code 2 where the arguments do not name a study and a run."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    run = Run.open(arguments[1])
    config = run.config
    source = data_module(config, part=config["model"]["part"], batch_size=1).source
    if not isinstance(source, Phantom):
        raise BadValue("run", run.name, "is of data whose truth nobody knows", "give a run on a phantom")
    truth = source.truth()
    rows = run.evaluation.counterfactuals()
    result: dict[str, Any] = {side: figures(cases(rows, truth, side)) for side in ("left", "right")}
    result["auroc"] = min(result[side]["auroc"] for side in ("left", "right"))
    environment = run.environment()
    result["environment"] = {key: environment[key] for key in ("commit", "device", "seed")}
    write_json(ROOT / arguments[0] / "recess.json", result)
    print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
