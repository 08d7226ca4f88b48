"""Who logs in, for people and tools: what `mailseal wire` and `mailseal logs` give.

Strategy: the question is "who must be spoken to before cleartext is switched off", so logins in
cleartext come first, then what could not be told, then the rest; clients that fail at TLS have a
table of their own; what is missing is said at the end, never left out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mailseal.model import codec
from mailseal.model.login import JudgedLogin, Login, Meaning, TlsFailure
from mailseal.report import records
from mailseal.report.layout import labelled, table
from mailseal.report.style import PLAIN, Style, harmless
from mailseal.report.table import cell


@dataclass(frozen=True)
class Logins:
    """One document. `sources` are the files or the interface. `counts` are what was gone through,
    in words (packets, sessions, lines). `partial` says what may be missing, and why: empty where
    the sources were seen whole.
    """

    mailseal: str
    sources: tuple[str, ...]
    logins: tuple[JudgedLogin, ...]
    failures: tuple[TlsFailure, ...]
    counts: Mapping[str, int]
    partial: tuple[str, ...] = ()


_TITLES = {
    Meaning.CLEARTEXT: ("Logins in cleartext", "red"),
    Meaning.UNDECIDED: ("Could not be told", "yellow"),
    Meaning.WEAK: ("Without TLS, by a mechanism that hides the password badly", "yellow"),
    Meaning.REFUSED: ("Tried in cleartext, refused by policy", "bold"),
    Meaning.SAFE: ("Inside TLS, or without revealing the secret", "green"),
}
_HEADER = ("USER", "CLIENT", "SERVICE", "MECHANISM", "OUTCOME", "COUNT", "FIRST", "LAST", "SAYS")


def text(seen: Logins, style: Style = PLAIN) -> Iterator[str]:
    """Lines: a table for each meaning that there is, then what is missing, then the sum."""
    for meaning, (title, colour) in _TITLES.items():
        found = [each.login for each in seen.logins if each.meaning is meaning]
        if found:
            yield style.paint(title, colour)
            yield from ("  " + line for line in table(_HEADER, map(_row, found), style))
            notes = dict.fromkeys(note for login in found for note in login.notes)
            yield from labelled("note", notes)
            yield ""
    if seen.failures:
        yield style.paint("Clients that fail at TLS", "yellow")
        header = ("CLIENT", "SERVICE", "REASON", "COUNT", "FIRST", "LAST")
        yield from ("  " + line for line in table(header, map(_failure, seen.failures), style))
        yield ""
    yield from labelled("missing", seen.partial)
    yield ", ".join(f"{number} {harmless(what)}" for what, number in seen.counts.items())


def _row(login: Login) -> tuple[str, ...]:
    return (
        "?" if login.user is None else login.user,
        login.client or "?",
        login.service,
        login.mechanism or "?",
        login.outcome.value,
        str(login.count),
        _minute(login.first),
        _minute(login.last),
        ", ".join(login.software),
    )


def _failure(failure: TlsFailure) -> tuple[str, ...]:
    return (
        failure.client or "?",
        str(failure.endpoint or f"{failure.host} {failure.protocol}".strip()),
        failure.reason,
        str(failure.count),
        _minute(failure.first),
        _minute(failure.last),
    )


def _minute(moment: str) -> str:
    """2026-01-31 12:00 of an RFC 3339 moment."""
    return moment[:16].replace("T", " ")


def json(seen: Logins, style: Style = PLAIN) -> Iterator[str]:
    """One document, a login a line: there may be very many."""
    plain = codec.record(seen)
    several = {"logins", "failures"}
    head = [
        records.member(name, value) + "," for name, value in plain.items() if name not in several
    ]
    lines = ["{", *head]
    for name, after in (("logins", ","), ("failures", "")):
        array = records.Array(lines.append, [records.compact(name) + ": ["])
        for each in plain[name]:
            array.add(each)
        array.end()
        lines.append("]" + after)
    yield from [*lines, "}"]


def ndjson(seen: Logins, style: Style = PLAIN) -> Iterator[str]:
    """A line each: logins, failures, then the document without them."""
    for each in (*seen.logins, *seen.failures):
        yield records.line(each)
    yield records.line(Logins(seen.mailseal, seen.sources, (), (), seen.counts, seen.partial))


def rows(seen: Logins, style: Style = PLAIN) -> Iterator[str]:
    """CSV (RFC 4180) of the logins."""
    columns = "meaning user client service mechanism channel outcome count first last".split()
    yield _csv([*columns, "software", "complete", "host", "daemon", "notes"])
    for each in seen.logins:
        login = each.login
        values = [each.meaning.value, *_row(login)[:4], login.channel.value, login.outcome.value]
        values += [str(login.count), login.first, login.last, ", ".join(login.software)]
        values += ["yes" if login.complete else "no", login.host, login.daemon]
        yield _csv([*values, "; ".join(login.notes)])


def _csv(values: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r").writerow([cell(value) for value in values])
    return line.getvalue()


FORMS = {"text": text, "json": json, "ndjson": ndjson, "csv": rows}
"""By the name that `--format` takes: each gives lines without line ends."""
