"""Endpoints as a whole, as they are known now or were at a moment.

Strategy: endpoints come in the order of an index and each is read by itself, so that neither memory
nor the wait for the first grows with their number. What was known before a moment are the rows
whose time began before it: those are moved on, and never taken back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from mailseal.model import codec
from mailseal.model.finding import Assessment, Finding
from mailseal.model.known import KnownEndpoint, LookPeriod, VerdictPeriod
from mailseal.model.look import Endpoint
from mailseal.store.entry import looks_of, plain, text
from mailseal.store.read import Filter, of_endpoint

END = "9"
"""Sorts behind every moment: now."""
_PERIOD = (
    "SELECT source, first, last, seen, record FROM period WHERE endpoint = ? AND kind = ?"
    " AND first < ? ORDER BY min(last, ?) DESC, first DESC, id DESC LIMIT 1"
)


def standing(
    connection: sqlite3.Connection, asked: Filter, at: str = END
) -> Iterator[KnownEndpoint]:
    """The endpoints that were known before `at`, by address."""
    terms, values = of_endpoint(asked)
    query = (
        "SELECT id, site, address, port, name FROM endpoint"
        f" WHERE {' AND '.join(terms)} ORDER BY packed, port, site"
    )
    for row in connection.execute(query, values):
        found = _standing(connection, row, at)
        if found is not None:
            yield found


def of(connection: sqlite3.Connection, endpoint: Endpoint, at: str = END) -> KnownEndpoint | None:
    """One endpoint as it was known before `at`; None where it was not."""
    query = (
        "SELECT id, site, address, port, name FROM endpoint"
        " WHERE address = ? AND port = ? AND site = ?"
    )
    where = (plain(endpoint.address), endpoint.port, plain(endpoint.site))
    row = connection.execute(query, where).fetchone()
    return None if row is None else _standing(connection, row, at)


def _standing(
    connection: sqlite3.Connection, row: tuple[Any, ...], at: str
) -> KnownEndpoint | None:
    number, site, address, port, name = row
    query = "SELECT rule, fixed, record FROM finding WHERE endpoint = ? AND first < ?"
    rows = connection.execute(query, (number, at)).fetchall()
    there = {text(rule) for rule, fixed, _ in rows if fixed is None or fixed >= at}
    verdict = connection.execute(_PERIOD, (number, "verdict", at, at)).fetchone()
    look = connection.execute(_PERIOD, (number, "look", at, at)).fetchone()
    if at != END and not (rows or verdict or look):
        return None
    return KnownEndpoint(
        endpoint=Endpoint(text(address), int(port), text(site)),
        name=text(name),
        verdict=None
        if verdict is None
        else VerdictPeriod(
            *_span(verdict), codec.loads(Assessment, text(verdict[4]), lenient=True)
        ),
        look=None if look is None else LookPeriod(*_span(look), looks_of(text(look[4]))),
        findings=tuple(
            codec.loads(Finding, text(record), lenient=True)
            for _, fixed, record in rows
            if fixed is None or fixed >= at
        ),
        fixed=tuple(dict.fromkeys(text(rule) for rule, _, _ in rows if rule not in there)),
    )


def _span(row: tuple[Any, ...]) -> tuple[str, str, str, int]:
    source, first, last, seen, _ = row
    return text(source), text(first), text(last), int(seen)
