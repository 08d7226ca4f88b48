"""The line of a monitoring plugin, as a monitor takes it apart."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.cli.exits import Exit, of_form
from mailseal.model.finding import Severity
from mailseal.model.look import Endpoint
from mailseal.report import nagios
from tests.report.make import closed, hostile, lost, mixed, result, written

# Monitoring Plugins Development Guidelines, "Performance data".
NUMBERS = re.compile(r"(\w+=\d+;\d*;\d*;\d*)( \w+=\d+;\d*;\d*;\d*)*\n")


def line(results: list, code: int, fail_on: Severity | None = None) -> tuple[str, str]:
    """The text and the performance data."""
    said, bar, numbers = written("nagios", results, fail_on, code).partition(" | ")
    assert bar
    assert NUMBERS.fullmatch(numbers)
    return said, numbers


@pytest.mark.parametrize(
    ("code", "word", "number"),
    [
        (Exit.CLEAN, "OK", 0),
        (Exit.EXPOSED, "CRITICAL", 2),
        (Exit.INCONCLUSIVE, "UNKNOWN", 3),
        (Exit.USAGE, "UNKNOWN", 3),
        (Exit.FAULT, "UNKNOWN", 3),
    ],
)
def test_the_word_and_the_code_agree(code: Exit, word: str, number: int) -> None:
    assert line([], code)[0].startswith(f"MAILSEAL {word} - 0 endpoints")
    assert of_form("nagios", code) == number
    assert of_form("text", code) == code


def test_what_fails_is_named_first_and_what_is_well_is_not() -> None:
    said, numbers = line([*reversed(mixed()), closed()], 1)
    told = said.split("; ")
    assert told[1].startswith("192.0.2.7:109 exposed, accepted: ")
    assert "gone.example inconclusive: the name does not resolve" in told
    assert "absent:" not in said
    assert numbers.startswith("exposed=1;;0;0 refused=1;;;0 absent=3;;;0 inconclusive=1;0;;0")


def test_a_finding_fails_where_that_was_asked_for() -> None:
    found = result("tls-certificate")
    other = [replace(result(), endpoint=Endpoint("192.0.2.9", 109))]
    said, _ = line([found, *other], 1, Severity.MEDIUM)
    assert said.index("192.0.2.9") > said.index("refused: ")


def test_of_very_many_a_few_are_named_and_the_others_counted() -> None:
    said, _ = line([lost(f"{number}.example", "x" * 5000) for number in range(400)], 3)
    assert said.endswith("; 395 more")
    assert len(said) < 2000


@given(st.text(st.one_of(st.sampled_from("|\n\\;='\x1b"), st.characters()), min_size=1))
def test_what_others_say_ends_neither_line_nor_text(text: str) -> None:
    said, _ = line([hostile(text)], 1)
    assert "|" not in said
    assert len(said) < nagios.LONGEST + 200
