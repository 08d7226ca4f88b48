"""`mailseal findings`: what is known, from the store alone; no packet is sent.

Strategy: words of the command line become one `Filter`; findings come as they are read. Where
nothing was ever looked at, nothing is clean: that is inconclusive. What looks and logins say of the
same endpoint is held against each other when it is asked for: either may have come last.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from mailseal import __version__
from mailseal.assess import assess
from mailseal.assets import judge
from mailseal.model.asset import Asset, Review, Terms
from mailseal.model.change import Actor
from mailseal.model.finding import Severity, Verdict
from mailseal.model.known import FindingHistory, KnownFinding
from mailseal.model.login import JudgedLogin, Meaning
from mailseal.model.moment import Clock, rfc3339
from mailseal.report.assets import AssetSum
from mailseal.report.known import Sum
from mailseal.report.logins import Logins
from mailseal.store import Filter, LoginFilter, Store, StoreError, path_of
from mailseal.system import account
from mailseal.workflow import BadInput
from mailseal.workflow.assets import TERMS, software
from mailseal.workflow.words import moment, where

USERS_DAYS = 30
"""Users who logged in in cleartext within so many days are counted."""
AMBIGUOUS = 5
"""Ids that are named where a prefix stands for several."""


@dataclass(frozen=True)
class Request:
    """What to list, in the words of the command line; empty means all. `fixed`: fixed ones too.
    `where` is an address, a network or a name, `fixed_since` a day or a moment.
    """

    fixed: bool = False
    fixed_since: str = ""
    site: str = ""
    rules: tuple[str, ...] = ()
    severity: Severity = Severity.INFO
    protocol: str = ""
    where: str = ""


@contextlib.contextmanager
def opened(option: str | None, environment: Mapping[str, str]) -> Iterator[Store]:
    """The store that `--store` and the environment name. Raises BadInput, also for what is found
    wrong with it while it is read.
    """
    try:
        store = Store.open(path_of(option, environment), make=False)
        with contextlib.closing(store):
            yield store
    except StoreError as error:
        raise BadInput(str(error)) from None


def listed(
    store: Store, request: Request, now: Clock = time.time
) -> tuple[Sum, Iterator[KnownFinding]]:
    """The findings as they are read, the most severe first, and their sum, which grows with them.
    Raises BadInput at once.
    """
    asked = _filter(request, now)
    unplaced = 0
    if not (asked.site or asked.network or asked.rules):
        unplaced = store.users(
            LoginFilter(
                unplaced=True,
                meaning=Meaning.CLEARTEXT,
                accepted=True,
                since=asked.logins_since,
                host=asked.name,
                protocol=asked.protocol,
            )
        )
    total = Sum(*store.endpoints(asked), unplaced)
    return total, _counted(store.findings(asked), total)


def logins(store: Store, request: Request) -> tuple[Sum, Logins]:
    """Who logs in, at every server that was asked for; somebody in cleartext is exposed, and what
    could not be told is undecided. Raises BadInput for what chooses among findings and not among
    people.
    """
    if request != Request(site=request.site, protocol=request.protocol, where=request.where):
        raise BadInput("--logins lists people: --site, --protocol and --host choose among them")
    network, name = where(request.where)
    asked = LoginFilter(server=network, host=name, site=request.site, protocol=request.protocol)
    known = list(store.logins(asked))
    counts = {
        "logins": sum(each.login.count for each in known),
        "users": store.users(replace(asked, accepted=True)),
        "of them in cleartext": store.users(
            replace(asked, accepted=True, meaning=Meaning.CLEARTEXT)
        ),
    }
    meanings = Counter(each.meaning for each in known)
    total = Sum(len(known), meanings[Meaning.UNDECIDED])
    total.exposed = meanings[Meaning.CLEARTEXT] > 0
    return total, Logins(
        mailseal=__version__,
        sources=tuple(dict.fromkeys(each.source for each in known)),
        logins=tuple(JudgedLogin(each.login, each.meaning) for each in known),
        failures=(),
        counts=counts,
    )


def assets(
    store: Store, request: Request, terms: Terms = TERMS, now: Clock = time.time
) -> tuple[AssetSum, Iterator[Asset]]:
    """The software at every endpoint that was asked for, and its sum, which grows with them. Raises
    BadInput for what chooses among findings and not among endpoints.
    """
    if request != Request(site=request.site, where=request.where):
        raise BadInput("--assets lists endpoints: --site and --host choose among them")
    total = AssetSum()
    return total, _passing(software(store, _filter(request, now), terms, now), total)


def _passing(found: Iterator[Asset], total: AssetSum) -> Iterator[Asset]:
    for asset in found:
        total.add(asset)
        yield asset


def review(store: Store, prefix: str, actor: Actor | None = None, now: Clock = time.time) -> None:
    """Notes that the endpoint of a finding was looked over now, by who runs this. Raises
    BadInput.
    """
    made = Review(rfc3339(now()), str(actor or account.who()))
    store.review(_whole(store, prefix), made)


def _counted(found: Iterator[KnownFinding], total: Sum) -> Iterator[KnownFinding]:
    for known in found:
        total.add(known)
        yield known


def _whole(store: Store, prefix: str) -> str:
    """The id that begins so. Raises BadInput for none or several."""
    if not re.fullmatch(r"[0-9a-f]{1,12}", prefix):
        raise BadInput(f"{prefix!r} is no id: `mailseal findings --all` lists them")
    ids = store.ids(prefix, AMBIGUOUS)
    if not ids:
        raise BadInput(f"no finding begins with {prefix}: `mailseal findings --all` lists them")
    if len(ids) > 1:
        more = " and more" if len(ids) == AMBIGUOUS else ""
        raise BadInput(f"{prefix} stands for {', '.join(ids)}{more}: write more of it")
    return ids[0]


def shown(
    store: Store, prefix: str, terms: Terms = TERMS, now: Clock = time.time
) -> tuple[FindingHistory, Sum]:
    """One finding by its id or the beginning of it. Raises BadInput for none or several."""
    finding = _whole(store, prefix)
    history = store.history(finding, _recently(now))
    history = replace(history, asset=judge(store.software_of(finding), now(), terms))
    if history.looks and history.logins:
        looks = history.looks[0].observations
        judged = assess(looks, (), [each.login for each in history.logins])
        history = replace(history, conflicts=judged.conflicts)
    newest = history.verdicts[0].assessment.verdict if history.verdicts else None
    total = Sum(1, int(newest is Verdict.INCONCLUSIVE))
    total.add(history.known)
    return history, total


def _recently(now: Clock) -> str:
    return rfc3339(now() - USERS_DAYS * 86400)


def _filter(request: Request, now: Clock) -> Filter:
    _check_rules(request.rules)
    network, name = where(request.where)
    return Filter(
        fixed=request.fixed,
        fixed_since=moment(request.fixed_since),
        site=request.site,
        rules=request.rules,
        severity=request.severity,
        protocol=request.protocol,
        network=network,
        name=name,
        logins_since=_recently(now),
    )


def _check_rules(names: tuple[str, ...]) -> None:
    if names:
        from mailseal.rules import BY_ID

        unknown = [name for name in names if name not in BY_ID]
        if unknown:
            raise BadInput(f"there is no rule {unknown[0]!r}: choose of {', '.join(BY_ID)}")
