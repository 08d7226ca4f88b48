"""inetd: a line of /etc/inetd.conf starts one process a connection, with the socket as its
standard input.

Taken off by a mark in front of the line (and of the line for the other address family), then a
reload: inetd closes the sockets of lines that are gone.
"""

from __future__ import annotations

import functools
import posixpath
import re
from typing import Callable, Optional, Tuple

from mailseal.configs import inetd
from mailseal.model.excepted import HOSTS, Door
from mailseal.model.host import HostFacts, Server
from mailseal.model.ops import Op, Splice, WriteFile
from mailseal.starters.base import (
    ACCESS,
    LOST,
    Admission,
    Change,
    Declared,
    Start,
    content,
    edit,
    guarded,
    held_by,
    listeners_at,
    no_unit,
    unit_of,
)
from mailseal.starters.units import arguments

PATH = "/etc/inetd.conf"
DEFAULTS = "/etc/default/openbsd-inetd"
PROCESSES = ("inetd", "openbsd-inetd", "inetutils-inetd")
UNITS = tuple(name + ".service" for name in PROCESSES)


def declared(facts: HostFacts) -> Tuple[Declared, ...]:
    """What inetd.conf has, whoever serves it now."""
    services = inetd.parse_services(content(facts, "/etc/services") or b"")
    return tuple(
        Declared(PATH, entry.service, inetd.port(entry, services), entry.effective_server)
        for entry in inetd.parse(content(facts, PATH) or b"").entries
        if entry.transport == "tcp"
    )


def find(facts: HostFacts, port: int) -> Optional[Start]:
    """The lines of inetd.conf that serve a port."""
    data = content(facts, PATH)
    if data is None:
        return None
    document = inetd.parse(data)
    services = inetd.parse_services(content(facts, "/etc/services") or b"")
    entries = tuple(
        entry
        for entry in document.entries
        if entry.transport == "tcp" and inetd.port(entry, services) == port
    )
    listeners = listeners_at(facts, port)
    if not entries or not held_by(listeners, PROCESSES):
        return None
    splices = tuple(splice for entry in entries for splice in inetd.comment_out(document, entry))
    unit = unit_of(facts, UNITS)
    change = Change((edit(PATH, data, splices),), unit, "reload", "reload", (PATH,))
    return Start(
        starter="inetd",
        unit=unit,
        listeners=listeners,
        files=(PATH, "/etc/services"),
        off=change,
        server=_server(entries[0]),
        guarded=guarded(facts, _asked(facts, unit, entries[0])),
        admission=_admission(facts, unit, port, document, entries),
        moved=_movable(facts, document, entries, unit),
        lost=LOST,
        problems=no_unit(unit, "inetd", UNITS) + _other_file(facts, unit),
        fixed=_fixed(entries),
    )


def _other_file(facts: HostFacts, unit: str) -> Tuple[str, ...]:
    """The problem that its unit starts inetd with another file, if so (inetd(8))."""
    paths = [word for word in arguments(facts, unit) if word.startswith("/")]
    if not paths or PATH in paths:
        return ()
    words = "%s reads %s and not %s: move the line of the service, or change it there by hand"
    return (words % (unit, " ".join(paths), PATH),)


def _asked(facts: HostFacts, unit: str, entry: inetd.Entry) -> str:
    """The program by whose name hosts_access(5) is asked, empty where it is not: through tcpd(8),
    or by inetd itself where its unit starts it with -l (Debian's openbsd-inetd).
    """
    itself = any(_ASKS.match(word) for word in arguments(facts, unit))
    asked = entry.wrapped_by_tcpd or itself
    return entry.argv[0] if asked and entry.argv else ""


_ASKS = re.compile(r"-[dEi]*l")


def _admission(
    facts: HostFacts,
    unit: str,
    port: int,
    document: inetd.Document,
    entries: Tuple[inetd.Entry, ...],
) -> Optional[Admission]:
    """Two lines before all others of hosts.allow, by which the list is asked and nobody else let
    in: the first that matches counts (hosts_access(5), hosts_options(5)). None where inetd does not
    ask there.
    """
    name = posixpath.basename(_asked(facts, unit, entries[0]))
    if not _NAME.fullmatch(name):
        return None
    door = Door(HOSTS % port, "", "%s\n", unit=unit, live=True, hosts=True)
    lines = _RULES % {"name": name, "path": door.path, "port": port}
    before = content(facts, ALLOW)
    if before is not None and lines.encode() in before:
        return Admission(door)
    problems = []
    others = [e for e in document.entries if e not in entries and e.argv]
    if any(posixpath.basename(each.argv[0]) == name for each in others):
        problems.append("other lines of %s start %s too, and would go with it" % (PATH, name))
    if guarded(facts, name):
        problems.append("hosts.allow and hosts.deny have rules already: name the networks there")
    allow: Op = WriteFile(ALLOW, lines.encode(), "root", "root", 0o644)
    if before is not None:
        allow = edit(ALLOW, before, (Splice(0, b"", lines.encode()),))
    return Admission(door, (allow,), tuple(problems))


ALLOW = ACCESS[0]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RULES = """\
# Made by mailseal: who may log in without TLS on port %(port)d; `mailseal rollback` removes it.
%(name)s: 127.0.0.0/255.0.0.0 [::1]/128 %(path)s
%(name)s: ALL: DENY
"""


def _movable(
    facts: HostFacts, document: inetd.Document, entries: Tuple[inetd.Entry, ...], unit: str
) -> Optional[Callable[[str, str], Change]]:
    """openbsd-inetd itself listens at a Unix socket, where no socket unit can. Not where it asks
    hosts_access(5) by itself: what it would find there of a client without an address is not known.
    """
    defaults = content(facts, DEFAULTS) or b""
    able = facts.init != "systemd" and facts.packages.get("openbsd-inetd")
    if not able or re.search(rb"(?m)^[ \t]*OPTIONS=.*-[dEi]*l", defaults):
        return None
    return functools.partial(_moved, document, entries, unit)


def _moved(
    document: inetd.Document,
    entries: Tuple[inetd.Entry, ...],
    unit: str,
    path: str,
    group: str,
) -> Change:
    """The lines become comments, and a new one comes before them. It opens its socket to all, so
    that the folder of `path` has to be closed to all but `group`.
    """
    line = inetd.at_socket(entries[0], path)
    splices = [each for entry in entries for each in inetd.comment_out(document, entry)]
    splices[0] = Splice(splices[0].offset, b"", line + splices[0].new)
    return Change((edit(PATH, document.data, splices),), unit, "reload", "reload", (PATH,))


def _server(entry: inetd.Entry) -> Server:
    # Behind tcpd the words after it are the real program's: tcpd checks the peer's address, and
    # the peer is stunnel from now on.
    path = entry.effective_server
    group = entry.group or ""
    return Server(path, entry.argv, entry.user, group)


def _fixed(entries: Tuple[inetd.Entry, ...]) -> Tuple[str, ...]:
    problems = []
    if len({(entry.effective_server, entry.argv, entry.user) for entry in entries}) > 1:
        problems.append("the lines of %s for this port start different programs" % PATH)
    if any(entry.wait for entry in entries):
        problems.append("the service is marked `wait`: it takes the listening socket itself")
    if any(entry.internal or not entry.effective_server for entry in entries):
        problems.append("inetd answers this port by itself")
    return tuple(problems)
