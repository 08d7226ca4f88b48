"""`mailseal scan`: from words to results, streamed.

Strategy: everything that can be wrong with the request is found before the first packet. Then
everything is a stream: targets are read, resolved, held against the scope, put in line (`turns`)
and looked at as results leave, so memory does not depend on how many there are. Names resolve in
threads beside the event loop, because a resolver that hangs would stop the clock of every look
under way. Looks that need the canary block, so they wait until no other is under way. Each result
is yielded as soon as it is whole; nothing that was asked for is left out.
"""

from __future__ import annotations

import contextlib
import functools
import resource
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from mailseal.assess import assess
from mailseal.model import target
from mailseal.model.finding import Assessment, Finding, Verdict
from mailseal.model.look import Channel, Observation, Outcome, Vantage
from mailseal.model.moment import Clock
from mailseal.probe import canary, targets, tls
from mailseal.probe.look import Layer, Limits, Question
from mailseal.probe.loop import Pause, Scan
from mailseal.probe.pace import Rates
from mailseal.probe.targets import Resolved
from mailseal.protocols.base import Credentials
from mailseal.report.result import Reference, ScanResult
from mailseal.rules import BY_ID, findings
from mailseal.workflow import BadInput, inventory
from mailseal.workflow.inventory import Inventory, Listing, Word
from mailseal.workflow.shards import Round, Told, looked_in_processes, processes
from mailseal.workflow.turns import Feed, Turns, nothing, origin, told_of

if TYPE_CHECKING:
    from mailseal.workflow.journal import Earlier

__all__ = [
    "Rates",
    "Request",
    "Standing",
    "Word",
    "credentials",
    "ports_of",
    "scan",
    "seconds_of",
    "stream",
]

AGAIN = (60.0, 300.0)
"""Seconds after which a server that said "later" is looked at again."""
CANARIES = 256
"""POP2 servers that wait for the canary; then the others wait for them."""


@dataclass(frozen=True)
class Request:
    """What to scan and how. `lists` are files of targets ("-": stdin). `vantage`: None finds out by
    itself, REMOTE insists on another host's endpoints, SELF says that all are this host's, VETH
    looks at this host's from a namespace. `name` is what certificates must fit, instead of the name
    that was asked for. `authority` is a PEM file. `timeout` is the patience for an answer, in
    seconds; `connect` and `total` those for a connection and for one whole connection, where they
    shall not follow from it. `scope` is a file, outside which nothing is contacted; `exclude` and
    `exclude_files` name what is not contacted either. `srv` and `mx` also follow a domain's
    records. `processes` None: as many as are worth it. `earlier` is what an interrupted scan has
    answered.
    """

    words: tuple[Word, ...]
    ports: tuple[int, ...] = target.DEFAULT_PORTS
    login: Credentials | None = None
    throwaway: bool = False
    remote_login: bool = False
    intrusive: bool = False
    versions: bool = True
    authority: str = ""
    name: str = ""
    timeout: float = 8.0
    connect: float | None = None
    total: float | None = None
    concurrency: int = 512
    vantage: Vantage | None = None
    site: str = "default"
    canary_port: int = canary.PORT
    lists: tuple[str, ...] = ()
    scope: str | None = None
    exclude: tuple[str, ...] = ()
    exclude_files: tuple[str, ...] = ()
    srv: bool = False
    mx: bool = False
    rates: Rates = Rates()  # noqa: RUF009
    again: tuple[float, ...] = AGAIN
    processes: int | None = None
    earlier: Earlier | None = None

    @property
    def limits(self) -> Limits:
        """The patience for each step."""
        limits = Limits().scaled(self.timeout)
        return Limits(self.connect or limits.connect, limits.answer, self.total or limits.total)


class Standing(NamedTuple):
    """How far a scan is: endpoints that are done, of how many (`exact`, or at least), looks under
    way, and how many wait to be looked at again.
    """

    done: int
    total: int
    exact: bool
    under_way: int
    later: int


Watch = Callable[[Standing], None]
Tell = Callable[[str], None]


def _silent(heard: object) -> None:
    """Nobody watches."""


def ports_of(text: str) -> tuple[int, ...]:
    """`pop2,110,1100-1110` as numbers. Raises BadInput."""
    try:
        return target.port_list(text)
    except target.BadTarget as error:
        names = ", ".join(target.SCHEMES)
        raise BadInput(
            f"ports: {error}; write them as 109,110 or 1100-1110, or by name: {names}"
        ) from None


