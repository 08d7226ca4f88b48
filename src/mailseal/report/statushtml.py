"""How it stands, as one HTML file: for a manager on a phone, and for an auditor on paper.

Strategy: the words are those of `status`, the tree is `markup`'s, the look is `sheet`'s; here is
only the order. The file needs nothing else and can reach nothing else: no script, and a policy that
forbids every request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mailseal.model.known import FindingHistory, KnownFinding, LookPeriod
from mailseal.report import assets, chart, status
from mailseal.report.cvss import base_score
from mailseal.report.markup import Content, Element, Node, e, written
from mailseal.report.sheet import POLICY, SHEET
from mailseal.report.status import Listed, Status, day, minute, plural
from mailseal.report.style import PLAIN, Style

_HEAD = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta http-equiv="Content-Security-Policy" content="{POLICY}" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name="color-scheme" content="light dark" />
<meta name="referrer" content="no-referrer" />
<meta name="robots" content="noindex, nofollow" />
<title>mailseal: cleartext logins</title>
<style>{SHEET}</style>
</head>
<body>"""
_SEAL = e(
    "svg",
    e("path", d="M5 11h14v9H5zM8 11V7.5a4 4 0 0 1 8 0V11"),
    e("circle", cx="12", cy="15.5", r="1"),
    viewBox="0 0 24 24",
    aria_hidden="true",
)


def lines(told: Status, style: Style = PLAIN) -> Iterator[str]:
    """The file, without its last line end."""
    yield _HEAD
    sections = [section for section in _sections(told) if section is not None]
    yield written(_header(told, sections))
    yield "<main>"
    yield written(_figures(told))
    for section in sections:
        yield written(section)
    yield "</main>"
    yield written(_footer(told))
    yield "</body>\n</html>"


def _header(told: Status, sections: Sequence[Element]) -> Element:
    tone, words = status.headline(told)
    seen = f"newest look {minute(told.looked[1])}" if told.looked[1] else "nobody has looked"
    where = f"network {told.site}, " if told.site else ""
    titles = [
        e("a", str(section.children[0].children[0]), href="#" + dict(section.attributes)["id"])
        for section in sections
        if isinstance(section.children[0], Element)
    ]
    return e(
        "header",
        e("p", _SEAL, e("span", "mailseal: cleartext logins at mail services"), class_="brand"),
        e("h1", words, class_=tone.value),
        e("p", f"{where}made {minute(told.made)}; {seen}", class_="soft"),
        e("nav", [node for title in titles for node in (title, " ")]),
    )


def _figures(told: Status) -> Element:
    return e(
        "ul",
        [
            e(
                "li",
                e("span", each.name, class_="name"),
                e("b", str(each.number), class_=each.tone.value if each.tone else "plain"),
                e("span", each.what, class_="what"),
            )
            for each in status.figures(told)
        ],
        class_="figures",
    )


def _section(name: str, title: str, *content: Content) -> Element:
    return e("section", e("h2", title), *content, id=name)


def _sections(told: Status) -> Iterator[Element | None]:
    yield _progress(told)
    yield _open(told)
    yield _undecided(told)
    yield _people(told)
    yield _software(told)
    yield _fixed(told)
    yield _exceptions(told)
    yield _changes(told)
    yield _rules(told)
    yield _about(told)


# -- progress --------------------------------------------------------------------------------------


def _progress(told: Status) -> Element | None:
    seen = status.series(told)
    if not seen:
        return None
    words = status.progress(told, seen)
    return _section(
        "progress",
        "Progress",
        e("figure", e("figcaption", words), chart.chart(seen, words), chart.legend(seen)),
    )


# -- findings --------------------------------------------------------------------------------------


def _open(told: Status) -> Element:
    if not told.open.count:
        return _section("open", "Open now", e("p", status.NOTHING_OPEN))
    cards = [_open_card(each, told) for each in told.open.details]
    return _section("open", "Open now", cards, _more(told.open, "mailseal findings"))


def _open_card(history: FindingHistory, told: Status) -> Element:
    known, finding = history.known, history.known.finding
    return e(
        "article",
        _top(known, finding.severity.value, finding.severity.value),
        _list(status.open_facts(history, told)),
        _look("What was said", history.looks[0]) if history.looks else None,
        class_=finding.severity.value,
    )


def _fixed(told: Status) -> Element:
    title = "Fixed since " + day(told.since)
    if not told.fixed.count:
        return _section("fixed", title, e("p", "No finding was fixed in this time."))
    cards = [_fixed_card(each) for each in told.fixed.details]
    command = f"mailseal findings --fixed-since {day(told.since)}"
    return _section("fixed", title, cards, _more(told.fixed, command))


