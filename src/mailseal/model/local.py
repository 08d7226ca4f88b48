"""What a host exposes, seen by its administrator on the host itself: LocalListener and LocalHost;
and what its package manager knows of the software behind it: Software.

Strategy: one value a listening socket, with all that leads from the port to whoever can change it:
process, user, package, unit, and the line of a configuration. What was not told stands in `gaps`
with the reason; an empty field without a gap means that there is none. Arguments of programs are
not among the fields: they may hold a secret.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Mapping, Optional, Tuple


class Extent(enum.Enum):
    """From where a socket can be reached, as far as its address and network say. Firewalls are not
    considered.
    """

    EVERYWHERE = "everywhere"
    """Every address of this host (0.0.0.0, ::)."""
    ADDRESS = "address"
    """One address of this host."""
    LOOPBACK = "loopback"
    """This host alone."""
    CONTAINER = "container"
    """In the network of a container."""
    NAMESPACE = "namespace"
    """In another network namespace that is no container's."""


@dataclass(frozen=True)
class Source:
    """A place in a configuration: path, line (from 1; 0: nothing is written there, it is the
    default of the program) and the text, without white space around it.
    """

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        place = "%s:%d" % (self.file, self.line) if self.line else self.file
        return "%s: %s" % (place, self.text)


@dataclass(frozen=True)
class Declared:
    """A socket that a configuration asks for. `host` is a literal, a name, or empty: the
    configuration does not say; 0.0.0.0 and :: are all addresses of a family. `server` is the
    program that is started for each connection, `unit` the socket unit, where there is one; `open`:
    systemd says that it has it open.
    """

    host: str
    port: int
    source: Source
    server: str = ""
    unit: str = ""
    open: bool = False


@dataclass(frozen=True)
class Program:
    """A program on disk, and the package that brought it; empty where none did."""

    path: str
    package: str
    version: str


@dataclass(frozen=True)
class Holder:
    """A process that has the socket open. `replaced`: the file at `executable` is no longer the
    program that runs (upgraded or deleted since). `uid` is the effective one.
    """

    pid: int
    name: str
    executable: str
    replaced: bool
    uid: int
    user: str


@dataclass(frozen=True)
class LocalListener:
    """A listening TCP socket, or one that is configured and does not listen now (`listening`
    false). `family`: ipv4, ipv6, both. `owner` names the container or the namespace, also of a
    container that uses the host's network. `uid` and `user` are those of the socket. `service` is
    the daemon or the super-server by its usual name. `programs` are the one that listens and,
    behind a super-server, the one that it starts for each connection. `unit` is the service,
    `socket_unit` the unit for which systemd opened the socket.
    """

    address: str
    port: int
    family: str
    extent: Extent
    listening: bool
    owner: str
    inode: int
    uid: int
    user: str
    processes: Tuple[Holder, ...]
    service: str
    programs: Tuple[Program, ...]
    unit: str
    socket_unit: str
    source: Optional[Source]
    gaps: Tuple[str, ...]


@dataclass(frozen=True)
class Package:
    """An installed package. `vendor` is whose archive it is from (Debian, Ubuntu, Red Hat, Inc.),
    `component` the part of it (main, universe); empty where that is not known. `update` is the
    version to which it should go, empty where none is known; `security`: that version, or one that
    it leaps over, is a security update; None where its archive does not tell them from others.
    `blocked` is why an upgrade does not bring it. `unknown` is why nobody can tell of this package
    whether there is one.
    """

    name: str
    version: str
    vendor: str = ""
    component: str = ""
    update: str = ""
    security: Optional[bool] = None
    blocked: str = ""
    unknown: str = ""


@dataclass(frozen=True)
class Software:
    """What the package manager of a host knows without asking anybody. `distribution` is ID and
    VERSION_ID of os-release(5) (debian 12), `title` its PRETTY_NAME. `fresh` is the moment as of
    which its lists of packages are (RFC 3339 UTC; empty: not told). `gaps` are reasons why there
    may be updates that it does not know of.
    """

    distribution: str = ""
    title: str = ""
    manager: str = ""
    fresh: str = ""
    packages: Tuple[Package, ...] = ()
    gaps: Tuple[str, ...] = ()


@dataclass(frozen=True)
class LocalHost:
    """All of a host's listeners that were asked for; `taken` RFC 3339 UTC. `unread` is path or
    question to the reason why it could not be read. `addresses` are the host's own, loopback and
    link-local ones left out.
    """

    host: str
    taken: str
    privileged: bool
    listeners: Tuple[LocalListener, ...]
    unread: Mapping[str, str]
    addresses: Tuple[str, ...] = ()
    software: Software = Software()
