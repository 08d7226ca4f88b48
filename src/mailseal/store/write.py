"""Entries into rows: periods grow, findings appear, are seen again and are found gone.

Strategy: every table keeps times, not looks: what is seen again only moves an end. An entry older
than what is known is put where it belongs and undoes nothing: inside a period of the same state it
says nothing new, beside one it widens it, else it is a period of its own. All of it runs in the
caller's transaction.
"""

from __future__ import annotations

import sqlite3

from mailseal.store.entry import (
    GONE,
    REFUSED,
    REPORT,
    Entry,
    Found,
    Period,
    comparable,
    packed,
)

PERIODS = 64
"""Kept of each kind and source at an endpoint: a server that changes at each look fills no disk."""


def write(connection: sqlite3.Connection, entry: Entry) -> None:
    """Takes one entry in. Raises sqlite3.Error."""
    endpoint = _endpoint(connection, entry)
    if endpoint is None or not (entry.opens or _begun(connection, endpoint, entry.moment)):
        return
    for period in entry.periods:
        _period(connection, endpoint, period)
    rows = connection.execute(
        "SELECT row, id, rule, exposed, first, last, fixed, found_from, name FROM finding"
        " WHERE endpoint = ? ORDER BY id, first",
        (endpoint,),
    ).fetchall()
    if not (entry.found or rows):
        return
    present = {found.id for found in entry.found}
    for row in rows:
        if row[1] not in present:
            _gone(connection, entry, row)
    if entry.timeless and _denied(connection, endpoint):
        return
    for found in entry.found:
        _present(connection, endpoint, entry, found, [row for row in rows if row[1] == found.id])


def _endpoint(connection: sqlite3.Connection, entry: Entry) -> int | None:
    """Its row. An address where nothing was ever found is not kept: a network has millions."""
    row = connection.execute(
        "SELECT id, name FROM endpoint WHERE address = ? AND port = ? AND site = ?",
        (entry.address, entry.port, entry.site),
    ).fetchone()
    if row is not None:
        if entry.name not in ("", row[1]):
            connection.execute("UPDATE endpoint SET name = ? WHERE id = ?", (entry.name, row[0]))
        return int(row[0])
    if not entry.opens:
        return None
    return connection.execute(
        "INSERT INTO endpoint (site, address, port, packed, name) VALUES (?, ?, ?, ?, ?)",
        (entry.site, entry.address, entry.port, packed(entry.address), entry.name),
    ).lastrowid


def _begun(connection: sqlite3.Connection, endpoint: int, moment: str) -> bool:
    """Whether something was known then: what was not kept for want of it is not kept later."""
    query = "SELECT 1 FROM period WHERE endpoint = ? AND first <= ? LIMIT 1"
    return connection.execute(query, (endpoint, moment)).fetchone() is not None


# -- periods ---------------------------------------------------------------------------------------

_NEWEST = """
SELECT id, state, last, digest FROM period WHERE endpoint = ? AND kind = ? AND source = ?
ORDER BY last DESC, id DESC LIMIT 1"""
_COVERS = """
SELECT 1 FROM period WHERE endpoint = ? AND kind = ? AND source = ? AND state = ?
AND first <= ? AND last >= ?"""
_BEFORE = """
SELECT id, state FROM period WHERE endpoint = ? AND kind = ? AND source = ? AND last < ?
ORDER BY last DESC, id DESC LIMIT 1"""
_AFTER = """
SELECT id, state FROM period WHERE endpoint = ? AND kind = ? AND source = ? AND first > ?
ORDER BY first, id LIMIT 1"""
_WIDEN = "UPDATE period SET first = ?, seen = seen + 1 WHERE id = ?"
_LATER = "UPDATE period SET last = ?, seen = seen + 1 WHERE id = ?"
_RENEW = "UPDATE period SET last = ?, seen = seen + 1, digest = ?, record = ? WHERE id = ?"
_INSERT = """
INSERT INTO period (endpoint, kind, source, state, first, last, seen, clears, digest, record)
VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, ?)"""
_FORGET = """
DELETE FROM period WHERE id IN (SELECT id FROM period WHERE endpoint = ? AND kind = ?
AND source = ? ORDER BY last DESC, id DESC LIMIT -1 OFFSET ?)"""


def _period(connection: sqlite3.Connection, endpoint: int, period: Period) -> None:
    key = (endpoint, period.kind, period.source)
    newest = connection.execute(_NEWEST, key).fetchone()
    if newest is None:
        _insert(connection, key, period)
    elif newest[2] >= period.moment:
        _older(connection, key, period)
    elif newest[1] != period.state:
        _insert(connection, key, period)
        connection.execute(_FORGET, (*key, PERIODS))
    elif newest[3] == period.digest:
        connection.execute(_LATER, (period.moment, newest[0]))
    else:
        renewed = (period.moment, period.digest, period.record, newest[0])
        connection.execute(_RENEW, renewed)


