"""What `mailseal check` does: looks, what is known and files, held against the policy.

Strategy: three sources of the same kind of value, one after the other, each read as it is judged.
What was before is a file of deviations that a team keeps, or what the store knew at a moment; it is
asked endpoint by endpoint. Nothing that was asked for is left out: what cannot be told is told so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass

from mailseal.model import codec
from mailseal.model.look import Endpoint
from mailseal.model.moment import Clock, rfc3339
from mailseal.model.policy import Deviation, Posture, SealPolicy
from mailseal.model.target import DEFAULT_PORTS
from mailseal.policy.compare import (
    Baseline,
    as_of,
    compare,
    compare_files,
    nothing_before,
    remembered,
    unknown,
)
from mailseal.policy.places import Index, Place, place
from mailseal.report.check import Sum
from mailseal.report.result import ScanResult
from mailseal.store import Filter, Store
from mailseal.workflow import BadInput, lint, policies, scan
from mailseal.workflow.opened import blocks, name_of
from mailseal.workflow.postures import of_known, of_result
from mailseal.workflow.recording import Recorder
from mailseal.workflow.words import ago

SINCE = "1d"
"""What is known now is held against what was known so long ago."""
BASELINE = 64 << 20
"""Octets of a baseline file."""


@dataclass(frozen=True)
class Request:
    """What to check, in the words of the command line. `targets`: empty means those of the policy,
    or with `stored` all that is known. `since` is a span or a day, empty for the usual. `baseline`
    is the path of a file of deviations, empty for what the store knew. `configs` are files and
    folders.
    """

    policy: str = policies.DEFAULT
    targets: tuple[str, ...] = ()
    stored: bool = False
    site: str = ""
    since: str = ""
    baseline: str = ""
    configs: tuple[str, ...] = ()
    ports: str = ""
    authority: str = ""
    timeout: float = 8.0


Tell = Callable[[str], None]


def looks(request: Request) -> bool:
    """Whether hosts are looked at."""
    return not request.stored and bool(request.targets or not request.configs)


def check(
    request: Request,
    total: Sum,
    memory: Recorder,
    store: Store | None,
    tell: Tell,
    now: Clock = time.time,
) -> Generator[Deviation, None, None]:
    """The deviations as they come; `total`, of the policy, grows with them. Looks are recorded in
    `memory`; `store` is what is known, None where nothing is to be asked. Raises BadInput at once,
    and while the deviations are read.
    """
    policy, made = total.policy, rfc3339(now())
    baseline = _baseline(request, policy, store, made, now())
    sources: list[Iterator[Deviation]] = []
    if request.stored:
        assert store is not None
        sources.append(_stored(request, policy, store, baseline, total, made))
    elif looks(request):
        results = _looks(request, policy, tell, now)
        sources.append(_looked(results, policy, memory, baseline, total, made))
    if request.configs:
        linted = lint.run(lint.Request(request.configs), lambda path, before, after: False)
        total.files = len(linted.files)
        sources.append(compare_files(policy, linted.files, baseline, made))
    return _counted(sources, total)


def _counted(
    sources: Iterable[Iterator[Deviation]], total: Sum
) -> Generator[Deviation, None, None]:
    for source in sources:
        for each in source:
            total.add(each)
            yield each


# -- what is known ---------------------------------------------------------------------------------


def _stored(
    request: Request,
    policy: SealPolicy,
    store: Store,
    baseline: Baseline,
    total: Sum,
    now: str,
) -> Iterator[Deviation]:
    words = request.targets or (*policy.targets, *policy.services)
    named = {word: _place(word) for word in words}
    yield from compare(policy, _postures(request, store, named, total), baseline, now)
    for word, each in named.items():
        if not store.endpoints(_filter(each, request.site))[0]:
            total.endpoints += 1
            yield unknown(word, "nothing is known of it")


def _postures(
    request: Request, store: Store, named: Mapping[str, Place], total: Sum
) -> Iterator[Posture]:
    """All that is known, or what is at the targets that were given."""
    places = named.values() if request.targets else (None,)
    index = Index(([word], "", number) for number, word in enumerate(named))
    for number, each in enumerate(places):
        for known in store.standing(_filter(each, request.site)):
            # What several targets have is told of once.
            if each is None or index.at(known.endpoint, known.name)[:1] == [number]:
                total.endpoints += 1
                yield of_known(known)


def _filter(where: Place | None, site: str) -> Filter:
    if where is None:
        return Filter(site=site)
    return Filter(site=site, network=where.network, name=where.name, port=where.port)


def _place(word: str) -> Place:
    try:
        return place(word)
    except ValueError as error:
        raise BadInput(str(error)) from None


# -- looks -----------------------------------------------------------------------------------------


def _looks(
    request: Request, policy: SealPolicy, tell: Tell, now: Clock
) -> Generator[ScanResult, None, None]:
    ports = scan.ports_of(request.ports) if request.ports else DEFAULT_PORTS
    names = request.targets or policies.looked_at(policy, ports)
    if not names:
        words = "name a target, here or in the policy (targets); or check what is known: --stored"
        raise BadInput(words)
    wanted = scan.Request(
        words=tuple(map(scan.Word, names)),
        ports=ports,
        authority=request.authority,
        timeout=request.timeout,
        site=request.site or "default",
    )
    return scan.scan(wanted, now, tell=tell)


def _looked(
    results: Generator[ScanResult, None, None],
    policy: SealPolicy,
    memory: Recorder,
    baseline: Baseline,
    total: Sum,
    now: str,
) -> Iterator[Deviation]:
    lost: list[Deviation] = []

    def postures() -> Iterator[Posture]:
        for result in memory.recorded(results):
            total.endpoints += 1
            posture = of_result(result)
            if posture is None:
                lost.append(unknown(result.asked, result.reason))
            else:
                yield posture

    yield from compare(policy, postures(), baseline, now)
    yield from lost


# -- before ----------------------------------------------------------------------------------------


def _baseline(
    request: Request, policy: SealPolicy, store: Store | None, made: str, now: float
) -> Baseline:
    if request.baseline:
        if request.since:
            raise BadInput("--since goes with the store, and --baseline takes its place: give one")
        return remembered(_file(request.baseline))
    if store is None:
        return nothing_before
    usual = ago(SINCE, now) if request.stored else made
    then = ago(request.since, now) if request.since else usual

    def before(endpoint: Endpoint) -> Posture | None:
        known = store.stood(endpoint, then)
        return None if known is None else of_known(known)

    return as_of(policy, before, then)


def _file(path: str) -> Iterator[Deviation]:
    """What `--format ndjson` wrote. Raises BadInput."""
    data = bytearray()
    for block in blocks(path):
        data += block
        if len(data) > BASELINE:
            raise BadInput(f"{name_of(path)} is longer than {BASELINE >> 20} MiB")
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            yield codec.loads(Deviation, bytes(line), lenient=True)
        except codec.CodecError as error:
            words = f"{name_of(path)}, line {number}: {error}; `mailseal check --format ndjson`"
            raise BadInput(f"{words} writes a baseline") from None
