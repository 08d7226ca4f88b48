"""`mailseal local`: what a host exposes, and a look at each of it where that is asked for.

Strategy: the host gathers, near or far alike; the look is the scan's own, at the addresses where
this host's own network answers, so that there is one way to a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.model.local import Extent, LocalHost, LocalListener
from mailseal.model.look import Endpoint, Vantage
from mailseal.report.result import ScanResult
from mailseal.workflow import BadInput
from mailseal.workflow.hosts import Host

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def local(host: Host, ports: tuple[int, ...], every: bool) -> LocalHost:
    """What it exposes on the ports of mail, on `ports` and by mail daemons, or by `every` listener.
    Raises Refused and HostUnreachable.
    """
    return host.local(ports, every)


def look_at(found: LocalHost, timeout: float) -> Iterator[ScanResult]:
    """A look at each listener of this host's own network, from this host (vantage `self`, which may
    be treated otherwise than a stranger). `timeout` is the patience for an answer, in seconds.
    """
    # Only now: who asks for no look does not wait for the modules of one.
    from mailseal.workflow.scan import Request, Word, scan

    words = dict.fromkeys(Word(str(each)) for each in map(_endpoint, found.listeners) if each)
    if not words:
        return iter(())
    return scan(Request(words=tuple(words), timeout=timeout, vantage=Vantage.SELF))


def not_far(target: str | None) -> None:
    """Raises BadInput for another host: a look from there is a scan."""
    if target is not None:
        raise BadInput("--look looks from this host: use mailseal scan for %s" % target)


def _endpoint(listener: LocalListener) -> Endpoint | None:
    """Where it answers on this host; None where it does not, or in another network."""
    if not listener.listening or listener.extent in (Extent.CONTAINER, Extent.NAMESPACE):
        return None
    return Endpoint(_LOOPBACK.get(listener.address, listener.address), listener.port)
