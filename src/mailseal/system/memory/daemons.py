"""Daemons that listen: which sockets their configuration makes them want.

Read with the parsers of `configs`, as the daemons themselves read the files: at every start and
reload, as root. Whether they get their sockets is the service manager's business.
"""

from __future__ import annotations

import ipaddress
import os.path
from dataclasses import dataclass
from typing import Callable, Mapping, Sequence, Tuple

from mailseal.configs import inetd, stunnel, xinetd
from mailseal.system.memory.files import Disk


@dataclass(frozen=True)
class Bind:
    """A TCP socket a daemon wants to listen on; or a Unix socket, whose path is its address."""

    address: str
    port: int
    dual: bool = False


Daemon = Callable[[Tuple[str, ...]], Sequence[Bind]]
"""From its argv to the sockets it wants. Raises StartFailed."""


class StartFailed(Exception):
    """A daemon that ends at once; the text is its complaint."""


def overlap(one: Bind, other: Bind) -> bool:
    """Whether Linux lets only one of two sockets of a port listen: where their addresses meet."""
    for wide, narrow in ((one, other), (other, one)):
        versions = {ipaddress.ip_address(each.address).version for each in (wide, narrow)}
        if wide.address == narrow.address or (wide.address == "::" and wide.dual):
            return True
        if wide.address in ("0.0.0.0", "::") and len(versions) == 1:
            return True
    return False


def _config(disk: Disk, path: str) -> bytes:
    node = disk.nodes.get(path)
    if not node or node.kind != "file":
        raise StartFailed("%s: no such file" % path)
    return node.data


def _services(disk: Disk) -> Mapping[str, int]:
    return inetd.parse_services(_config(disk, "/etc/services"))


def _inetd(disk: Disk, argv: Tuple[str, ...]) -> Sequence[Bind]:
    """After openbsd-inetd: `tcp` is IPv4, tcp6 is IPv6 alone."""
    files = [word for word in argv[1:] if word.startswith("/")]
    document = inetd.parse(_config(disk, files[0] if files else "/etc/inetd.conf"))
    found = []
    for entry in document.entries:
        port = inetd.port(entry, _services(disk))
        if (entry.type, entry.protocol) == ("stream", "unix"):
            found.append(Bind(entry.service, 0))
        if entry.type != "stream" or entry.transport != "tcp" or port is None:
            continue
        every = "::" if entry.protocol == "tcp6" else "0.0.0.0"
        for address in entry.addresses:
            found.append(Bind(every if address in ("*", "") else address, port))
    return found


def _xinetd(disk: Disk, argv: Tuple[str, ...]) -> Sequence[Bind]:
    main = xinetd.parse(_config(disk, "/etc/xinetd.conf"))
    documents = [main]
    for directive in main.directives:
        path = directive.path.text
        names = filter(xinetd.includedir_reads, disk.listdir(path))
        inside = directive.kind == "includedir"
        paths = [os.path.join(path, name) for name in names] if inside else [path]
        documents += [xinetd.parse(_config(disk, each)) for each in paths]
    found = []
    for service in (each for document in documents for each in document.services):
        own = xinetd.effective(service, main.defaults)
        port = xinetd.port(service, _services(disk))
        if not xinetd.is_enabled(service, main.defaults) or port is None:
            continue
        if own.get("socket_type", ("stream",))[0] != "stream":
            continue
        six = "IPv6" in own.get("flags", ())
        address = own.get("bind", ("::" if six else "0.0.0.0",))[0]
        found.append(Bind(address, port, address == "::"))
    return found


def stunnel_binds(disk: Disk, argv: Tuple[str, ...]) -> Sequence[Bind]:
    """Certificate and key must be there and hold something; nothing else is checked."""
    document = stunnel.parse(_config(disk, argv[-1]))
    if document.malformed:
        raise StartFailed("Configuration failed: %s" % document.malformed[0].reason)
    found = []
    for service in document.services:
        options = stunnel.effective(document, service)
        for key in ("cert", "key"):
            for option in options.get(key, ())[-1:]:
                if not _config(disk, option.value.text):
                    raise StartFailed("%s: no PEM in it" % option.value.text)
        for option in options.get("accept", ()):
            where = stunnel.parse_address(option.value.text)
            if isinstance(where, stunnel.HostPort):
                address = where.host or "0.0.0.0"
                port = where.port(_services(disk))
                if port is None:
                    raise StartFailed("%s: unknown service" % where.service)
                found.append(Bind(address, port, address == "::"))
    return found


DAEMONS: Mapping[str, Callable[[Disk, Tuple[str, ...]], Sequence[Bind]]] = {
    "inetd": _inetd,
    "xinetd": _xinetd,
    "stunnel": stunnel_binds,
    "stunnel4": stunnel_binds,
}
"""By the name of the program."""
