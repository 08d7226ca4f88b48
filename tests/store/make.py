"""Looks for the store, of each kind that matters, at any minute."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mailseal.assess import assess, meaning
from mailseal.model.login import JudgedLogin, Login, LoginOutcome
from mailseal.model.look import Channel, Endpoint, Observation, Reach, Vantage
from mailseal.model.moment import rfc3339
from mailseal.model.reported import Claimed, Reported
from mailseal.report.result import ScanResult
from mailseal.rules import findings, kept
from mailseal.store import Store
from tests.rules.test_rules import looks

AT = Endpoint("192.0.2.7", 109)
NESSUS = Reported(
    AT, "nessus", "15854", "POP2 Cleartext Logins Permitted", Claimed.PERMITTED, "pop2"
)
NOTHING_OPEN = {"protocol": None, "attempts": (), "transcript": (), "tls": None, "banner": ""}
KINDS = {
    "exposed": ("bad", {}),
    "refused": ("good", {}),
    "closed": ("bad", {**NOTHING_OPEN, "reach": Reach.CLOSED}),
    "filtered": ("bad", {**NOTHING_OPEN, "reach": Reach.FILTERED}),
    "unroutable": ("bad", {**NOTHING_OPEN, "reach": Reach.UNROUTABLE}),
    "silent": ("bad", NOTHING_OPEN),
    "another": ("bad", {**NOTHING_OPEN, "protocol": "ssh", "banner": "SSH-2.0-x"}),
}


def moment(minute: float) -> str:
    return rfc3339(1768478400 + 60 * minute)


def look(
    kind: str,
    minute: float = 0,
    vantage: Vantage = Vantage.REMOTE,
    endpoint: Endpoint = AT,
    rule: str = "pop2-cleartext-login",
    **changes,
) -> Observation:
    fixture, more = KINDS[kind]
    (seen, *_) = looks(rule, fixture)
    return replace(
        seen,
        **{**more, "start": moment(minute), "end": moment(minute + 0.1), **changes},
        vantage=vantage,
        endpoint=endpoint,
    )


def result(*observations: Observation, reported: Sequence[Reported] = ()) -> ScanResult:
    """What a scan or an import makes of looks and reports."""
    made = assess(observations, reported)
    return ScanResult(
        asked="",
        endpoint=made.endpoint,
        verdict=made.verdict,
        reason="",
        assessment=made,
        findings=findings(made, observations),
        references=(),
        observations=observations,
        reported=tuple(reported),
    )


def record(store: Store, *observations: Observation, reported: Sequence[Reported] = ()) -> None:
    """As the recorder of `workflow` does, and at once."""
    made = result(*observations, reported=reported)
    assert made.assessment is not None

    def holds(rule: str, name: str) -> bool:
        assert made.assessment is not None
        return kept(rule, made.assessment, observations, name)

    store.record(observations, made.assessment, made.findings, holds, reported, moment(100_000))
    store.flush()


def login(user: str | None = "alice", first: float = 1, last: float = 2, **changes) -> Login:
    """Three logins in cleartext at `AT`, as a log shows them, between two minutes."""
    made = Login(
        endpoint=AT,
        protocol="pop2",
        client="198.51.100.7",
        user=user,
        mechanism="HELO",
        channel=Channel.CLEAR,
        outcome=LoginOutcome.ACCEPTED,
        count=3,
        first=moment(first),
        last=moment(last),
        vantage=Vantage.LOG,
        host="mail",
    )
    return replace(made, **changes)


def judged(*logins: Login) -> list[JudgedLogin]:
    return [JudgedLogin(each, meaning(each)) for each in logins]


def rows(path: Path) -> list[tuple[object, ...]]:
    """Everything that the file holds."""
    connection = sqlite3.connect(path)
    try:
        return [
            row
            for table in ("endpoint", "period", "finding", "login")
            for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")
        ]
    finally:
        connection.close()
