"""What a task is read by in words: labels, values, shifts, and the two sides of the recess."""

import pytest

from cfx.evaluation.explained import Outcome, Reading, outcome_line, outcome_table
from cfx.evaluation.reading_words import label_of, signed_shift, value_in, written
from cfx.evaluation.rows import READ_AS

READING = Reading(0.9, ctr=0.51, heart_width=0.4, thorax_width=0.8, transfer=None, haze=0.6)


def test_every_way_to_read_a_task_has_a_label_and_a_value() -> None:
    both = Reading(0.9, 0.51, 0.4, 0.8, None, scp_left=0.2, scp_right=0.8, haze=0.6)
    said = {name: written(name, both.measured(name)) for name in READ_AS.values()}
    assert said == {"ctr": "CTR 0.51", "scp": "SCP 0.50", "haze": "lung haze 0.60"}
    assert label_of("angle") == "ANGLE"


def test_a_recess_found_on_one_side_alone_is_not_measurable() -> None:
    assert value_in({"scp_left": 0.4, "scp_right": None}, "scp") is None
    assert written("scp", None) == "SCP not measurable"


def test_a_task_read_by_nothing_has_neither_value_nor_words() -> None:
    assert READING.measured(None) is None and written(None, 0.5) == ""


@pytest.mark.parametrize(("value", "shift"), [(0.58, "+0.08"), (0.42, "-0.08"), (0.502, "±0.00"), (None, "")])
def test_shifts_are_signed(value: float | None, shift: str) -> None:
    assert signed_shift(value, 0.5) == shift


def outcome(read_by: str | None) -> Outcome:
    after = Reading(0.1, ctr=0.52, heart_width=0.4, thorax_width=0.8, transfer=None, haze=0.7)
    steps = [{"target": 0.0, **after.numbers()}]
    numbers = {"original": READING.numbers(), "steps": steps, "verdict_target": 0.0, "verdict": "interpret"}
    return Outcome("a.png", "done", "a", {**numbers, "read_by": read_by})


def test_the_lines_about_a_file_tell_what_its_task_is_read_by() -> None:
    assert outcome_line(outcome("ctr")) == "a.png: posterior 0.90 -> 0.10, CTR 0.51 -> 0.52, interpret"
    assert outcome_line(outcome("haze")) == "a.png: posterior 0.90 -> 0.10, lung haze 0.60 -> 0.70, interpret"
    assert outcome_line(outcome(None)) == "a.png: posterior 0.90 -> 0.10, interpret"
    row = outcome("haze").row()
    assert (row["read_by"], row["measured"], row["measured_after"]) == ("haze", 0.6, 0.7)


def test_the_table_at_the_end_heads_its_column_with_it() -> None:
    failed = Outcome("b.png", "failed", problem="is no picture")
    table = outcome_table([failed, outcome("haze")]).splitlines()
    assert (
        table[0].split() == ["image", "posterior", "lung", "haze", "verdict"] and "0.60 -> 0.70" in table[1]
    )
    bare = outcome_table([failed, outcome(None)]).splitlines()
    assert bare[0].split() == ["image", "posterior", "verdict"]
    assert bare[1].split() == ["a.png", "0.90", "->", "0.10", "interpret"] and "is no picture" in bare[2]
