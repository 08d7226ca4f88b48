"""`mailseal import`: from reports of others to results, and what a look of our own makes of them.

Strategy: reports of one endpoint become one result, whichever file and tool they come from. They
are gathered up to `BATCH` endpoints, then given (with `verify`: looked at together) and forgotten:
memory stays bounded whatever the files hold, and only then may an endpoint come twice. A file with
a fault loses what stands behind it, not what stands before, nor the other files: the faults are
told after the last result.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from mailseal import imports
from mailseal.assess import assess
from mailseal.imports.base import MAIL_PORTS, LeftOut, Options, Unreadable, address_of
from mailseal.model.finding import Assessment, Grade, Verdict
from mailseal.model.look import Endpoint, Vantage
from mailseal.model.moment import Clock
from mailseal.model.reported import Reported
from mailseal.report.result import Recheck, ScanResult
from mailseal.rules import findings
from mailseal.workflow import BadInput
from mailseal.workflow import scan as scanning

FORMATS = tuple(imports.BY_NAME)
BATCH = 1 << 12
"""Endpoints that are gathered before their results are given."""
REPORTS = 8
"""Reports of one endpoint that are kept: no more than say something new to a reader."""
CHUNK = 1 << 16
"""Octets that are read at a time."""


@dataclass(frozen=True)
class Request:
    """`paths` are files, or "-" for stdin; `form` is a format's name (empty: recognised). `hosts`
    are the addresses of the host a list of sockets comes from. `verify`: how to look at each
    endpoint again (its words and site do not count); None: not at all.
    """

    paths: tuple[str, ...]
    form: str = ""
    ports: tuple[int, ...] = MAIL_PORTS
    hosts: tuple[str, ...] = ()
    site: str = "default"
    verify: scanning.Request | None = None


Tell = Callable[[str], None]


def run(request: Request, tell: Tell, now: Clock = time.time) -> Generator[ScanResult, None, None]:
    """Checks the request at once (raises BadInput), then gives results as they come. `tell` hears
    what was left out, and why. Raises BadInput after the last result where a file had a fault.
    """
    hosts = tuple(map(_host, request.hosts))
    for path in request.paths:
        _check(path)
    if request.verify is not None:
        if request.verify.authority:
            scanning.check_authority(request.verify.authority)
        request = replace(request, verify=replace(request.verify, site=request.site))
    return _results(request, Options(request.ports, hosts, request.site), tell, now)


def _host(text: str) -> str:
    address = address_of(text)
    if address is None:
        raise BadInput(f"--host {text!r} is no address: give the IPv4 or IPv6 address itself")
    return address


def _check(path: str) -> None:
    """Finds what cannot be read before anything is."""
    if path != "-":
        try:
            open(path, "rb").close()
        except OSError as error:
            raise BadInput(f"the report {path} cannot be read: {error.strerror}") from None


def _results(
    request: Request, options: Options, tell: Tell, now: Clock
) -> Generator[ScanResult, None, None]:
    gathered: dict[Endpoint, list[Reported]] = {}
    left_out: Counter[str] = Counter()
    faults: list[str] = []
    for path in request.paths:
        for item in _read(path, request.form, options, faults):
            if isinstance(item, LeftOut):
                left_out[item.reason] += 1
                if item.claim:
                    yield _placeless(item)
                continue
            if item.endpoint not in gathered and len(gathered) >= BATCH:
                yield from _given(gathered, request.verify, now)
                gathered.clear()
            same = gathered.setdefault(item.endpoint, [])
            if len(same) < REPORTS and item not in same:
                same.append(item)
    yield from _given(gathered, request.verify, now)
    for reason, count in left_out.items():
        tell(f"left out: {count} ({reason})")
    if faults:
        raise BadInput("; ".join(faults))


def _read(
    path: str, form: str, options: Options, faults: list[str]
) -> Iterator[Reported | LeftOut]:
    name = "stdin" if path == "-" else path
    try:
        yield from imports.read(_chunks(path), options, form)
    except Unreadable as error:
        faults.append(f"{name}: {error}")
    except OSError as error:
        faults.append(f"{name} cannot be read on: {error.strerror}")


def _chunks(path: str) -> Iterator[bytes]:
    # Descriptor 0 rather than sys.stdin: that one is missing where a caller closed it.
    with open(0 if path == "-" else path, "rb", closefd=path != "-") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _given(
    gathered: dict[Endpoint, list[Reported]], verify: scanning.Request | None, now: Clock
) -> Iterator[ScanResult]:
    if verify is None or not gathered:
        for endpoint, reports in gathered.items():
            yield _judged(_unseen(endpoint), reports)
        return
    words = tuple(scanning.Word(str(endpoint)) for endpoint in gathered)
    for result in scanning.scan(replace(verify, words=words), now):
        if result.endpoint is not None:
            yield _judged(result, gathered[result.endpoint])


def _unseen(endpoint: Endpoint) -> ScanResult:
    """A result that rests on no look."""
    return ScanResult(endpoint.address, endpoint, Verdict.INCONCLUSIVE, "", None, (), (), ())


def _judged(result: ScanResult, reports: Sequence[Reported]) -> ScanResult:
    """The result of a look, or of none, together with the reports."""
    assessment = assess(result.observations, reports)
    if result.reason:
        # There was to be a look, and this is why there was none.
        assessment = replace(assessment, reasons=(*assessment.reasons, result.reason))
    broken = findings(assessment, result.observations)
    looked = bool(result.observations or result.reason)
    permitted = assess((), reports).verdict is Verdict.EXPOSED
    return replace(
        result,
        verdict=assessment.verdict,
        reason="",
        assessment=assessment,
        findings=broken,
        references=tuple(scanning.reference(finding) for finding in broken),
        reported=tuple(reports),
        recheck=recheck(assessment) if looked and permitted else None,
    )


def recheck(assessment: Assessment) -> Recheck:
    """What became of a report that logins in cleartext are permitted. A refusal that the host told
    itself proves nothing: some servers treat their own address otherwise.
    """
    if assessment.verdict is Verdict.EXPOSED and assessment.grade is not Grade.REPORTED:
        return Recheck.CONFIRMED
    near = {Vantage.SELF, Vantage.VETH}.issuperset(assessment.vantages)
    if assessment.verdict is Verdict.ABSENT or (assessment.verdict is Verdict.REFUSED and not near):
        return Recheck.FIXED
    return Recheck.NOT_CONFIRMED


def _placeless(item: LeftOut) -> ScanResult:
    """A finding of a scanner that no look can be sent to: not clean, and said so."""
    reason = f"{item.reason}: it stands until somebody looks"
    return ScanResult(item.what, None, Verdict.INCONCLUSIVE, reason, None, (), (), ())
