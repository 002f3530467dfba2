"""Tables and sentences say what the metrics say, and a dash where they say nothing."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cfx.reporting.html import report_html
from cfx.reporting.run_files import RunFiles, read_run
from cfx.reporting.sentences import limits, verdict
from cfx.reporting.summary_text import summary_text
from cfx.reporting.tables import controls_table, direction_table, fixed, parts_table, transfer_share
from cfx.runs import Run


def run_of(metrics: dict[str, Any]) -> RunFiles:
    return RunFiles(Path("evaluation"), metrics, pd.DataFrame(), config={"task": {"finding": "Cardiomegaly"}})


def test_a_number_that_rounds_to_zero_has_no_minus() -> None:
    assert fixed(-0.0004, 2) == "0.00" and fixed(-0.0004, 2, signed=True) == "+0.00"
    assert fixed(-0.006, 2) == "-0.01" and fixed(None) == "–"


def test_controls_stand_beside_the_method_and_empty_columns_are_left_out(metrics: dict[str, Any]) -> None:
    table = controls_table(metrics)
    assert [row[0] for row in table.rows] == ["explainer", "nothing", "pixel descent"]
    assert "FID" not in table.header
    assert "ghost" in table.header
    cells = dict(zip(table.header, table.rows[1], strict=True))
    assert cells["target MAE"] == "0.470"
    assert cells["ghost"] == "–"
    assert len({len(line.rstrip()) > 0 for line in table.text().splitlines()}) == 1
    assert "<td>0.470</td>" in table.html()


def test_html_tables_escape_what_they_show(metrics: dict[str, Any]) -> None:
    assert "<script>" not in controls_table(metrics | {"method": "<script>"}).html()


def test_intervals_stand_beside_their_own_figure_only(metrics: dict[str, Any]) -> None:
    text = direction_table(metrics).text()
    assert "+0.113 [0.108, 0.119]" in text
    assert "0.96 [0.92, 1.01]" in text
    metrics["clinical"]["ctr"]["up"]["ci95"] = [0.108, 0.119]
    lines = direction_table(metrics).text().splitlines()
    assert [
        ("[0.108, 0.119]" in line) for line in lines if line.startswith(("CTR after", "gap", "shift"))
    ] == [
        False,
        True,
        False,
    ]


def test_parts_name_the_black_box_and_the_segmenter(metrics: dict[str, Any]) -> None:
    rows = {row[0]: row[1] for row in parts_table(metrics).rows}
    assert rows["black box AUROC"] == "0.962"
    assert rows["segmenter Dice, heart"] == "0.981"


@pytest.mark.parametrize(
    ("stored", "share"),
    [
        (0.7, 0.7),
        ({"share": 0.7}, 0.7),
        ({"up": {"share": 0.9}, "down": {"share": 0.7}}, 0.7),
        (None, None),
        ({}, None),
    ],
)
def test_transfer_is_the_worse_direction(stored: object, share: float | None) -> None:
    assert transfer_share({"transfer": stored}) == share


def test_the_summary_holds_every_figure_in_a_dozen_lines(run_folder: Path) -> None:
    text = summary_text(read_run(Run(run_folder)), Path("progressions.png"), Path("report.html"))
    assert len(text.splitlines()) <= 14
    for piece in ("up 0.980 (n=20)", "0.021", "0.985", "0.452 -> 0.566", "[+0.108, +0.119]", "0.87 [0.82, 0.91]",
                  "0.994", "0.009", "ghost 1.08", "progressions.png", "report.html"):  # fmt: skip
        assert piece in text


def test_the_summary_of_a_run_that_measured_nothing_still_prints() -> None:
    text = summary_text(run_of({"task": "edema", "data": "table", "warnings": ["transfer had no power"]}))
    assert "transfer had no power" in text
    assert "not measured" in text


def test_a_good_run_is_told_as_one(metrics: dict[str, Any]) -> None:
    good = verdict(run_of(metrics))
    assert good.tone == "good"
    assert "follows heart size" in good.sentence
    assert "0.45 to 0.57" in good.detail


@pytest.mark.parametrize(
    ("key", "value", "tone", "words"),
    [
        (("validity", "down", "reach"), 0.5, "bad", "should not be interpreted"),
        (("validity", "down", "reach"), None, "good", "follows"),
        (("clinical", "ctr", "up", "shift_net"), 0.004, "bad", "hardly changes"),
        (("clinical", "ctr", "up", "gap_closed"), 0.1, "bad", "hardly changes"),
        (("clinical", "ctr", "down", "shift_net"), 0.1, "bad", "does not follow"),
        (("clinical", "ctr", "up", "gap_closed"), 2.3, "mixed", "exaggerate"),
        (("warnings",), ["the gap is near zero"], "mixed", "follows"),
    ],
)
def test_what_went_wrong_decides_the_verdict(
    metrics: dict[str, Any], key: tuple[str, ...], value: object, tone: str, words: str
) -> None:
    node: Any = metrics
    for part in key[:-1]:
        node = node[part]
    node[key[-1]] = value
    found = verdict(run_of(metrics))
    assert found.tone == tone
    assert words in found.sentence


def test_pixel_descent_alone_is_no_explanation(metrics: dict[str, Any]) -> None:
    for side in ("up", "down"):
        metrics["clinical"]["ctr"][side] |= {"gap_closed": 0.02, "shift_net": 0.002}
    assert verdict(run_of(metrics)).tone == "bad"


def test_a_phantom_proves_nothing_about_people(metrics: dict[str, Any]) -> None:
    assert any("prove nothing about people" in line for line in limits(run_of(metrics)))
    assert not any("people" in line for line in limits(run_of(metrics | {"data": "nih_cxr14"})))


@pytest.fixture
def hazy(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics of a task that is read by lung haze; its CTR does not move."""
    haze = metrics["clinical"]["ctr"] | {"repeat_error": 0.05}
    still = {side: {"shift_net": 0.0, "gap_closed": None, "moved_right": None} for side in ("up", "down")}
    return metrics | {
        "clinical": {"ctr": still, "scp": None, "haze": haze, "read_by": "haze"},
        "task": "edema",
    }


