"""A planted shortcut goes with the recorded label, stands where it is said to, and changes nothing else."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.ndimage import binary_dilation

from cfx.data.phantom import write
from cfx.data.phantom.shortcut import LABEL, Shortcut, plant
from cfx.data.phantom.source import Phantom
from cfx.data.reading import read_image
from cfx.errors import BadValue, UnknownChoice
from cfx.evaluation.device_files import read_devices

COUNTS = {"train": 24, "valid": 8, "test": 10}


@pytest.fixture(scope="module", params=["marker", "pacemaker"])
def planted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Phantom:
    place = tmp_path_factory.mktemp("planted")
    return Phantom(place, 64, COUNTS, seed=3, shortcut={"by": request.param, "strength": 1.0})


def files(source: Phantom, folder: str = "") -> dict[str, bytes]:
    place = source.folder() / folder
    return {str(file.relative_to(place)): file.read_bytes() for file in place.rglob("*view1_frontal*")}


def test_phantoms_without_one_keep_their_names(tmp_path: Path) -> None:
    source = Phantom(tmp_path, 64, COUNTS, seed=3)
    source.prepare()
    assert source.folder().parent.name == "phantom-a-64px-seed3-b8e6c84c"  # as before there were shortcuts
    assert set(json.loads((source.folder() / "phantom.json").read_text())["recipe"]) == {
        "size", "patients", "seed", "site", "correlated", "version"
    }  # fmt: skip
    assert not (source.folder() / "shortcut").exists() and "shortcut_path" not in source.frame()


def test_at_full_strength_it_is_there_with_the_label_and_else_nothing_changes(
    planted: Phantom, written: Phantom
) -> None:
    frame, truth = planted.frame(), planted.truth()
    assert (frame["shortcut"].to_numpy() == truth[LABEL].to_numpy()).all()
    assert 0 < frame["shortcut"].mean() < 1
    column = planted.recipe.shortcut.by if planted.recipe.shortcut else ""
    untouched = [name for name in written.truth() if name != "pacemaker"]
    pd.testing.assert_frame_equal(truth[untouched], written.truth()[untouched])
    same = written.truth()["pacemaker"] == truth["pacemaker"] if column == "pacemaker" else truth[LABEL] == 0
    before, after = (
        [read.read_bytes() for read in map(Path, source.frame()["path"])] for source in (written, planted)
    )
    assert [one == other for one, other in zip(before, after, strict=True)] == same.tolist()
    masks = (files(source, "masks") for source in (written, planted))
    assert next(masks) == next(masks)


def test_the_region_is_where_it_is_or_would_be(planted: Phantom) -> None:
    frame, oracle = planted.frame(), planted.oracle()
    names = frame["image_id"].tolist()
    there = torch.from_numpy(frame["shortcut"].to_numpy() > 0)
    own = torch.from_numpy(np.stack([read_image(path) for path in frame["path"]])) * 2 - 1
    assert torch.equal(oracle.with_shortcut(names, there)[:, 0], own)
    change = (oracle.with_shortcut(names, ~there)[:, 0] - own).abs().numpy()
    region = np.stack([np.asarray(Image.open(path)) > 0 for path in frame["shortcut_path"]])
    assert (region.sum(axis=(1, 2)) > 40).all() and region.mean() < 0.08
    inside = np.array([one[where].mean() for one, where in zip(change, region, strict=True)])
    outside = np.array([one[~where].mean() for one, where in zip(change, region, strict=True)])
    assert (inside > 0.1).all() and (outside < 0.02).all()
    # JPEG: elsewhere only the blocks change that the shortcut, with a soft rim of a pixel, touches, and those a little
    rim = binary_dilation(region, np.ones((1, 3, 3)))
    blocks = rim.reshape(len(rim), 8, 8, 8, 8).any(axis=(2, 4)).repeat(8, axis=1).repeat(8, axis=2)
    assert (change[~blocks] == 0).all() and 0 < change[blocks & ~rim].max() <= 8 * 2 / 255


def test_it_is_a_device_that_a_loss_protects(planted: Phantom) -> None:
    name = "shortcut_marker" if planted.recipe.shortcut == Shortcut("marker", 1.0) else "pacemaker"
    for row in planted.frame().itertuples():
        found = {device.name: device.mask for device in read_devices(row.device_path, 64)}
        assert (name in found) == (row.shortcut > 0)
        if name in found:
            region = np.asarray(Image.open(row.shortcut_path)) > 0
            assert (found[name] == region).all()
    boxes = pd.read_csv(planted.folder() / "boxes.csv")
    assert (boxes["class"] == name).sum() == planted.frame()["shortcut"].sum()


@pytest.mark.parametrize(("strength", "ill", "well"), [(0.0, 0.5, 0.5), (0.5, 0.75, 0.25), (1.0, 1.0, 0.0)])
def test_how_often_it_is_there(strength: float, ill: float, well: float) -> None:
    recipe = write.Recipe(64, {"train": 1500, "valid": 1, "test": 1}, 5, "A", False)
    frame = plant(write.population(recipe), Shortcut("marker", strength), 5, "A")
    shares = frame.groupby(LABEL)["shortcut"].mean()
    assert shares[1.0] == pytest.approx(ill, abs=0.05) and shares[0.0] == pytest.approx(well, abs=0.05)
    stronger = plant(frame, Shortcut("marker", 1.0), 5, "A")
    kept = (frame["shortcut"] == 1) & (frame[LABEL] == 1)
    assert (stronger["shortcut"][kept] == 1).all()


def test_shuffled_labels_belong_to_others_but_not_in_the_test_part(tmp_path: Path) -> None:
    counts = {"train": 400, "valid": 100, "test": 100}
    plain = write.population(write.Recipe(64, counts, 2, "A", False))
    shuffled = write.population(
        write.Recipe(64, counts, 2, "A", False, shortcut=Shortcut("marker", 1.0), shuffle_labels=True)
    )
    assert (shuffled["shortcut"] == shuffled[LABEL]).all()
    for part in counts:
        one, other = plain[plain["split"] == part], shuffled[shuffled["split"] == part]
        assert one[LABEL].sum() == other[LABEL].sum()
        assert (one["severity_cardiomegaly"] == other["severity_cardiomegaly"]).all()
        told = np.corrcoef(other["call_cardiomegaly"], other[LABEL])[0, 1]
        assert told > 0.9 if part == "test" else abs(told) < 0.25
    names = {Phantom(tmp_path, 64, COUNTS, shuffle_labels=wanted)._place.name for wanted in (False, True)}
    assert len(names) == 2


@pytest.mark.parametrize(
    ("node", "named"),
    [
        ({"by": "marker"}, "data.source.shortcut="),
        ({"by": "marker", "strength": 1.5}, "data.source.shortcut.strength=1.5"),
        ({"by": "marker", "strength": True}, "data.source.shortcut.strength=True"),
        ({"by": "pacemakr", "strength": 1}, "data.source.shortcut.by='pacemakr'"),
    ],
)
def test_what_can_not_be_planted_is_named(tmp_path: Path, node: dict[str, object], named: str) -> None:
    with pytest.raises((BadValue, UnknownChoice)) as caught:
        Phantom(tmp_path, shortcut=node)
    assert str(caught.value).startswith(named)


def test_an_ordinary_phantom_has_none_to_swap(written: Phantom) -> None:
    with pytest.raises(BadValue, match=r"data\.source\.shortcut"):
        written.oracle().with_shortcut(written.frame()["image_id"].tolist()[:1], torch.tensor([True]))
