"""Every form: its golden file, hostile text, and memory that does not grow with the results."""

import json
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailseal.model.look import Endpoint
from mailseal.report.forms import FORMS
from mailseal.report.result import ScanResult, Tally
from mailseal.report.writer import Run
from tests.report.make import HOSTILE, hostile, lost, mixed, result, written

GOLDEN = Path(__file__).parent / "golden" / "forms"
forms = pytest.mark.parametrize("form", FORMS)
texts = st.text(
    st.one_of(st.sampled_from(HOSTILE + "|`<>[](){}@#*_~!&;'\"=+-,\\/: "), st.characters()),
    min_size=1,
    max_size=30,
)
"""Text that means something to some form, much more often than chance has it."""


@forms
def test_the_golden_file(form: str):
    with open(GOLDEN / form, newline="") as golden:
        assert written(form, mixed()) == golden.read()


@forms
def test_no_result_at_all_is_a_whole_document_too(form: str):
    text = written(form, [], code=0)
    if form in ("json", "sarif"):
        assert json.loads(text)


@forms
@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_no_line_has_a_character_that_a_terminal_obeys(form: str, text: str):
    for line in written(form, [hostile(text), lost(text, text)]).split("\n"):
        assert line.removesuffix("\r" if form == "csv" else "").isprintable(), line


def many(count: int) -> Iterator[ScanResult]:
    """As many results of each kind in turn, each at an address of its own."""
    kinds = [replace(each, swept=False) for each in [*mixed(), result("tls-certificate")]]
    for number in range(count):
        host = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        yield replace(kinds[number % len(kinds)], asked=host, endpoint=Endpoint(host, 109))


def peak(form: str, count: int) -> tuple[int, float]:
    """Bytes held at most while so many results are written, and seconds."""
    tally = Tally()
    tracemalloc.start()
    began = time.monotonic()
    try:
        writer = FORMS[form](Run(lambda line: None, "0.1.0", time.time))
        for each in many(count):
            tally.add(each)
            writer.add(each)
        writer.end(tally, 1)
        return tracemalloc.get_traced_memory()[1], time.monotonic() - began
    finally:
        tracemalloc.stop()


def assert_flat(form: str, count: int) -> None:
    small, _ = peak(form, 400)
    large, seconds = peak(form, count)
    print(f"{form}: {count} results, at most {large / 1024:.0f} KiB, {seconds:.1f} s")
    assert large < 1.5 * small + 64 * 1024, f"{form}: {small} bytes for 400, {large} for {count}"


@forms
def test_memory_does_not_grow_with_the_results(form: str):
    assert_flat(form, 2_000)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@forms
def test_memory_does_not_grow_with_very_many_results(form: str):
    assert_flat(form, 200_000)
