"""Counterfactuals from files: the writer and the reader give back the evaluation that drew them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import toy
from PIL import Image
from toy_settings import SETTINGS, thumbnails
from trees import assert_alike

from cfx.data.pairs import read_pairs
from cfx.errors import BadImage
from cfx.evaluation.examples import write_examples
from cfx.evaluation.given import Given
from cfx.evaluation.pairs_out import to_pixels, write_pairs
from cfx.evaluation.runner import evaluate
from cfx.evaluation.summary import RUN_KEYS

STEP = 1 / 127.5  # of an 8-bit grey value, in the range [-1, 1]


class Shy(toy.Faithful):
    """Faithful, but it darkens the corner of whatever it draws: its redrawing is not the input."""

    def explain(self, image: torch.Tensor, targets: torch.Tensor) -> Any:
        drawn = super().explain(image, targets)
        drawn.images[..., :2, :2] = -1.0
        return drawn


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, toy.ToySet]:
    """The toy world as files hold it, without what a table of pairs can not hold."""
    table, dataset, _ = toy.world(tmp_path_factory.mktemp("toy"))
    dataset.image = toy.eight_bit(dataset.image)
    dataset.table = table.drop(columns="device_path")  # type: ignore[attr-defined]
    return dataset.table, dataset  # type: ignore[attr-defined]


def measured(table: pd.DataFrame, dataset: Any, explainer: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    return evaluate(
        explainer, toy.ToyBox(), table, dataset, judge=toy.judge, task=toy.TASK, transfer=toy.EdgeBox(),
        settings=SETTINGS, features=thumbnails, features_name="thumbnail", data="toy", split="test",
        controls=("nothing", "nearest_real"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def both(world: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path]:
    """The method's own evaluation, that of its exported pairs, and their folder."""
    table, dataset = world
    box, folder = toy.ToyBox(), tmp_path_factory.mktemp("pairs, [of] toys")
    explainer = Shy(box)
    own = measured(table, dataset, explainer)
    write_pairs(
        folder, explainer, box, dataset, dataset.label.double().numpy(), SETTINGS.targets, batch_size=50
    )
    pairs = read_pairs(folder)
    scored = measured(pairs.dataset("Cardiomegaly", toy.SIZE).table, pairs.dataset("Cardiomegaly", toy.SIZE),
                      Given(pairs, "faithful", toy.SIZE))  # fmt: skip
    return own, scored, folder


def test_rows_are_those_of_the_run_within_rounding(both: Any) -> None:
    (own, _), (scored, _), _ = both
    assert len(own) == len(scored) == 120 * 11
    assert scored["target"].tolist() == own["target"].tolist()
    for name in ("patient_id", "view", "sex", "group"):
        assert scored[name].tolist() == own[name].tolist(), name
    assert scored["label"].equals(own["label"]) and np.allclose(scored["age"], own["age"], atol=1e-6)
    pd.testing.assert_series_equal(scored["p_before"], own["p_before"], atol=1e-6, rtol=0)
    for name, tolerance in (
        ("p_after", 0.01), ("p_net", 0.01), ("l1", STEP / 2), ("l1_net", STEP / 2), ("ctr_after", 0.002),
        ("ctr_net_before", 0.002), ("thorax_width_after", 0.002), ("p_transfer_after", 0.02),
    ):  # fmt: skip
        pd.testing.assert_series_equal(scored[name], own[name], atol=tolerance, rtol=0)


@pytest.mark.parametrize("section", ["validity", "clinical", "transfer", "anatomy", "blackbox", "controls"])
def test_figures_are_those_of_the_run_within_rounding(both: Any, section: str) -> None:
    (_, own), (_, scored), _ = both
    mine, theirs = own[section], scored[section]
    if section == "controls":
        mine, theirs = mine["nearest_real"]["validity"], theirs["nearest_real"]["validity"]
    # The toy set has masks of its own, which a table of pairs has not.
    truths = {"dice_heart", "dice_left_lung", "dice_right_lung", "ctr_mae", "ctr_r", "n_masks", "ci95"}
    assert_alike(mine, theirs, 0.02, section, truths if section == "anatomy" else ())


