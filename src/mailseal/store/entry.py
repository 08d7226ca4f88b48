"""What one result amounts to, as rows: made when it is recorded, written with many others.

Strategy: a Period row has a `state`, the digest of what matters. Of a look that is everything but
its moments and the server's words: greetings hold dates and numbers that differ each time, and a
row a night is what periods are there to avoid. What is written is ASCII or has been made UTF-8: the
text of others may hold half a character.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mailseal.model import codec
from mailseal.model.finding import Assessment, Finding, Grade, Verdict
from mailseal.model.look import Observation, Reach, Vantage
from mailseal.model.moment import rfc3339, seconds
from mailseal.model.reported import Reported

Kept = Callable[[str, str], bool]
"""Whether looks show that a rule is kept, for a finding made under this name ("": by address)."""

REPORT = "report"
"""Source of what others say."""
_MIXED = "mixed"
"""Vantage of looks from several: what they do not find was not looked for from all of them."""

NOTHING, REFUSED, GONE = range(3)
"""What a verdict clears: nothing, logins in cleartext, or whatever was at the endpoint."""


class Period(NamedTuple):
    """A row of the table `period` for one moment."""

    kind: str
    source: str
    state: str
    moment: str
    clears: int
    digest: str
    record: str


class Found(NamedTuple):
    """A row of the table `finding` for one moment."""

    id: str
    rule: str
    severity: str
    protocol: str
    exposed: bool
    record: str


class Entry(NamedTuple):
    """One result. `opens`: something was found there, so the endpoint is worth keeping. `timeless`:
    the moment is that of the recording, because a report tells none.
    """

    address: str
    port: int
    site: str
    name: str
    opens: bool
    moment: str
    timeless: bool
    vantage: str
    sources: frozenset[str]
    clears: int
    periods: tuple[Period, ...]
    found: tuple[Found, ...]
    kept: Kept


def entry(
    observations: Sequence[Observation],
    assessment: Assessment,
    findings: Sequence[Finding],
    kept: Kept,
    reports: Sequence[Reported],
    now: str,
) -> Entry:
    """The rows of one result; `now` is the moment of what tells none. Raises ValueError for a
    moment that is none.
    """
    heard = not observations or assessment.grade is Grade.REPORTED
    told = [_told(report, now) for report in reports if report.when]
    if observations:
        moment = max(usual(look.start) for look in observations)
    else:
        moment = max(told, default=now)
    clears = _clears(observations, assessment)
    vantage = _vantage(observations)
    source = REPORT if heard else vantage
    periods = [_reported(report, now) for report in reports]
    if observations:
        periods.append(_look(observations, moment))
    periods.append(_verdict(assessment, source, moment, clears))
    return Entry(
        address=plain(assessment.endpoint.address),
        port=assessment.endpoint.port,
        site=plain(assessment.endpoint.site),
        name=plain(_name(observations, reports)),
        opens=bool(findings or reports) or any(o.reach is Reach.OPEN for o in observations),
        moment=moment,
        timeless=heard and not observations and not told,
        vantage=source,
        sources=frozenset((REPORT,) if heard else (look.vantage.value for look in observations)),
        clears=clears,
        periods=tuple(periods),
        found=_found(assessment, findings),
        kept=kept,
    )


def observed(assessment: Assessment, findings: Sequence[Finding], moment: str) -> Entry:
    """The rows of a verdict that rests on logins alone, at the moment of one of them: it fixes
    nothing. Raises ValueError for a moment that is none.
    """
    sources = {vantage.value for vantage in assessment.vantages}
    source = sources.pop() if len(sources) == 1 else _MIXED
    when = usual(moment)
    return Entry(
        address=plain(assessment.endpoint.address),
        port=assessment.endpoint.port,
        site=plain(assessment.endpoint.site),
        name="",
        opens=True,
        moment=when,
        timeless=False,
        vantage=source,
        sources=frozenset(vantage.value for vantage in assessment.vantages),
        clears=NOTHING,
        periods=(_verdict(assessment, source, when, NOTHING),),
        found=_found(assessment, findings),
        kept=lambda rule, name: False,
    )


def _found(assessment: Assessment, findings: Sequence[Finding]) -> tuple[Found, ...]:
    protocol = plain(assessment.protocol or "")
    exposed = assessment.verdict is Verdict.EXPOSED
    return tuple(
        Found(plain(f.id), plain(f.rule), f.severity.value, protocol, exposed, codec.dumps(f))
        for f in findings
    )


_USUAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def usual(moment: str) -> str:
    """A moment in the form that sorts as text. Raises ValueError for another than RFC 3339 UTC."""
    return moment if _USUAL.fullmatch(moment) else rfc3339(seconds(moment))


def plain(text: str) -> str:
    """Text that UTF-8 can write."""
    return text.encode("utf-8", "backslashreplace").decode()


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def text(value: object) -> str:
    """A column that must hold text. Raises TypeError."""
    if type(value) is not str:
        raise TypeError("text is wanted, not %s" % type(value).__name__)
    return value


def maybe(value: object) -> str | None:
    """A column that may hold text. Raises TypeError."""
    return None if value is None else text(value)


def packed(address: str) -> bytes:
    """16 octets; an IPv6 scope is left out."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    return ip.packed if ip.version == 6 else b"\0" * 10 + b"\xff\xff" + ip.packed


