"""Every figure that the tables name is explained under them, each sentence once."""

from cfx.metrics import validity
from cfx.reporting import glossary
from cfx.reporting.glossary import WORDS, explained, glossary_html
from cfx.reporting.methods import COLUMNS
from cfx.reporting.tables import _COLUMNS, Table


def test_every_column_of_the_methods_tables_has_its_words() -> None:
    assert {column.name for column in COLUMNS} <= set(WORDS)
    assert {heading for heading, _, _ in _COLUMNS} <= set(WORDS)


def test_names_that_share_a_sentence_stand_together() -> None:
    found = explained(["gap closed up", "gap closed down", "ghost", "ghost", "what nobody explained"])
    assert [name for name, _ in found] == ["gap closed up, gap closed down", "ghost"]
    assert glossary_html(["what nobody explained"]) == ""


def test_a_table_explains_its_header_and_its_rows_on_the_page_alone() -> None:
    table = Table("t", ("", "KID"), (("oracle", "0.02"), ("mine", "0.03")))
    assert "near 0 = not told apart" in table.html() and "rendered again" in table.html()
    assert "mine</dt>" not in table.html() and "not told apart" not in table.text()


def test_the_words_name_the_bounds_that_are_used() -> None:
    assert (glossary.LOW, glossary.HIGH) == (validity.LOW, validity.HIGH)
