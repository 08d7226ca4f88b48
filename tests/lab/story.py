"""What the stories about sealing share: a mail host with POP2, who looks at it, and what counts as
"before".

Strategy: everything is done as its users do it. The program under test runs on a booted host as
`mailseal ...`; the service is looked at from another host, by clients that know nothing of the
program (`pop2client`). "As before" is a value, `State`; what a rollback may leave is derived from a
control host on which the package alone was installed, so that nothing of ours can hide in a list.
"""

from __future__ import annotations

import functools
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import Client, Host, Lab, Network
from lab.hosts import SNAPSHOT_PATHS, Listener
from lab.snapshot import Entry

ROOT = Path(__file__).parents[2]
NAME = "mail.example"
"""The name by which clients know the mail host."""

_CLIENT = str(Path(__file__).with_name("pop2client.py"))
PROGRAM = b"""#!/bin/sh
PYTHONPATH=/srv/mailseal/src:$(echo /srv/mailseal/.venv/lib/python3*/site-packages)
export PYTHONPATH PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8
exec python3 -m mailseal "$@"
"""


@dataclass(frozen=True)
class Ran:
    """What a command said, and its exit status."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


def ran(host: Host, *words: str, user: str | None = None, timeout: float = 120) -> Ran:
    """Runs a command on a host, whatever comes of it."""
    done = host.run(words, check=False, user=user, timeout=timeout)
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def mailseal(host: Host, *words: str, user: str | None = None, timeout: float = 120) -> Ran:
    """Runs mailseal on a host that has it (`program=True`, or a desk)."""
    return ran(host, "mailseal", *words, user=user, timeout=timeout)


def sealed(host: Host, *words: str) -> str:
    """Runs mailseal, which must do what it was asked; what it printed."""
    done = mailseal(host, *words)
    assert done.code == 0, done.said
    return done.out


# -- the stage -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """A mail host with a POP2 service, and a client on the same network."""

    lab: Lab
    net: Network
    mail: Host
    client: Client

    def log_in(self, how: str, port: int = 109, **more: str) -> list[list[str]]:
        """What a client of that temper is told when it logs in, at each address."""
        account = self.mail.account
        return self.visit(how, [f"HELO {account.user} {account.password}", "QUIT"], port, **more)

    def visit(self, how: str, lines: Sequence[str], port: int, **more: str) -> list[list[str]]:
        """What a client of that temper is told, at each address of the mail host."""
        visits = [
            {"how": how, "address": address, "port": port, "lines": lines, "name": NAME, **more}
            for address in (self.mail.ipv4, self.mail.ipv6)
        ]
        done = self.client.run([sys.executable, "-I", _CLIENT], input=json.dumps(visits).encode())
        answers: list[list[str]] = json.loads(done.stdout)
        return answers

    def ca(self, path: str = "/etc/mailseal/ca.crt") -> str:
        """The CA that clients are to trust."""
        return self.mail.read(path).decode()

    @property
    def answered(self) -> list[list[str]]:
        """The answers to a login where it is taken."""
        lines = [f"+ POP2 {self.mail.name} v1.0 server ready", "#1 messages in /var/mail/alice"]
        return [[*lines, "+ Sayonara"]] * 2

    def check_sealed(self, port: int = 109, ca: str | None = None) -> None:
        """No answer in cleartext, and the whole service inside TLS, at every address."""
        assert self.log_in("polite", port) == [["!TimeoutError"]] * 2
        for said in self.log_in("eager", port):
            # stunnel answers with a TLS alert or closes; what counts is that POP2 says nothing.
            assert not any(line[:1] in ("+", "-", "#", "=") for line in said), said
        answers = self.log_in("tls", port, ca=self.ca() if ca is None else ca)
        assert answers == self.answered

    def check_cleartext(self, port: int = 109) -> None:
        """A cleartext client is served at every address, as before."""
        assert self.log_in("polite", port) == self.answered


def scene(
    lab: Lab, system: str, starter: str, name: str = "mailhost", beside: Scene | None = None
) -> Scene:
    """A mail host of a kind, with its POP2 service behind a kind of starter, and a client; on a
    network of its own, or `beside` another's. On Debian 12 the host has mailseal; Debian 11 is too
    old for the controller.
    """
    net = beside.net if beside else lab.network()
    mail = lab.host(name, system=system, network=net, binds={ROOT: "/srv/mailseal"})
    names = f"{mail.ipv4} {NAME}\n{mail.ipv6} {NAME}\n".encode()
    mail.write("/etc/hosts", mail.read("/etc/hosts") + names)
    mail.write("/usr/local/bin/mailseal", PROGRAM, mode=0o755)
    mail.install_pop2d(starter, "--bad-login-delay 0")
    return Scene(lab, net, mail, beside.client if beside else lab.client(net, "client"))


def desk(on: Scene, system: str = "workstation") -> Host:
    """A workstation that reaches the mail host by ssh, as root, by the name of `mailhost`."""
    return desk_of(on.lab, on.net, on.mail, system)


def desk_of(lab: Lab, net: Network, mail: Host, system: str = "workstation") -> Host:
    """The same for a mail host of any kind."""
    host = stranger(lab, net, mail, system)
    host.run(["sh", "-ec", _KEY % mail.ipv4])
    mail.run(["mkdir", "-p", "-m", "700", "/root/.ssh"])
    key = host.read("/root/.ssh/id_ed25519.pub")
    mail.write("/root/.ssh/authorized_keys", key, mode=0o600)
    mail.run(["systemctl", "start", "ssh"])
    return host


def stranger(lab: Lab, net: Network, mail: Host, system: str = "workstation") -> Host:
    """A workstation with mailseal that knows the mail host by name and has no account on it."""
    host = lab.host("desk", system=system, network=net, binds={ROOT: "/srv/mailseal"})
    host.write("/usr/local/bin/mailseal", PROGRAM, mode=0o755)
    names = f"{mail.ipv4} {NAME}\n{mail.ipv6} {NAME}\n".encode()
    host.write("/etc/hosts", host.read("/etc/hosts") + names)
    return host


_KEY = """
mkdir -p -m 700 /root/.ssh
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
printf 'Host mailhost\\n HostName %s\\n StrictHostKeyChecking accept-new\\n' >/root/.ssh/config
"""


# -- what must hold of a sealed host ---------------------------------------------------------------

_SOCKET = "/run/mailseal-109.sock"
_CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
_BIND = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"


def check_backend_guarded(mail: Host, starter: str) -> None:
    """Another local user can neither reach the backend's socket nor take its place while the
    backend is down; nor is there another way to it, by any port of any address.
    """
    assert "PermissionError" in ran(mail, "python3", "-c", _CONNECT, _SOCKET, user="nobody").err
    # ssh is the lab's own. What is left is stunnel, however the daemon was started before.
    assert {port for _, _, port, *_ in mail.listeners()} - {22, 1109} == {109}
    if starter == "standalone":
        pid = ran(mail, "systemctl", "show", "--value", "-p", "MainPID", "pop2d").out.strip()
        enter = ("nsenter", "--net=/proc/%s/ns/net" % pid, "true")
        assert "Permission denied" in ran(mail, *enter, user="nobody").err
    mail.run(["systemctl", "stop", "mailseal-backend-109.socket"])
    assert "PermissionError" in ran(mail, "python3", "-c", _BIND, _SOCKET, user="nobody").err
    mail.run(["systemctl", "start", "mailseal-backend-109.socket"])


def check_reload_and_crash(on: Scene) -> None:
    """A HUP, and the death of stunnel, leave every address served and sealed."""
    mail = on.mail
    listening = [each for each in mail.listeners() if each[2] == 109]
    loads = len(_loads(mail))
    mail.run(["systemctl", "reload", "mailseal@109"])
    wait_until(lambda: len(_loads(mail)) > loads)
    assert [each for each in mail.listeners() if each[2] == 109] == listening
    on.check_sealed()
    mail.run(["systemctl", "kill", "--signal=KILL", "mailseal@109"])
    wait_until(lambda: len(_loads(mail)) > loads + 1)
    assert [each for each in mail.listeners() if each[2] == 109] == listening
    on.check_sealed()


def _loads(mail: Host) -> list[str]:
    """stunnel's own word, each time it has read its configuration and bound its ports."""
    log = mail.run(["journalctl", "-u", "mailseal@109", "-o", "cat", "--no-pager"]).stdout.decode()
    return [line for line in log.splitlines() if line.endswith("Configuration successful")]