def _fixed_card(history: FindingHistory) -> Element:
    known = history.known
    before, after = status.before_and_after(history)
    looks = [
        e("div", _look(title, look))
        for title, look in (("Before", before), ("After", after))
        if look is not None
    ]
    return e(
        "article",
        _top(known, f"fixed {day(known.fixed)}", "fixed"),
        _list(status.fixed_facts(history)),
        e("div", looks, class_="pair") if looks else None,
        class_="fixed",
    )


def _top(known: KnownFinding, tag: str, kind: str) -> Element:
    return e(
        "div",
        e("span", tag, class_="tag " + kind),
        e("h3", known.finding.title),
        e("span", status.place(known), class_="where"),
        class_="top",
    )


def _list(facts: Iterable[tuple[str, Sequence[str]]]) -> Element:
    return e(
        "dl",
        [
            node
            for name, values in facts
            if values
            for node in (
                e("dt", name),
                *(e("dd", value) for value in values[:1]),
                *_further(values),
            )
        ],
    )


def _further(values: Sequence[str]) -> list[Element]:
    """Values below the first have no name of their own in the grid."""
    return [node for value in values[1:] for node in (e("dt"), e("dd", value))]


def _look(title: str, look: LookPeriod) -> list[Node]:
    kinds = {"C:": "kbd", "S:": "samp"}
    return [
        e("p", f"{title}, seen from {look.source}, {minute(look.last)}", class_="said"),
        e("pre", [e(kinds.get(line[:2], "samp"), line) for line in status.transcript(look)]),
    ]


def _more(listed: Listed, command: str) -> list[Node]:
    made: list[Node] = []
    if listed.more:
        header = ("Severity", "Endpoint", "Finding", "Verdict", "Seen", "Fixed")
        made.append(_table(header, map(status.row, listed.more)))
    if listed.left:
        words = f"{plural(listed.left, 'more finding')} not listed here: "
        made.append(e("p", words, e("code", command), " has all of them.", class_="note"))
    return made


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Element:
    head = e("thead", e("tr", [e("th", name, scope="col") for name in header]))
    body = [
        e("tr", [e("td", cell, data_label=name) for name, cell in zip(header, row, strict=True)])
        for row in rows
    ]
    return e("div", e("table", head, e("tbody", body)), class_="sheet")


# -- doubts, people, changes -----------------------------------------------------------------------


def _undecided(told: Status) -> Element:
    return _section(
        "undecided",
        "Could not tell",
        [e("p", words) for words in status.doubts(told)],
        _table(status.UNDECIDED, map(status.undecided_row, told.undecided))
        if told.undecided
        else None,
    )


def _people(told: Status) -> Element:
    return _section(
        "people",
        "Who still logs in in cleartext",
        [e("p", words) for words in status.people_words(told)],
        _table(status.PEOPLE, status.people_rows(told)) if told.people.listed.logins else None,
    )


def _software(told: Status) -> Element:
    return _section(
        "software",
        "Software and updates",
        [e("p", words) for words in assets.ranked_words(told.software)],
        _table(assets.TABLE, map(assets.row, told.software.listed))
        if told.software.listed
        else None,
    )


def _exceptions(told: Status) -> Element | None:
    if told.exceptions is None:
        return None
    return _section(
        "exceptions",
        "Exceptions",
        _table(status.EXCEPTIONS, status.exception_rows(told))
        if told.exceptions
        else e("p", status.NO_EXCEPTIONS),
    )


def _changes(told: Status) -> Element | None:
    if told.changes is None:
        return None
    return _section(
        "changes",
        "Change record",
        [e("p", words) for words in status.change_words(told.changes)],
        _table(status.CHANGES, map(status.change_row, told.changes.lines))
        if told.changes.lines
        else None,
    )


# -- what it rests on ------------------------------------------------------------------------------


def _rules(told: Status) -> Element | None:
    if not told.references:
        return None
    titles = status.titles(told)
    return _section(
        "rules",
        "Rules and standards",
        [
            e(
                "article",
                e("h3", titles.get(each.rule, each.rule)),
                _list(
                    (
                        ("Rule", (each.rule,)),
                        ("CVSS 3.1", (f"{base_score(each.cvss)} ({each.cvss})",)),
                        ("Weakness", each.cwe),
                        ("Standards", each.standards),
                        ("Scanners", each.scanners),
                    )
                ),
            )
            for each in told.references
        ],
    )


def _about(told: Status) -> Element:
    return _section(
        "about",
        "How to read this",
        [e("p", words) for words in status.about(told)],
        e("div", _list((name, (words,)) for name, words in status.WORDS), class_="sheet"),
    )


def _footer(told: Status) -> Element:
    return e("footer", e("p", status.imprint(told)))
