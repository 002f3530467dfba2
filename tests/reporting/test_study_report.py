"""The analysis finds what was put in: rating effects, a CTR shift, bias, and readers who repeat themselves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cfx.errors import WrongLayout
from cfx.reporting.study_analysis import analyse
from cfx.reporting.study_design import QUESTIONS, Design
from cfx.reporting.study_files import PAIR, STRANGER, Study, write_study
from cfx.reporting.study_models import crossed_model
from cfx.reporting.study_report import write_study_report
from cfx.reporting.study_tables import ratings, readings

READERS, SHIFT, BIAS = 8, 0.08, 0.012
MEANS = {
    "understandability": 4.0,
    "justification": 3.0,
    "visual_quality": 3.6,
    "identity": 4.4,
    "helpfulness": 2.4,
}
ARMS = {"method": 0.0, "rival": -0.8}


def entry(number: int, kind: str, arm: str, group: str, rng: np.random.Generator) -> dict[str, Any]:
    before = float(rng.normal(0.47 if group == "up" else 0.57, 0.02))
    after = before + (SHIFT if group == "up" else -SHIFT)
    return {
        "item": f"k{number:03d}{arm}", "kind": kind, "arm": arm, "image_id": f"image{number}",
        "patient_id": f"patient{number}", "group": group, "original": f"p{number}o{arm}", "other": f"p{number}c{arm}",
        "posterior": [0.1, 0.9], "ctr": [before, after], "verdict": "interpret",
    }  # fmt: skip


def fill(folder: Path) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    entries = [
        entry(n, PAIR, arm, "up" if n % 2 else "down", np.random.default_rng(n))
        for n in range(20)
        for arm in ARMS
    ]
    return entries + [entry(n, STRANGER, "", "up", rng) for n in range(20, 26)]


def likert(value: float) -> int:
    return int(np.clip(np.round(value), 1, 5))


def answer_all(study: Study, readers: int = READERS, seed: int = 0) -> None:
    """Readers with a bent of their own answer everything; images differ too."""
    rng = np.random.default_rng(seed)
    images = {item.image_id: rng.normal(0, 0.3) for item in study.items.values()}
    for number in range(readers):
        reader, bent = f"r{number}", rng.normal(0, 0.3)
        hand = rng.normal(BIAS, 0.004)
        for showing in study.order(reader):
            item = study.items[showing.item]
            record = {
                "reader": reader, "position": showing.position, "item": item.item, "repeat": showing.repeat,
                "original_left": showing.original_left, "seconds": 30.0,
            }  # fmt: skip
            sides = ("left", "right") if showing.original_left else ("right", "left")
            drawn = item.kind == PAIR
            blind: dict[str, Any] = {
                f"real_{sides[0]}": likert(rng.normal(2.2, 0.8)),
                f"real_{sides[1]}": likert(rng.normal(2.9 if drawn else 2.2, 0.8)),
                "same_patient": likert(rng.normal(4.5 if drawn else 1.6, 0.6)),
                "lines": {},
            }
            for side, ctr in zip(sides, item.ctr, strict=True):
                assert ctr is not None
                told = ctr + hand + rng.normal(0, 0.008)
                blind["lines"][side] = {
                    "heart": [0.5 - 0.35 * told, 0.5 + 0.35 * told],
                    "thorax": [0.15, 0.85],
                }
            if number == 0 and showing.position == 0:
                blind["lines"]["left"] = None
            study.append(reader, {**record, "step": "blind", "answers": blind})
            if drawn:
                off = bent + images[item.image_id] + ARMS[item.arm]
                scores = {name: likert(MEANS[name] + off + rng.normal(0, 0.5)) for name in QUESTIONS}
                study.append(reader, {**record, "step": "open", "answers": scores})


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study") / "made"
    design = Design(images=20, strangers=6, repeats=10, readers=READERS)
    made = write_study(folder, design, "Cardiomegaly", list(ARMS), ["a size: 8 readers needed"], fill)
    answer_all(made)
    return made


@pytest.fixture(scope="module")
def found(study: Study) -> dict[str, Any]:
    return analyse(study)


def test_tables_hold_every_answer_by_its_true_role(study: Study) -> None:
    scores, lines = ratings(study), readings(study)
    assert len(lines) == READERS * 56 * 2 and lines["ctr"].isna().sum() == 1
    assert (scores["question"] == "real").sum() == READERS * 56 * 2
    assert (scores["question"] == "identity").sum() == READERS * 50
    drawn = lines[(lines["kind"] == PAIR) & (lines["role"] == "other") & (lines["group"] == "up")]
    assert drawn["ctr_automatic"].mean() == pytest.approx(0.55, abs=0.02)
    assert (drawn["ctr"] - drawn["ctr_automatic"]).mean() == pytest.approx(BIAS, abs=0.004)


def test_mean_ratings_are_found_within_their_intervals(found: dict[str, Any]) -> None:
    inside = 0
    for name, mean in MEANS.items():
        node = found["ratings"][name]["method"]
        assert node["estimate"] == pytest.approx(
            mean, abs=0.35
        )  # the scale ends at 5, and readers have their bents
        low, high = node["ci95"]
        inside += low <= mean <= high
        assert node["n"] == READERS * 20 and node["n_readers"] == READERS and sum(node["counts"]) == node["n"]
    assert inside >= 4
    assert found["ratings"]["helpfulness"]["rival"]["p"] < 0.001
    assert {"reader", "image", "residual"} <= set(found["ratings"]["justification"]["method"]["variance"])


def test_the_difference_of_two_methods_is_found(found: dict[str, Any]) -> None:
    for name in ("justification", "understandability"):
        node = found["arms"][name]["rival against method"]
        assert node["estimate"] == pytest.approx(-0.8, abs=0.15) and node["ci95"][1] < 0 and node["p"] < 1e-4


def test_the_shift_that_readers_drew_is_found_both_ways(found: dict[str, Any]) -> None:
    for group, sign in (("up", 1), ("down", -1)):
        node = found["ctr"]["shift"][group]
        assert node["estimate"] == pytest.approx(sign * SHIFT, abs=0.004)
        assert node["automatic"] == pytest.approx(sign * SHIFT, abs=1e-6)
        assert node["p"] < 1e-6


def test_readers_against_the_automatic_measurement(found: dict[str, Any]) -> None:
    node = found["ctr"]["limits"]
    assert node["estimate"] == pytest.approx(BIAS, abs=0.004) and node["untold"] == 1
    assert node["sd"] == pytest.approx(np.hypot(0.008, 0.004), rel=0.3)
    low, high = node["limits"]
    assert high - low == pytest.approx(2 * 1.96 * node["sd"])
    assert len(node["by_reader"]) == READERS and node["by_reader"]["r3"]["n"] == 46 * 2


def test_real_or_synthetic_and_one_patient_or_two(found: dict[str, Any]) -> None:
    auc = found["real"]["auc"]
    assert 0.6 < auc["ci95"][0] < auc["estimate"] < auc["ci95"][1] < 0.85 and auc["n_readers"] == READERS
    assert found["real"]["drawn"] > found["real"]["real"]
    same = found["same_patient"]
    assert same["counterfactual"]["estimate"] > 4 > 2.2 > same["stranger"]["estimate"]
    assert same["auc"]["estimate"] > 0.97


def test_a_reader_agrees_with_themselves_as_far_as_they_do(found: dict[str, Any]) -> None:
    node = found["agreement"]
    assert node["identity"]["n"] == READERS * 10 and 0.2 < node["understandability"]["kappa"] < 0.95
    assert node["real"]["n"] == READERS * 20  # two pictures each
    # a repeat error of 0.008 against a spread of CTR of about 0.05
    assert node["ctr"]["repeat_sd"] == pytest.approx(0.008, rel=0.25)
    assert node["ctr"]["icc_within"]["value"] > 0.9 and node["ctr"]["icc_between"] > 0.9


def test_the_report_is_one_readable_file_with_its_tables_beside_it(study: Study) -> None:
    written = write_study_report(study)
    text = written.report.read_text(encoding="utf-8")
    assert (
        "default-src 'none'" in text
        and "http" not in text.replace("http-equiv", "")
        and "<script" not in text
    )
    for words in (
        "Ratings",
        "Real or synthetic",
        "Heart size",
        "Agreement",
        "Was it large enough?",
        "8 readers, 8 of them",
    ):
        assert words in text
    assert text.count("data:image/png") == 2 and len(text) < 1_000_000
    assert "CTR changes by +0.08" in written.summary and "rival against method" in written.summary
    results = json.loads((study.path / "results.json").read_text())
    assert results["ctr"]["shift"]["up"]["estimate"] == pytest.approx(SHIFT, abs=0.004)
    table = pd.read_csv(study.path / "results.csv")
    assert list(table.columns) == ["table", "row", "column", "value"] and len(table) > 40
    assert len(pd.read_csv(study.path / "answers.csv")) == len(ratings(study))


def test_a_study_without_answers_has_a_report_of_dashes(tmp_path: Path) -> None:
    made = write_study(tmp_path / "s", Design(images=20), "Cardiomegaly", list(ARMS), [], fill)
    written = write_study_report(made)
    assert "0 readers" in written.summary and written.report.is_file()
    answer_all(made, readers=1)
    written = write_study_report(made)
    assert "1 reader, 1 of them" in written.summary and "one reader only" in written.summary


def test_a_broken_line_of_answers_is_named(tmp_path: Path) -> None:
    made = write_study(tmp_path / "s", Design(images=20), "Cardiomegaly", list(ARMS), [], fill)
    answer_all(made, readers=1)
    file = tmp_path / "s" / "answers" / "r0.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], "{broken", *lines[2:]]) + "\n")
    with pytest.raises(WrongLayout, match="line 2 is not JSON"):
        write_study_report(made)


def test_the_model_is_the_analysis_of_variance_of_balanced_data() -> None:
    rng = np.random.default_rng(5)
    readers, images = rng.normal(0, 0.5, 12), rng.normal(0, 0.4, 40)
    scores = 1 + readers[:, None] + images[None, :] + rng.normal(0, 0.7, (12, 40))
    rows = [
        {"reader": f"r{i}", "image": f"i{j}", "score": scores[i, j]} for i in range(12) for j in range(40)
    ]
    fit = crossed_model(pd.DataFrame(rows), "score ~ 1")
    # Of balanced crossed data the restricted maximum likelihood has a closed form: the expected mean squares.
    rest = scores - scores.mean(1, keepdims=True) - scores.mean(0, keepdims=True) + scores.mean()
    error = (rest**2).sum() / (11 * 39)
    assert fit.variance["residual"] == pytest.approx(error, rel=1e-3)
    assert fit.variance["reader"] == pytest.approx(scores.mean(1).var(ddof=1) - error / 40, rel=1e-3)
    assert fit.variance["image"] == pytest.approx(scores.mean(0).var(ddof=1) - error / 12, rel=1e-3)
    assert fit.effects["Intercept"].estimate == pytest.approx(scores.mean())
    alone = crossed_model(pd.DataFrame(rows[:40]), "score ~ 1")
    assert "one reader only" in alone.note and "reader" not in alone.variance
    flat = crossed_model(pd.DataFrame(rows).assign(score=3.0), "score ~ 1")
    assert flat.effects["Intercept"].estimate == 3 and flat.note == "all answers are alike"
    assert crossed_model(pd.DataFrame(rows[:3]), "score ~ 1").effects == {}
