"""Recess scores and devices by a detector in a whole evaluation, where everything is known: a drawn corner and bar."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import toy
from torch import Tensor
from toy_detector import Blunting, CornerFinder, with_corners
from toy_settings import SETTINGS

from cfx.evaluation.clinical_sections import corrected, with_recesses
from cfx.evaluation.detecting import Detecting, angles_of, both_sides, detector_section, repeat_error_of
from cfx.evaluation.rows import COLUMNS, extremes
from cfx.evaluation.runner import evaluate
from cfx.metrics.boxes import BoxSet

QUICK = replace(
    SETTINGS, control_images=6, descent_images=2, oracle_grid_images=2, repeat_images=8, resamples=50
)
EFFUSION = SimpleNamespace(
    name="pleural_effusion", finding="Cardiomegaly", direction="down", measurement="recess"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The toy world with corners, a bar on every third picture, and no masks of devices."""
    table, dataset, oracle = toy.world(tmp_path_factory.mktemp("corners"), 80)
    severity = torch.tensor([oracle.severities[name] for name in table["image_id"]])
    dataset.image = with_corners(dataset.image, severity)
    dataset.image[::3, 0, :4, 8:16] = 0.8
    dataset.image[5, 0, 28:, :4] = -1.0  # a recess that nobody finds
    return table.drop(columns="device_path"), dataset


