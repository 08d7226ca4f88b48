"""Where the demo plays: network namespaces of its own, or the loopback of this machine.

With root there are three namespaces: the mail host, a client, and between them a bridge with the
eavesdropper; addresses are those kept for documentation (RFC 5737, RFC 3849). Without, or where
namespaces cannot be made, everything is on loopback, and `missing` says what that cannot show. The
namespaces' names carry our process id: what a killed demo left is swept by the next.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from mailseal.system.base import System
from mailseal.system.netns import sweep

PREFIX = tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """`addresses` are served at `port`, as inetd's `rows` say (address and protocol); `here` are
    the client's. `host`, `client` and `wire` stand before what runs there; `wire` is None where
    nobody can listen in between. `missing` is what this stage cannot show, and why.
    """

    port: int
    addresses: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    here: tuple[str, ...]
    host: PREFIX = ()
    client: PREFIX = ()
    wire: PREFIX | None = None
    missing: tuple[str, ...] = ()


TAP = "to-host"
"""The bridge's port towards the mail host: whatever the host gets or sends crosses it."""

HOST, CLIENT = ("192.0.2.10", "2001:db8::10"), ("192.0.2.20", "2001:db8::20")
LOOPBACK, LOOPBACK_CLIENT = "127.0.0.2", "127.0.0.1"


@contextlib.contextmanager
def stage(system: System) -> Iterator[Stage]:
    """The best stage that can be had; gone with the `with`."""
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(_namespaces(system))
        except OSError as error:
            found = _loopback(str(error))
        yield found


@contextlib.contextmanager
def _namespaces(system: System) -> Iterator[Stage]:
    """Raises OSError, with nothing left behind, where they cannot be made."""
    if system.uid() != 0:
        raise PermissionError("network namespaces and packet capture need root")
    sweep(system)
    names = ["mailseal-%d-%s" % (os.getpid(), secrets.token_hex(2)) for _ in range(3)]
    host, client, wire = names
    try:
        for name in names:
            _ip(system, "netns", "add", name)
            _ip(system, "-n", name, "link", "set", "lo", "up")
        within = ("-n", wire)
        # Without snooping, IPv6 neighbour discovery reaches both ends from the first frame.
        bridge = ("type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        _ip(system, *within, "link", "add", "bridge", *bridge)
        _ip(system, *within, "link", "set", "bridge", "up")
        for name, port in ((host, TAP), (client, "to-client")):
            peer = ("peer", "name", "eth0", "netns", name)
            _ip(system, *within, "link", "add", port, "type", "veth", *peer)
            _ip(system, *within, "link", "set", port, "master", "bridge", "up")
            _ip(system, "-n", name, "link", "set", "eth0", "up")
        for name, ends in ((host, HOST), (client, CLIENT)):
            _ip(system, "-n", name, "address", "add", ends[0] + "/24", "dev", "eth0")
        missing = _ipv6(system, host, client)
        families = 1 if missing else 2
        prefixes = [("ip", "netns", "exec", name) for name in names]
        yield Stage(
            port=109,
            addresses=HOST[:families],
            rows=(("", "tcp"), ("", "tcp6"))[:families],
            here=CLIENT[:families],
            host=prefixes[0],
            client=prefixes[1],
            wire=prefixes[2],
            missing=missing,
        )
    finally:
        for name in names:
            if system.stat("/run/netns/" + name) is not None:
                system.run(["ip", "netns", "delete", name])


def _ipv6(system: System, host: str, client: str) -> tuple[str, ...]:
    """Addresses of the second family; what is missing where this kernel has none."""
    try:
        for name, ends in ((host, HOST), (client, CLIENT)):
            add = ("address", "add", ends[1] + "/64", "dev", "eth0", "nodad")
            _ip(system, "-n", name, *add)
    except OSError as error:
        return ("IPv6: %s" % error,)
    return ()


def _ip(system: System, *words: str) -> None:
    done = system.run(["ip", *words], timeout=20)
    if not done.ok:
        raise OSError(done.words())


def _loopback(reason: str) -> Stage:
    own = () if os.geteuid() == 0 else (_USERS,)
    return Stage(
        port=free_port(),
        addresses=(LOOPBACK,),
        rows=((LOOPBACK + ":", "tcp"),),
        here=(LOOPBACK_CLIENT,),
        missing=(f"no network of its own: {reason}", *_LOOPBACK, *own),
    )


_LOOPBACK = (
    "the eavesdropper's view, before and after: packet capture needs root and namespaces",
    "a look from another host: this one is from another address of the same machine",
    "IPv6, and the real port 109",
)
_USERS = "separate users: the backend's socket is guarded by its mode alone, all users are you"


def free_port() -> int:
    """10109, or one that is free."""
    for wanted in (10109, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, wanted))
            return int(probe.getsockname()[1])
    raise OSError("no free port on %s" % LOOPBACK)