def test_what_a_table_can_not_give_is_null(both: Any) -> None:
    (_, own), (rows, scored), _ = both
    assert list(scored) == list(own)
    assert scored["oracle"] is None and scored["identity"]["fop"] is None
    assert scored["blackbox"]["auroc_latent"] is None and scored["speed"]["per_second"] is None
    assert scored["null_test"]["l1_return"] is None and own["null_test"]["l1_return"] is not None
    assert scored["null_test"]["l1"] == pytest.approx(own["null_test"]["l1"], abs=STEP / 2)
    assert scored["run"] == dict.fromkeys(RUN_KEYS)
    assert rows["devices_before"].isna().all() and rows["seconds"].isna().all()
    assert scored["realism"]["kid"] == pytest.approx(own["realism"]["kid"], abs=0.01)


def test_the_folder_holds_what_was_drawn_and_says_that_it_is_synthetic(both: Any, world: Any) -> None:
    folder, (_, dataset) = both[2], world
    table = pd.read_csv(folder / "pairs.csv", dtype={"patient_id": str})
    assert len(table) == 120 * 12 and table["image"].nunique() == 120
    assert set(table["split"]) == {"test"}
    assert (table["study_id"] == table["image_id"]).all()  # this data has no studies, so each picture is one
    first = table.iloc[0]
    with Image.open(folder / first["counterfactual"]) as picture:
        assert picture.info["Description"] == "synthetic counterfactual"
    with Image.open(folder / first["image"]) as picture:
        assert "Description" not in picture.info
        assert np.array_equal(np.asarray(picture), to_pixels(dataset.image[0]))


def some_pairs(tmp_path: Path, world: Any, targets: dict[int, list[float]], shift: float = 0.3) -> Any:
    """Pairs of a few pictures with targets of their own, each drawn brighter by the target, without a redrawing."""
    table, dataset = world
    rows = []
    for number, wanted in targets.items():
        Image.fromarray(to_pixels(dataset.image[number])).save(tmp_path / f"{number}.png")
        for target in wanted:
            name = f"{number}-{target}.png"
            Image.fromarray(to_pixels(dataset.image[number] + shift * target)).save(tmp_path / name)
            rows.append({"image": f"{number}.png", "counterfactual": name, "target": target,
                         "patient_id": table["patient_id"].iloc[number]})  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "pairs.csv", index=False)
    return read_pairs(tmp_path)


def test_pictures_may_have_different_targets_and_no_redrawing(tmp_path: Path, world: Any) -> None:
    posterior = toy.ToyBox()(world[1].image)
    low, high = int(posterior.argmin()), int(posterior.argmax())
    middle = int((posterior - 0.5).abs().argmin())
    wanted = {low: [0.0, 1.0], high: [1.0], middle: [0.123, 0.1234, 0.876, 1.0]}
    pairs = some_pairs(tmp_path, world, wanted)
    dataset = pairs.dataset("Cardiomegaly", toy.SIZE)
    given = Given(pairs, "mine", toy.SIZE)
    rows, metrics = measured(dataset.table, dataset, given)
    assert len(rows) == len(given) == 7
    found = rows.groupby("image_id")["target"].apply(list).to_dict()
    assert found == {f"{number}.png": targets for number, targets in wanted.items()}
    assert rows["p_net"].isna().all() and rows["l1_net"].isna().all()
    assert np.allclose(rows["ctr_net_before"], rows["ctr_before"])  # the input stands in for the redrawing
    assert metrics["null_test"]["l1"] is None and metrics["validity"]["target_mae"] is None
    assert (metrics["validity"]["up"]["n_images"], metrics["validity"]["down"]["n_images"]) == (1, 0)
    index = write_examples(tmp_path / "examples", given, dataset, dataset.table, rows)
    assert {entry["image_id"] for entry in index} == {f"{low}.png", f"{high}.png"}
    assert all(
        (tmp_path / "examples" / name).is_file() for entry in index for name in entry["files"]["steps"]
    )


