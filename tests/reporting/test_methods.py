"""Methods side by side: the worse direction with its own interval, who is judged, and what can not be compared."""

import copy
import csv
import json
from pathlib import Path
from typing import Any

import pytest

from cfx.errors import UserError
from cfx.reporting.methods import (
    COLUMNS,
    Entry,
    Figure,
    figures_of,
    method_rows,
    methods_table,
    page_title,
    read_entries,
    read_multirun,
    write_methods,
)


@pytest.fixture
def full(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics with both directions and intervals in every section of the table."""
    made = copy.deepcopy(metrics)
    made["validity"]["up"]["ci95"] = {"reach": [0.95, 1.0]}
    made["validity"]["down"]["ci95"] = {"reach": [0.93, 0.99]}
    made["transfer"] = {
        "up": {"share": 0.91, "ci95": {"share": [0.8, 1.0]}, "share_of": "flip rate on oracles"},
        "down": {"share": 0.88, "ci95": {"share": [0.7, 0.9]}, "share_of": "flip rate on oracles"},
    }
    made["oracle"] |= {"up": {"l1_ratio": 0.41, "ci95": {"l1_ratio": [0.4, 0.43]}}, "down": {"l1_ratio": 0.3}}
    made["realism"] |= {"up": {"kid": 0.001}, "down": {"kid": 0.0021, "ci95": {"kid": [0.001, 0.003]}}}
    made["identity"] |= {"up": {"fop": 1.0}, "down": {"fop": 0.994, "ci95": {"fop": [0.98, 1.0]}}}
    return made


def run_of(place: Path, metrics: dict[str, Any], output: bool = False) -> Path:
    """A run's folder on disk, or a bare evaluation's."""
    evaluation = place if output else place / "evaluation"
    evaluation.mkdir(parents=True)
    (evaluation / "metrics.json").write_text(json.dumps(metrics))
    return place


def test_each_figure_is_that_of_the_worse_direction_with_its_own_interval(full: dict[str, Any]) -> None:
    found = figures_of(full)
    assert found == {
        "reach": Figure(0.97, 0.93, 0.99),
        "transfer": Figure(0.88, 0.7, 0.9),
        "l1_ratio": Figure(0.41, 0.4, 0.43),
        "KID": Figure(0.0021, 0.001, 0.003),
        "gap_closed": Figure(0.87, 0.82, 0.91),
        "fop": Figure(0.994, 0.98, 1.0),
    }
    assert found["reach"].text(2) == "0.97 [0.93, 0.99]"


def test_a_caricature_counts_as_worse_than_a_small_shortfall(full: dict[str, Any]) -> None:
    full["clinical"]["ctr"]["up"]["gap_closed"] = 2.5
    assert figures_of(full)["gap_closed"].value == 2.5


def test_what_was_not_made_is_a_dash_never_a_zero(full: dict[str, Any]) -> None:
    found = figures_of(full["controls"]["pixel_descent"])
    assert found["KID"] == Figure() and found["KID"].text(4) == "–"
    assert found["gap_closed"].value == 0.01 and found["gap_closed"].text(2) == "0.01"


def test_rows_are_the_methods_then_the_controls_once(full: dict[str, Any]) -> None:
    rival = copy.deepcopy(full) | {"method": "xgem"}
    rival["validity"]["down"]["reach"] = 0.89
    rows = method_rows([Entry("a", full), Entry("b", rival)])
    assert [(row.name, row.kind, row.judged) for row in rows] == [
        ("explainer", "method", True), ("xgem", "method", False), ("nothing", "control", False),
        ("pixel descent", "control", True),
    ]  # fmt: skip
    assert [row.run for row in rows] == ["a", "b", "a", "a"]
    table = methods_table([Entry("a", full), Entry("b", rival)])
    assert table.header == ("", "kind", "judged", *(column.name for column in COLUMNS))
    assert "can not be compared" not in table.note and "flip rate on oracles" in table.note
    text = table.text()
    assert "0.89" in text and "0.97 [0.93, 0.99]" in text


def test_a_reach_that_was_not_made_is_not_judged() -> None:
    assert not method_rows([Entry("a", {"method": "m"})])[0].judged


def test_runs_of_one_method_are_told_apart(full: dict[str, Any]) -> None:
    names = [row.name for row in method_rows([Entry("a", full), Entry("b", full, "loss=plain seed=1")])]
    assert names[:2] == ["explainer (a)", "explainer (loss=plain seed=1)"]


def test_other_pictures_or_another_black_box_are_said_not_to_compare(full: dict[str, Any]) -> None:
    other = copy.deepcopy(full) | {"data": "nih_cxr14"}
    table = methods_table([Entry("a", full), Entry("b", other)])
    assert "can not be compared" in table.note
    assert [row[0] for row in table.rows].count("nothing, cardiomegaly nih_cxr14 test") == 1
    assert len(table.rows) == 2 + 2 * 2


def test_runs_and_bare_evaluations_are_read(full: dict[str, Any], tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", full)
    scored = run_of(tmp_path / "scored", full | {"method": "theirs"}, output=True)
    entries = read_entries([str(run), str(scored)])
    assert [(entry.name, entry.method) for entry in entries] == [("run", "explainer"), ("scored", "theirs")]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "names no run"),
        (["run", "run"], "is named twice"),
        (["gone"], "no such folder"),
        (["empty"], "no eval"),
    ],
)
def test_what_can_not_be_compared_is_one_line(
    values: list[str], words: str, full: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_of(tmp_path / "run", full)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=words):
        read_entries(values)


def test_the_jobs_of_a_multirun_are_read_in_order(full: dict[str, Any], tmp_path: Path) -> None:
    for number in (0, 2, 10):
        run = run_of(tmp_path / f"run{number}", full)
        job = tmp_path / "multi" / str(number)
        job.mkdir(parents=True)
        told = {"run": str(run), "overrides": [f"seed={number}", "experiment=small_phantom", "name=multi"]}
        (job / "run.json").write_text(json.dumps(told))
    assert [entry.detail for entry in read_multirun(str(tmp_path / "multi"))] == [
        "seed=0",
        "seed=2",
        "seed=10",
    ]
    with pytest.raises(UserError, match="no finished multirun"):
        read_multirun(str(tmp_path / "run0"))


def test_files_hold_the_numbers_and_the_page_fetches_nothing(full: dict[str, Any], tmp_path: Path) -> None:
    sheet, page = write_methods(tmp_path / "out", [Entry("a", full | {"method": "<b>"})])
    with sheet.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["reach"] == "0.97" and rows[0]["reach_low"] == "0.93" and rows[0]["judged"] == "1"
    assert rows[1]["name"] == "nothing" and rows[1]["fop"] == "1.0" and rows[1]["KID"] == ""
    text = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;" in text and "default-src 'none'" in text and "http:" not in text


def test_the_page_is_named_by_what_it_compares(full: dict[str, Any], tmp_path: Path) -> None:
    entries = [Entry("a", full), Entry("b", full | {"method": "<xgem>"}), Entry("c", full)]
    _, page = write_methods(tmp_path, entries)
    title = "cardiomegaly · phantom · explainer, &lt;xgem&gt;"
    text = page.read_text(encoding="utf-8")
    assert f"<title>{title}</title>" in text and f"<h1>{title}</h1>" in text
    assert page_title([Entry("d", {})]) == "method"