def check_wire(on: Scene) -> None:
    """An eavesdropper on a login inside TLS reads neither user nor password."""
    account, ca = on.mail.account, on.ca()
    with on.lab.capture(on.net) as wire:
        assert on.log_in("tls", ca=ca) == on.answered
        heard = wire.payload()
    assert len(heard) > 1000
    assert account.user.encode() not in heard
    assert account.password.encode() not in heard


def check_authority(mail: Host) -> None:
    """The private CA is bound to the host's names, so that its key is worth nothing elsewhere."""
    shown = ran(mail, "openssl", "x509", "-noout", "-text", "-in", "/etc/mailseal/ca.crt").out
    assert "X509v3 Name Constraints: critical" in shown
    assert ran(mail, "stat", "-c", "%U %a", "/etc/mailseal/ca.key").out == "root 600\n"
    for name, verdict in ((NAME, "OK"), ("bank.example", "permitted subtree violation")):
        done = ran(mail, "sh", "-ec", _FORGE.replace("NAME", name))
        assert verdict in done.said, done.said


_FORGE = """
cd /tmp
openssl req -newkey rsa:2048 -nodes -keyout k -out r -subj '/O=x' 2>/dev/null
printf 'subjectAltName = DNS:NAME\\n' >e
openssl x509 -req -in r -CA /etc/mailseal/ca.crt -CAkey /etc/mailseal/ca.key -set_serial 7 \\
    -extfile e -out c 2>/dev/null
openssl verify -CAfile /etc/mailseal/ca.crt c
"""


