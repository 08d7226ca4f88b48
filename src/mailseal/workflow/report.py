"""`mailseal report`: how it stands, from the store alone; no packet is sent.

Strategy: one walk over the findings, as they are read; what is told in full is bounded, what is
counted is not. People are redacted before any of it reaches the report. The record of changes lies
on the hosts and not in the store, so it comes as a file, and is held against its own hashes.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from mailseal import __version__
from mailseal.apply.changes import judged
from mailseal.assets import urgency
from mailseal.model.asset import Asset, Terms
from mailseal.model.change import ChangeHistory
from mailseal.model.finding import Severity, Verdict
from mailseal.model.known import KnownFinding
from mailseal.model.login import JudgedLogin, Meaning
from mailseal.model.moment import Clock, rfc3339
from mailseal.model.policy import SealPolicy
from mailseal.report.assets import AssetSum, Ranked
from mailseal.report.logins import Logins
from mailseal.report.result import Reference
from mailseal.report.status import DETAILS, ROWS, Listed, People, Status
from mailseal.rules import BY_ID
from mailseal.store import Filter, LoginFilter, Store
from mailseal.workflow import BadInput
from mailseal.workflow.assets import software
from mailseal.workflow.opened import blocks, name_of
from mailseal.workflow.policies import terms_of
from mailseal.workflow.redact import NOTHING, Redaction
from mailseal.workflow.words import ago

SINCE = "90d"
"""What was fixed and who logged in is told of so long a time."""
RECORD = 16 << 20
"""Octets of a record of changes: ten thousand changes."""


@dataclass(frozen=True)
class Request:
    """What to tell, in the words of the command line. `since`: a span (90d) or a day; `receipts`:
    the path of a record of changes, empty for none.
    """

    site: str = ""
    since: str = SINCE
    receipts: str = ""


def report(
    store: Store,
    request: Request,
    redact: Redaction = NOTHING,
    now: Clock = time.time,
    policy: SealPolicy | None = None,
) -> Status:
    """The status of a store, all of it of one moment; `policy` says what is let pass, and when
    updates are due. Raises BadInput, StoreError.
    """
    made = now()
    since = ago(request.since, made)
    changes = _changes(request.receipts) if request.receipts else None
    with store.still():
        return _status(store, request.site, since, made, changes, redact, policy)


def _status(
    store: Store,
    site: str,
    since: str,
    made: float,
    changes: ChangeHistory | None,
    redact: Redaction,
    policy: SealPolicy | None,
) -> Status:
    asked = Filter(site=site, logins_since=since)
    endpoints, undecided = store.endpoints(asked)
    severities: Counter[Severity] = Counter()
    exposed = set()

    def counted(found: Iterable[KnownFinding]) -> Iterable[KnownFinding]:
        for known in found:
            severities[known.finding.severity] += 1
            if known.finding.assessment.verdict is Verdict.EXPOSED:
                exposed.add(known.finding.endpoint)
            yield known

    now_open = _listed(store, counted(store.findings(asked)), since)
    past = Filter(site=site, logins_since=since, fixed_since=since)
    fixed = _listed(store, store.findings(past), since)
    return Status(
        mailseal=__version__,
        made=rfc3339(made),
        since=since,
        site=site,
        endpoints=endpoints,
        exposed=len(exposed),
        looked=store.looked(asked),
        open=now_open,
        open_by=dict(severities),
        fixed=fixed,
        undecided=tuple(itertools.islice(store.undecided(asked), ROWS)),
        undecided_count=undecided,
        intervals=tuple(store.intervals(asked)),
        people=_people(store, site, since, redact),
        software=_software(store, asked, terms_of(policy), made),
        references=_references((*now_open.known, *fixed.known)),
        hidden=_hidden(redact),
        exceptions=None if policy is None else policy.exceptions,
        changes=changes,
    )


def _listed(store: Store, found: Iterable[KnownFinding], since: str) -> Listed:
    first: list[KnownFinding] = []
    more: list[KnownFinding] = []
    count = 0
    for known in found:
        count += 1
        if len(first) < DETAILS:
            first.append(known)
        elif len(more) < ROWS:
            more.append(known)
    details = tuple(store.evidence(known.finding.id, since) for known in first)
    return Listed(details, tuple(more), count)


def _software(store: Store, asked: Filter, terms: Terms, made: float) -> Ranked:
    total = AssetSum()

    def counted() -> Iterable[Asset]:
        for asset in software(store, asked, terms, lambda: made):
            total.add(asset)
            yield asset

    listed = tuple(heapq.nsmallest(ROWS, counted(), key=urgency))
    return Ranked(listed, total.assets, str(total))


def _people(store: Store, site: str, since: str, redact: Redaction) -> People:
    def asked(
        meaning: Meaning = Meaning.CLEARTEXT, accepted: bool = False, unplaced: bool = False
    ) -> LoginFilter:
        return LoginFilter(
            site=site, since=since, meaning=meaning, accepted=accepted, unplaced=unplaced
        )

    known = itertools.islice(store.logins(asked(accepted=True)), ROWS)
    listed = Logins(
        mailseal=__version__,
        sources=(),
        logins=tuple(JudgedLogin(each.login, each.meaning) for each in known),
        failures=(),
        counts={},
    )
    kinds = store.count(asked(accepted=True))
    return People(
        listed=redact.document(listed),
        kinds=kinds,
        users=store.users(asked(accepted=True)),
        rejected=store.count(asked()) - kinds,
        undecided=store.count(asked(Meaning.UNDECIDED)),
        # A login at no known address is in no known network.
        unplaced=0 if site else store.users(asked(accepted=True, unplaced=True)),
    )


def _references(found: Iterable[KnownFinding]) -> tuple[Reference, ...]:
    """Of the rules, in their order; one that is no more has none."""
    broken = {known.finding.rule for known in found}
    return tuple(
        Reference(rule.id, rule.cvss, rule.cwe, rule.standards, rule.scanners, rule.page)
        for rule in BY_ID.values()
        if rule.id in broken
    )


def _hidden(redact: Redaction) -> tuple[str, ...]:
    words = {
        "Users stand under pseudonyms, the same in every report of this store.": redact.users,
        "Clients stand as their networks (/24, /64).": redact.clients,
    }
    return tuple(each for each, done in words.items() if done)


def _changes(path: str) -> ChangeHistory:
    """The record as `mailseal receipts --format ndjson` gives it. Raises BadInput."""
    data = bytearray()
    for block in blocks(path):
        data += block
        if len(data) > RECORD:
            raise BadInput(f"{name_of(path)} is longer than {RECORD >> 20} MiB: cut it by runs")
    history = judged(bytes(data), {}, {})
    if data and not history.lines:
        words = "is no record of changes: `mailseal receipts --format ndjson` gives one"
        raise BadInput(f"{name_of(path)} {words}")
    return history