def test_examples_of_close_targets_do_not_overwrite_each_other(tmp_path: Path, world: Any) -> None:
    low = int(toy.ToyBox()(world[1].image).argmin())
    pairs = some_pairs(tmp_path, world, {low: [0.5, 0.501, 0.502]})
    dataset = pairs.dataset("Cardiomegaly", toy.SIZE)
    given = Given(pairs, "mine", toy.SIZE)
    rows, _ = measured(dataset.table, dataset, given)
    entry = write_examples(tmp_path / "examples", given, dataset, dataset.table, rows)[0]
    assert entry["targets"] == [0.5, 0.501, 0.502] and len(set(entry["files"]["steps"])) == 3


def test_pictures_of_the_middle_alone_are_measured_too(tmp_path: Path, world: Any) -> None:
    box = toy.ToyBox()
    middle = int(torch.argmin((box(world[1].image) - 0.5).abs()))
    pairs = some_pairs(tmp_path, world, {middle: [0.0, 1.0]})
    dataset = pairs.dataset("Cardiomegaly", toy.SIZE)
    rows, metrics = measured(dataset.table, dataset, Given(pairs, "mine", toy.SIZE))
    assert len(rows) == 2 and metrics["validity"]["up"]["n_images"] == 0
    assert write_examples(tmp_path / "e", Given(pairs, "mine", toy.SIZE), dataset, dataset.table, rows) == []


def test_a_row_at_the_own_posterior_is_the_redrawing_and_no_counterfactual(
    tmp_path: Path, world: Any
) -> None:
    own = round(float(toy.ToyBox()(world[1].image[:1])), 4)
    pairs = some_pairs(tmp_path, world, {0: [own, 1.0]})
    dataset = pairs.dataset("Cardiomegaly", toy.SIZE)
    rows, metrics = measured(dataset.table, dataset, Given(pairs, "mine", toy.SIZE))
    assert rows["target"].tolist() == [1.0]
    assert rows["l1_net"].iloc[0] == pytest.approx(float(metrics["null_test"]["l1"]))
    brighter = ((world[1].image[0] + 0.3 * own).clamp(-1, 1) - world[1].image[0]) / 2  # grey values of [0, 1]
    assert rows["l1_net"].iloc[0] == pytest.approx(float(brighter.abs().mean()), abs=STEP)


def test_a_counterfactual_of_another_shape_is_refused_by_name(tmp_path: Path, world: Any) -> None:
    pairs = some_pairs(tmp_path, world, {0: [1.0]})
    Image.fromarray(np.zeros((20, 32), dtype=np.uint8)).save(tmp_path / "0-1.0.png")
    dataset = pairs.dataset("Cardiomegaly", toy.SIZE)
    with pytest.raises(BadImage, match=r"0-1\.0\.png.*32 x 20 pixels, its image 32 x 32"):
        measured(dataset.table, dataset, Given(pairs, "mine", toy.SIZE))


def test_an_interrupted_scoring_goes_on(tmp_path: Path, world: Any) -> None:
    pairs = some_pairs(tmp_path, world, {k: [0.0, 1.0] for k in range(40)})
    dataset, parts = pairs.dataset("Cardiomegaly", toy.SIZE), {}

    def run(finished: dict[int, pd.DataFrame], kept: Any) -> pd.DataFrame:
        return evaluate(
            Given(pairs, "mine", toy.SIZE), toy.ToyBox(), dataset.table, dataset, judge=toy.judge,
            task=SimpleNamespace(name="x", finding="Cardiomegaly", direction="up", measurement="ctr"),
            settings=SETTINGS, controls=(), write_part=kept, finished=finished, features=thumbnails,
        )[0]  # fmt: skip

    rows = run({}, parts.__setitem__)
    written: list[int] = []
    again = run({0: parts[0]}, lambda number, _: written.append(number))
    assert written == [1]
    pd.testing.assert_frame_equal(again, rows)