def seconds_of(text: str) -> tuple[float, ...]:
    """`60,300` as moments to look again; `never` is none. Raises BadInput."""
    try:
        found = () if text == "never" else tuple(float(word) for word in text.split(","))
    except ValueError:
        found = (-1.0,)
    if not all(0 <= each <= 86400 for each in found) or len(found) > 8:
        raise BadInput(f"--again {text!r}: up to 8 numbers of seconds as in 60,300, or never")
    return found


def credentials(user: str, password: str) -> Credentials:
    """A test account. Raises BadInput for what HELO cannot carry."""
    try:
        return Credentials(user, password)
    except ValueError as error:
        raise BadInput(f"the test account: {error}") from None


def scan(
    request: Request, now: Clock = time.time, watch: Watch = _silent, tell: Tell = _silent
) -> Generator[ScanResult, None, None]:
    """Checks the request at once (raises BadInput), then gives results as they come. Closing the
    iterator ends the scan. `watch` is called at least twice a second; `tell` hears what was left
    out, and of processes that ended early.
    """
    return _values(stream(request, now, watch, tell))


def _values(told: Generator[Told, None, None]) -> Generator[ScanResult, None, None]:
    with contextlib.closing(told):
        for each in told:
            yield each.result


def stream(
    request: Request, now: Clock = time.time, watch: Watch = _silent, tell: Tell = _silent
) -> Generator[Told, None, None]:
    """As `scan`; the results of other processes are not read but where that is asked for."""
    with contextlib.ExitStack() as stack:

        def listing(path: str) -> Listing:
            opened = Listing(path)
            stack.callback(opened.close)
            return opened

        permit = inventory.permit(
            None if request.scope is None else listing(request.scope),
            request.exclude,
            [listing(path) for path in request.exclude_files],
        )
        wanted = Inventory(request.words, [listing(path) for path in request.lists], request.ports)
        if request.authority:
            check_authority(request.authority)
        if wanted.network and request.login is not None:
            words = (
                f"a password is not sent to all of {wanted.network}: with --user, name the hosts"
            )
            raise BadInput(words)
        earlier = None if request.earlier is None else request.earlier.keys
        places = targets.places(wanted, request.site, permit, _asking(request))
        feed = Feed(places, earlier, request.name)
        return _results(request, wanted, feed, now, watch, tell, stack.pop_all())


def _asking(request: Request) -> targets.Ask:
    """How names are resolved. Raises BadInput where records cannot be asked for."""
    if not (request.srv or request.mx):
        return targets.ask
    from mailseal.probe import directory

    try:
        return directory.asker(directory.records(directory.resolver()), request.srv, request.mx)
    except directory.NoServers as error:
        raise BadInput(f"--srv and --mx need a name server: {error}") from None


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
    request: Request,
    wanted: Inventory,
    feed: Feed,
    now: Clock,
    watch: Watch,
    tell: Tell,
    held: contextlib.ExitStack,
) -> Generator[Told, None, None]:
    done = 0
    with held, contextlib.closing(_rounds(request, wanted, feed, now, tell)) as rounds:
        for told, under_way, later in rounds:
            for each in (*map(Told.of, feed.take()), *told):
                done += 1
                yield each
            reached = done + feed.passed
            watch(Standing(reached, max(wanted.total, reached), wanted.exact, under_way, later))
    yield from map(Told.of, feed.take())
    for words in told_of(feed.left):
        tell(words)


