"""A stand-alone daemon: a service of systemd that opens its listening sockets itself.

Nothing else can open them in its place, and a loopback port is open to every user of the host. So a
drop-in gives it a network namespace of its own (PrivateNetwork=, systemd.exec(5)): its wildcard
sockets stay as they are and only what joins the namespace reaches them. An address that is not
there (`--listen 192.0.2.10:109`) becomes loopback on its command line. The package's own unit file
stays untouched, and an upgrade does not undo the drop-in.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from typing import List, Optional, Tuple

from mailseal.configs import systemd
from mailseal.model.host import HostFacts, Listener
from mailseal.starters.base import LOST, Start, content, listeners_at
from mailseal.starters.units import command, drop_in, files

_WORD = re.compile(
    r"(?P<option>-[-\w]+[= ]?)?(?P<address>\[[0-9a-fA-F:]+\]|[0-9.]*|\*)[:,](?P<port>\d+)"
)
"""A word of a command line that names a listening socket: `0.0.0.0:109`, `[::]:109`,
`--listen=:109`."""


def find(facts: HostFacts, port: int) -> Optional[Start]:
    """The service unit that owns the listening sockets of a port."""
    listeners = listeners_at(facts, port)
    units = {listener.unit for listener in listeners}
    if facts.init != "systemd" or len(units) != 1 or not next(iter(units)).endswith(".service"):
        return None
    unit = next(iter(units))
    options, inside, problems = _isolation(facts, unit, port, listeners)
    companion = "mailseal-proxy-%d.service" % port
    # Either names the other: whichever starts first makes the network, at boot as after a crash.
    sections = (("Unit", (("JoinsNamespaceOf", companion),)), ("Service", options))
    return Start(
        starter="systemd",
        unit=unit,
        listeners=listeners,
        files=tuple(fact.path for fact in files(facts, unit)),
        # A condition that never holds: nothing starts it again, not even another unit.
        off=drop_in(facts, unit, (("Unit", (("ConditionPathExists", "!/"),)),), "stop", "start"),
        isolated=drop_in(facts, unit, sections, "restart", "restart"),
        inside=inside,
        companion=companion,
        lost=LOST,
        fixed=problems,
        tied=_tied(facts, unit, port),
    )


def _tied(facts: HostFacts, unit: str, port: int) -> Tuple[str, ...]:
    """What else would go with the unit: it is stopped or isolated as a whole."""
    others = sorted({each.port for each in facts.listeners if each.unit == unit} - {port})
    if not others:
        return ()
    words = "%s also serves port %s, which would go with it: take port %d out of its configuration"
    return (words % (unit, ", ".join(map(str, others)), port),)


def _isolation(
    facts: HostFacts, unit: str, port: int, listeners: Tuple[Listener, ...]
) -> Tuple[Tuple[Tuple[str, str], ...], str, Tuple[str, ...]]:
    """The options that isolate the unit, the address where it then answers, and why it cannot be
    isolated.
    """
    options: Tuple[Tuple[str, str], ...] = (("PrivateNetwork", "yes"),)
    inside = _inside(listeners)
    problems = []
    if not inside:
        inside = "127.0.0.1"
        started = command(facts, unit)
        if started is None:
            problems.append("%s does not start exactly one command" % unit)
        else:
            rebound, problem = _rebind(started, port)
            problems += [problem] if problem else []
            line = systemd.join_exec((rebound or started,))
            options += (("ExecStart", ""), ("ExecStart", line))
    sources = _network_accounts(content(facts, NSSWITCH) or b"")
    if sources:
        problems.append(
            "%s takes accounts from %s, which %s could not ask in a network of its own"
            % (NSSWITCH, ", ".join(sources), unit)
        )
    return options, inside, tuple(problems)


def _inside(listeners: Tuple[Listener, ...]) -> str:
    """One of the sockets' addresses, IPv4 first; empty where one of them could not be opened on a
    host that has loopback alone.
    """
    addresses = [ipaddress.ip_address(each.address) for each in listeners]
    if not all(each.is_unspecified or each.is_loopback for each in addresses):
        return ""
    return str(min(addresses, key=lambda each: each.version))


NSSWITCH = "/etc/nsswitch.conf"


def _network_accounts(data: bytes) -> List[str]:
    """The services of nsswitch.conf(5) that a process asks over the network by itself. (nslcd, sssd
    and winbind are asked at a Unix socket.)
    """
    text = data.decode("utf-8", "replace")
    lines = re.findall(r"(?m)^\s*(?:passwd|shadow|group)\s*:([^#\n]*)", text)
    words = {word for line in lines for word in line.split()}
    return sorted(words & {"nis", "nisplus", "hesiod"})


def _rebind(command: systemd.Command, port: int) -> Tuple[Optional[systemd.Command], str]:
    """The command with its listening sockets replaced by one on loopback, or why that fails."""
    argv: List[str] = []
    options: List[str] = []
    for word in command.argv:
        match = _WORD.fullmatch(word)
        if match is None or int(match.group("port")) != port:
            argv.append(word)
            continue
        # `--listen=ADDRESS`, or `--listen ADDRESS` in two words.
        before = argv[-1] + " " if len(argv) > 1 and argv[-1].startswith("-") else ""
        options.append(match.group("option") or before)
        if len(options) == 1:
            argv.append("%s127.0.0.1:%d" % (match.group("option") or "", port))
        elif before and not match.group("option"):
            argv.pop()
    if len(set(options)) == 1:
        return replace(command, argv=tuple(argv)), ""
    what = "names port %d in several ways" if options else "does not name port %d"
    words = "the command line of the daemon " + what + ": %s"
    return None, words % (port, " ".join(command.argv))
