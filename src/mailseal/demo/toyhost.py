"""The toy host: a small machine of the demo's own, as a System that plans can be applied to.

Strategy: its files lie below a private directory, its network is a network namespace (or, without
root, the loopback of this machine), its service manager is `supervisor`. What it is asked to run is
looked up in a table; a program that is not there does not exist on the toy host, so nothing of this
machine can be changed by what a plan says. Everything durable goes through the live System's own
writes. Without root all users of the toy host are the one who runs the demo.
"""

from __future__ import annotations

import contextlib
import functools
import grp
import json
import os
import pwd
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from mailseal.demo.signals import Machine
from mailseal.demo.stage import Stage
from mailseal.demo.supervisor import Backstage, Supervisor, module, supervising
from mailseal.model.host import Listener
from mailseal.system.base import Completed, Meta, Socket, Stat
from mailseal.system.proc import Row, listening

NAME = "mail.example"
USER = "postmaster"
STUNNEL_ACCOUNT = "stunnel4"
ROOT, BACKSTAGE = "host", "backstage"
"""In the demo's directory: the host's files, and what it does not see (logs, translated copies)."""
UNTRACED = ("/run/mailseal.lock", "/var/lib/mailseal")
"""What a rollback leaves on purpose: the lock's file, and the journals of the runs."""

_MAIL = """\
From editor@example.net Tue Nov  1 09:12:00 1988
From: editor@example.net
To: postmaster@mail.example
Subject: RFC 1081

There is a Version 3 of the Post Office Protocol: Version 2 can retire.

"""

_UNIT = """\
[Unit]
Description=Internet superserver

[Service]
ExecStart=/usr/sbin/inetd -i
ExecReload=/bin/kill -HUP $MAINPID
"""


def files(stage: Stage, password: str) -> Mapping[str, tuple[int, str]]:
    """Mode and text of every file of the host before mailseal comes."""
    server = "nowait root /usr/sbin/ipop2d ipop2d"
    lines = [f"{address}pop2 stream {protocol} {server}\n" for address, protocol in stage.rows]
    services = f"pop2\t\t{stage.port}/tcp\tpostoffice pop-2\npop3\t\t110/tcp\n"
    return {
        "/etc/hostname": (0o644, NAME + "\n"),
        "/etc/machine-id": (0o444, os.urandom(16).hex() + "\n"),
        "/etc/os-release": (0o644, 'PRETTY_NAME="toy host of mailseal demo"\n'),
        "/etc/services": (0o644, services),
        "/etc/inetd.conf": (0o640, "# The post office, as it always was.\n" + "".join(lines)),
        "/etc/pop2d.users": (0o600, f"{USER}:{password}\n"),
        "/var/mail/" + USER: (0o600, _MAIL),
        "/lib/systemd/system/inetd.service": (0o644, _UNIT),
        "/usr/bin/apt-get": (0o755, ""),
    }


DIRECTORIES = (
    *("/etc", "/etc/systemd", "/etc/systemd/system", "/etc/systemd/system/multi-user.target.wants"),
    *("/lib", "/lib/systemd", "/lib/systemd/system"),
    *("/run", "/run/systemd", "/run/systemd/system", "/usr", "/usr/bin", "/var", "/var/lib"),
    *("/var/mail",),
)


