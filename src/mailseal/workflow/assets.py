"""Software and updates: what a host says of its endpoints, kept in the store and judged.

Strategy: a host tells of its listeners, the store knows endpoints: a listener on all addresses
stands for one endpoint at each of the host's. The moment is this machine's, so that what another
host thinks of the time decides nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
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
) -> tuple[tuple[Asset | None, ...], str]:
    """One for each listener, in their order, at the address that it listens on; None where nothing
    listens. Where there is a store, it keeps what was said; why it does not, empty where it does.
    """
    moment = now()
    told = [_installed(found, each, rfc3339(moment), site) for each in found.listeners]
    since: Mapping[Endpoint, Mapping[str, str]] = {}
    problem = ""
    if store is not None:
        copies = [
            replace(one, endpoint=endpoint)
            for listener, one in zip(found.listeners, told, strict=True)
            if one
            for endpoint in _endpoints(found, listener, one)
        ]
        try:
            since = {each.endpoint: each.since for each in store.record_installed(copies)}
        except StoreError as error:
            problem = f"{error}; what was found is shown, and not recorded"
        if not found.addresses:
            problem = problem or "not recorded: the host's own addresses were not told"
    made: list[Asset | None] = []
    for listener, one in zip(found.listeners, told, strict=True):
        asset = None
        if one:
            known = (since.get(each) for each in _endpoints(found, listener, one))
            one = replace(one, since=next(filter(None, known), {}))
            asset = judge(KnownSoftware(one.endpoint, installed=one), moment, terms)
        made.append(asset)
    return tuple(made), problem


def _installed(
    found: LocalHost, listener: LocalListener, taken: str, site: str
) -> Installed | None:
    names = {program.package for program in listener.programs}
    packages = tuple(each for each in found.software.packages if each.name in names)
    endpoint = _endpoint(listener.address, listener.port, site)
    if endpoint is None or not listener.listening:
        return None
    return Installed(
        endpoint=endpoint,
        host=found.host,
        taken=taken,
        programs=listener.programs,
        software=replace(found.software, packages=packages),
        gaps=tuple(gap for gap in listener.gaps if not gap.startswith("configuration: ")),
    )


def _endpoints(found: LocalHost, listener: LocalListener, told: Installed) -> list[Endpoint]:
    """Where others reach it; none where they do not, or in another network."""
    if listener.extent is Extent.ADDRESS:
        return [told.endpoint]
    if listener.extent is not Extent.EVERYWHERE:
        return []
    own = (_endpoint(each, listener.port, told.endpoint.site) for each in found.addresses)
    kinds = {"ipv4": (False,), "ipv6": (True,)}.get(listener.family, (False, True))
    return [each for each in own if each and (":" in each.address) in kinds]


def _endpoint(address: str, port: int, site: str) -> Endpoint | None:
    """None for what is no address: another host may say anything."""
    try:
        return Endpoint(address, port, site)
    except ValueError:
        return None