def _name(observations: Sequence[Observation], reports: Sequence[Reported]) -> str:
    names = [*(look.name for look in observations), *(report.name for report in reports)]
    return next(filter(None, names), "")


def _vantage(observations: Sequence[Observation]) -> str:
    vantages = {look.vantage.value for look in observations}
    return vantages.pop() if len(vantages) == 1 else _MIXED


def _clears(observations: Sequence[Observation], assessment: Assessment) -> int:
    """What the looks say is gone; where nothing came back, they say nothing."""
    if not observations:
        return NOTHING
    if assessment.verdict is Verdict.REFUSED:
        return REFUSED
    silent = any(look.reach not in (Reach.OPEN, Reach.CLOSED) for look in observations)
    return GONE if assessment.verdict is Verdict.ABSENT and not silent else NOTHING


def comparable(vantage: str, found_from: str) -> bool:
    """Whether looks from a vantage may say that something is gone which was seen from others: what
    a stranger can see is decided by strangers.
    """
    return vantage in (Vantage.REMOTE.value, found_from)


def _verdict(assessment: Assessment, source: str, moment: str, clears: int) -> Period:
    grade = assessment.grade.value if assessment.grade else "-"
    words = (assessment.verdict.value, grade, str(clears), assessment.protocol or "-")
    state = plain(" ".join((*words, assessment.product)))
    text = codec.dumps(assessment)
    return Period("verdict", source, state, moment, clears, _short(text), text)


def product_of(state: str) -> str:
    """The product that a verdict's state ends with: far quicker than to read its record."""
    return "".join(state.split(" ", 4)[4:])


def _told(report: Reported, now: str) -> str:
    """Its moment. One in the future would outlast every look that finds otherwise."""
    return min(usual(report.when), now) if report.when else now


def _reported(report: Reported, now: str) -> Period:
    source = plain(f"{report.source} {report.check}".rstrip())
    text = codec.dumps(report)
    return Period(
        REPORT, source, report.says.value, _told(report, now), NOTHING, _short(text), text
    )


def _look(observations: Sequence[Observation], moment: str) -> Period:
    first = observations[0]
    looks = [codec.record(look) for look in observations]
    times = [[look.pop("start"), look.pop("end")] for look in looks]
    text = _json(looks)
    state = _short(_json([_matters(look) for look in observations]))
    source = plain(f"{_vantage(observations)} {first.name}".rstrip())
    record = f'{{"times":{_json(times)},"looks":{text}}}'
    return Period("look", source, state, moment, NOTHING, _short(text), record)


def looks_of(record: str) -> tuple[Observation, ...]:
    """What `_look` wrote. Raises ValueError, TypeError, KeyError for anything else."""
    data = codec.parse(record)
    return tuple(
        codec.from_record(Observation, {**look, "start": start, "end": end}, lenient=True)
        for look, (start, end) in zip(data["looks"], data["times"], strict=True)
    )


def _matters(look: Observation) -> list[Any]:
    tls, upgrade = look.tls, look.starttls
    return [
        look.vantage.value,
        look.reach.value,
        look.protocol,
        look.preauth,
        [
            [a.mechanism, a.channel.value, a.offered, a.outcome.value, a.remote]
            for a in look.attempts
        ],
        tls and [tls.version, codec.digest(tls.chain), tls.trust, tls.accepted, tls.rejected],
        upgrade and [upgrade.advertised, upgrade.outcome.value, bool(upgrade.injection)],
    ]


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]
