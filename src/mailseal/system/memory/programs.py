"""Programs that are run and end: apt, dpkg, openssl, stunnel, ip, nft, python3.

One function a program, one row in a table; what they leave behind and what they print is as little
as their callers look at. Those of the service manager are in `manager`, the packet filter is in
`firewall`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os.path
from typing import TYPE_CHECKING, Callable, Dict, List, Mapping, Sequence, Tuple

from mailseal.system.base import Completed, Meta
from mailseal.system.memory.daemons import StartFailed, stunnel_binds
from mailseal.system.memory.files import DIRECTORY, Node
from mailseal.system.memory.firewall import nft
from mailseal.system.packages import GUARD

if TYPE_CHECKING:
    from mailseal.system.memory.machine import MemorySystem

Program = Callable[[Tuple[str, ...], bytes], Completed]
"""From its argv and standard input to how it ended."""


def changes(argv: Sequence[str]) -> bool:
    """Whether a program's call may change the machine (if in doubt, yes)."""
    name, words = os.path.basename(argv[0]), set(argv[1:])
    answers = {
        "systemctl": {"show", "is-active", "is-enabled", "list-unit-files", "--version"},
        "openssl": {"version"},
        "stunnel4": {"-version"},
        "python3": {"--version"},
        "ip": {"-j"},
        "nft": {"list"},
        "ss": {"state"},
    }
    return name not in ("apt-cache", "dpkg-query") and not words & answers.get(name, set())


def _stunnel(machine: MemorySystem, argv: Tuple[str, ...], data: bytes) -> Completed:
    if "/usr/bin/stunnel4" not in machine.nodes:
        return Completed(argv, 127, b"", b"no such program")
    if argv[1:] == ("-version",):
        return Completed(argv, 0, b"", b"stunnel 5.68 on x86_64-pc-linux-gnu platform\n")
    try:
        stunnel_binds(machine, argv)
    except StartFailed as failed:
        return Completed(argv, 1, b"", str(failed).encode())
    return Completed(argv, 0, b"", b"")


def _openssl(machine: MemorySystem, argv: Tuple[str, ...], data: bytes) -> Completed:
    """`req` and `x509`: -keyout and -out get PEM of the kind one expects there; a key is closed to
    others.
    """
    if argv[1:2] == ("version",):
        return Completed(argv, 0, b"OpenSSL 3.0.17 1 Jul 2025\n", b"")
    request = argv[1] == "req" and "-x509" not in argv
    result = "CERTIFICATE REQUEST" if request else "CERTIFICATE"
    for option, label, mode in (("-keyout", "PRIVATE KEY", 0o600), ("-out", result, 0o644)):
        if option not in argv[:-1]:
            continue
        path = argv[argv.index(option) + 1]
        if machine.nodes.get(os.path.dirname(path), Node("", Meta(0, 0, 0))).kind != "directory":
            return Completed(argv, 1, b"", b"Can't open %s for writing" % path.encode())
        meta = machine.timed(Meta(mode, machine.user, machine.user))
        machine.nodes[path] = Node("file", meta, _pem(label, argv), durable=False)
    return Completed(argv, 0, b"", b"")


def _apt_get(machine: MemorySystem, argv: Tuple[str, ...], data: bytes) -> Completed:
    name = argv[-1]
    if machine.apt_error:
        return Completed(argv, 100, b"", machine.apt_error.encode())
    if "install" not in argv or name in machine.packages:
        return Completed(argv, 0, b"", b"")
    if name not in machine.available:
        return Completed(argv, 100, b"", b"E: Unable to locate package %s" % name.encode())
    machine.install(name)
    guard = machine.nodes.get(GUARD)
    if not guard or b"exit 101" not in guard.data:
        for unit in machine.available[name].units:
            machine.manager.start(unit)
    return Completed(argv, 0, b"Setting up %s\n" % name.encode(), b"")


def _apt_cache(machine: MemorySystem, argv: Tuple[str, ...], data: bytes) -> Completed:
    out = ""
    for name in argv[2:]:
        if name in machine.available:
            version = machine.packages.get(name, "(none)")
            out += "%s:\n  Installed: %s\n  Candidate: %s\n  Version table:\n" % (
                *(name, version),
                machine.available[name].version,
            )
    return Completed(argv, 0, out.encode(), b"")


def _dpkg_query(machine: MemorySystem, argv: Tuple[str, ...], data: bytes) -> Completed:
    version = machine.packages.get(argv[-1])
    if version is None:
        return Completed(argv, 1, b"", b"dpkg-query: no packages found\n")
    return Completed(argv, 0, b"installed %s\n" % version.encode(), b"")


def _ip(machine: MemorySystem, argv: Tuple[str, ...], data: bytes) -> Completed:
    """ip(8): the addresses as JSON; namespaces and interfaces as names with nothing in them."""
    if "-j" in argv:
        return Completed(argv, 0, _ip_json(machine, argv).encode(), b"")
    words = [word for word in argv[1:] if not word.startswith("-")]
    where = {"netns": "/run/netns/", "link": "/sys/class/net/"}.get(words[0])
    if where and words[1] == "add":
        machine.place(where + words[2], DIRECTORY)
    elif where and words[1] == "delete" and not machine.nodes.pop(where + words[2], None):
        return Completed(argv, 1, b"", b"Cannot find %s" % words[2].encode())
    return Completed(argv, 0, b"", b"")


def _ip_json(machine: MemorySystem, argv: Tuple[str, ...]) -> str:
    if "link" in argv:
        return json.dumps([{"ifname": name} for name in machine.listdir("/sys/class/net")])
    if not {"addr", "address"} & set(argv):
        return "[]"
    interfaces: Dict[str, List[Dict[str, object]]] = {}
    for name, address, length, scope in machine.addresses:
        family = "inet6" if ":" in address else "inet"
        if {"inet": "-6", "inet6": "-4"}[family] not in argv:
            interfaces.setdefault(name, []).append(
                {"family": family, "local": address, "prefixlen": length, "scope": scope}
            )
    return json.dumps([{"ifname": name, "addr_info": own} for name, own in interfaces.items()])


def _python(machine: MemorySystem, argv: Tuple[str, ...], data: bytes) -> Completed:
    """Says its version; what it is asked to run, the units run (`on_exec`)."""
    return Completed(argv, 0, b"Python 3.11.2\n", b"")


def _pem(label: str, argv: Tuple[str, ...]) -> bytes:
    """The same for the same call, so that runs can be compared."""
    body = base64.b64encode(hashlib.sha256("\0".join((label, *argv)).encode()).digest())
    return b"-----BEGIN %s-----\n%s\n-----END %s-----\n" % (label.encode(), body, label.encode())


PROGRAMS: Mapping[str, Callable[[MemorySystem, Tuple[str, ...], bytes], Completed]] = {
    "apt-get": _apt_get,
    "apt-cache": _apt_cache,
    "dpkg-query": _dpkg_query,
    "openssl": _openssl,
    "stunnel4": _stunnel,
    "ip": _ip,
    "nft": nft,
    "python3": _python,
}
