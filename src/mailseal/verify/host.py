"""What only the mail host can tell: whether the service comes back after a boot, and no other in
its place; and whether some limit takes the whole site for one client.

Strategy: read from the host's facts, never found out by loading a production host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailseal.configs import systemd
from mailseal.model.host import HostFacts, Listener
from mailseal.model.plan import Claim, Result
from mailseal.prove.base import Evidence
from mailseal.starters import inetd, xinetd

_ENABLED = ("enabled", "alias")
_NOT = ("disabled", "masked", "enabled-runtime", "linked", "linked-runtime", "masked-runtime")
_COURIER = {"pop3": "/etc/courier/pop3d", "imap": "/etc/courier/imapd"}


def _listeners(claim: Claim, facts: HostFacts) -> list[Listener]:
    return [each for each in facts.listeners if each.port == claim.endpoint.port]


def _units(claim: Claim, facts: HostFacts) -> list[str]:
    """The units that serve the port: those that listen, and the backend's socket of ours."""
    backend = "mailseal-backend-%d.socket" % claim.endpoint.port
    owners = [each.unit for each in _listeners(claim, facts) if each.unit]
    ours = [each.name for each in facts.units if each.name == backend]
    return list(dict.fromkeys(owners + ours))


def enabled_at_boot(claim: Claim, facts: HostFacts) -> Evidence:
    """Each unit that serves the port is enabled (systemctl(1), is-enabled), and no super-server
    takes the port before it.
    """
    if not _listeners(claim, facts):
        return Evidence(Result.FAIL, ("nothing listens on port %d there" % claim.endpoint.port,))
    names = _units(claim, facts)
    known = {each.name: each for each in facts.units}
    told = {name: known[name].enabled if name in known else "" for name in names}
    words = tuple("%s is %s" % (name, state or "not told") for name, state in told.items())
    words = words or ("what listens there belongs to no unit",)
    rivals = tuple(_rivals(claim, facts))
    if rivals or any(state in _NOT or _unlinked(name, state) for name, state in told.items()):
        return Evidence(Result.FAIL, (*words, *rivals))
    sure = bool(told) and all(state in _ENABLED for state in told.values())
    return Evidence(Result.PASS if sure else Result.UNKNOWN, words)


def _rivals(claim: Claim, facts: HostFacts) -> Iterator[str]:
    """What a super-server that starts at boot has for the port, while others serve it: an upgrade
    of the daemon's package enters it anew, and inetd cannot take the port until the next boot.
    """
    # Where there is no systemd the process is all that is known.
    serving = {
        name for each in _listeners(claim, facts) for name in (each.unit, each.process + ".service")
    }
    starts = {
        each.name for each in facts.units if each.load == "loaded" and each.enabled not in _NOT
    }
    for units, declared in ((inetd.UNITS, inetd.declared), (xinetd.UNITS, xinetd.declared)):
        if not starts.intersection(units) or serving.intersection(units):
            continue
        there = [each for each in declared(facts) if each.port == claim.endpoint.port]
        for place in dict.fromkeys((each.path, each.program) for each in there):
            yield "%s starts %s there as well: after a boot the first has the port" % place


def _unlinked(name: str, state: str) -> bool:
    """Units of ours have no [Install]: it is the link of ours that makes them enabled."""
    return state == "static" and name.startswith(("mailseal@", "mailseal-"))


def limits_fit(claim: Claim, facts: HostFacts) -> Evidence:
    """A limit for one address is a fault where a terminator stands in front, for then all clients
    have one address; else it is told.
    """
    if not facts.privileged:
        return Evidence(Result.UNKNOWN, ("not all of the configuration could be read: not root",))
    behind = any(
        each.unit.startswith("mailseal@") or "stunnel" in each.process
        for each in _listeners(claim, facts)
    )
    one, all_ = list(_for_one(claim, facts)), list(_for_all(claim, facts))
    if behind and one:
        words = "behind the terminator the whole site counts as one client"
        return Evidence(Result.FAIL, (*one, words))
    none = () if one or all_ else ("no limit was found in the configuration",)
    return Evidence(Result.PASS, (*one, *all_, *none))


def _for_one(claim: Claim, facts: HostFacts) -> Iterator[str]:
    """Limits for one address."""
    for path, options in _sockets(claim, facts):
        # systemd.socket(5): for a Unix socket it counts by user, and there stunnel is one, too.
        for value in options.get("MaxConnectionsPerSource", ())[-1:]:
            if value != "0":
                yield "%s: MaxConnectionsPerSource=%s" % (path, value)
    for path, key, value in _xinetd(claim, facts, "per_source"):
        if value != "UNLIMITED":
            yield "%s: %s = %s" % (path, key, value)
    # Among the facts only where Courier serves the port.
    courier = facts.file(_COURIER.get(claim.expected["protocol"], ""))
    found = re.search(rb"^MAXPERIP=(\d+)", courier.content or b"", re.M) if courier else None
    if courier and found:
        yield "%s: MAXPERIP=%s" % (courier.path, found[1].decode("ascii"))


def _for_all(claim: Claim, facts: HostFacts) -> Iterator[str]:
    """Limits for all clients together."""
    for path, options in _sockets(claim, facts):
        for value in options.get("MaxConnections", ())[-1:]:
            yield "%s: MaxConnections=%s" % (path, value)
    for path, key, value in _xinetd(claim, facts, "instances"):
        yield "%s: %s = %s" % (path, key, value)


def _sockets(claim: Claim, facts: HostFacts) -> Iterator[tuple[str, dict[str, tuple[str, ...]]]]:
    """The socket units of the port, each with its drop-ins."""
    for name in _units(claim, facts):
        if not name.endswith(".socket"):
            continue
        parts = [
            each
            for each in facts.files
            if each.content is not None
            and (each.path.endswith("/" + name) or ("/%s.d/" % name) in each.path)
        ]
        parts.sort(key=lambda each: (".d/" in each.path, each.path))
        options = systemd.effective([systemd.parse(each.content or b"") for each in parts])
        yield name, dict(options.get("Socket", {}))


def _xinetd(claim: Claim, facts: HostFacts, key: str) -> Iterator[tuple[str, str, str]]:
    """An attribute of the services that xinetd has on the port, or by the usual name: TLS may be
    offered on another.
    """
    for each in xinetd.declared(facts):
        here = each.port == claim.endpoint.port or each.name == claim.expected["protocol"]
        if here and each.values.get(key):
            yield each.path, key, each.values[key][0]
