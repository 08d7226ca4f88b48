"""Who was seen to log in to a service of a host that is to be changed, from the store.

Strategy: a host is found in the store by its addresses and the port, in whatever site, and where a
log tells no address by the name that the log's host gives itself. Loopback is no address of that
host alone. A plan is made all the same where the store cannot tell: it says so.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from mailseal.model.host import HostFacts
from mailseal.model.login import Login
from mailseal.model.moment import Clock
from mailseal.plan import Seen
from mailseal.plan.base import link_local, loopback
from mailseal.store import LoginFilter, Store, StoreError, path_of
from mailseal.workflow import BadInput
from mailseal.workflow.redact import NOTHING, Redaction
from mailseal.workflow.words import ago

Asked = Callable[[HostFacts, int, str, Sequence[str]], Seen]
"""What a plan asks: the host, the port and protocol of the service, and other names of the host."""


def asked(
    option: str | None,
    environment: Mapping[str, str],
    since: str,
    redact: Redaction = NOTHING,
    now: Clock = time.time,
    quiet: str = "",
) -> Asked:
    """How a plan asks the store that `--store` and the environment name about logins since a time
    (30d, a day). `quiet` is one since when nobody may be cut off who was seen. Raises BadInput,
    also where the option names a store that is not there.
    """
    required = ago(quiet, now()) if quiet else ""
    moment = min(filter(None, (ago(since, now()), required)))
    try:
        path = path_of(option, environment)
    except StoreError as error:
        raise BadInput(str(error)) from None
    if option and not os.path.exists(path):
        raise BadInput(f"there is no store {path}: leave --store out, or name another")

    def seen(facts: HostFacts, port: int, protocol: str, names: Sequence[str]) -> Seen:
        if not os.path.exists(path):
            return Seen(moment, quiet=required)
        try:
            with contextlib.closing(Store.open(path, make=False)) as store:
                known = {each.kind: each for each in _there(store, facts, port, protocol, names)}
        except StoreError as error:
            return Seen(moment, unread=str(error), quiet=required)
        recent = (login for login in known.values() if login.last >= moment)
        logins = tuple(map(redact.login, recent))
        return Seen(moment, logins, ever=bool(known), quiet=required)

    return seen


def _there(
    store: Store, facts: HostFacts, port: int, protocol: str, names: Sequence[str]
) -> Iterator[Login]:
    addresses = [fact.address for fact in facts.addresses]
    places = tuple((each, port) for each in addresses if not (loopback(each) or link_local(each)))
    if places:
        for known in store.logins(LoginFilter(endpoints=places)):
            yield known.login
    for known in store.logins(LoginFilter(unplaced=True, protocol=protocol)):
        if any(_same(known.login.host, name) for name in (facts.host, *names)):
            yield known.login


def _same(one: str, other: str) -> bool:
    """Whether two names are of one host: a log often has the first part alone."""
    one, other = one.casefold(), other.casefold()
    short = "." not in one or "." not in other
    return bool(one) and (one == other or (short and one.split(".")[0] == other.split(".")[0]))
