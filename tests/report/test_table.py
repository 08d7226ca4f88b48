"""CSV read back: a row an endpoint, the documented columns, and no cell that is a formula."""

import csv
import io
import re

import pytest
from hypothesis import given, settings

from mailseal.report.table import COLUMNS, FORMULA, cell
from tests.project.tree import ROOT
from tests.report.make import hostile, lost, mixed, result, written
from tests.report.test_forms import texts


def rows(results) -> list[dict[str, str]]:
    text = written("csv", results)
    assert text.count("\r\n") == text.count("\n") == len(list(results)) + 1
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_a_row_is_a_result_with_what_was_found():
    exposed, refused, unknown, absent, swept = rows(mixed())
    assert exposed["findings"] == result().findings[0].id
    assert (exposed["severity"], exposed["grade"], exposed["port"]) == ("high", "accepted", "109")
    assert (refused["tls"], refused["rules"]) == ("TLSv1.3", "tls-version")
    assert (unknown["address"], unknown["reasons"]) == ("", "the name does not resolve")
    assert absent == swept


def test_the_page_documents_the_columns_in_their_order():
    page = (ROOT / "docs/reference/formats.md").read_text()
    section = page.partition("\n## csv\n")[2].partition("\n## ")[0]
    named = [
        name
        for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]
    assert named == list(COLUMNS)


def test_the_greeting_of_pop2_is_no_formula():
    (row,) = rows([result()])
    assert row["banner"] == "'+ POP2 [mail.example] 2007f.75 server ready"


@pytest.mark.parametrize("start", [*FORMULA, " =", "\u3000="])
def test_what_begins_as_a_formula_gets_an_apostrophe(start: str):
    made = cell(start + "1+1")
    assert made.startswith(("'", "\\")), made


def test_other_text_stays_as_it_is():
    assert [cell(text) for text in ("", "a=b", "192.0.2.7", "'x")] == ["", "a=b", "192.0.2.7", "'x"]


@given(text=texts)
@settings(max_examples=200, deadline=None)
def test_hostile_text_stays_in_its_cell(text: str):
    for row in rows([hostile(text), lost(text, text)]):
        assert None not in row
        for value in row.values():
            assert value.isprintable()
            assert not value.lstrip().startswith(FORMULA)