def _rounds(
    request: Request, wanted: Inventory, feed: Feed, now: Clock, tell: Tell
) -> Generator[tuple[list[Told], int, int], None, None]:
    """The looks, in as many processes as they are worth."""
    count = request.processes or processes(wanted.total, request.rates)
    # One canary listens for all; a namespace has processes of its own.
    if count == 1 or request.remote_login or request.vantage is Vantage.VETH:
        for told, under_way, later in looked(request, iter(feed), now):
            yield list(map(Told.of, told)), under_way, later
        return

    def look(rates: Rates, places: Iterator[Resolved | None]) -> Iterator[Round]:
        concurrency = max(1, request.concurrency // count)
        return looked(replace(request, rates=rates, concurrency=concurrency), places, now)

    places = iter(feed)
    yield from looked_in_processes(look, places, request.rates, count, request.site, tell)


def looked(
    request: Request, places: Iterator[Resolved | None], now: Clock = time.time
) -> Generator[Round, None, None]:
    """Looks at the places, by rounds of the event loop."""
    refused: list[ScanResult] = []
    waiting: list[tuple[Resolved, Observation]] = []
    turns = Turns(
        _lookable(request, places, refused),
        functools.partial(_question, request),
        request.rates,
        request.again,
        time.monotonic,
    )
    concurrency = min(request.concurrency, max(1, _descriptors() - 64))
    loop = Scan(concurrency, request.authority, now, turns.permit)
    look = _from_namespace if request.vantage is Vantage.VETH else loop.rounds
    for batch in look(turns.questions()):
        told = refused.copy()
        refused.clear()
        for observation in batch:
            assessment = assess([observation])
            place = turns.ended(observation, assessment.verdict is Verdict.INCONCLUSIVE)
            if place is None:
                continue
            if request.remote_login and _may_go_on(observation):
                waiting.append((place, observation))
            else:
                told.append(_result([observation], place, assessment))
        yield told, turns.under_way, turns.later
        turns.held = len(waiting) >= CANARIES
        if turns.held and not turns.under_way:
            turns.held = False
            yield from _canaries(request, waiting, now)
    yield refused, 0, 0
    yield from _canaries(request, waiting, now)


def _canaries(
    request: Request, waiting: list[tuple[Resolved, Observation]], now: Clock
) -> Iterator[Round]:
    """The second look at each that waits for it, one after the other."""
    while waiting:
        place, first = waiting.pop(0)
        seen = _with_canary(request, first, now)
        yield [_result(seen, place, assess(seen))], 0, len(waiting)


def _lookable(
    request: Request, places: Iterable[Resolved | None], refused: list[ScanResult]
) -> Iterator[Resolved | None]:
    """The places of which the wanted vantage has an honest look; the others are told of."""
    wrong = {Vantage.REMOTE: True, Vantage.VETH: False}
    for place in places:
        if (
            place is not None
            and request.vantage in wrong
            and _own(place.endpoint.address) is wrong[request.vantage]
        ):
            refused.append(nothing(place.asked, place.endpoint, _why(request), place.origin))
        else:
            yield place


def _why(request: Request) -> str:
    """Why an endpoint was not looked at from the vantage that was asked for."""
    if request.vantage is Vantage.VETH:
        return "a throwaway namespace reaches this host's own addresses alone, and this is another"
    return "this address is the host's own: a remote look must be taken from another host"


def _from_namespace(questions: Iterable[Question | Pause]) -> Iterator[list[Observation]]:
    """Looks from a throwaway network namespace of this host, some side by side."""
    from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

    from mailseal import agent
    from mailseal.system.live import LiveSystem

    running: set[Future[Observation]] = set()
    with contextlib.ExitStack() as stack:
        observe, _ = agent.veth_looker(LiveSystem(), stack)
        pool = stack.enter_context(ThreadPoolExecutor(_SIDE_BY_SIDE))
        for item in questions:
            patience = _SIDE_BY_SIDE_ROUND
            if isinstance(item, Question):
                running.add(pool.submit(observe, item))
                if len(running) < _SIDE_BY_SIDE:
                    continue
            else:
                patience = min(patience, item.seconds)
            if not running:
                time.sleep(patience)
            ended, running = wait(running, patience, FIRST_COMPLETED)
            yield [future.result() for future in ended]


_SIDE_BY_SIDE = 16
_SIDE_BY_SIDE_ROUND = 0.5


def _question(request: Request, place: Resolved) -> Question:
    """What to ask of a place."""
    return Question(
        place.endpoint,
        vantage=request.vantage
        or (Vantage.SELF if _own(place.endpoint.address) else Vantage.REMOTE),
        name=request.name or place.name,
        authority=request.authority,
        throwaway=request.throwaway,
        login=request.login,
        versions=request.versions,
        intrusive=request.intrusive,
        limits=request.limits,
    )


def _descriptors() -> int:
    """How many files this process may have open: without one, a look would be our own failure."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@functools.lru_cache(maxsize=4096)
def _own(address: str) -> bool:
    return canary.own(address)


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
        limits=request.limits,
    )
    from mailseal.probe import blocking

    observe = functools.partial(blocking.observe, authority=request.authority, now=now)
    second = canary.examine(question, observe, request.canary_port)
    if isinstance(second, canary.NotExamined):
        gap = "remote login not examined: " + second.reason
        return [replace(first, gaps=(*first.gaps, gap))]
    return [first, second]


def _result(observations: list[Observation], place: Resolved, assessment: Assessment) -> ScanResult:
    broken = findings(assessment, observations)
    return ScanResult(
        asked=place.asked,
        endpoint=place.endpoint,
        verdict=assessment.verdict,
        reason="",
        assessment=assessment,
        findings=broken,
        references=tuple(reference(finding) for finding in broken),
        observations=tuple(observations),
        swept=place.swept,
        origin=origin(place.origin),
    )


def reference(finding: Finding) -> Reference:
    """Where the rule of a finding comes from."""
    rule = BY_ID[finding.rule]
    return Reference(rule.id, rule.cvss, rule.cwe, rule.standards, rule.scanners, rule.page)
