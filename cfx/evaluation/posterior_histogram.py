"""What the black box says of the images an explainer was trained on, beside what it says of those it is tested on.

Where a data set is too small to share out, black box and explainer have the same training patients, of whom the black
box is surer than of patients it has never seen. The explainer then learns from posteriors that no test image has. How
far the two distributions differ is told here; nothing is corrected.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from cfx.data.annotations import Annotations
from cfx.naming import fingerprint

BINS: Final = 20
EDGES: Final = tuple(round(number / BINS, 2) for number in range(BINS + 1))
"""Edges of the bins; each holds its lower edge, the last 1.0 too."""

_WHO = ("source", "splits")
_WHICH = (*_WHO, "views", "size")


def same_images(own: Mapping[str, Any], evaluated: Mapping[str, Any]) -> bool:
    """Whether two data nodes name the same pictures, shared out alike, wherever they lie.

    Args:
        own: `data` of the run's configuration.
        evaluated: `data` of the evaluation's.
    """
    return _identity(own, _WHICH) == _identity(evaluated, _WHICH)


def patients_apart(trained: Mapping[str, Mapping[str, Any]]) -> bool | None:
    """Whether black box and explainer were trained on patients apart, as their configurations tell.

    Args:
        trained: the configuration that each was trained with, by the names `explainer` and `blackbox`.

    Returns:
        None where that is not known: the black box came as a program or as weights alone, or was trained on other data
        or on these shared out in another way.
    """
    own, box = trained["explainer"], trained.get("blackbox") or {}
    data, theirs = own["data"], box.get("data")
    if not theirs or _identity(data, _WHO) != _identity(theirs, _WHO):
        return None
    part = (box.get("model") or {}).get("part")
    if part is None:
        return None
    return bool((data.get("splits") or {}).get("apart")) and part != own["model"]["part"]


def _identity(data: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """What some keys of a data node say of its pictures, without the places that they lie at."""
    return fingerprint({key: data.get(key) for key in keys})


def training_posteriors(folder: Path, rows: pd.DataFrame, finding: str) -> pd.DataFrame | None:
    """Read what was computed once an image before the explainer was trained.

    Args:
        folder: `annotations` of a run.
        rows: images of the explainer's training part, with image_id, patient_id and the finding's label.
        finding: the column of that label.

    Returns:
        columns patient_id, posterior (float64 in [0, 1], NaN where unknown) and label (1, 0 or NaN), a row an image;
        None where the run has no posteriors: nothing was trained, or it came without its annotations.

    Raises:
        WrongLayout: the files of the folder do not belong together.
    """
    if not (folder / "image_ids.json").is_file():
        return None
    # the masks, which are large, stay on the disk
    known = replace(Annotations.load(folder), masks=None, devices=None)
    posterior = known.lookup([str(name) for name in rows["image_id"]], size=1).posterior
    if posterior is None:
        return None
    return pd.DataFrame(
        {
            "patient_id": rows["patient_id"].to_numpy(),
            "posterior": posterior.astype(np.float64),
            "label": rows[finding].to_numpy(dtype=np.float64),
        }
    )


def evaluated_posteriors(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the same columns of evaluated images, a row an image.

    Args:
        rows: `counterfactuals.parquet`, a row an (image, target).
    """
    images = rows.drop_duplicates("image_id")
    return images[["patient_id", "p_before", "label"]].rename(columns={"p_before": "posterior"})


def posterior_histogram(train: pd.DataFrame, test: pd.DataFrame, apart: bool | None) -> dict[str, Any] | None:
    """Count the posteriors of both in bins and tell how far their distributions differ.

    Args:
        train: of the explainer's training images; columns patient_id, posterior and label, a row an image.
        test: of the evaluated images, likewise.
        apart: see `patients_apart`.

    Returns:
        edges (21,); `train` and `test`, counts of images in each bin (20,); `n_*` and `n_patients_*`, images and
        patients whose posterior is known; `positive_*`, share of labelled images with the finding, None without any;
        `distance`, the two-sample Kolmogorov-Smirnov statistic in [0, 1], over images; `apart`. None where either has
        no posterior.
    """
    known = {
        name: table[np.isfinite(table["posterior"].to_numpy(dtype=np.float64))]
        for name, table in (("train", train), ("test", test))
    }
    if any(table.empty for table in known.values()):
        return None
    values = {name: table["posterior"].to_numpy(dtype=np.float64) for name, table in known.items()}
    found: dict[str, Any] = {"edges": list(EDGES)}
    found |= {name: np.histogram(each, bins=EDGES)[0].tolist() for name, each in values.items()}
    found |= {f"n_{name}": len(table) for name, table in known.items()}
    found |= {f"n_patients_{name}": int(table["patient_id"].nunique()) for name, table in known.items()}
    found |= {f"positive_{name}": _positive(table["label"].to_numpy()) for name, table in known.items()}
    # the statistic is the same by either method; its p value, which images of one patient spoil, is not used
    found["distance"] = float(stats.ks_2samp(values["train"], values["test"], method="asymp").statistic)
    return found | {"apart": apart}


def _positive(label: npt.NDArray[Any]) -> float | None:
    """Share of 1 among labels of 1 and 0; None without any."""
    label = label.astype(np.float64)
    labelled = label[(label == 0) | (label == 1)]
    return float(labelled.mean()) if len(labelled) else None
