"""What a host exposes, for people: one block a listener, the blocks of a service together.

Strategy: the headline says where and from where it can be reached; below it who, by what, and the
line to change. What could not be told stands there too, with its reason.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

from mailseal.model.asset import Asset
from mailseal.model.local import Extent, Holder, LocalHost, LocalListener, Program
from mailseal.report import assets
from mailseal.report.layout import labelled
from mailseal.report.result import ScanResult
from mailseal.report.style import PLAIN, Style, harmless


@dataclass(frozen=True)
class Local:
    """A host's listeners as one document; `results` of the looks at them; `assets` are the software
    of each listener, in their order, None where nothing listens.
    """

    mailseal: str
    local: LocalHost
    results: tuple[ScanResult, ...] = ()
    assets: tuple[Optional[Asset], ...] = ()  # noqa: UP045


_REACH = {
    Extent.EVERYWHERE: "all addresses",
    Extent.ADDRESS: "this address",
    Extent.LOOPBACK: "this host alone",
    Extent.CONTAINER: "the network of",
    Extent.NAMESPACE: "the network of",
}
_COLOURS = {Extent.EVERYWHERE: "yellow", Extent.ADDRESS: "yellow"}


def text(
    found: LocalHost, style: Style = PLAIN, software: Sequence[Asset | None] = ()
) -> Iterator[str]:
    """Lines: the listeners by service, then what could not be read, then their number. `software`
    is that of the listeners, in their order.
    """
    pairs = itertools.zip_longest(found.listeners, software)
    ordered = sorted(pairs, key=lambda each: (each[0].service == "", each[0].service))
    for service, listeners in itertools.groupby(ordered, key=lambda each: each[0].service):
        yield style.paint(harmless(service or "other programs"), "bold")
        for listener, asset in listeners:
            yield from _block(listener, asset, style)
        yield ""
    yield from labelled("updates", dict.fromkeys(_gaps(found, software)))
    yield from labelled("not read", (f"{what}: {why}" for what, why in found.unread.items()))
    up = sum(each.listening for each in found.listeners)
    silent = len(found.listeners) - up
    tail = f", {silent} configured and not listening" if silent else ""
    yield f"{harmless(found.host) or 'this host'}: {up} listening{tail}"


def _gaps(found: LocalHost, software: Sequence[Asset | None]) -> Iterator[str]:
    """Why it could not be told what waits: of the host once, and not for each listener."""
    told = {gap for listener in found.listeners for gap in listener.gaps}
    yield from (
        gap.removeprefix("updates: ")
        for each in software
        for gap in (each.gaps if each else ())
        if gap not in told
    )


def _block(listener: LocalListener, asset: Asset | None, style: Style) -> Iterator[str]:
    place = f"[{listener.address}]" if ":" in listener.address else listener.address
    place = f"{place}:{listener.port}"
    if not listener.listening:
        yield f"  {harmless(place)}  {style.paint('configured, not listening', 'dim')}"
    else:
        reach = _REACH[listener.extent]
        inside = listener.extent in (Extent.CONTAINER, Extent.NAMESPACE)
        reach += f" {listener.owner}" if inside else ""
        reach += f", held by {listener.owner}" if listener.owner and not inside else ""
        reach += ", IPv4 and IPv6" if listener.family == "both" else ""
        how = style.paint(harmless(reach), _COLOURS.get(listener.extent, "dim"))
        yield f"  {harmless(place)}  {how}"
    for label, items in (
        ("process", [_process(each) for each in listener.processes]),
        ("user", [] if listener.processes or not listener.listening else [_user(listener)]),
        ("program", [_program(each) for each in listener.programs]),
        ("unit", [unit for unit in (listener.socket_unit, listener.unit) if unit]),
        *(assets.verdicts(asset) if asset and asset.products else ()),
        ("cause", [str(listener.source)] if listener.source else []),
        ("not told", listener.gaps),
    ):
        yield from ("  " + line for line in labelled(label, items))


def _process(holder: Holder) -> str:
    replaced = " (replaced since it started)" if holder.replaced else ""
    user = holder.user or f"uid {holder.uid}"
    return f"{holder.name} ({holder.pid}), {user}, {holder.executable}{replaced}"


def _user(listener: LocalListener) -> str:
    return listener.user or f"uid {listener.uid}"


def _program(program: Program) -> str:
    package = f"{program.package} {program.version}" if program.package else "of no package"
    return f"{program.path}, {package}"
