"""The oracle: the file itself at the patient's own severity, monotone, fast, and only the finding changed."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cfx.data.phantom.findings import BOUNDS, FINDINGS
from cfx.data.phantom.source import Phantom
from cfx.data.reading import read_image, read_mask
from cfx.data.source import Oracle
from cfx.errors import UnknownChoice
from cfx.evaluation.judging import haze_by


@pytest.fixture(scope="module")
def oracle(written: Phantom) -> Oracle:
    return written.oracle()


@pytest.fixture(scope="module")
def frame(written: Phantom) -> pd.DataFrame:
    return written.frame()


@pytest.mark.parametrize("finding", list(FINDINGS))
def test_at_its_own_severity_a_patient_is_the_file(oracle: Oracle, frame: pd.DataFrame, finding: str) -> None:
    ids = frame["image_id"].tolist()
    drawn = oracle.render(ids, finding, oracle.severity(ids, finding))
    files = torch.from_numpy(np.stack([read_image(path) for path in frame["path"]])) * 2.0 - 1.0
    assert drawn.image.dtype == torch.float32
    assert torch.equal(drawn.image[:, 0], files)
    bits = np.stack([read_mask(path) for path in frame["mask_path"]])
    for channel, bit in enumerate((1, 2, 4)):
        soft = ((bits & bit) > 0).reshape(len(bits), 64, 4, 64, 4).mean(axis=(2, 4))
        np.testing.assert_allclose(drawn.masks[:, channel], soft, atol=1e-6)


def test_a_patient_drawn_alone_or_among_others_is_the_same(oracle: Oracle, frame: pd.DataFrame) -> None:
    ids = frame["image_id"].tolist()[:13]
    together = oracle.render(ids, "Cardiomegaly", torch.full((13,), 1.2))
    for row in (0, 5, 12):
        alone = oracle.render([ids[row]], "Cardiomegaly", torch.tensor([1.2]))
        assert torch.equal(alone.image[0], together.image[row])
        assert torch.equal(alone.masks[0], together.masks[row])


def test_the_ratio_is_the_truths_and_grows(written: Phantom, oracle: Oracle) -> None:
    truth = written.truth()
    ids = truth["image_id"].tolist()
    own = oracle.render(ids, "Cardiomegaly", oracle.severity(ids, "Cardiomegaly"))
    np.testing.assert_allclose(own.ctr, truth["ctr_true"], atol=1e-6)
    low, high = oracle.bounds("Cardiomegaly")
    steps = [
        oracle.render(ids, "Cardiomegaly", torch.full((len(ids),), s)).ctr for s in np.linspace(low, high, 6)
    ]
    assert (torch.stack(steps).diff(dim=0) > 0.03).all()
    assert (steps[0] < 0.43).all()
    assert (steps[-1] > 0.60).all()


def test_only_the_finding_changes(oracle: Oracle, frame: pd.DataFrame) -> None:
    """Away from the heart, grain and texture included, pictures stay as they were up to JPEG."""
    ids = frame["image_id"].tolist()
    small, large = (oracle.render(ids, "Cardiomegaly", torch.full((len(ids),), s)) for s in (0.2, 0.8))
    change = (large.image - small.image).abs()[:, 0]
    heart = torch.nn.functional.max_pool2d(large.masks[:, :1], 13, 1, 6)[:, 0] > 0
    assert change[heart].mean() > 0.01
    assert change[~heart].mean() < 0.012
    assert change[:, :12].mean() < 0.004


def test_severities_beyond_the_bounds_are_drawn_at_the_bound(oracle: Oracle, frame: pd.DataFrame) -> None:
    ids = frame["image_id"].tolist()[:4]
    for finding, short in FINDINGS.items():
        assert oracle.bounds(finding) == BOUNDS[short]
        far, edge = (oracle.render(ids, finding, torch.full((4,), s)) for s in (99.0, BOUNDS[short][1]))
        assert torch.equal(far.image, edge.image)


def test_unknown_findings_and_pictures_are_named(oracle: Oracle) -> None:
    with pytest.raises(UnknownChoice, match=r"task\.finding='Pneumothorax'"):
        oracle.bounds("Pneumothorax")
    with pytest.raises(UnknownChoice, match=r"use Edema"):
        oracle.bounds("Edma")
    with pytest.raises(UnknownChoice, match="nobody"):
        oracle.severity(["nobody.jpg"], "Edema")


def test_it_is_fast(oracle: Oracle, frame: pd.DataFrame) -> None:
    """A bisection draws thousands of pictures. Processor time, since tests share their cores with other work."""
    ids = frame["image_id"].tolist()
    severity = torch.full((len(ids),), 0.5)
    oracle.render(ids, "Cardiomegaly", severity)
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        oracle.render(ids, "Cardiomegaly", severity)
        best = min(best, (time.process_time() - start) / len(ids))
    assert best < 0.030


def test_a_phantom_moved_elsewhere_draws_the_same(
    written: Phantom, frame: pd.DataFrame, tmp_path: Path
) -> None:
    again = Phantom(tmp_path, 64, {"train": 24, "valid": 8, "test": 10}, seed=3)
    ids = frame["image_id"].tolist()[:5]
    severity = torch.full((5,), 0.9)
    there = again.oracle().render(ids, "Edema", severity)
    assert torch.equal(written.oracle().render(ids, "Edema", severity).image, there.image)


def test_lung_haze_grows_with_edema_and_hardly_with_the_heart(oracle: Oracle, frame: pd.DataFrame) -> None:
    ids = frame["image_id"].tolist()[:24]
    moved = {}
    for finding in ("Edema", "Cardiomegaly"):
        low, high = oracle.bounds(finding)
        drawn = [
            oracle.render(ids, finding, torch.full((len(ids),), s)) for s in (low, (low + high) / 2, high)
        ]
        haze = np.stack([haze_by(each.masks, each.image) for each in drawn])
        assert np.isfinite(haze).mean() > 0.9
        moved[finding] = np.diff(haze, axis=0)
    known = np.isfinite(moved["Edema"])
    assert (moved["Edema"][known] > 0).all()
    assert np.nanmean(np.abs(moved["Cardiomegaly"])) < 0.25 * np.nanmean(moved["Edema"])