@pytest.fixture(scope="module")
def judged(world: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    table, dataset = world
    truth = list(CornerFinder()(dataset.image))
    return evaluate(
        Blunting(toy.ToyBox()), toy.ToyBox(), table, dataset, judge=toy.judge, task=EFFUSION, settings=QUICK,
        finder=CornerFinder(), boxes=[None, *truth[1:]], finder_trained_on="corners", controls=("nothing",),
    )  # fmt: skip


def test_scores_of_both_sides_are_in_the_rows(judged: Any, world: Any) -> None:
    rows, _ = judged
    assert tuple(rows.columns) == COLUMNS
    first = rows.drop_duplicates("image_id")
    grey = (world[1].image[:, 0, 28:, 28:].mean(dim=(1, 2)) + 1) / 2
    assert first["scp_left_before"].to_numpy() == pytest.approx(grey.numpy(), abs=1e-6)
    assert np.isnan(first["scp_right_before"].to_numpy()[5])
    assert first["scp_right_before"].notna().sum() == len(first) - 1


def test_an_undetected_recess_is_not_measurable_and_never_zero(judged: Any) -> None:
    rows, metrics = judged
    bad = rows.drop_duplicates("image_id").iloc[[5]]
    assert with_recesses(bad)["scp_before"].isna().all()
    group = str(bad["group"].iloc[0])
    figures = metrics["clinical"]["scp"]
    assert not (rows["scp_right_before"] == 0).any()
    # the explainer paints the corner again, so only `before` is missing there, and no mean took a 0 for it
    if group != "middle":
        known = extremes(rows, group)["scp_right_before"]
        assert figures["right"][group]["before"] >= float(known.min())


def test_holm_counts_every_measurement_side_and_direction() -> None:
    def of(up: float, down: float | None) -> dict[str, Any]:
        return {"up": {"p": up}, "down": {"p": down}}

    sections = {
        "ctr": of(0.01, 0.03),
        "scp": of(0.001, None) | {"left": of(0.2, 0.5), "right": of(0.01, 0.9)},
    }
    corrected(sections | {"angle": None, "haze": None})
    ctr, scp = sections["ctr"], sections["scp"]
    assert scp["up"]["p_holm"] == pytest.approx(7 * 0.001) and scp["down"]["p_holm"] is None
    # the two of .01 come second and third of seven
    assert ctr["up"]["p_holm"] == scp["right"]["up"]["p_holm"] == pytest.approx(6 * 0.01)
    assert ctr["down"]["p_holm"] == pytest.approx(4 * 0.03)


def test_the_figures_have_the_keys_of_the_ratio_and_tell_the_truth(judged: Any) -> None:
    _, metrics = judged
    clinical = metrics["clinical"]
    assert clinical["read_by"] == "scp"
    for group in ("up", "down"):
        figures = clinical["scp"][group]
        assert set(figures) == set(clinical["ctr"][group])
        assert figures["moved_right"] == 1
        assert figures["gap"] < -0.3 and 0.5 < figures["gap_closed"] < 1.5
        assert np.sign(figures["shift_net"]) == (-1 if group == "up" else 1)
        assert figures["not_measurable"] == 0
        for side in ("left", "right"):
            assert set(clinical["scp"][side][group]) == set(figures)
        # of what the task is not read by, no way is the right one
        assert clinical["ctr"][group]["moved_right"] is None
        assert clinical["angle"] is None or set(clinical["angle"][group]) == set(figures)
    nothing = metrics["controls"]["nothing"]["clinical"]["scp"]["up"]
    assert nothing["shift_net"] == 0 and nothing["moved_right"] == 0
    some = metrics["subgroups"]["view"]["PA"]["up"]
    assert list(some["ci95"]) == ["reach", "shift_net", "moved_right", "flip", "fop"]
    # by the detector alone, which these data have; all pictures are PA
    assert some["fop"] == metrics["identity"]["up"]["fop"] and some["fop"] is not None


def test_verdicts_go_by_the_recess(judged: Any) -> None:
    rows, metrics = judged
    moved = extremes(rows, "up")
    reasons = set(", ".join(moved["verdict"].str.partition(": ")[2]).split(", "))
    # some lose a device; the thorax is not judged where fluid may cut it, and the CTR is not what the task is read by
    assert reasons == {"", "device lost"}
    lost = moved["devices_found"] > moved["devices_found_kept"]
    assert moved["verdict"].str.contains("device lost").tolist() == lost.tolist()
    nothing = metrics["controls"]["nothing"]
    assert nothing["clinical"]["scp"]["up"]["shift"] == 0


def test_devices_are_told_by_the_detector_where_no_mask_does(judged: Any) -> None:
    rows, metrics = judged
    identity = metrics["identity"]
    assert identity["fop_by"] == "the evaluation detector"
    assert identity["up"]["fop"] == 0 and identity["down"]["fop"] == 1 and identity["fop"] == 0
    assert identity["up"]["n_devices"] == (extremes(rows, "up")["devices_found"] > 0).sum() > 0
    assert identity["by_detector"]["up"]["fop"] == 0
    assert rows["devices_before"].isna().all()
    assert metrics["controls"]["nothing"]["identity"]["fop"] == 1


def test_the_detectors_own_figures(judged: Any) -> None:
    detector = judged[1]["detector"]
    assert detector["by_class"]["pacemaker"] == 1 and detector["ap50"] > 0.5
    assert detector["by_class"]["tube"] is None and detector["n_images"] == 79
    assert detector["trained_on"] == "corners"


def test_masks_of_devices_come_before_boxes(toy_world: Any) -> None:
    table, dataset, _ = toy_world
    _, metrics = evaluate(
        toy.Faithful(toy.ToyBox()), toy.ToyBox(), table, dataset, judge=toy.judge, task=toy.TASK, settings=QUICK,
        finder=CornerFinder(), controls=(),
    )  # fmt: skip
    assert metrics["identity"]["fop_by"] == "the data's device masks"
    assert metrics["identity"]["by_detector"]["fop_by"] == "the evaluation detector"
    assert metrics["detector"]["ap50"] is None and metrics["clinical"]["read_by"] == "ctr"


def test_a_task_read_by_the_recess_without_a_detector_measures_nothing(world: Any) -> None:
    table, dataset = world
    rows, metrics = evaluate(
        Blunting(toy.ToyBox()), toy.ToyBox(), table, dataset, judge=toy.judge, task=EFFUSION, settings=QUICK,
        controls=(),
    )  # fmt: skip
    assert metrics["clinical"]["scp"] is None and metrics["detector"] == {"ap50": None}
    assert not rows["verdict"].str.contains("measurement|shift").any()  # what is not measured is no reason
    assert rows["scp_left_after"].isna().all()


def test_pictures_already_seen_are_not_looked_for_again() -> None:
    looked: list[int] = []

    class Counting(CornerFinder):
        def __call__(self, image: Tensor) -> list[BoxSet]:
            looked.append(len(image))
            return super().__call__(image)

    detecting = Detecting(Counting())
    images = with_corners(torch.zeros(4, 1, 32, 32), torch.tensor([0.0, 0.2, 0.5, 1.0]))
    keys = [b"a", b"b", b"c", b"d"]
    first = detecting.survey(images, keys)
    again = detecting.boxes(torch.cat([images, images[:1] + 0.1]), [*keys, b"new"])
    assert looked == [4, 1] and again[:4] == first
    assert detecting.scores(first)[:, 0] == pytest.approx([0.9, 0.74, 0.5, 0.1])


def test_both_sides_must_be_measurable() -> None:
    mean = both_sides(np.array([[0.2, 0.4], [np.nan, 0.4], [0.3, np.nan]]))
    assert mean[0] == pytest.approx(0.3) and np.isnan(mean[1:]).all()


def test_the_repeat_error_is_what_a_second_look_changes() -> None:
    images = with_corners(torch.zeros(20, 1, 32, 32), torch.linspace(0, 1, 20))
    constant = repeat_error_of(lambda seen: np.full((len(seen), 2), 0.5), images)
    noisy = repeat_error_of(lambda seen: seen.mean(dim=(1, 2, 3)).numpy()[:, None].repeat(2, axis=1), images)
    assert constant == 0 and 0 < noisy < 0.3
    assert np.isnan(repeat_error_of(lambda seen: np.full((len(seen), 2), np.nan), images))


def test_angles_open_as_the_corner_of_a_drawn_lung_is_cut() -> None:
    """Masks with a sharp and with a blunted lateral corner: the same function that measures real masks."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    sharp = (x > 36) & (x < 60) & (y > 8) & (y < 30 + (x - 36))
    blunt = (x > 36) & (x < 60) & (y > 8) & (y < 40)
    masks = torch.zeros(2, 3, 64, 64)
    masks[0, 1], masks[1, 1] = sharp.float(), blunt.float()
    angles = angles_of(lambda images: masks[: len(images)], torch.zeros(2, 1, 64, 64))
    assert angles[0, 0] == pytest.approx(45, abs=4) and angles[1, 0] == pytest.approx(90, abs=4)
    assert np.isnan(angles[:, 1]).all()


def test_the_section_without_true_boxes() -> None:
    section = detector_section([BoxSet.of([])], None)
    assert np.isnan(section["ap50"]) and section["n_images"] == 0
