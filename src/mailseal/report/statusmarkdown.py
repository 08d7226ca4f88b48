"""How it stands, as GitHub-flavoured Markdown: the same as the HTML file, without the chart.

Strategy: the words are those of `status`. All text of others stands in code spans and code blocks,
as in `markdown`; what is left outside is our own words and numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from mailseal.model.known import FindingHistory, LookPeriod
from mailseal.report import assets, status
from mailseal.report.cvss import base_score
from mailseal.report.markdown import code, fenced
from mailseal.report.status import Facts, Listed, Status, day, minute, plural
from mailseal.report.style import PLAIN, Style

_FactsOf = Callable[[FindingHistory], Facts]
_LooksOf = Callable[[FindingHistory], list[tuple[str, LookPeriod]]]


def lines(told: Status, style: Style = PLAIN) -> Iterator[str]:
    """The document, a line each."""
    yield f"# {status.headline(told)[1]}"
    yield ""
    where = f" Network {code(told.site)}." if told.site else ""
    yield f"{status.imprint(told)}{where} Newest look: {minute(told.looked[1])}."
    yield ""
    yield "| | | |"
    yield "|---|---|---|"
    for name, number, what, _ in status.figures(told):
        yield f"| {name} | **{number}** | {what} |"
    seen = status.series(told)
    if seen:
        yield from ("", "## Progress", "", status.progress(told, seen))
    yield from ("", "## Open now", "")
    yield from _findings(told.open, lambda each: status.open_facts(each, told), _newest)
    yield from ("", "## Could not tell", "")
    yield from status.doubts(told)
    yield from _table(status.UNDECIDED, map(status.undecided_row, told.undecided))
    yield from ("", "## Who still logs in in cleartext", "")
    yield from status.people_words(told)
    yield from _table(status.PEOPLE, status.people_rows(told))
    yield from ("", "## Software and updates", "")
    yield from assets.ranked_words(told.software)
    yield from _table(assets.TABLE, map(assets.row, told.software.listed))
    yield from ("", f"## Fixed since {day(told.since)}", "")
    yield from _findings(told.fixed, status.fixed_facts, _both)
    if told.exceptions is not None:
        yield from ("", "## Exceptions", "")
        yield from () if told.exceptions else (status.NO_EXCEPTIONS,)
        yield from _table(status.EXCEPTIONS, status.exception_rows(told))
    if told.changes is not None:
        yield from ("", "## Change record", "")
        yield from (code(words) for words in status.change_words(told.changes))
        yield from _table(status.CHANGES, map(status.change_row, told.changes.lines))
    if told.references:
        header = ("Rule", "CVSS 3.1", "Weakness", "Standards", "Scanners")
        yield from ("", "## Rules and standards")
        yield from _table(
            header,
            (
                (
                    each.rule,
                    f"{base_score(each.cvss)} ({each.cvss})",
                    *("; ".join(words) for words in (each.cwe, each.standards, each.scanners)),
                )
                for each in told.references
            ),
        )
    yield from ("", "## How to read this", "", *status.about(told), "")
    yield from (f"- *{word}*: {words}" for word, words in status.WORDS)


def _findings(listed: Listed, facts: _FactsOf, looks: _LooksOf) -> Iterator[str]:
    if not listed.count:
        yield "None."
    for each in listed.details:
        finding = each.known.finding
        where = code(status.place(each.known))
        yield f"### {finding.severity.value}: {code(finding.title)} at {where}"
        yield ""
        for name, values in facts(each):
            if values:
                yield f"- {name}: {', '.join(map(code, values))}"
        for title, look in looks(each):
            yield ""
            yield f"{title}, {code('seen from ' + look.source + ', ' + minute(look.last))}:"
            yield ""
            yield from fenced(status.transcript(look))
        yield ""
    header = ("Severity", "Endpoint", "Finding", "Verdict", "Seen", "Fixed")
    yield from _table(header, map(status.row, listed.more))
    if listed.left:
        yield f"{plural(listed.left, 'more finding')} not listed here."


def _newest(history: FindingHistory) -> list[tuple[str, LookPeriod]]:
    return [("What was said", look) for look in history.looks[:1]]


def _both(history: FindingHistory) -> list[tuple[str, LookPeriod]]:
    pair = zip(("Before", "After"), status.before_and_after(history), strict=True)
    return [(title, look) for title, look in pair if look is not None]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table, with an empty line before and after; nothing where there is no row."""
    written = [f"| {' | '.join(map(code, each))} |" for each in rows]
    if written:
        yield from ("", f"| {' | '.join(header)} |", "|---" * len(header) + "|", *written, "")
