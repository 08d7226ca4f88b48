"""Super-servers as records: which sockets inetd, xinetd and systemd are to open for others.

Strategy: the same record as a daemon's (`daemons.base.Daemon`), so whoever asks which line causes a
socket asks one kind of thing. The parsers of `configs` say what is written; systemd itself is asked
which sockets its units come to, and the unit files only for the line.
"""

from __future__ import annotations

import os.path
import re
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from mailseal.configs import inetd, systemd, xinetd
from mailseal.configs.text import Span, decode
from mailseal.daemons.base import Daemon, source
from mailseal.model.local import Declared, Source
from mailseal.system.reader import Reader, arguments
from mailseal.system.units import listen_address

INETD = "/etc/inetd.conf"
XINETD = "/etc/xinetd.conf"
MAX_INCLUDED = 500
NOT_WANTED = ("disabled", "masked", "masked-runtime", "indirect", "bad")
"""States of a unit file (systemctl(1), is-enabled) whose socket is not to be open by itself."""

_FAMILIES = {"tcp4": ("0.0.0.0",), "tcp6": ("::",), "tcp46": ("0.0.0.0", "::")}


def at(path: str, data: bytes, span: Span) -> Source:
    """The place of an item of a parsed file."""
    return source(path, span.line, decode(data[span.start : span.end]))


def _inetd(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    path = next((word for word in argv[1:] if word.startswith("/")), INETD)
    data = reader.read(path) or b""
    found = []
    for entry in inetd.parse(data).entries:
        port = reader.port(entry.service) if entry.transport == "tcp" else None
        if not port:
            continue
        wildcards = _FAMILIES.get(entry.protocol, ("0.0.0.0",))
        for host in entry.addresses:
            for each in wildcards if host == "*" else (host,):
                line = at(path, data, entry.span)
                found.append(Declared(each, port, line, entry.effective_server))
    return tuple(found)


def _xinetd(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    path = (arguments(argv, "-f") or (XINETD,))[-1]
    documents = list(_xinetd_files(reader, path, []))
    defaults = next((doc.defaults for _, doc in documents if doc.defaults), None)
    found = []
    for path, document in documents:
        for service in document.services:
            values = xinetd.effective(service, defaults)
            named = () if "UNLISTED" in values.get("type", ()) else (service.name,)
            words = values.get("port", named)
            port = reader.port(words[0]) if words else None
            # Asked with that number, so that names of /etc/services are looked up in one place.
            port = port and xinetd.port(service, {service.name: port})
            protocol = values.get("protocol", ("tcp",))[0]
            if not port or protocol != "tcp" or not xinetd.is_enabled(service, defaults):
                continue
            wildcard = "::" if "IPv6" in values.get("flags", ()) else "0.0.0.0"
            host = values.get("bind", (wildcard,))[0]
            line = at(path, document.data, service.opening.span)
            found.append(Declared(host, port, line, xinetd.server(values)))
    return tuple(found)


def _xinetd_files(
    reader: Reader, path: str, seen: List[str]
) -> Iterator[Tuple[str, xinetd.Document]]:
    """A file of xinetd and those that it includes."""
    data = reader.read(path)
    if data is None or path in seen or len(seen) >= MAX_INCLUDED:
        return
    seen.append(path)
    document = xinetd.parse(data)
    yield path, document
    for directive in document.directives:
        paths: Sequence[str] = (directive.path.text,)
        if directive.kind == "includedir":
            inside = reader.matching(os.path.join(directive.path.text, "*"))
            paths = [each for each in inside if xinetd.includedir_reads(os.path.basename(each))]
        for each in paths:
            yield from _xinetd_files(reader, each, seen)


# -- systemd ---------------------------------------------------------------------------------------

_PROPERTIES = "Id,Listen,Triggers,ActiveState,UnitFileState,FragmentPath,DropInPaths"


def _systemd(reader: Reader, argv: Sequence[str]) -> Tuple[Declared, ...]:
    """The sockets of units that are up, or are to be."""
    if not reader.matching("/run/systemd/system"):
        return ()
    listed = ("systemctl", "list-unit-files", "--type=socket")
    said = reader.ask(*listed, "--no-legend", "--plain", "--no-pager")
    names = [line.split()[0] for line in said.splitlines() if line.strip()]
    names = [name for name in names if "@." not in name]
    # The pattern is for those that are loaded and have no file.
    said = reader.ask("systemctl", "show", "--property=" + _PROPERTIES, "--", "*.socket", *names)
    found: Dict[str, Tuple[Declared, ...]] = {}
    for block in said.split("\n\n"):
        values: Dict[str, List[str]] = {}
        for line in block.splitlines():
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
        unit = "".join(values.get("Id", ()))
        wanted = "".join(values.get("UnitFileState", ())) not in NOT_WANTED
        is_open = values.get("ActiveState") == ["active"]
        if unit and unit not in found and (wanted or is_open):
            found[unit] = tuple(_listens(reader, unit, values, is_open))
    return tuple(each for declared in found.values() for each in declared)


def _listens(
    reader: Reader, unit: str, values: Dict[str, List[str]], is_open: bool
) -> Iterator[Declared]:
    paths = " ".join(values.get("FragmentPath", []) + values.get("DropInPaths", [])).split()
    for word in values.get("Listen", ()):
        address, _, kind = word.partition(" ")
        where = listen_address(address)
        if where and kind == "(Stream)":
            server = _served(reader, unit, "".join(values.get("Triggers", ())))
            line = _stream_line(reader, paths, where[1])
            line = line or Source(unit, 0, "ListenStream=" + address)
            yield Declared(*where, line, server, unit, is_open)


def _stream_line(reader: Reader, paths: Sequence[str], port: int) -> Optional[Source]:
    """The line of a unit's files that names the port; later files count more."""
    for path in reversed(paths):
        data = reader.read(path) or b""
        for option in systemd.parse(data).options("Socket", "ListenStream"):
            if re.search(r"(?<!\d)%d$" % port, option.value.text):
                return at(path, data, option.span)
    return None


def _served(reader: Reader, unit: str, triggers: str) -> str:
    """The program that a socket unit starts for each connection (Accept=yes: it triggers nothing by
    itself), where its template lies where units of the host's and of packages do.
    """
    if triggers:
        return ""
    template = unit[: -len(".socket")] + "@.service"
    for directory in ("/etc", "/run", "/usr/lib", "/lib"):
        line = command_line(reader, ["%s/systemd/system/%s" % (directory, template)])
        if line:
            return line[1].path
    return ""


def command_line(reader: Reader, paths: Sequence[str]) -> Optional[Tuple[Source, systemd.Command]]:
    """The last ExecStart= of a service's files that has a command, and its first command."""
    for path in reversed(paths):
        data = reader.read(path) or b""
        for option in reversed(systemd.parse(data).options("Service", "ExecStart")):
            commands = systemd.split_exec(option.value.text)
            if commands:
                return at(path, data, option.span), commands[0]
    return None


SYSTEMD = Daemon("systemd", ("*/systemd",), _systemd)
SUPERSERVERS: Tuple[Daemon, ...] = (
    Daemon("inetd", ("*/inetd", "*/openbsd-inetd", "*/inetutils-inetd"), _inetd),
    Daemon("xinetd", ("*/xinetd",), _xinetd),
    SYSTEMD,
)
