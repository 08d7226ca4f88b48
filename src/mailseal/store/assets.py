"""The software at endpoints: what hosts say of it, when somebody looked it over, and all together.

Strategy: of each endpoint the newest word of its host is kept, with the moments since when its
updates wait: they begin anew where another version is installed, and a security update has its own.
What a host says makes no endpoint known: nobody has looked at it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace

from mailseal.model import codec
from mailseal.model.asset import Installed, KnownSoftware, Review, hasty, since_key
from mailseal.model.look import Endpoint
from mailseal.model.reported import Reported
from mailseal.store.entry import packed, plain, product_of, text, usual
from mailseal.store.read import VERDICT, Filter, of_endpoint


def write(connection: sqlite3.Connection, told: Installed) -> Installed:
    """Takes in what a host says, and gives it with the moments that are known. What is older than
    what is known changes nothing. Raises sqlite3.Error.
    """
    endpoint = told.endpoint
    key = (plain(endpoint.address), endpoint.port, plain(endpoint.site))
    query = "SELECT record FROM installed WHERE address = ? AND port = ? AND site = ?"
    row = connection.execute(query, key).fetchone()
    before = _installed(row[0]) if row else None
    if before and before.taken > told.taken:
        return before
    told = replace(told, since=_since(before, told))
    connection.execute(
        "INSERT OR REPLACE INTO installed (address, port, site, packed, taken, record)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (*key, packed(key[0]), told.taken, codec.dumps(told)),
    )
    return told


def _since(before: Installed | None, told: Installed) -> Mapping[str, str]:
    """Also of an update that is out of sight today: it may be the lists that are missing."""
    earlier = {each.name: each.version for each in before.software.packages} if before else {}
    since = {}
    for package in told.software.packages:
        for kind in (True, False):
            key = since_key(package.name, kind)
            waits = bool(package.update) and hasty(package.security) is kind
            known = before.since.get(key) if before else None
            if known and earlier.get(package.name) == package.version:
                since[key] = known
            elif waits:
                since[key] = told.taken
    return since


def _installed(record: object) -> Installed:
    """As it was written. Raises ValueError, TypeError."""
    told = codec.loads(Installed, text(record), lenient=True)
    for moment in (told.taken, *told.since.values()):
        usual(moment)
    return told


def review(connection: sqlite3.Connection, finding: str, made: Review) -> None:
    """Notes that the endpoint of a finding was looked over. Raises sqlite3.Error."""
    connection.execute(
        "INSERT INTO review (endpoint, at, by)"
        " SELECT endpoint, ?, ? FROM finding WHERE id = ? LIMIT 1",
        (made.at, plain(made.by), finding),
    )


_REVIEW = "FROM review WHERE review.endpoint = endpoint.id ORDER BY at DESC LIMIT 1"
_HOST = (
    "SELECT record FROM installed WHERE installed.address = endpoint.address"
    " AND installed.port = endpoint.port AND installed.site = endpoint.site"
)
_ABSENT = f"coalesce((SELECT state LIKE 'absent %' {VERDICT}), 0)"
_LOOK = VERDICT.replace(" ORDER", " AND source NOT IN ('report', 'log', 'wire') ORDER")
"""Reports, logs and the wire show no product of their own."""
_KNOWN = f"""
SELECT site, address, port, name, id, (SELECT state {_LOOK}), ({_HOST}),
(SELECT at {_REVIEW}), (SELECT by {_REVIEW}) FROM endpoint"""


def software(connection: sqlite3.Connection, asked: Filter) -> Iterator[KnownSoftware]:
    """The software at all endpoints that answer, as far as is known; then what hosts say of others
    of their own. A name is known of none of those.
    """
    terms, values = of_endpoint(asked)
    query = f"{_KNOWN} WHERE {' AND '.join(terms)} AND NOT {_ABSENT} ORDER BY site, packed, port"
    yield from (_software(connection, row) for row in connection.execute(query, values))
    alone = (
        f"SELECT record FROM installed AS endpoint WHERE {' AND '.join(terms)} AND NOT EXISTS"
        " (SELECT 1 FROM endpoint AS known WHERE known.address = endpoint.address"
        " AND known.port = endpoint.port AND known.site = endpoint.site)"
        " ORDER BY site, packed, port"
    )
    if not asked.name:
        for (record,) in connection.execute(alone, values):
            told = _installed(record)
            yield KnownSoftware(told.endpoint, installed=told)


def of_finding(connection: sqlite3.Connection, finding: str) -> KnownSoftware:
    """The software at the endpoint of a finding. Raises ValueError where there is none of that
    id.
    """
    query = f"{_KNOWN} WHERE id = (SELECT endpoint FROM finding WHERE finding.id = ? LIMIT 1)"
    row = connection.execute(query, (finding,)).fetchone()
    if row is None:
        raise ValueError("no finding %r" % finding)
    return _software(connection, row)


def _software(connection: sqlite3.Connection, row: tuple[object, ...]) -> KnownSoftware:
    site, address, port, name, number, state, host, at, by = row
    query = (
        "SELECT source, record FROM period WHERE endpoint = ? AND kind = 'report'"
        " ORDER BY last DESC, id DESC"
    )
    reports: dict[str, str] = {}
    for source, record in connection.execute(query, (number,)):
        report = codec.loads(Reported, text(record), lenient=True)
        if report.product:
            reports.setdefault(report.product, text(source).partition(" ")[0])
    return KnownSoftware(
        endpoint=Endpoint(text(address), int(str(port)), text(site)),
        name=text(name),
        banner="" if state is None else product_of(text(state)),
        reports=tuple((source, product) for product, source in reports.items()),
        installed=None if host is None else _installed(host),
        review=None if at is None else Review(usual(text(at)), text(by)),
    )