# -- before and after ------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """Of a host: every file with owner, mode and attributes; every unit file with whether it is
    enabled; every unit that is not at rest; listening sockets.
    """

    files: Mapping[str, Entry]
    units: Mapping[str, str]
    listeners: tuple[Listener, ...]


_LIST_UNITS = """
systemctl list-unit-files --plain --no-legend | sed 's/^/file /'
systemctl list-units --plain --no-legend | sed 's/^/unit /'
"""
_PASSING = re.compile(
    # The lab's own commands, and sessions of ssh.
    r"run-u?[0-9a-fr]+\.(service|scope)|session-\S+|user@\S+|user-\S+"
    # Made by the first `ip netns add`, for good: see ip-netns(8).
    r"|run-netns\.mount"
)


def _settled(host: Host) -> bool:
    """Whether systemd has noticed every namespace that came or went: it looks at mounts some time
    after the kernel, about once a second where there are many. And whether a dead-man that woke
    while its run ended has seen that there is nothing to do: its service is not stopped, for it may
    be what undoes the run.
    """
    units = ["systemctl", "list-units", "--plain", "--no-legend"]
    if host.run([*units, "mailseal-deadman-*.service"]).stdout:
        return False
    listed = host.run([*units, "run-netns-*.mount"])
    mounts = host.run(["cat", "/proc/1/mountinfo"]).stdout.decode().splitlines()
    real = {line.split()[4] for line in mounts if line.split()[4].startswith("/run/netns/")}
    return len(listed.stdout.splitlines()) == len(real)


def state(host: Host, paths: Sequence[str] = SNAPSHOT_PATHS) -> State:
    """What it is now; its files below `paths`."""
    wait_until(lambda: _settled(host))
    units = {}
    for line in host.run(["sh", "-c", _LIST_UNITS]).stdout.decode().splitlines():
        what, name, *words = line.split()
        if not _PASSING.fullmatch(name):
            units[f"{what} {name}"] = " ".join(words[:3])
    return State(host.snapshot(paths), units, tuple(host.listeners()))


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What is different, by name, as it is now (None where it is gone)."""
    names = sorted(before.keys() | after.keys())
    return {name: after.get(name) for name in names if before.get(name) != after.get(name)}


_LOGS = re.compile(r"/var/log/(apt/.*|dpkg\.log|alternatives\.log)|/var/lib/mailseal(/.*)?")
"""What tells when something happened, and the record of runs."""


def check_as_before(before: State, after: State, installed: State | None = None) -> None:
    """Nothing is different but what the package alone makes different (`installed`: the changes
    that it makes), and the record of the run.
    """
    allowed = installed or State({}, {}, ())
    for was, now, may in (
        (before.files, after.files, allowed.files),
        (before.units, after.units, allowed.units),
    ):
        left = {
            name: entry
            for name, entry in changed(was, now).items()
            if not _LOGS.fullmatch(name) and not (name in may and may[name] == entry)
        }
        assert not left, left
    assert after.listeners == before.listeners, after.listeners


@functools.cache
def package_alone(system: str) -> State:
    """What installing stunnel4 changes on a host of this kind: what a rollback may leave. Its
    services do not start, and are not enabled.
    """
    with Lab() as lab:
        host = lab.host("control", system=system, network=lab.network())
        host.install_pop2d("xinetd" if system == "bullseye" else "inetd")
        before = state(host)
        install_stunnel(host)
        after = state(host)
    return State(changed(before.files, after.files), changed(before.units, after.units), ())


def install_stunnel(host: Host) -> None:
    """As an administrator would who wants none of its services: apt-get, and systemctl disable."""
    host.write("/usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n", 0o755)
    host.run(["apt-get", "install", "--yes", "--no-install-recommends", "stunnel4"])
    host.run(["rm", "/usr/sbin/policy-rc.d"])
    host.run(["systemctl", "disable", "stunnel4", "stunnel.target"], check=False)


def wait_until(met: Callable[[], bool], seconds: float = 10.0) -> None:
    """Returns when it is so. Fails where it does not come to be in time."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it did not come to be in %g s" % seconds
        time.sleep(0.05)
