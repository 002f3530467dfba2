"""One and the same pictures, measured as a run's own and as anybody's pairs: the figures are the same."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import toy
from torch import Tensor
from toy_detector import Blunting, CornerFinder
from toy_settings import thumbnails
from trees import assert_alike

from cfx import measuring
from cfx.cli import compose, plain
from cfx.evaluation.pairs_out import write_pairs
from cfx.evaluation.rows import is_extreme
from cfx.instruments import instruments_of_run
from cfx.loading import LoadedRun, chosen_threshold
from cfx.runs import Evaluation, Run
from cfx.scoring import score_pairs

THRESHOLD, NOTE = 0.98, "few patients told"
PHANTOM = {"_target_": "cfx.data.phantom.source.Phantom"}
XRAYS = {"_target_": "cfx.data.nih_cxr14.NihCxr14"}
TASKS = {"cardiomegaly": ("ctr", "up"), "pleural_effusion": ("recess", "down")}
# What is made of the data's own masks and boxes, which a table of pairs has not.
TRUTHS = {"dice_heart", "dice_left_lung", "dice_right_lung", "ctr_mae", "ctr_r", "n_masks"}


class EightBit(Blunting):
    """Draws what an 8-bit file can hold, so that nothing is lost on the way through files."""

    def explain(self, image: Tensor, targets: Tensor) -> Any:
        drawn = super().explain(image, targets)
        return replace(drawn, images=toy.eight_bit(drawn.images))


def config(name: str) -> dict[str, Any]:
    """A small evaluation of a task."""
    sizes = [f"evaluation.{key}_images=4" for key in ("control", "descent", "oracle_grid", "return")]
    sizes += ["evaluation.oracle=false", "evaluation.resamples=50", "evaluation.targets=[0,0.3,0.7,1]"]
    own = plain(compose("train", ["data.size=32", *sizes]))
    measurement, direction = TASKS[name]
    own["task"] |= {"name": name, "measurement": measurement, "direction": direction}
    own["detector"] = {"kind": "trained" if name == "pleural_effusion" else "none"}
    return own


def loaded(run: Run, own: dict[str, Any], trained_on: dict[str, Any] | None) -> LoadedRun:
    """A run of toys whose independent classifier has a threshold of its own, and a detector where it knows data."""
    run.write_config(own)
    run.part("transfer").write_calibration({"threshold": THRESHOLD, "note": NOTE})
    threshold = chosen_threshold(run.part("transfer"))
    assert threshold == THRESHOLD
    parts: Any = {
        "segmenter": toy.judge,
        "judge": toy.judge,
        "transfer": toy.EdgeBox(),
        "blackbox": toy.ToyBox(),
    }
    finder: Any = None if trained_on is None else CornerFinder()
    return LoadedRun(
        run, own, EightBit(toy.ToyBox()), **parts, threshold=threshold, finder=finder, finder_data=trained_on
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[toy.ToySet, Path]:
    """Pictures with recesses and bars, and a folder of pairs drawn of them."""
    table, dataset, _ = toy.world(tmp_path_factory.mktemp("toy"), 40)
    dataset.image[:, 0, 28:, 28:] = dataset.image[:, 0, 28:, :4] = 0.2
    dataset.image[::3, 0, :4, 8:16] = 0.8
    dataset.image = toy.eight_bit(dataset.image)
    dataset.table = table.drop(columns="device_path")  # type: ignore[attr-defined]
    folder, box = tmp_path_factory.mktemp("pairs"), toy.ToyBox()
    targets = config("cardiomegaly")["evaluation"]["targets"]
    write_pairs(folder, EightBit(box), box, dataset, dataset.label.double().numpy(), targets)
    return dataset, folder


@pytest.fixture(scope="module", params=sorted(TASKS))
def both(request: pytest.FixtureRequest, world: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Rows and metrics of the run's own evaluation, and those of its pairs."""
    dataset, folder = world
    place, own = tmp_path_factory.mktemp(request.param), config(request.param)
    made = loaded(
        Run.create(place / "run"), own, own["data"] if request.param == "pleural_effusion" else None
    )
    found = []
    with pytest.MonkeyPatch.context() as patch:
        data = SimpleNamespace(
            dataset=lambda split: dataset, rows=lambda split: dataset.table, source=SimpleNamespace()
        )
        patch.setattr(measuring.assembly, "data_module", lambda *_, **__: data)
        patch.setattr(measuring, "LastLinear", lambda classifier: thumbnails)
        patch.setattr("cfx.scoring.write_report", lambda *_: None)
        measuring.evaluate_into(Evaluation(place / "own"), made, own)
        score_pairs(folder, Evaluation(place / "scored"), own, made, method="faithful")
    for name in ("own", "scored"):
        rows = pd.read_parquet(place / name / "counterfactuals.parquet")
        found.append((rows, json.loads((place / name / "metrics.json").read_text())))
    return found