class ToyHost:
    """Implements `System`. Made by `toy_host`."""

    def __init__(self, backstage: Backstage, addresses: Sequence[str], stunnel: str) -> None:
        self._live = Machine()
        self._stage = backstage
        self._addresses = addresses
        self._stunnel = stunnel
        self.supervisor: Supervisor

    def real(self, path: str) -> str:
        """Where a path of the toy host really is; empty stays empty."""
        return str(self._stage.real(path)) if path else ""

    # -- reading -----------------------------------------------------------------------------

    def read(self, path: str) -> bytes:
        return self._live.read(self.real(path))

    def stat(self, path: str) -> Stat | None:
        found = self._live.stat(self.real(path))
        return found and replace(found, meta=self._shown(found.meta))

    def listdir(self, path: str) -> tuple[str, ...]:
        return self._live.listdir(self.real(path))

    def listeners(self, unit: str = "") -> tuple[Listener, ...]:
        """Of the stage: no unit here has a network of its own."""
        if unit:
            return ()
        owners = self._owners()
        found = []
        for address, port, inode, _ in self._rows():
            pid, unit, program = owners.get(inode, (0, "", ""))
            found.append(
                Listener(address, port, pid, os.path.basename(program), program, unit, False)
            )
        return tuple(sorted(found, key=lambda each: (each.port, each.address, each.pid)))

    def sockets(self) -> tuple[Socket, ...]:
        """Nothing in the demo asks who holds them."""
        return tuple(
            Socket(address, port, False, inode, 0, "", ())
            for address, port, inode, _ in self._rows()
        )

    def _rows(self) -> Iterator[Row]:
        done = self._live.run([*self._stage.prefix, "cat", "/proc/net/tcp", "/proc/net/tcp6"])
        return listening(done.out.decode("ascii", "replace"))

    def _owners(self) -> Mapping[int, tuple[int, str, str]]:
        """By inode, the unit's process that holds a socket."""
        found = {}
        for owner in self.supervisor.processes():
            with contextlib.suppress(OSError):  # it ended, or let go of one of them, meanwhile
                for number in os.listdir(f"/proc/{owner[0]}/fd"):
                    held = os.readlink(f"/proc/{owner[0]}/fd/{number}")
                    match = re.fullmatch(r"socket:\[(\d+)\]", held)
                    if match:
                        found[int(match.group(1))] = owner
        return found

    def ids(self, user: str, group: str) -> tuple[int, int]:
        for name in (user, group):
            if name not in ("root", STUNNEL_ACCOUNT):
                raise LookupError(f"the toy host has no user or group {name}")
        return self._stage.ids(user, group) if self._stage.separate_users else (0, 0)

    def now(self) -> float:
        return self._live.now()

    def uid(self) -> int:
        """Whoever runs the demo is root of the toy host."""
        return 0

    # -- changing ----------------------------------------------------------------------------

    def write(self, path: str, data: bytes, meta: Meta) -> None:
        self._live.write(self.real(path), data, self._real_meta(meta))

    def append(self, path: str, data: bytes) -> None:
        self._live.append(self.real(path), data)

    def mkdir(self, path: str, meta: Meta) -> None:
        self._live.mkdir(self.real(path), self._real_meta(meta))

    def symlink(self, path: str, target: str) -> None:
        self._live.symlink(self.real(path), target)

    def remove(self, path: str) -> None:
        self._live.remove(self.real(path))

    def _shown(self, meta: Meta) -> Meta:
        return meta if self._stage.separate_users else replace(meta, uid=0, gid=0)

    def _real_meta(self, meta: Meta) -> Meta:
        if self._stage.separate_users:
            return meta
        return replace(meta, uid=os.geteuid(), gid=os.getegid())

    def run(
        self,
        argv: Sequence[str],
        *,
        data: bytes = b"",
        timeout: float = 60.0,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        argv = tuple(argv)
        real = self._asked().get(argv)
        if real is not None:
            return replace(self._live.run(real, timeout=timeout), argv=argv)
        program = self._programs().get(argv[0])
        if program is None:
            return Completed(argv, 127, b"", b"there is no such program on the toy host")
        return program(argv)

    def sleep(self, seconds: float) -> None:
        self._live.sleep(seconds)

    def lock(self, path: str) -> AbstractContextManager[bool]:
        return self._live.lock(self.real(path))

    # -- programs ----------------------------------------------------------------------------

    def _asked(self) -> Mapping[tuple[str, ...], Sequence[str]]:
        """Questions that this machine's own programs answer; they change nothing."""
        address = ("ip", "-j", "address", "show")
        return {
            ("stunnel4", "-version"): [self._stunnel, "-version"],
            ("python3", "--version"): [sys.executable, "--version"],
            **({address: [*self._stage.prefix, *address]} if self._stage.prefix else {}),
        }

    def _programs(self) -> Mapping[str, Callable[[Sequence[str]], Completed]]:
        supervisor = self.supervisor
        return {
            "systemctl": supervisor.systemctl,
            "systemd-run": supervisor.systemd_run,
            "journalctl": supervisor.journalctl,
            "openssl": self._openssl,
            "ip": self._ip,
            "apt-cache": self._apt_cache,
            "dpkg-query": self._dpkg_query,
        }

    def _openssl(self, argv: Sequence[str]) -> Completed:
        """The real one, on the toy host's files."""
        words = [self.real(word) if word.startswith("/") else word for word in argv[1:]]
        return self._live.run([argv[0], *words])

    def _ip(self, argv: Sequence[str]) -> Completed:
        """On loopback: the addresses that the toy host has of it."""
        if argv[1:] != ("-j", "address", "show"):
            return Completed(tuple(argv), 1, b"", b"the toy host's network is as it is")
        found = [{"local": address, "scope": "host"} for address in self._addresses]
        out = json.dumps([{"ifname": "lo", "addr_info": found}])
        return Completed(tuple(argv), 0, out.encode(), b"")

    @functools.cached_property
    def stunnel_version(self) -> str:
        """`5.68`, of the real stunnel."""
        done = self._live.run([self._stunnel, "-version"])
        found = re.search(rb"stunnel (\d+\.\d+)", done.err + done.out)
        return found.group(1).decode() if found else "0"

    def _apt_cache(self, argv: Sequence[str]) -> Completed:
        version = self.stunnel_version
        out = f"stunnel4:\n  Installed: {version}\n  Candidate: {version}\n"
        return Completed(tuple(argv), 0, out.encode(), b"")

    def _dpkg_query(self, argv: Sequence[str]) -> Completed:
        there = argv[-1] == "stunnel4"
        out = f"installed {self.stunnel_version}\n" if there else ""
        return Completed(tuple(argv), 0 if there else 1, out.encode(), b"")


@contextlib.contextmanager
def toy_host(
    directory: Path, stage: Stage, password: str, stunnel: str, recover: Callable[[str], None]
) -> Iterator[ToyHost]:
    """A toy host in an empty directory, with nothing running; what was started ends with the
    `with`. `stunnel`: the real program. `recover`: what the dead-man calls, with a run's directory.
    """
    root, scratch = directory / ROOT, directory / BACKSTAGE
    # stunnel's own user goes through these; what is private below has a mode of its own.
    for each in (directory, root, scratch):
        each.mkdir(mode=0o711, exist_ok=True)
        each.chmod(0o711)
    separate = os.geteuid() == 0
    ipop2d = (
        *(sys.executable, "-I", "-S", str(Path(__file__).with_name("pop2d.py"))),
        *("--users", str(root / "etc/pop2d.users"), "--spool", str(root / "var/mail")),
    )
    backstage = Backstage(
        root=root,
        scratch=scratch,
        prefix=stage.host,
        ids=ids,
        programs={
            "/usr/sbin/inetd": lambda argv: _inetd(root, ipop2d),
            "/usr/sbin/ipop2d": lambda argv: ipop2d,
            "/usr/bin/stunnel4": lambda argv: (
                stunnel,
                str(_translated(root, scratch, argv[1])),
            ),
        },
        separate_users=separate,
    )
    for path in DIRECTORIES:
        backstage.real(path).mkdir(mode=0o755)
    for path, (mode, text) in files(stage, password).items():
        real = backstage.real(path)
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text, "utf-8")
        real.chmod(mode)
    host = ToyHost(backstage, stage.addresses, stunnel)
    with supervising(backstage, recover) as host.supervisor:
        yield host


def ids(user: str, group: str) -> tuple[int, int]:
    """Numbers of a user and a group in this world; our own for whom this machine does not know."""
    uid, gid = os.geteuid(), os.getegid()
    with contextlib.suppress(KeyError):
        uid = pwd.getpwnam(user).pw_uid
        gid = grp.getgrnam(group).gr_gid
    return uid, gid


def _inetd(root: Path, ipop2d: Sequence[str]) -> Sequence[str]:
    settings = {
        "inetd": str(root / "etc/inetd.conf"),
        "services": str(root / "etc/services"),
        "programs": {"/usr/sbin/ipop2d": ipop2d},
    }
    return module("superserver", json.dumps(settings))


def _translated(root: Path, scratch: Path, path: str) -> Path:
    """A copy of a stunnel.conf whose paths are those of this machine; for stunnel's user to read,
    with no secret in it.
    """
    text = (root / path.lstrip("/")).read_bytes()
    copy = scratch / os.path.basename(path)
    copy.write_bytes(
        re.sub(rb"(?m)^(\w+ *= *)(/.*)$", lambda m: m[1] + os.fsencode(root) + m[2], text)
    )
    copy.chmod(0o644)
    return copy
