"""A socket unit of systemd with Accept=yes: systemd listens, and starts an instance of a template
for each connection (systemd.socket(5)).

The unit itself can listen at a Unix socket instead, by a drop-in: the template stays as it is, with
all that its files say of user, limits and hardening. With Accept=no the service is handed the
listening socket, and whether it can do with one that has no addresses is not to be known.
"""

from __future__ import annotations

import functools
import posixpath
import re
from typing import List, Mapping, Optional, Tuple

from mailseal.configs import systemd
from mailseal.model.host import HostFacts, Server
from mailseal.starters.base import LOST, Change, Start, listeners_at
from mailseal.starters.units import command, drop_in, files, options

Values = Mapping[str, Tuple[str, ...]]

_YES = ("1", "yes", "y", "true", "t", "on")
_BY_SOURCE = "MaxConnectionsPerSource"
_LOST = ("BindToDevice", "IPAddressAllow", "IPAddressDeny", "IPIngressFilterPath")
"""What counts for network sockets alone: to a Unix socket it does nothing."""
_SESSIONS = "64"
"""MaxConnections= where nothing is said (systemd.socket(5))."""


def find(facts: HostFacts, port: int) -> Optional[Start]:
    """The socket unit that owns the listening sockets of a port."""
    listeners = listeners_at(facts, port)
    units = {listener.unit for listener in listeners}
    if len(units) != 1 or not next(iter(units)).endswith(".socket"):
        return None
    unit = next(iter(units))
    template = unit[: -len(".socket")] + "@.service"
    own, each = (options(facts, name) for name in (unit, template))
    values, service = own.get("Socket", {}), each.get("Service", {})
    by_source = _last(values, _BY_SOURCE, "0") != "0"
    lost = [
        "%s's `%s = %s`" % (name, key, " ".join(found[key]))
        for name, found in ((unit, values), (template, service))
        for key in _LOST + (_BY_SOURCE,) * by_source
        if found.get(key)
    ]
    condition = (("Unit", (("ConditionPathExists", "!/"),)),)
    paths = [fact.path for name in (unit, template) for fact in files(facts, name)]
    return Start(
        starter="systemd",
        unit=unit,
        listeners=listeners,
        files=tuple(paths),
        off=drop_in(facts, unit, condition, "stop", "start"),
        server=_server(facts, template, service),
        moved=functools.partial(_moved, facts, unit, by_source),
        lost=LOST + tuple(each + " no longer counts" for each in lost),
        told=(
            "MaxConnections of %s goes on counting: %s sessions at a time, of all clients together."
            % (unit, _last(values, "MaxConnections", _SESSIONS)),
        ),
        fixed=_fixed(facts, template),
        tied=_tied(facts, unit, port, values),
    )


def _moved(facts: HostFacts, unit: str, by_source: bool, path: str, group: str) -> Change:
    listens = [("ListenStream", ""), *systemd.listens(path, group)]
    if by_source:
        # All clients come from one source then: systemd 256 counts those of a Unix socket too.
        listens.append((_BY_SOURCE, "0"))
    return drop_in(facts, unit, (("Socket", listens),), "start", "start", down=True)


def _last(values: Values, key: str, usual: str) -> str:
    return next(reversed(values.get(key, ())), usual)


def _server(facts: HostFacts, template: str, service: Values) -> Optional[Server]:
    started = command(facts, template)
    if started is None:
        return None
    user, group = _last(service, "User", "root"), _last(service, "Group", "")
    return Server(started.path, started.argv, user, group)


def _fixed(facts: HostFacts, template: str) -> Tuple[str, ...]:
    started = command(facts, template)
    if started is None:
        return ("%s was not found, or does not start exactly one command" % template,)
    if posixpath.basename(started.path) == "tcpd":
        words = "%s starts it through tcpd, which sees no client's address at a Unix socket"
        return (words % template,)
    return ()


def _tied(facts: HostFacts, unit: str, port: int, values: Values) -> Tuple[str, ...]:
    """Why neither the socket can be moved nor the unit turned off."""
    strange = [
        fact
        for fact in facts.files
        if fact.content is None
        and fact.kind != "directory"
        and (fact.path.endswith("/" + unit) or "/%s.d/" % unit in fact.path)
    ]
    if strange or not values:
        what = ", ".join(fact.path for fact in strange) or "the file of " + unit
        return ("%s is no plain file that could be read: put the file itself there" % what,)
    if _last(values, "Accept", "no").lower() not in _YES:
        words = "%s hands its listening socket to a service (Accept=no), which may go on with it "
        words += "or not take another: let the service open its port itself, or turn both off by "
        return (words % unit + "hand (systemctl disable --now)",)
    others: List[str] = [
        "%s=%s" % (key, word)
        for key, words in values.items()
        if key.startswith("Listen")
        for word in words
        if key != "ListenStream" or not re.fullmatch(r"(?:(?!vsock)[^/@%%].*:)?%d" % port, word)
    ]
    if not others:
        return ()
    words = "%s also has %s, which would go with it: give port %d a socket unit of its own"
    return (words % (unit, ", ".join(others), port),)