def _older(connection: sqlite3.Connection, key: tuple[int, str, str], period: Period) -> None:
    """A moment at or before the newest that is known."""
    moment = period.moment
    if connection.execute(_COVERS, (*key, period.state, moment, moment)).fetchone():
        return
    before = connection.execute(_BEFORE, (*key, moment)).fetchone()
    after = connection.execute(_AFTER, (*key, moment)).fetchone()
    if before is not None and before[1] == period.state:
        connection.execute(_RENEW, (moment, period.digest, period.record, before[0]))
    elif after is not None and after[1] == period.state:
        connection.execute(_WIDEN, (moment, after[0]))
    else:
        _insert(connection, key, period)
        connection.execute(_FORGET, (*key, PERIODS))


def _insert(connection: sqlite3.Connection, key: tuple[int, str, str], period: Period) -> None:
    moment = period.moment
    values = (period.state, moment, moment, period.clears, period.digest, period.record)
    connection.execute(_INSERT, (*key, *values))


# -- findings --------------------------------------------------------------------------------------

_Row = tuple[int, str, str, int, str, str, str | None, str, str]
"""row, id, rule, exposed, first, last, fixed, found_from, name."""

_CLEARING = """
SELECT source, clears, first, last FROM period
WHERE endpoint = ? AND kind = 'verdict' AND clears > 0 AND last > ?"""
_DENIED = f"""
SELECT clears FROM period WHERE endpoint = ? AND kind = 'verdict' AND source <> '{REPORT}'
ORDER BY last DESC, id DESC LIMIT 1"""
_SEEN = """
UPDATE finding SET last = ?, found_from = ?, name = ?, severity = ?, protocol = ?, exposed = ?,
record = ? WHERE row = ?"""
_APPEARS = """
INSERT INTO finding (id, endpoint, rule, first, last, fixed, found_from, name, severity, protocol,
exposed, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_FIXED = "UPDATE finding SET fixed = ? WHERE row = ?"
_EARLIER = "UPDATE finding SET first = ? WHERE row = ?"


def _gone(connection: sqlite3.Connection, entry: Entry, row: _Row) -> None:
    """Marks a finding that the entry did not see as fixed, where it could have seen it."""
    number, _, rule, _, _, last, fixed, found_from, name = row
    if last >= entry.moment or (fixed is not None and fixed <= entry.moment):
        return
    if not comparable(entry.vantage, found_from):
        return
    if entry.clears == GONE or entry.kept(rule, name):
        connection.execute(_FIXED, (entry.moment, number))


def _present(
    connection: sqlite3.Connection, endpoint: int, entry: Entry, found: Found, rows: list[_Row]
) -> None:
    """Takes in that the finding was there at the moment of the entry."""
    moment = entry.moment
    evidence = (entry.name, found.severity, found.protocol, found.exposed, found.record)
    for number, _, _, _, first, last, fixed, found_from, _ in rows:
        sources = ",".join(sorted({*found_from.split(","), *entry.sources}))
        if last < moment and (fixed is None or moment < fixed):
            connection.execute(_SEEN, (moment, sources, *evidence, number))
            return
        if first <= moment <= last:
            return
    cleared = _cleared(connection, endpoint, entry, found)
    later = next((row for row in rows if row[4] > moment), None)
    if later is not None and (cleared is None or cleared > later[4]):
        connection.execute(_EARLIER, (moment, later[0]))
        return
    sources = ",".join(sorted(entry.sources))
    times = (moment, moment, cleared)
    connection.execute(_APPEARS, (found.id, endpoint, found.rule, *times, sources, *evidence))


def _cleared(
    connection: sqlite3.Connection, endpoint: int, entry: Entry, found: Found
) -> str | None:
    """The first later look that is known to have found it gone. That logins are refused says so
    only of what came with logins being taken.
    """
    found_from = ",".join(sorted(entry.sources))
    moments = [
        first if first > entry.moment else last
        for source, clears, first, last in connection.execute(_CLEARING, (endpoint, entry.moment))
        if comparable(source, found_from) and (clears == GONE or found.exposed)
    ]
    return min(moments, default=None)


def _denied(connection: sqlite3.Connection, endpoint: int) -> bool:
    """Whether the newest look found it gone: a report that tells no time may be older than that."""
    row = connection.execute(_DENIED, (endpoint,)).fetchone()
    return row is not None and row[0] in (REFUSED, GONE)
