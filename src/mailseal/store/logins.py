"""Logins in the store: one row a kind, added up over files that may be read again and again.

Strategy: the same log is read every night, rotated, read with its rotated set, and seen again by a
capture of the same hour: names of files say nothing about what is in them. So sightings are told
apart by their time. Of one kind, an interval that lies wholly before or after what is known is new
and its count is added. One that overlaps may be the same sightings: the count becomes the least
number that both can be true of (the greater one, and one more for each end that sticks out). Thus
nothing is counted twice; a file that falls into a gap between others counts for too little.

A row is personal data. It is deleted by its age, or because somebody asks for it, and then its
octets are overwritten (`PRAGMA secure_delete`), also in the write-ahead log. Guessed names must not
fill the disk: of too many rows those go first that never got in, then the oldest.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from mailseal.model import codec
from mailseal.model.known import KnownLogin
from mailseal.model.login import JudgedLogin, Login, LoginOutcome, Meaning
from mailseal.model.look import Endpoint
from mailseal.store.entry import Network, packed, plain, text

MOST = 500_000
"""Rows that are kept: some 400 MB."""
FEW = 8
"""Names of software, and notes, that are kept of one."""


@dataclass(frozen=True)
class LoginFilter:
    """Which logins; empty means all, and all that is given must fit. `before` and `since` are
    moments, of the last time. `user` is compared without regard to case. `network` or `client` is
    where from; `server`, `host` (a name) or `endpoints` is where to, `site` in which network,
    `unplaced` where no address is known. `accepted`: those that got in. `meaning` as `assess` made
    it.
    """

    before: str = ""
    since: str = ""
    user: str = ""
    network: Network | None = None
    client: str = ""
    server: Network | None = None
    host: str = ""
    site: str = ""
    endpoints: tuple[tuple[str, int], ...] = ()
    unplaced: bool = False
    accepted: bool = False
    protocol: str = ""
    meaning: Meaning | None = None


_Where = tuple[str, list[object]]


def _where(asked: LoginFilter) -> _Where:
    terms, values = ["1"], list[object]()

    def term(words: str, *more: object) -> None:
        terms.append(words)
        values.extend(more)

    if asked.before:
        term("login.last < ?", asked.before)
    if asked.since:
        term("login.last >= ?", asked.since)
    if asked.user:
        term("casefold(login.user) = ?", plain(asked.user).casefold())
    if asked.network is not None:
        term("login.packed BETWEEN ? AND ?", *_ends(asked.network))
    if asked.client:
        term("casefold(login.client) = ?", plain(asked.client).casefold())
    if asked.server is not None:
        term("endpoint.packed BETWEEN ? AND ?", *_ends(asked.server))
    if asked.host:
        name = plain(asked.host)
        term("(endpoint.name = ? OR casefold(login.host) = ?)", name, name.casefold())
    if asked.site:
        term("endpoint.site = ?", plain(asked.site))
    if asked.endpoints:
        words = " OR ".join(["(endpoint.address = ? AND endpoint.port = ?)"] * len(asked.endpoints))
        places = ((plain(address), port) for address, port in asked.endpoints)
        term(f"({words})", *itertools.chain.from_iterable(places))
    if asked.accepted:
        term("login.accepted")
    if asked.unplaced:
        term("login.endpoint IS NULL")
    if asked.protocol:
        term("login.protocol = ?", plain(asked.protocol))
    if asked.meaning is not None:
        term("login.meaning = ?", asked.meaning.value)
    return " AND ".join(terms), values


def _ends(network: Network) -> tuple[bytes, bytes]:
    return packed(str(network[0])), packed(str(network[-1]))


_FROM = "FROM login LEFT JOIN endpoint ON endpoint.id = login.endpoint WHERE"


def logins(connection: sqlite3.Connection, asked: LoginFilter) -> Iterator[KnownLogin]:
    """Newest first. Raises as reading does: a damaged file can hold anything."""
    where, values = _where(asked)
    query = f"SELECT what, seen, meaning, source {_FROM} {where} ORDER BY last DESC, login.id"
    return map(_known, connection.execute(query, values))


def _known(row: tuple[object, ...]) -> KnownLogin:
    what, seen, meaning, source = row
    data = {**codec.parse(text(what)), **codec.parse(text(seen))}
    login = codec.decode(Login, data, lenient=True)
    return KnownLogin(login, Meaning(text(meaning)), text(source))


_WHO = "coalesce('u' || login.user, 'c' || login.client)"
"""Who logs in, as an expression: users without a seen name count once for each client."""

USERS = f"""
CASE WHEN EXISTS (SELECT 1 FROM login WHERE login.endpoint = finding.endpoint) THEN
(SELECT count(DISTINCT {_WHO}) FROM login WHERE login.endpoint = finding.endpoint
AND login.meaning = '{Meaning.CLEARTEXT.value}' AND login.accepted AND login.last >= ?) END"""
"""Users who got in in cleartext at a finding's endpoint since a moment (whoever was only rejected
may have been guessing); NULL where no login was ever seen.
"""


def count(connection: sqlite3.Connection, asked: LoginFilter) -> int:
    """How many kinds."""
    where, values = _where(asked)
    return int(connection.execute(f"SELECT count(*) {_FROM} {where}", values).fetchone()[0])


def users(connection: sqlite3.Connection, asked: LoginFilter) -> int:
    """How many users."""
    where, values = _where(asked)
    query = f"SELECT count(DISTINCT {_WHO}) {_FROM} {where}"
    return int(connection.execute(query, values).fetchone()[0])


def delete(connection: sqlite3.Connection, asked: LoginFilter) -> int:
    """Deletes what fits; how many."""
    where, values = _where(asked)
    query = f"DELETE FROM login WHERE id IN (SELECT login.id {_FROM} {where})"
    return connection.execute(query, values).rowcount


# -- writing ---------------------------------------------------------------------------------------

_KNOWN = "SELECT id, seen FROM login WHERE kind = ?"
_UPDATE = "UPDATE login SET meaning = ?, last = ?, source = ?, seen = ? WHERE id = ?"
_INSERT = """
INSERT INTO login (kind, endpoint, host, protocol, user, client, packed, meaning, accepted, last,
source, what, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_PLACE = "SELECT id FROM endpoint WHERE address = ? AND port = ? AND site = ?"
_NEW_PLACE = "INSERT INTO endpoint (site, address, port, packed, name) VALUES (?, ?, ?, ?, '')"
_FORGET = """
DELETE FROM login WHERE id IN
(SELECT id FROM login ORDER BY accepted, last LIMIT max(0, (SELECT count(*) FROM login) - ?))"""


def write(connection: sqlite3.Connection, seen: Iterable[JudgedLogin], source: str) -> None:
    """Takes logins in. Raises sqlite3.Error."""
    places: dict[Endpoint, int] = {}
    for judged in seen:
        login, meaning = judged.login, judged.meaning.value
        what = _json({name: getattr(login, name) for name in _WHAT} | {"endpoint": _at(login)})
        kind = hashlib.sha256(what.encode("ascii")).digest()[:16]
        row = connection.execute(_KNOWN, (kind,)).fetchone()
        if row is None:
            place, columns = _place(connection, login, places), _columns(login, meaning)
            written = (kind, place, *columns, plain(source), what, _json(_seen(login)))
            connection.execute(_INSERT, written)
            continue
        both = added(_again(login, row[1]), login)
        known = _json(_seen(both))
        if known != row[1]:
            connection.execute(_UPDATE, (meaning, both.last, plain(source), known, row[0]))


_SEEN = ("count", "first", "last", "complete", "software", "notes")
_WHAT = tuple(field.name for field in fields(Login) if field.name not in (*_SEEN, "endpoint"))


def _json(value: dict[str, Any]) -> str:
    """ASCII. Written without the codec, which is for records of any shape: there may be a hundred
    thousand rows.
    """
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def _at(login: Login) -> dict[str, Any] | None:
    return None if login.endpoint is None else vars(login.endpoint)


def _seen(login: Login) -> dict[str, Any]:
    return {name: getattr(login, name) for name in _SEEN}


def _again(login: Login, seen: object) -> Login:
    """The same kind as it is known. Raises as reading does."""
    known = json.loads(text(seen))
    software, notes = map(tuple, (known["software"], known["notes"]))
    return replace(
        login,
        count=int(known["count"]),
        first=text(known["first"]),
        last=text(known["last"]),
        complete=bool(known["complete"]),
        software=software,
        notes=notes,
    )


def bound(connection: sqlite3.Connection, most: int = MOST) -> int:
    """Deletes what is more than `most`; how many."""
    return connection.execute(_FORGET, (most,)).rowcount


def _columns(login: Login, meaning: str) -> tuple[object, ...]:
    return (
        plain(login.host),
        plain(login.protocol),
        None if login.user is None else plain(login.user),
        plain(login.client),
        _packed(login.client),
        meaning,
        login.outcome is LoginOutcome.ACCEPTED,
        login.last,
    )


def _packed(client: str) -> bytes | None:
    try:
        return packed(client)
    except ValueError:
        return None


def _place(connection: sqlite3.Connection, login: Login, places: dict[Endpoint, int]) -> int | None:
    endpoint = login.endpoint
    if endpoint is None:
        return None
    if endpoint not in places:
        site, address, port = plain(endpoint.site), plain(endpoint.address), endpoint.port
        row = connection.execute(_PLACE, (address, port, site)).fetchone()
        if row is None:
            new = connection.execute(_NEW_PLACE, (site, address, port, packed(address)))
            row = (new.lastrowid,)
        places[endpoint] = row[0]
    return places[endpoint]


def added(known: Login, seen: Login) -> Login:
    """Two sightings of one kind as one: see the strategy above."""
    if seen.first > known.last or seen.last < known.first:
        count = known.count + seen.count
    else:
        count = max(known.count + _beyond(seen, known), seen.count + _beyond(known, seen))
    return replace(
        known,
        count=count,
        first=min(known.first, seen.first),
        last=max(known.last, seen.last),
        complete=known.complete and seen.complete,
        software=_few(known.software, seen.software),
        notes=_few(known.notes, seen.notes),
    )


def _beyond(one: Login, other: Login) -> int:
    """Ends of one interval that lie outside another: each is a sighting that is not in it."""
    return (one.first < other.first) + (one.last > other.last)


def _few(known: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *more)))[:FEW]
