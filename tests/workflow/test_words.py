"""What words of a command line mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailseal.model.moment import seconds
from mailseal.workflow import BadInput
from mailseal.workflow.words import ago, moment, where

NOON = "2026-01-31T12:00:00.000Z"


@pytest.mark.parametrize(
    ("words", "means"),
    [("", ""), ("2026-01-31", "2026-01-31T00:00:00.000Z"), ("2026-01-31T12:00:00.0Z", NOON)],
)
def test_a_day_is_its_beginning(words: str, means: str):
    assert moment(words) == means


@pytest.mark.parametrize(
    ("words", "means"),
    [
        ("30d", "2026-01-01T12:00:00.000Z"),
        ("12h", "2026-01-31T00:00:00.000Z"),
        ("4w", "2026-01-03T12:00:00.000Z"),
        ("0d", NOON),
        ("99999w", "1970-01-01T00:00:00.000Z"),
        ("2026-01-01", "2026-01-01T00:00:00.000Z"),
    ],
)
def test_a_span_ends_now(words: str, means: str):
    assert ago(words, seconds(NOON)) == means


@pytest.mark.parametrize(
    "words", ["x", "30", "-1d", "30 d", "1.5d", "2026-13-01", "٣d", "9" * 99 + "d"]
)
def test_what_is_no_time_is_refused(words: str):
    with pytest.raises(BadInput, match="is no time"):
        ago(words, 0.0)
    with pytest.raises(BadInput, match="is no day"):
        moment(words)


@pytest.mark.parametrize("words", ["192.0.2.0/99", "192.0.2.300", "1:2:3", "192.0.2/24"])
def test_what_looks_like_an_address_and_is_none_is_refused(words: str):
    with pytest.raises(BadInput, match="no address"):
        where(words)


def test_a_place():
    assert where("") == (None, "")
    assert str(where("192.0.2.7/24")[0]) == "192.0.2.0/24"
    assert where("mail.example") == (None, "mail.example")


@given(some.text())
def test_any_words_mean_something_or_are_refused(words: str):
    for function in (moment, where, lambda given: ago(given, 1e9)):
        try:
            function(words)
        except BadInput:
            pass