def test_the_independent_classifier_is_asked_at_its_own_threshold(both: Any) -> None:
    (rows, own), (others, scored) = both
    assert own["transfer"]["threshold"] == scored["transfer"]["threshold"] == THRESHOLD
    # some pictures are called differently at 0.5, so that a wrong threshold would show in figures and verdicts
    after = rows["p_transfer_after"]
    assert ((after >= THRESHOLD) != (after >= 0.5))[after.notna()].any()
    assert others["verdict"].tolist() == rows["verdict"].tolist()
    assert rows["verdict"].str.contains("independent classifier disagrees").any()
    assert NOTE in own["warnings"] and NOTE in scored["warnings"]


@pytest.mark.parametrize(
    "section", ["validity", "clinical", "transfer", "anatomy", "blackbox", "realism", "controls", "identity"]
)
def test_every_section_is_that_of_the_run(both: Any, section: str) -> None:
    (_, own), (_, scored) = both
    assert_alike(own[section], scored[section], 1e-4, section, TRUTHS | {"speed"})


def test_the_rows_are_those_of_the_run(both: Any) -> None:
    (own, _), (scored, _) = both
    kept = [name for name in own if name not in ("image_id", "seconds", "l1_return", "ctr_true_before")]
    pd.testing.assert_frame_equal(scored[kept], own[kept], atol=1e-4, rtol=0)


def test_a_detector_scores_recesses_and_counts_devices(both: Any) -> None:
    (rows, own), (_, scored) = both
    if own["task"] == "cardiomegaly":
        assert scored["clinical"]["scp"] is None and scored["detector"] == {"ap50": None}
        return
    assert scored["clinical"]["read_by"] == "scp" and scored["clinical"]["scp"]["up"]["shift_net"] is not None
    assert scored["identity"]["fop_by"] == "the evaluation detector" and 0 <= scored["identity"]["fop"] < 1
    assert scored["detector"]["trained_on"] == own["detector"]["trained_on"] == "phantom"
    assert scored["detector"]["ap50"] is None and scored["detector"]["n_images"] == 0  # no true boxes
    assert rows["verdict"].str.contains("device lost").any()


def test_away_from_the_extremes_no_verdict_goes_by_what_is_not_asked_there(both: Any) -> None:
    (rows, _), _ = both
    asked = is_extreme(rows["group"].to_numpy(), rows["target"].to_numpy())
    assert rows.loc[~asked, ["p_transfer_after", "devices_found"]].isna().all(axis=None)
    assert not rows.loc[~asked, "verdict"].str.contains("disagrees|device lost").any()


def test_a_detector_of_phantoms_scores_no_x_rays(tmp_path: Path) -> None:
    own = config("pleural_effusion")
    made = loaded(Run.create(tmp_path / "run"), own, {"name": "phantom", "source": PHANTOM})
    found = instruments_of_run(made, own, "cpu")
    assert found.finder is made.finder and found.finder_trained_on == "phantom"
    own["data"] = {"name": "nih_cxr14", "size": 32, "source": XRAYS}
    found = instruments_of_run(made, own, "cpu")
    assert found.finder is None and found.finder_trained_on is None
    assert any("knows phantoms alone" in note for note in found.notes)
    made = replace(made, finder_data=own["data"])
    assert instruments_of_run(made, own, "cpu").finder is made.finder
    found = instruments_of_run(made, own | {"detector": {"kind": "none"}}, "cpu")
    assert found.finder is None and found.notes == (NOTE,)
