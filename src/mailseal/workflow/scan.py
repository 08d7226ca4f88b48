"""`mailseal scan`: from words to results, streamed.

Strategy: everything that can be wrong with the request is found before the first packet. Names
resolve before the event loop starts, because a resolver that hangs would stop the clock of every
look under way; networks unroll lazily, because they may be large. Looks that need the canary block,
so they wait until the loop has ended. Each result is yielded as soon as it is whole; nothing that
was asked for is left out.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import resource
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from mailseal import agent
from mailseal.assess import assess
from mailseal.model.finding import Finding, Verdict
from mailseal.model.look import Channel, Endpoint, Observation, Outcome, Vantage
from mailseal.model.moment import Clock
from mailseal.probe import blocking, canary, targets, tls
from mailseal.probe.look import Layer, Limits, Question
from mailseal.probe.loop import Scan
from mailseal.protocols.base import Credentials
from mailseal.report.result import Reference, ScanResult
from mailseal.rules import BY_ID, findings
from mailseal.system.live import LiveSystem
from mailseal.workflow import BadInput

SWEEP_LIMIT = 1 << 24
"""Addresses of one network: a /8. More is a slip of the pen."""


@dataclass(frozen=True)
class Word:
    """A target as it was written, and where ("" for an argument, else "FILE, line N")."""

    text: str
    origin: str = ""


@dataclass(frozen=True)
class Request:
    """What to scan and how. `vantage`: None finds out by itself, REMOTE insists on another host's
    endpoints, SELF says that all are this host's, VETH looks at this host's from a namespace.
    `name` is what certificates must fit, instead of the name that was asked for. `authority` is a
    PEM file. `timeout` is the patience for an answer, in seconds.
    """

    words: tuple[Word, ...]
    ports: tuple[int, ...] = targets.DEFAULT_PORTS
    login: Credentials | None = None
    throwaway: bool = False
    remote_login: bool = False
    intrusive: bool = False
    versions: bool = True
    authority: str = ""
    name: str = ""
    timeout: float = 8.0
    concurrency: int = 512
    vantage: Vantage | None = None
    site: str = "default"
    canary_port: int = canary.PORT


def words_of(lines: Iterable[str], origin: str) -> tuple[Word, ...]:
    """The targets of a file: one a line, `#` begins a comment."""
    stripped = ((line.partition("#")[0].strip(), at) for at, line in enumerate(lines, 1))
    return tuple(Word(text, f"{origin}, line {at}") for text, at in stripped if text)


def ports_of(text: str) -> tuple[int, ...]:
    """`109,110` as numbers. Raises BadInput."""
    try:
        numbers = tuple(targets.port_number(word.strip(), text) for word in text.split(","))
    except targets.BadTarget as error:
        raise BadInput(f"ports: {error}; write them as 109,110") from None
    return tuple(dict.fromkeys(numbers))


def credentials(user: str, password: str) -> Credentials:
    """A test account. Raises BadInput for what HELO cannot carry."""
    try:
        return Credentials(user, password)
    except ValueError as error:
        raise BadInput(f"the test account: {error}") from None


def scan(request: Request, now: Clock = time.time) -> Generator[ScanResult, None, None]:
    """Checks the request at once (raises BadInput), then gives results as they come. Closing the
    iterator ends the scan.
    """
    parsed = [_parse(word, request.ports) for word in request.words]
    if not parsed:
        raise BadInput("there is no target: name a host, host:port or network")
    if request.authority:
        check_authority(request.authority)
    networks = [target for target in parsed if "/" in target.host]
    if networks and request.login is not None:
        network = networks[0].host
        raise BadInput(f"a password is not sent to all of {network}: with --user, name the hosts")
    return _results(request, parsed, now)


def _parse(word: Word, ports: Sequence[int]) -> targets.Target:
    try:
        target = targets.parse(word.text, ports)
    except targets.BadTarget as error:
        raise BadInput(f"{word.origin}: {error}" if word.origin else str(error)) from None
    if "/" in target.host and _size(target.host) > SWEEP_LIMIT:
        raise BadInput(f"{target.host} has too many addresses: write smaller networks")
    return target


def _size(network: str) -> int:
    """Addresses in `a.b.c.d/n` or its IPv6 form."""
    address, _, bits = network.partition("/")
    return 1 << ((128 if ":" in address else 32) - int(bits))


def check_authority(path: str) -> None:
    """Raises BadInput where a CA file cannot be used."""
    try:
        tls.context(Layer.TLS_VERIFIED, path)
    except OSError as error:
        # The TLS library's own errors have a `reason`; the system's have not.
        pem = hasattr(error, "reason")
        words = "it holds no certificate in PEM form" if pem else error.strerror
        raise BadInput(f"the CA file {path} cannot be used: {words}") from None


def _results(
    request: Request, parsed: Sequence[targets.Target], now: Clock
) -> Generator[ScanResult, None, None]:
    single = [target for target in parsed if "/" not in target.host]
    questions: dict[tuple[Endpoint, str], Question] = {}
    asked: dict[tuple[Endpoint, str], str] = {}
    for found in targets.resolve(dict.fromkeys(single), request.site):
        if isinstance(found, targets.Unresolved):
            yield _nothing(found.name, None, found.reason)
            continue
        question = _question(request, found)
        if question is None:
            yield _nothing(found.name or found.endpoint.address, found.endpoint, _why(request))
            continue
        key = (question.endpoint, question.name)
        questions[key], asked[key] = question, found.name or found.endpoint.address
    named = {endpoint for endpoint, _ in questions}
    waiting: list[Observation] = []
    concurrency = min(request.concurrency, max(1, _descriptors() - 64))
    loop = Scan(concurrency=concurrency, authority=request.authority, now=now)
    own: list[Endpoint] = []
    swept = _swept(request, [t for t in parsed if "/" in t.host], named, own)
    look = _from_namespace if request.vantage is Vantage.VETH else loop.results
    for observation in look(itertools.chain(questions.values(), swept)):
        if request.remote_login and _may_go_on(observation):
            waiting.append(observation)
        else:
            yield _result([observation], asked, named)
    for endpoint in own:
        yield _nothing(endpoint.address, endpoint, _why(request))
    for observation in waiting:
        yield _result(_with_canary(request, observation, now), asked, named)


def _why(request: Request) -> str:
    """Why an endpoint was not looked at from the vantage that was asked for."""
    if request.vantage is Vantage.VETH:
        return "a throwaway namespace reaches this host's own addresses alone, and this is another"
    return "this address is the host's own: a remote look must be taken from another host"


def _from_namespace(questions: Iterable[Question]) -> Iterator[Observation]:
    """Looks from a throwaway network namespace of this host, some side by side."""
    with contextlib.ExitStack() as stack:
        observe = agent.veth_looker(LiveSystem(), stack)
        with ThreadPoolExecutor(16) as pool:
            yield from pool.map(observe, questions)


def _question(request: Request, found: targets.Resolved) -> Question | None:
    """What to ask of an endpoint; None where the wanted vantage has no honest look at it."""
    own = _own(found.endpoint.address)
    if request.vantage is (Vantage.REMOTE if own else Vantage.VETH):
        return None
    return Question(
        found.endpoint,
        vantage=request.vantage or (Vantage.SELF if own else Vantage.REMOTE),
        name=request.name or found.name,
        authority=request.authority,
        throwaway=request.throwaway,
        login=request.login,
        versions=request.versions,
        intrusive=request.intrusive,
        limits=Limits().scaled(request.timeout),
    )


def _descriptors() -> int:
    """How many files this process may have open: without one, a look would be our own failure."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@functools.lru_cache(maxsize=4096)
