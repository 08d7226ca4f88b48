"""What a host is, as far as planning needs it: HostFacts.

Facts are taken on the host by the agent and may be carried elsewhere, so they hold what the files
say, never keys. What could not be read stands in `unread` with the reason: a plan made from partial
facts is a draft.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple


@dataclass(frozen=True)
class FileFact:
    """One file or link: `kind` is file, directory, link or other; `sha256` over the content;
    `content` only where planning reads it. `target` for links.
    """

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    sha256: str = ""
    content: Optional[bytes] = None
    target: str = ""


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket, or one of UDP. `address` is a literal (0.0.0.0 and :: are wildcards);
    `dual` tells that an IPv6 wildcard also takes IPv4. `unit` is the systemd unit of the process,
    or the init script that started it, by the name that systemd would give to it.
    """

    address: str
    port: int
    pid: int
    process: str
    executable: str
    unit: str
    dual: bool = False


@dataclass(frozen=True)
class UnitFact:
    """A systemd unit, or an init script: `load`, `active` and `enabled` as systemctl words them."""

    name: str
    load: str
    active: str
    enabled: str


@dataclass(frozen=True)
class AddressFact:
    """A local address; `scope` as the kernel words it (global, link, host)."""

    address: str
    interface: str
    scope: str


@dataclass(frozen=True)
class Server:
    """A program that serves one session on its standard input (inetd's `nowait`)."""

    path: str
    argv: Tuple[str, ...]
    user: str
    group: str
    environment: Tuple[str, ...] = ()


@dataclass(frozen=True)
class HostFacts:
    """Everything `plan` may know. `machine` is /etc/machine-id; `taken` RFC 3339 UTC; `packages`
    name to version (of those that matter, empty text: known to the package manager, not
    installed); `unread` is path-or-question to reason; `tools` name to first line of its version;
    `answers` command line to what a daemon's own tool says of its configuration; `firewall` the
    same of a firewall's rules; `manager` is the package manager (apt, dnf, yum; empty: none that is
    known); `datagrams` are the UDP sockets.
    """

    host: str
    machine: str
    taken: str
    system: str
    privileged: bool
    init: str
    files: Tuple[FileFact, ...]
    listeners: Tuple[Listener, ...]
    units: Tuple[UnitFact, ...]
    addresses: Tuple[AddressFact, ...]
    packages: Mapping[str, str]
    tools: Mapping[str, str]
    firewall: Mapping[str, str]
    unread: Mapping[str, str]
    answers: Mapping[str, str] = field(default_factory=dict)
    manager: str = ""
    datagrams: Tuple[Listener, ...] = ()

    def file(self, path: str) -> Optional[FileFact]:
        """The fact about `path`, None where it does not exist or was not looked for."""
        return next((fact for fact in self.files if fact.path == path), None)
