"""Rows into values: the list of findings, and the history of one.

Strategy: a Filter becomes one WHERE with parameters, never text; rows are decoded as they are asked
for. Whatever a row holds is decoded strictly by type, because a damaged file can hold anything.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mailseal.model import codec
from mailseal.model.finding import Assessment, Finding, Severity
from mailseal.model.known import (
    Appearance,
    FindingHistory,
    Interval,
    KnownFinding,
    LookPeriod,
    ReportPeriod,
    Undecided,
    VerdictPeriod,
)
from mailseal.model.look import Endpoint
from mailseal.model.reported import Reported
from mailseal.store.entry import Network, looks_of, maybe, packed, plain, text
from mailseal.store.logins import USERS

SEVERITIES = tuple(severity.value for severity in Severity)
"""Least to most severe."""


@dataclass(frozen=True)
class Filter:
    """What to list; empty (and port 0) means all. `fixed`: fixed ones too; `fixed_since`: those
    fixed at that moment or later, and no others. `severity` is the least. `network` or `name` is
    where. `logins_since` is the moment from which users are counted.
    """

    fixed: bool = False
    fixed_since: str = ""
    site: str = ""
    rules: tuple[str, ...] = ()
    severity: Severity = Severity.INFO
    protocol: str = ""
    network: Network | None = None
    name: str = ""
    port: int = 0
    logins_since: str = ""


_Where = tuple[list[str], list[object]]


def of_endpoint(asked: Filter) -> _Where:
    """Terms about the columns of a table `endpoint`, and their values."""
    terms, values = ["1"], list[object]()
    if asked.site:
        terms.append("endpoint.site = ?")
        values.append(plain(asked.site))
    if asked.port:
        terms.append("endpoint.port = ?")
        values.append(asked.port)
    if asked.name:
        terms.append("endpoint.name = ?")
        values.append(plain(asked.name))
    if asked.network is not None:
        terms.append("endpoint.packed BETWEEN ? AND ?")
        values += [packed(str(asked.network[0])), packed(str(asked.network[-1]))]
    return terms, values


def _of_finding(asked: Filter) -> _Where:
    terms, values = of_endpoint(asked)
    if asked.fixed_since:
        terms.append("finding.fixed >= ?")
        values.append(asked.fixed_since)
    elif not asked.fixed:
        terms.append("finding.fixed IS NULL")
    if asked.protocol:
        terms.append("finding.protocol = ?")
        values.append(plain(asked.protocol))
    severe = SEVERITIES[SEVERITIES.index(asked.severity.value) :]
    for column, wanted in (("severity", severe), ("rule", tuple(map(plain, asked.rules)))):
        if wanted:
            terms.append(f"finding.{column} IN ({', '.join('?' * len(wanted))})")
            values += wanted
    return terms, values


_COLUMNS = "finding.record, finding.first, finding.last, finding.fixed, finding.found_from"
_COLUMNS += f", {USERS}"
_NEWEST = "NOT EXISTS (SELECT 1 FROM finding AS n WHERE n.endpoint = finding.endpoint"
_NEWEST += " AND n.id = finding.id AND n.first > finding.first)"
_RANK = "CASE finding.severity " + "".join(
    f"WHEN '{severity}' THEN {-rank} " for rank, severity in enumerate(SEVERITIES)
)
_ORDER = f"{_RANK} END, endpoint.site, endpoint.packed, endpoint.port, finding.rule"


def findings(connection: sqlite3.Connection, asked: Filter) -> Iterator[KnownFinding]:
    """The most severe first, then by address; of each finding its newest appearance."""
    terms, values = _of_finding(asked)
    query = (
        f"SELECT {_COLUMNS} FROM finding JOIN endpoint ON endpoint.id = finding.endpoint"
        f" WHERE {' AND '.join([*terms, _NEWEST])} ORDER BY {_ORDER}"
    )
    return map(_known, connection.execute(query, [asked.logins_since, *values]))


def endpoints(connection: sqlite3.Connection, asked: Filter) -> tuple[int, int]:
    """How many are known within what was asked for, and of how many the newest verdict is
    inconclusive or there is none (only logins that say nothing of cleartext were seen).
    """
    terms, values = of_endpoint(asked)
    undecided = f"coalesce(sum({_UNDECIDED}), 0)"
    query = f"SELECT count(*), {undecided} FROM endpoint WHERE {' AND '.join(terms)}"
    known, doubtful = connection.execute(query, values).fetchone()
    return int(known), int(doubtful)


VERDICT = (
    "FROM period WHERE period.endpoint = endpoint.id AND kind = 'verdict'"
    " ORDER BY last DESC, period.id DESC LIMIT 1"
)
_UNDECIDED = f"coalesce((SELECT state LIKE 'inconclusive %' {VERDICT}), 1)"


def undecided(connection: sqlite3.Connection, asked: Filter) -> Iterator[Undecided]:
    """The endpoints that `endpoints` counts so, by address."""
    terms, values = of_endpoint(asked)
    query = (
        f"SELECT site, address, port, name, (SELECT period.id {VERDICT}) FROM endpoint"
        f" WHERE {' AND '.join([*terms, _UNDECIDED])} ORDER BY site, packed, port"
    )
    for site, address, port, name, period in connection.execute(query, values):
        verdict = None
        if period is not None:
            query = "SELECT source, first, last, seen, record FROM period WHERE id = ?"
            (row,) = connection.execute(query, (period,))
            verdict = _verdict(*_period(row))
        yield Undecided(Endpoint(text(address), int(port), text(site)), text(name), verdict)


def intervals(connection: sqlite3.Connection, asked: Filter) -> Iterator[Interval]:
    """Every appearance of the findings, whether open or fixed by now, oldest first."""
    terms, values = _of_finding(replace(asked, fixed=True, fixed_since=""))
    query = (
        "SELECT severity, first, fixed FROM finding JOIN endpoint ON endpoint.id = finding.endpoint"
        f" WHERE {' AND '.join(terms)} ORDER BY first, row"
    )
    for severity, first, fixed in connection.execute(query, values):
        yield Interval(Severity(text(severity)), text(first), maybe(fixed))


def looked(connection: sqlite3.Connection, asked: Filter) -> tuple[str, str]:
    """The moments of the first and of the newest look; empty where there is none."""
    terms, values = of_endpoint(asked)
    query = (
        "SELECT min(first), max(last) FROM period JOIN endpoint ON endpoint.id = period.endpoint"
        f" WHERE kind = 'look' AND {' AND '.join(terms)}"
    )
    first, last = connection.execute(query, values).fetchone()
    return maybe(first) or "", maybe(last) or ""


def ids(connection: sqlite3.Connection, prefix: str, most: int) -> list[str]:
    """The ids that begin with a prefix of hexadecimal digits, `most` of them at most."""
    query = "SELECT DISTINCT id FROM finding WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
    return [str(row[0]) for row in connection.execute(query, (prefix, prefix + "g", most))]


def history(connection: sqlite3.Connection, finding: str, logins_since: str) -> FindingHistory:
    """All that is known of one finding, without the logins themselves. Raises ValueError where
    there is none of that id.
    """
    query = f"SELECT {_COLUMNS}, endpoint FROM finding WHERE id = ? ORDER BY first DESC"
    rows = connection.execute(query, (logins_since, finding)).fetchall()
    if not rows:
        raise ValueError("no finding %r" % finding)
    endpoint = rows[0][6]
    return FindingHistory(
        known=_known(rows[0][:6]),
        appearances=tuple(Appearance(text(r[1]), text(r[2]), maybe(r[3])) for r in rows),
        verdicts=tuple(
            _verdict(span, record) for span, record in _periods(connection, endpoint, "verdict")
        ),
        looks=tuple(
            LookPeriod(*span, looks_of(record))
            for span, record in _periods(connection, endpoint, "look")
        ),
        reports=tuple(
            ReportPeriod(*span, codec.loads(Reported, record, lenient=True))
            for span, record in _periods(connection, endpoint, "report")
        ),
    )


_Span = tuple[str, str, str, int]


def _periods(
    connection: sqlite3.Connection, endpoint: int, kind: str
) -> Iterator[tuple[_Span, str]]:
    query = (
        "SELECT source, first, last, seen, record FROM period WHERE endpoint = ? AND kind = ?"
        " ORDER BY last DESC, id DESC"
    )
    return map(_period, connection.execute(query, (endpoint, kind)))


def _period(row: tuple[object, ...]) -> tuple[_Span, str]:
    source, first, last, seen, record = row
    return (text(source), text(first), text(last), int(str(seen))), text(record)


def _verdict(span: _Span, record: str) -> VerdictPeriod:
    return VerdictPeriod(*span, codec.loads(Assessment, record, lenient=True))


def _known(row: tuple[object, ...]) -> KnownFinding:
    record, first, last, fixed, found_from, users = row
    return KnownFinding(
        finding=codec.loads(Finding, text(record), lenient=True),
        first=text(first),
        last=text(last),
        fixed=maybe(fixed),
        found_from=tuple(text(found_from).split(",")),
        users=None if users is None else int(str(users)),
    )