def test_a_task_read_by_haze_is_told_of_the_lungs_and_not_of_the_heart(hazy: dict[str, Any]) -> None:
    run = RunFiles(Path("evaluation"), hazy, pd.DataFrame(), config={"task": {"finding": "Edema"}})
    said = verdict(run)
    assert said.tone == "good" and "the lungs get hazier" in said.sentence and "clearer" in said.sentence
    assert "lungs' brightness" in said.detail and "heart size" not in said.sentence
    assert "lung haze up" in summary_text(run) and "CTR up" not in summary_text(run)
    assert "lung haze before" in direction_table(hazy).text()
    assert "Net shift of lung haze" in report_html(run)


def test_haze_hardly_changes_under_its_own_repeat_error_alone(hazy: dict[str, Any]) -> None:
    run = run_of(hazy)
    for repeat_error, tone in ((0.05, "good"), (None, "good"), (0.11, "bad")):
        hazy["clinical"]["haze"]["repeat_error"] = repeat_error
        assert verdict(run).tone == tone, repeat_error
    assert "hardly changes" in verdict(run).sentence


def test_no_sentence_claims_a_measurement_of_a_task_that_has_none(metrics: dict[str, Any]) -> None:
    nothing = dict.fromkeys(("ctr", "scp", "angle", "haze", "read_by"))
    for clinical, silent in ((nothing, True), (metrics["clinical"], False)):
        found = metrics | {"clinical": clinical, "oracle": None, "controls": None}
        table = pd.DataFrame(
            {
                "patient_id": ["a", "b"],
                "group": "up",
                "target": 1.0,
                "p_before": 0.1,
                "p_after": 0.9,
                "ctr_before": [0.4, 0.5],
                "ctr_after": [0.5, 0.6],
            }
        )
        run = RunFiles(Path("evaluation"), found, table, config={"task": {"finding": "Fracture"}})
        said = " ".join([verdict(run).sentence, verdict(run).detail, *limits(run)])
        assert ("of this finding" in said) == ("looked at" in said) == silent
        assert ("heart" not in said and "CTR" not in said) == silent
        assert ("the task names no measurement" in summary_text(run)) == silent
        assert ("Cardiothoracic ratio before" not in report_html(run)) == silent


