"""What logs say between two rounds of `watch`: who fails to get into TLS, who logs in in cleartext.

Strategy: the logs are followed as `logs --follow` does; after a restart they are read on from the
moment up to which they were read. What is kept is bounded, and the names of people stay with those
who record them: troubles have numbers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from mailseal.assess import meaning
from mailseal.model.finding import Severity
from mailseal.model.login import JudgedLogin, Login, TlsFailure
from mailseal.model.policy import FAILING, Posture, SealPolicy, deviation_id
from mailseal.model.watching import Trouble
from mailseal.policy.compare import compare, nothing_before
from mailseal.workflow.gathering import Gathering
from mailseal.workflow.logs import Following, Request
from mailseal.workflow.recording import observed
from mailseal.workflow.rounds import place_of

CLIENTS_FAIL = "tls-clients-failing"
"""The rule of clients that do not get into TLS."""
SEEN = "cleartext-login-seen"
"""The rule of servers where somebody logged in in cleartext."""
RULES = (CLIENTS_FAIL, SEEN)
KINDS = 1000
"""Different kinds of failures that are counted; more are counted as one."""
CLIENTS = 10_000
"""Clients that are told apart at one kind."""
OTHERS = "others"
BLOCKS = 2000
"""Steps at a time: a log that grows faster than it is read must not keep a round from beginning."""

Kind = tuple[str, str, str]
"""Service, protocol and reason."""


class Heard:
    """Logs that are followed, for `with`. `failures` counts since the beginning, by kind."""

    def __init__(self, request: Request) -> None:
        self.paths = request.paths
        self._following = Following(request)
        self._idle = False
        self._new = self._following.sightings(lambda: False, lambda *_: None, self._rest)
        self._clients: dict[Kind, set[str]] = defaultdict(set)
        self._logins: Gathering[Login] = Gathering()
        self.failures: Counter[Kind] = Counter()

    def __enter__(self) -> Heard:
        return self

    def __exit__(self, *error: object) -> None:
        self._following.__exit__(*error)

    def _rest(self, patience: float) -> None:
        self._idle = True

    def listen(self) -> None:
        """Reads what is there, or much of it. Raises BadInput where a log cannot be read."""
        self._idle = False
        for _ in range(BLOCKS):
            if self._idle:
                break
            for each in next(self._new):
                if isinstance(each, TlsFailure):
                    self._failed(each)
                else:
                    self._logins.add(each.login)

    def _failed(self, failure: TlsFailure) -> None:
        service = str(failure.endpoint) if failure.endpoint else failure.host
        kind = (service, failure.protocol, failure.reason)
        if kind not in self.failures and len(self.failures) >= KINDS:
            kind = (OTHERS, failure.protocol, failure.reason)
        self.failures[kind] += failure.count
        clients = self._clients[kind]
        if len(clients) < CLIENTS:
            clients.add(failure.client)

    def taken(self, least: int) -> tuple[list[Trouble], list[Login]]:
        """What was heard since this was asked last: failures of `least` clients or more as
        troubles, and who logged in, added up.
        """
        logins, self._logins = self._logins.all(), Gathering()
        clients, self._clients = self._clients, defaultdict(set)
        return list(_troubles(clients, least)), logins


def _troubles(clients: dict[Kind, set[str]], least: int) -> Iterator[Trouble]:
    for (service, protocol, reason), who in clients.items():
        if least and len(who) >= least:
            where = f"{service} ({protocol})"
            words = f"{len(who)} clients did not get into TLS since the last round: {reason}"
            yield Trouble(
                deviation_id(CLIENTS_FAIL, f"{where} {reason}"),
                CLIENTS_FAIL,
                where,
                Severity.MEDIUM,
                words,
            )


def exposed(logins: Iterable[Login], policy: SealPolicy, now: str) -> Iterator[Trouble]:
    """Servers that were seen to take logins in cleartext, where the policy does not let it pass."""
    known = (
        Posture(each.assessment.endpoint, "", each.moments[-1], each.assessment, each.findings)
        for each in observed(JudgedLogin(login, meaning(login)) for login in logins)
    )
    for found in compare(policy, known, nothing_before, now):
        if found.state in FAILING and found.endpoint:
            id = deviation_id(SEEN, found.endpoint)
            yield Trouble(id, SEEN, place_of(found.endpoint), found.severity, found.text)
