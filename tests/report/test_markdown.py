"""Markdown rendered by a reader of its own: text of others is shown, and is nothing more."""

from html.parser import HTMLParser

from hypothesis import given, settings
from markdown_it import MarkdownIt

from mailseal.report.markdown import DETAILS, code
from mailseal.report.style import harmless
from tests.report.make import closed, hostile, lost, mixed, result, written
from tests.report.test_forms import texts

# HTML on, addresses made into links: as forges have it before their filters.
READER = MarkdownIt("commonmark", {"html": True, "linkify": True}).enable(["table", "linkify"])


class Tags(HTMLParser):
    """The tags of a page, and its text inside and outside of code."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.quoted: list[str] = []
        self.open = ""
        self._depth = 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "code":
            self._depth += 1
            self.quoted.append("")

    def handle_endtag(self, tag):
        self._depth -= tag == "code"

    def handle_data(self, data):
        if self._depth:
            self.quoted[-1] += data
        else:
            self.open += data


def rendered(results) -> Tags:
    return Tags(READER.render(written("markdown", results)))


def test_the_reader_renders_what_is_not_in_code():
    page = Tags(READER.render("<b>x</b> www.example.com *y*"))
    assert page.tags == ["p", "b", "a", "em"]


def test_a_row_is_a_result_and_details_are_of_what_needs_somebody():
    page = rendered(mixed())
    assert page.tags.count("tr") == 1 + 4, "the header, and all but the swept one"
    assert (page.tags.count("h3"), page.tags.count("pre")) == (3, 3)
    assert "5 endpoints: 1 exposed, 1 refused, 2 absent, 1 inconclusive" in page.open


def test_details_are_bounded_and_what_is_left_out_is_said():
    page = rendered([result()] * (DETAILS + 2))
    assert page.tags.count("h3") == DETAILS
    assert page.open.rstrip().endswith(
        "2 more are not told here; the other forms have all of them."
    )
    assert page.tags.count("tr") == 1 + DETAILS + 2


def test_an_absent_endpoint_has_no_details():
    assert "pre" not in rendered([closed()]).tags


@given(text=texts)
@settings(max_examples=200, deadline=None)
def test_a_code_span_shows_its_text_and_nothing_else(text: str):
    page = Tags(READER.render(f"| a |\n|---|\n| {code(text)} |\n"))
    assert page.tags.count("td") == 1
    shown = harmless(text).replace("|", "\\x7c")
    quoted = "".join(page.quoted)
    # CommonMark takes one blank from either end of a span.
    assert quoted.strip() == shown.strip()


@given(text=texts)
@settings(max_examples=150, deadline=None)
def test_hostile_text_renders_as_text_alone(text: str):
    page = rendered([hostile(text), lost(text, text)])
    known = "table thead tbody tr th td p h3 pre code strong".split()
    assert set(page.tags) <= set(known), page.tags
    assert page.tags.count("td") == 2 * 4
    assert (page.tags.count("h3"), page.tags.count("pre")) == (2, 2)
    words = "endpoint asked verdict findings exposed, accepted high: inconclusive"
    summary = "2 endpoints: 1 exposed, 0 refused, 0 absent, 1 inconclusive"
    assert sorted(page.open.split()) == sorted((words + " " + summary).split())