def effusion_run(metrics: dict[str, Any]) -> RunFiles:
    return RunFiles(Path("."), metrics, pd.DataFrame(), config={"task": {"finding": "Pleural Effusion"}})


def test_a_side_that_does_not_follow_is_named_in_the_verdict(effusion: dict[str, Any]) -> None:
    said = verdict(effusion_run(effusion))
    assert said.tone == "mixed" and "a recess blunts" in said.sentence
    assert (
        "asked for the finding, the patient's left moved the right way in 62% of those measured and by 70%"
        in said.sentence
    )
    assert (
        "asked for the finding: 62% of the left and 100% of the right recesses found; asked to take it"
        in said.detail
    )
    assert "82% of the left and 78% of the right recesses" in said.detail
    rows = {row[0].strip(): row[1:] for row in direction_table(effusion).rows}
    assert rows["on the patient's left"] == ("0.617", "0.817")


def test_the_weaker_side_may_be_the_one_that_is_cleared(effusion: dict[str, Any]) -> None:
    effusion["clinical"]["scp"]["left"]["up"]["moved_right"] = 0.99
    assert (
        "right moved the right way in 78% of those measured and by 70% of what that side's groups differ by, "
        "where a side without fluid has nothing to clear." in (verdict(effusion_run(effusion)).sentence)
    )


def test_sides_that_both_follow_are_not_told_apart(effusion: dict[str, Any]) -> None:
    for side in ("left", "right"):
        for direction in ("up", "down"):
            effusion["clinical"]["scp"][side][direction]["moved_right"] = 0.97
    said = verdict(effusion_run(effusion))
    assert said.tone == "good" and "alone" not in said.sentence


@pytest.mark.parametrize(
    ("up", "down", "words"),
    [
        (0.9, 1.1, "about as far as the patients"),
        (0.7, 0.726, "by 70% to 73% of what the patients"),
        (0.7, 0.7, "by 70% of what"),
        (None, None, "as it is pushed down."),
    ],
)
def test_how_far_the_measurement_moves_is_said_as_it_is(
    metrics: dict[str, Any], up: float | None, down: float | None, words: str
) -> None:
    for side, closed in (("up", up), ("down", down)):
        metrics["clinical"]["ctr"][side]["gap_closed"] = closed
    assert words in verdict(run_of(metrics)).sentence


def test_a_task_whose_measurement_was_not_made_is_not_told_of_another(effusion: dict[str, Any]) -> None:
    effusion["clinical"] |= {"scp": None, "read_by": None}
    ctr = {"before": 0.45, "after": 0.58, "shift_net": 0.13, "gap_closed": None, "moved_right": None}
    effusion["clinical"]["ctr"] = {"up": ctr, "down": ctr | {"shift_net": -0.13}}
    run = effusion_run(effusion)
    said = verdict(run)
    assert said.tone == "mixed" and "what the finding is read by could not be measured" in said.sentence
    assert "heart" not in said.sentence
    assert "read by was not measured" in summary_text(run) and "CTR up" in summary_text(run)
    assert any("Nothing is measured of this finding" in line for line in limits(run))
    page = report_html(run)
    assert "Net shift" not in page and "CTR moved" not in page and "CTR error to the oracle" not in page


def test_the_smallest_change_is_that_of_what_the_task_is_read_by(
    effusion: dict[str, Any], hazy: dict[str, Any]
) -> None:
    assert any("shift of SCP by less than 0.09 on" in line for line in limits(effusion_run(effusion)))
    hazy["clinical"]["haze"]["repeat_error"] = None
    assert any("How much lung haze differs" in line for line in limits(run_of(hazy)))
    assert not any("CTR" in line for line in limits(run_of(hazy)))
