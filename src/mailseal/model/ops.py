"""The Ops: the low-level steps a plan is made of.

Steps are data. Executing them (`apply`), showing them (`report`) and exporting them are siblings
that read the same values. Each op says what it needs to be undone *beforehand* or finds it when it
acts; none takes a shell string. Undo runs in reverse order, so an op that must follow both the
change and its undo (a reload) stands twice: once with `do`, once with `undo`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar, Tuple, Union


@dataclass(frozen=True)
class Splice:
    """Replace `old` at byte `offset` by `new`. Whole files are never in a plan: they may hold
    passwords.
    """

    offset: int
    old: bytes
    new: bytes


@dataclass(frozen=True)
class Listening:
    """An expectation of a socket: TCP at `address` and `port`, there or gone. With `unit` it is
    looked for in the network namespace of that unit's main process. With `anew` a socket does not
    count that was there before: a daemon that opens its sockets again when it reloads (stunnel)
    has done so only then.
    """

    address: str
    port: int
    present: bool
    unit: str = ""
    anew: bool = False


@dataclass(frozen=True)
class InstallPackage:
    """Install a package of the distribution without starting its services."""

    name: str
    KIND: ClassVar[str] = "install-package"


@dataclass(frozen=True)
class MakeDirectory:
    """Create a directory that is not there; undo removes it if it is empty again."""

    path: str
    owner: str
    group: str
    mode: int
    KIND: ClassVar[str] = "make-directory"


@dataclass(frozen=True)
class WriteFile:
    """Create a file that is not there; undo removes it. `later` are hashes (SHA-256) of what a
    timer of the plan may make of it meanwhile: undo takes that for ours.
    """

    path: str
    content: bytes
    owner: str
    group: str
    mode: int
    later: Tuple[str, ...] = ()
    KIND: ClassVar[str] = "write-file"


@dataclass(frozen=True)
class CopyFile:
    """Copy a file of this host to a place that is empty (a key for the terminator's group): its
    bytes never stand in a plan. Undo removes the copy.
    """

    source: str
    path: str
    owner: str
    group: str
    mode: int
    KIND: ClassVar[str] = "copy-file"


@dataclass(frozen=True)
class EditFile:
    """Change an existing file by splices; hashes (SHA-256) say what it must be before and after.
    Owner, mode and extended attributes stay. `later` as of WriteFile.
    """

    path: str
    before: str
    after: str
    splices: Tuple[Splice, ...]
    later: Tuple[str, ...] = ()
    KIND: ClassVar[str] = "edit-file"


@dataclass(frozen=True)
class MakeLink:
    """Create a symbolic link that is not there; undo removes it."""

    path: str
    target: str
    KIND: ClassVar[str] = "make-link"


@dataclass(frozen=True)
class IssueCertificate:
    """Make a private CA (once) and a certificate under it, with the host's openssl. The keys are
    made on the host and never leave it. `names` are DNS names and addresses; the CA is bound to
    them by critical name constraints.
    """

    directory: str
    name: str
    names: Tuple[str, ...]
    days: int
    group: str
    KIND: ClassVar[str] = "issue-certificate"


@dataclass(frozen=True)
class UnitAction:
    """Ask the service manager for something, on the way forward (`do`), on the way back (`undo`),
    or both; an empty word is nothing. Words: start, stop, restart, reload, daemon-reload; of an
    init script also enable and disable, add and remove (a new one), which are about the boot alone.
    `after_do` and `after_undo` are waited for, `seconds` at most.
    """

    unit: str
    do: str
    undo: str
    after_do: Tuple[Listening, ...] = ()
    after_undo: Tuple[Listening, ...] = ()
    seconds: float = 15.0
    KIND: ClassVar[str] = "unit-action"


@dataclass(frozen=True)
class TryTerminator:
    """Start the real stunnel on a free loopback port with the real options, and take the service's
    greeting through TLS, before anything is switched. `unit` is another instance of the real one's
    template: same user, same hardening. `content` is written to `path` for the time of the trial,
    `PORT` in it replaced by the free port. Changes nothing that lasts.
    """

    unit: str
    path: str
    content: bytes
    group: str
    authority: str
    name: str
    protocol: str
    KIND: ClassVar[str] = "try-terminator"

    PORT: ClassVar[bytes] = b"@PORT@"


class Firewall(str, enum.Enum):
    """What rules the packets that come in, by the program that its rules are changed with."""

    NFTABLES = "nftables"
    IPTABLES = "iptables"
    UFW = "ufw"
    FIREWALLD = "firewalld"


@dataclass(frozen=True)
class OpenPort:
    """Let TCP to `port` in through a firewall. `where`: the family, table and chain of nftables;
    iptables' program; firewalld's zone; empty for ufw. `last`: behind the rules that are there, or
    else before them (nftables and iptables, where this holds until the next boot: what that loads
    is a file). Adds an accept, and takes away what it added; no policy is set, nothing flushed or
    loaded anew. `model.firewall` has the commands.
    """

    manager: Firewall
    port: int
    where: str
    last: bool = False
    KIND: ClassVar[str] = "open-port"


@dataclass(frozen=True)
class CheckConfiguration:
    """Ask a daemon's own tool whether it takes its configuration: it must end well and print each
    of the lines `prints`. Changes nothing, and what it prints is not kept.
    """

    argv: Tuple[str, ...]
    prints: Tuple[str, ...]
    KIND: ClassVar[str] = "check-configuration"


@dataclass(frozen=True)
class Steer:
    """Lead new connections at `routes` to a second stunnel while listeners change hands. `do` and
    `undo` are begin or end. The second one has `configuration` at `path`, and the units `service`
    and `socket`, all in /run; `PORT` in them is a free loopback port. With `protocol` its greeting
    is taken first, in TLS with a certificate for `server` under `authority`.

    With `begin` the sessions that others have at the ports `drains`, and with `end` those of the
    second stunnel, have `seconds` to end. `without` is the gap for who leaves this out.
    """

    name: str
    routes: Tuple[Listening, ...]
    configuration: bytes
    socket: bytes
    service: bytes
    group: str
    protocol: str
    server: str
    authority: str
    do: str
    undo: str
    without: str
    drains: Tuple[int, ...] = ()
    seconds: float = 30.0
    KIND: ClassVar[str] = "steer"

    PORT: ClassVar[bytes] = b"@PORT@"

    @property
    def unit(self) -> str:
        """The name of its units, without the kind."""
        return "mailseal-second-" + self.name

    @property
    def units(self) -> str:
        """Where they lie, without the kind."""
        return "/run/systemd/system/" + self.unit

    @property
    def path(self) -> str:
        """Of its configuration."""
        return "/run/%s.conf" % self.unit


Op = Union[
    InstallPackage,
    MakeDirectory,
    WriteFile,
    CopyFile,
    EditFile,
    MakeLink,
    IssueCertificate,
    UnitAction,
    TryTerminator,
    OpenPort,
    CheckConfiguration,
    Steer,
]
