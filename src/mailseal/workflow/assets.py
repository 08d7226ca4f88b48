"""Software and updates: what a host says of its endpoints, kept in the store and judged.

Strategy: a host tells of its listeners, the store knows endpoints: a listener on all addresses
stands for one endpoint at each of the host's. The moment is this machine's, so that what another
host thinks of the time decides nothing.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mailseal.assets import judge
from mailseal.model.asset import Asset, Installed, KnownSoftware, Terms
from mailseal.model.local import Extent, LocalHost, LocalListener
from mailseal.model.look import Endpoint
from mailseal.model.moment import Clock, rfc3339
from mailseal.store import Filter, Store, StoreError, path_of
from mailseal.workflow import BadInput

TERMS = Terms()


def software(
    store: Store, asked: Filter, terms: Terms = TERMS, now: Clock = time.time
) -> Iterator[Asset]:
    """Every endpoint that answers, and those that hosts tell of, by address."""
    moment = now()
    return (judge(each, moment, terms) for each in store.software(asked))


@contextlib.contextmanager
def keeping(
    wanted: bool, option: str | None, environment: Mapping[str, str]
) -> Iterator[Store | None]:
    """The store that is to hear what a host says: one that is named, or the usual one where there
    is one. Raises BadInput where it cannot be opened.
    """
    try:
        named = bool(option or environment.get("MAILSEAL_STORE"))
        path = path_of(option, environment) if wanted else ""
        store = Store.open(path, make=named) if path and (named or os.path.exists(path)) else None
    except StoreError as error:
        raise BadInput(f"{error}; or go without one (--no-store)") from None
    with store or contextlib.nullcontext():
        yield store


def of_host(
    found: LocalHost,
    store: Store | None,
    site: str,
    terms: Terms = TERMS,
    now: Clock = time.time,
) -> tuple[tuple[Asset, ...], str]:
    """One for each listener, in their order; at the address that it listens on. Where there is a
    store, it keeps what was said; why it does not, empty where it does.
    """
    moment = now()
    told = [_installed(found, each, rfc3339(moment), site) for each in found.listeners]
    problem = ""
    if store is not None:
        try:
            told = _recorded(store, found, told)
        except StoreError as error:
            problem = f"{error}; what was found is shown, and not recorded"
        if not found.addresses:
            problem = problem or "not recorded: the host's own addresses were not told"
    made = (judge(KnownSoftware(each.endpoint, installed=each), moment, terms) for each in told)
    return tuple(made), problem


def _recorded(store: Store, found: LocalHost, told: Sequence[Installed]) -> list[Installed]:
    """The same, with the moments that the store knows."""
    places = [
        [Endpoint(each, one.endpoint.port, one.endpoint.site) for each in _addresses(found, at)]
        for at, one in zip(found.listeners, told, strict=True)
    ]
    copies = (
        replace(one, endpoint=endpoint)
        for one, endpoints in zip(told, places, strict=True)
        for endpoint in endpoints
    )
    kept = {each.endpoint: each.since for each in store.record_installed(tuple(copies))}
    return [
        replace(one, since=kept[endpoints[0]]) if endpoints else one
        for one, endpoints in zip(told, places, strict=True)
    ]


def _installed(found: LocalHost, listener: LocalListener, taken: str, site: str) -> Installed:
    names = {program.package for program in listener.programs}
    packages = tuple(each for each in found.software.packages if each.name in names)
    return Installed(
        endpoint=Endpoint(listener.address, listener.port, site),
        host=found.host,
        taken=taken,
        programs=listener.programs,
        software=replace(found.software, packages=packages),
        gaps=tuple(gap for gap in listener.gaps if not gap.startswith("configuration: ")),
    )


def _addresses(found: LocalHost, listener: LocalListener) -> tuple[str, ...]:
    """Where others reach it; none where they do not, or in another network."""
    if not listener.listening or listener.extent not in (Extent.EVERYWHERE, Extent.ADDRESS):
        return ()
    if listener.extent is Extent.ADDRESS:
        return (listener.address,)
    families = {"ipv4": (4,), "ipv6": (6,), "both": (4, 6)}[listener.family]
    return tuple(each for each in found.addresses if _family(each) in families)


def _family(address: str) -> int:
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return 0
