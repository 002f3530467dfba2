"""A hand-made run folder: drawn chests whose heart widens with the target, and the files an evaluation
leaves.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image

from cfx.evaluation.explained import Explained, Reading, Step

TARGETS = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
GRID = [round(0.1 * i, 1) for i in range(11)]


def draw_chest(ctr: float, seed: int, size: int = 64) -> npt.NDArray[np.uint8]:
    """A grey picture (size, size): bright body, two dark lungs 0.8 of the width apart, a heart of that ratio."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    picture = 0.55 + 0.1 * y
    for side in (-1, 1):
        lung = ((x - side * 0.2) / 0.18) ** 2 + (y / 0.36) ** 2 < 1
        picture = np.where(lung, 0.18 + 0.05 * np.cos(40 * y), picture)
    heart = ((x - 0.04) / (ctr * 0.38)) ** 2 + ((y - 0.14) / 0.2) ** 2 < 1
    picture = np.where(heart, 0.72, picture)
    picture = np.where(np.abs(x) < 0.05, 0.78, picture)
    noisy = picture + rng.normal(0, 0.02, picture.shape)
    return np.clip(np.round(noisy * 255), 0, 255).astype(np.uint8)


def counterfactual_rows(patients: int = 60) -> pd.DataFrame:
    """Plausible rows (image, target) for as many patients, a third in each group; one picture can not be measured."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for i in range(patients):
        group = ("up", "down", "middle")[i % 3]
        before = {
            "up": rng.uniform(0.01, 0.19),
            "down": rng.uniform(0.81, 0.99),
            "middle": rng.uniform(0.25, 0.75),
        }
        p, ctr = float(before[group]), float(0.45 + 0.12 * before[group] + rng.normal(0, 0.01))
        for c in GRID:
            after = float(np.clip(c + rng.normal(0, 0.02), 0, 1))
            rows.append(
                {
                    "image_id": f"image{i:03d}",
                    "patient_id": f"patient{i // 2:05d}" if i < 10 else f"patient{i:05d}",
                    "group": group,
                    "p_before": p,
                    "target": c,
                    "p_after": after,
                    "ctr_before": ctr,
                    "ctr_after": ctr + 0.12 * (after - p) if (i, c) != (7, 0.0) else np.nan,
                    "ctr_net_before": ctr + 0.001,
                    "label": float(p > 0.5),
                    "verdict": "",
                }
            )
    return pd.DataFrame(rows)


def tiny_metrics() -> dict[str, Any]:
    """``metrics.json`` of a good phantom run."""
    side = {"n_images": 20, "n_patients": 18, "n_label": 2, "reach": 0.98, "cv_0.8": 0.9, "cv_ceiling": 0.95}
    moved = {
        "n_images": 20, "n_patients": 18, "before": 0.452, "after": 0.566, "shift": 0.114, "shift_net": 0.113,
        "gap": 0.118, "gap_closed": 0.96, "ci95": {"shift_net": [0.108, 0.119], "gap_closed": [0.92, 1.01]},
        "p": 1e-4, "moved_right": 1.0, "moved_beyond_noise": 0.97, "thorax_change": 0.004, "not_measurable": 0.0,
    }  # fmt: skip
    down = moved | {
        "before": 0.571, "after": 0.468, "shift": -0.103, "shift_net": -0.102, "gap_closed": 0.87,
        "ci95": {"shift_net": [-0.108, -0.096], "gap_closed": [0.82, 0.91]}, "moved_right": 0.99,
    }  # fmt: skip
    validity = {"up": side, "down": side | {"reach": 0.97, "n_label": 18}, "target_mae": 0.021}
    validity |= {"target_mae_worst": 0.043, "monotone": 0.985, "spans": 0.99}
    oracle = {"ctr_mae": 0.009, "ctr_mae_nothing": 0.067, "l1_ratio": 0.41, "ghost": 1.08, "unreachable": 3}
    nothing = {"validity": {"up": {"reach": 0.0}, "down": {"reach": 0.0}, "target_mae": 0.47}}
    nothing |= {"oracle": {"ctr_mae": 0.067, "l1_ratio": 1.0, "ghost": None}, "identity": {"fop": 1.0}}
    descent = {"validity": {"up": {"reach": 1.0}, "down": {"reach": 1.0}, "target_mae": 0.01}}
    descent |= {"clinical": {"ctr": {"up": {"gap_closed": 0.02}, "down": {"gap_closed": 0.01}}}}
    return {
        "schema": 1, "task": "cardiomegaly", "data": "phantom", "method": "explainer", "split": "test",
        "n_images": 60, "n_patients": 55,
        "blackbox": {"auroc": 0.962, "auroc_latent": 0.981, "auprc": 0.93, "ece": 0.018, "brier": 0.07, "prior": 0.5},
        "anatomy": {"dice_heart": 0.981, "dice_left_lung": 0.984, "dice_right_lung": 0.986, "ctr_mae": 0.0041},
        "run": {"minutes": 10.4, "peak_mib": 2210, "steps": {"blackbox": 800, "explainer": 1200}},
        "validity": validity, "clinical": {"ctr": {"up": moved, "down": down}, "scp": None}, "oracle": oracle,
        "realism": {"kid": 0.0021, "kid_floor": 0.0009, "fid": None, "features": "small autoencoder"},
        "identity": {"fop": 0.994, "fop_by": "the phantom's device masks", "fop_in_edit": 0.98},
        "transfer": {"up": {"share": 0.91}, "down": {"share": 0.88}},
        "controls": {"nothing": nothing, "nearest_real": None, "pixel_descent": descent},
        "speed": {"per_second": 41.0, "device": "cpu"}, "warnings": [],
    }  # fmt: skip


def write_examples(folder: Path) -> None:
    """Six drawn progressions, best, median and worst a direction, with their index."""
    folder.mkdir(parents=True)
    index: list[dict[str, Any]] = []
    for number, (group, rank) in enumerate(
        (g, r) for g in ("up", "down") for r in ("best", "median", "worst")
    ):
        p, slack = (0.06 if group == "up" else 0.93), (0.0, 0.02, 0.25)[number % 3]
        ctr = [round(0.45 + 0.12 * c, 3) for c in TARGETS]
        stem = f"{group}_{rank}_{number:02d}"
        Image.fromarray(draw_chest(0.45 + 0.12 * p, number)).save(folder / f"{stem}.png")
        names = [f"{stem}_c{round(100 * c):03d}.png" for c in TARGETS]
        for name, value in zip(names, ctr, strict=True):
            Image.fromarray(draw_chest(value, number)).save(folder / name)
        index.append(
            {
                # Of `counterfactual_rows`: the first three images of the direction.
                "image_id": f"image{3 * (number % 3) + (group == 'down'):03d}",
                "patient_id": f"patient{number:05d}",
                "group": group,
                "rank": rank,
                "call": "TN" if group == "up" else "TP",
                "targets": TARGETS,
                "posterior": [min(1.0, max(0.0, c + slack * (0.5 - c))) for c in TARGETS],
                "ctr": [*ctr[:-1], None] if number == 5 else ctr,
                "p_before": p,
                "ctr_before": round(0.45 + 0.12 * p, 3),
                "view": "PA",
                "sex": "F",
                "age": 63.0,
                "files": {"original": f"{stem}.png", "steps": names},
            }
        )
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A finished run's folder, written anew for each test."""
    run = tmp_path / "cardiomegaly-phantom-explainer-0123abcd"
    evaluation = run / "evaluation"
    write_examples(evaluation / "examples")
    (evaluation / "metrics.json").write_text(json.dumps(tiny_metrics()), encoding="utf-8")
    counterfactual_rows().to_parquet(evaluation / "counterfactuals.parquet")
    environment = {
        "python": "3.11.7",
        "torch": "2.9",
        "device": "cpu",
        "seed": 0,
        "minutes": 10.4,
        "peak_mib": 2210,
    }
    (run / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    (run / "config.yaml").write_text(
        "seed: 0\ntask: {name: cardiomegaly, finding: Cardiomegaly}\n", encoding="utf-8"
    )
    steps = pd.DataFrame({"step": range(0, 1200, 50), "train/loss_generator": np.linspace(3, 1, 24)})
    steps.to_csv(run / "metrics.csv", index=False)
    return run


@pytest.fixture
def metrics() -> dict[str, Any]:
    """``metrics.json`` of a good phantom run, fresh for each test."""
    return tiny_metrics()


@pytest.fixture
def table() -> pd.DataFrame:
    """``counterfactuals.parquet`` of sixty images."""
    return counterfactual_rows()


@pytest.fixture
def explained() -> Explained:
    """A file that is higher than wide, explained at three targets: the heart grows, the chest stays."""
    return explained_film(80, 60)


@pytest.fixture
def film_of() -> Callable[..., Explained]:
    """What makes such a file of any height and width."""
    return explained_film


def explained_film(height: int, width: int, size: int = 64) -> Explained:
    """The record of a drawn film of any aspect, with masks on its padded square."""
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2

    def film(ctr: float) -> npt.NDArray[np.float32]:
        square = draw_chest(ctr, 0, side).astype(np.float32) / 255
        return square[top : top + height, left : left + width]

    def reading(ctr: float, posterior: float) -> Reading:
        x = (np.arange(size) + 0.5) / size
        masks = np.zeros((3, size, size), dtype=np.float32)
        masks[1, 16:48] = (x > 0.55) & (x < 0.8)
        masks[2, 16:48] = (x > 0.2) & (x < 0.45)
        masks[0, 30:46] = np.abs(x - 0.5) < 0.3 * ctr
        edges = (0.5 - 0.3 * ctr, 0.5 + 0.3 * ctr)
        return Reading(posterior, ctr, 0.6 * ctr, 0.6, None, masks, edges, (0.2, 0.8))

    small = np.zeros((size, size), dtype=np.float32)
    steps = tuple(
        Step(target, small, reading(0.4 + 0.2 * target, target), 0.1, shown=film(0.4 + 0.2 * target))
        for target in (0.0, 0.5, 1.0)
    )
    return Explained(
        name="folder/chest.png",
        output=Path("out"),
        height=height,
        width=width,
        original=small,
        before=reading(0.42, 0.1),
        redrawn=reading(0.42, 0.1),
        steps=steps,
        end=2,
        verdict="interpret",
        reasons=(),
        about={"finding": "Cardiomegaly"},
        shown=film(0.42),
    )


def effusion_rows() -> pd.DataFrame:
    """Rows of an effusion task: asked for it the right recess blunts and the left stays; two can not be found.

    Asked to take it away both clear. Lung haze rises with the target, and the heart grows with it too.
    """
    rows = counterfactual_rows()
    share = (rows["p_after"] - rows["p_before"]).to_numpy()
    up = (rows["group"] == "up").to_numpy()
    number = rows["image_id"].str[-3:].astype(int)
    right, left = np.where(up, 0.8, 0.2), np.where(up, 0.7, 0.3)
    asked = (rows["target"].to_numpy() == np.where(up, 1.0, 0.0)) & (rows["group"] != "middle").to_numpy()
    return rows.assign(
        scp_right_before=right,
        scp_right_after=np.where(
            asked & up & number.isin([30, 33]),
            np.nan,
            right - 0.5 * np.where(asked, np.where(up, 1, -1), share),
        ),
        scp_left_before=left,
        scp_left_after=np.where(up, left, left + 0.4 * asked),
        haze_before=0.5,
        haze_after=0.5 + 0.1 * share,
    )


def effusion_metrics() -> dict[str, Any]:
    """``metrics.json`` of a task read by the recess score whose left side hardly follows upwards."""
    metrics = tiny_metrics()

    def both(up: float, down: float) -> dict[str, Any]:
        ctr = metrics["clinical"]["ctr"]
        return {
            side: ctr[side] | {"moved_right": right, "gap_closed": 0.7, "shift_net": shift, "of_oracle": 0.74}
            for side, right, shift in (("up", up, -0.25), ("down", down, 0.26))
        }

    scp = both(1.0, 0.956) | {"left": both(0.617, 0.817), "right": both(1.0, 0.783), "repeat_error": 0.09}
    ctr = {side: {"shift_net": 0.02, "gap_closed": None, "moved_right": None} for side in ("up", "down")}
    return metrics | {
        "task": "pleural_effusion",
        "clinical": {"ctr": ctr, "scp": scp, "angle": None, "haze": None, "read_by": "scp"},
    }


@pytest.fixture
def recess() -> pd.DataFrame:
    """``counterfactuals.parquet`` of a task read by the recess score, see `effusion_rows`."""
    return effusion_rows()


@pytest.fixture
def effusion() -> dict[str, Any]:
    """``metrics.json`` of that task, fresh for each test."""
    return effusion_metrics()
