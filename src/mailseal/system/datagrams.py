"""Who takes datagrams: the UDP sockets that are bound, with their process and unit.

Strategy: ss(8) tells them with their holders, and a process's cgroup its unit. For the sockets of
units beside a mail service, which no mail protocol uses: where ss is missing there are none.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Iterator, Tuple

from mailseal.model.host import Listener
from mailseal.system.base import System
from mailseal.system.proc import unit_of

_LINE = re.compile(r"UNCONN\s+\d+\s+\d+\s+(?P<address>\S+):(?P<port>\d+)\s+\S+\s*(?P<held>.*)")
_HOLDER = re.compile(r'\("(?P<name>[^"]*)",pid=(?P<pid>\d+),')


def bound(system: System) -> Tuple[Listener, ...]:
    """The UDP sockets of this network namespace, by port; of a socket that several processes hold
    the one of the least number. Raises OSError.
    """
    done = system.run(["ss", "-H", "-l", "-u", "-n", "-p"], timeout=10)
    found = _sockets(system, done.out.decode("utf-8", "replace"))
    return tuple(sorted(found, key=lambda each: (each.port, each.address, each.pid)))


def _sockets(system: System, out: str) -> Iterator[Listener]:
    for line in out.splitlines():
        match = _LINE.fullmatch(line.strip())
        if not match:
            continue
        # Without the zone (`[fe80::1]%eth0`), as proc(5) tells the sockets of TCP.
        address = match.group("address").partition("%")[0].strip("[]")
        # ss writes an asterisk for both families at once.
        dual = address == "*"
        address = "::" if dual else address
        try:
            ipaddress.ip_address(address)
        except ValueError:
            continue
        holders = [(int(pid), name) for name, pid in _HOLDER.findall(match.group("held"))]
        pid, name = min(holders, default=(0, ""))
        unit = _unit(system, pid) if pid else ""
        yield Listener(address, int(match.group("port")), pid, name, "", unit, dual)


def _unit(system: System, pid: int) -> str:
    try:
        return unit_of(system.read("/proc/%d/cgroup" % pid).decode("utf-8", "replace"))
    except OSError:
        return ""  # it ended
