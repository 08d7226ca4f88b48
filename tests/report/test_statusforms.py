"""The report in both forms: what it says, and that text of others is text in it and no more."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import assume, given, settings

from mailseal.model.known import FindingHistory
from mailseal.report import statushtml, statusmarkdown
from mailseal.report.markup import LIMIT, e, written
from mailseal.report.sheet import POLICY, SHEET
from mailseal.report.status import Listed, People, Status, Tone, before_and_after, headline
from tests.report.make import HOSTILE
from tests.report.status import GONE, MADE, history, status
from tests.report.test_forms import texts
from tests.report.test_markdown import READER, Tags


class Shape(HTMLParser):
    """The elements with the names of their attributes, the values of those that mean something to a
    browser, and the text.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.told: list[tuple[str, str | None]] = []
        self.text = ""
        self.other: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.told += [(n, v) for n, v in attrs if n in ("href", "src", "style", "id", "class")]

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.other.append(data)

    def handle_decl(self, decl):
        self.other.append(decl)

    def handle_pi(self, data):
        self.other.append(data)


def html(told: Status) -> str:
    return "\n".join(statushtml.lines(told))


def markdown(told: Status) -> str:
    return "\n".join(statusmarkdown.lines(told))


PLAIN = Shape(html(status("x")))
nothing = People(status().people.listed, 0, 0, 0, 0, 0)
NO_FINDING = Listed((), (), 0)


def test_the_style_is_allowed_by_its_hash_and_nothing_else_is():
    page = html(status())
    (style,) = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert style == SHEET
    assert f"content=\"default-src 'none'; style-src 'sha256-{digest}'" in page
    assert "unsafe" not in POLICY
    assert not re.search(r"url\(|@import|expression|https?:", style)


def test_there_is_nothing_that_runs_or_loads():
    names = {name for name, _ in PLAIN.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    attributes = {name for _, names in PLAIN.tags for name in names}
    assert not [each for each in attributes if each.startswith("on") or each in ("style", "src")]
    links = [value for name, value in PLAIN.told if name == "href"]
    places = {value for name, value in PLAIN.told if name == "id"}
    assert links
    assert {str(link) for link in links} <= {f"#{place}" for place in places}


@given(text=texts)
@settings(max_examples=100, deadline=None)
def test_hostile_text_adds_no_element_and_no_attribute(text: str):
    shape = Shape(html(status(text)))
    assert shape.tags == PLAIN.tags
    assert shape.other == PLAIN.other == ["DOCTYPE html"]
    assert sorted(set(shape.told), key=str) == sorted(set(PLAIN.told), key=str)


def test_hostile_text_is_shown_by_its_numbers():
    page = html(status(HOSTILE))
    assert "a\\x1b[2J" in page
    assert not [char for char in page if not char.isprintable() and char != "\n"]
    page.encode("utf-8")


@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_hostile_text_is_code_alone_in_markdown(text: str):
    assume(text.strip())  # Of a blank there is nothing to show.
    plain = Tags(READER.render(markdown(status("x"))))
    page = Tags(READER.render(markdown(status(text))))
    assert page.tags == plain.tags
    assert page.open.split() == plain.open.split()


@pytest.mark.parametrize("form", [html, markdown])
def test_both_forms_have_every_part(form):
    page = form(status("unusual"))
    for words in (
        "1 endpoint takes passwords in cleartext",
        "Open now", "Could not tell", "Who still logs in in cleartext", "Fixed since 2026-01-14",
        "Exceptions", "(over)",
        "Change record", "Rules and standards", "RFC 8314", "CWE-319", "Before", "After",
        "Made 2026-01-24 12:00 UTC by mailseal 0.1.0", "Users stand under pseudonyms.",
        "1 appeared and 1 were fixed", "3 more findings not listed here", "4 high, 1 low",
    ):  # fmt: skip
        assert words in page, words


def test_what_is_not_known_is_left_out():
    page = html(status(changes=None, exceptions=None, intervals=(), references=()))
    for words in (
        "Exceptions",
        "Change record",
        "Progress",
        "Rules and standards",
        '<svg viewBox="0 0 1000',
    ):
        assert words not in page


@pytest.mark.parametrize("form", [html, markdown])
def test_a_policy_without_exceptions_is_told_as_that(form):
    assert "The policy lets nothing pass." in form(status(exceptions=()))


@pytest.mark.parametrize(
    ("changes", "tone"),
    [
        ({"people": nothing}, Tone.BAD),
        ({"exposed": 0}, Tone.BAD),
        ({"exposed": 0, "people": nothing}, Tone.DOUBT),
        ({"exposed": 0, "people": nothing, "undecided_count": 0}, Tone.DOUBT),
        ({"exposed": 0, "people": nothing, "undecided_count": 0, "open": NO_FINDING}, Tone.GOOD),
        ({"exposed": 0, "people": nothing, "undecided_count": 1, "open": NO_FINDING}, Tone.DOUBT),
        ({"exposed": 0, "people": nothing, "endpoints": 0, "open": NO_FINDING}, Tone.DOUBT),
    ],
)
def test_only_what_is_known_to_be_clean_is_called_so(changes, tone: Tone):
    assert headline(status(**changes))[0] is tone


def test_the_look_that_found_it_gone_comes_after_the_one_that_saw_it():
    told = history("x", fixed=True)
    before, after = before_and_after(told)
    assert (before, after) == (told.looks[1], told.looks[0])
    alone: FindingHistory = replace(told, looks=told.looks[1:])
    assert before_and_after(alone) == (told.looks[1], None)
    assert before_and_after(replace(told, looks=())) == (None, None)


def test_the_chart_begins_when_something_was_known():
    page = html(status(looked=(GONE, MADE)))
    assert "<span>2026-01-15</span>" in page
    assert "<span>2026-01-14</span>" not in page


def test_a_moment_that_is_none_takes_the_chart_alone():
    broken = tuple(replace(each, first="x") for each in status().intervals)
    assert "Progress" not in html(status(intervals=broken))


def test_text_is_bounded():
    assert len(written(e("p", "x" * 10**6, class_="y" * 10**6))) < 2 * LIMIT + 100