def _own(address: str) -> bool:
    return canary.own(address)


def _swept(
    request: Request,
    networks: Sequence[targets.Target],
    named: set[Endpoint],
    own: list[Endpoint],
) -> Iterator[Question]:
    """The addresses of networks, without those that were named by themselves."""
    for found in targets.resolve(networks, request.site):
        if isinstance(found, targets.Unresolved) or found.endpoint in named:
            continue
        question = _question(request, found)
        if question is None:
            own.append(found.endpoint)
        else:
            yield question


def _may_go_on(observation: Observation) -> bool:
    """A POP2 server that takes logins in the clear may take those for other hosts too."""
    return observation.protocol == "pop2" and any(
        attempt.channel is Channel.CLEAR and attempt.outcome is not Outcome.REFUSED
        for attempt in observation.attempts
    )


def _with_canary(request: Request, first: Observation, now: Clock) -> list[Observation]:
    question = Question(
        first.endpoint,
        vantage=first.vantage,
        name=first.name,
        limits=Limits().scaled(request.timeout),
    )
    observe = functools.partial(blocking.observe, authority=request.authority, now=now)
    second = canary.examine(question, observe, request.canary_port)
    if isinstance(second, canary.NotExamined):
        gap = "remote login not examined: " + second.reason
        return [replace(first, gaps=(*first.gaps, gap))]
    return [first, second]


def _result(
    observations: list[Observation],
    asked: dict[tuple[Endpoint, str], str],
    named: set[Endpoint],
) -> ScanResult:
    assessment = assess(observations)
    broken = findings(assessment, observations)
    endpoint = assessment.endpoint
    return ScanResult(
        asked=asked.get((endpoint, observations[0].name), endpoint.address),
        endpoint=endpoint,
        verdict=assessment.verdict,
        reason="",
        assessment=assessment,
        findings=broken,
        references=tuple(reference(finding) for finding in broken),
        observations=tuple(observations),
        swept=endpoint not in named,
    )


def reference(finding: Finding) -> Reference:
    """Where the rule of a finding comes from."""
    rule = BY_ID[finding.rule]
    return Reference(rule.id, rule.cvss, rule.cwe, rule.standards, rule.scanners, rule.page)


def _nothing(asked: str, endpoint: Endpoint | None, reason: str) -> ScanResult:
    """A result without a look."""
    return ScanResult(asked, endpoint, Verdict.INCONCLUSIVE, reason, None, (), (), ())
