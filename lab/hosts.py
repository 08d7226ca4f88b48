"""Booted hosts: real Debian systems with systemd, each an overlay in a container of its own.

Strategy: systemd-nspawn boots the image in a network namespace made beforehand and a cgroup of
its own (hosts that share one stop each other's units).  Commands run as transient units of the
guest's own systemd, so they have exactly the rights a service there has.  A reboot boots the
same disk again.  Every wait is bounded and every failure shows the host's console.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.disk import Disk
from lab.enclosure import CGROUPS, Enclosure, children, end, popen, run
from lab.images import Image, LabError
from lab.pop2 import INSTALLED, SERVER, STARTERS, Account
from lab.snapshot import Entry, take

BOOT_SECONDS = 30.0
STOP_SECONDS = 20.0
KILL_SECONDS = 10.0
_ENVIRONMENT = ("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
SNAPSHOT_PATHS = ("/etc", "/usr", "/var", "/opt", "/root", "/run/systemd")

_POWER_OFF = signal.SIGRTMIN + 4  # systemd(1): start poweroff.target
_ENTER_CGROUP = 'echo 0 >"$1/cgroup.procs"; shift; exec "$@"'
_REPLACE = 'cat >"$1.lab-new" && chmod "$2" "$1.lab-new" && mv -T "$1.lab-new" "$1"'
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_SS_LINE = re.compile(r"(tcp|udp)\s+\S+\s+\d+\s+\d+\s+(\S+):(\d+)\s+\S+\s*(.*)")

Listener = tuple[str, str, int, str]
"""Protocol, address (``*`` for both families at once), port, process names joined with commas."""


class Host:
    """A host; running from the moment it is made until it is stopped or loses power."""

    def __init__(
        self,
        enclosure: Enclosure,
        name: str,
        image: Image,
        addresses: tuple[str, str],
        account: Account,
        durable: bool = False,
        binds: Mapping[Path, str] | None = None,
    ) -> None:
        """Boot it.  ``binds``: folders of this machine to show, read-only, at paths of the host."""
        if not _NAME.fullmatch(name):
            raise LabError(f"{name!r} is no host name for the lab: use up to 31 of a-z, 0-9, -")
        self.name = name
        self.account = account
        self.ipv4, self.ipv6 = addresses
        self.disk = Disk(enclosure, name, image.layers, durable)
        self._enclosure = enclosure
        self._binds = {image.repository: "/srv/repo", **(binds or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self.disk.mount()
        self.write("/etc/machine-id", f"{uuid.uuid4().hex}\n".encode(), 0o444)
        self.write("/etc/hostname", f"{name}\n".encode())
        self.write(
            "/etc/hosts",
            b"127.0.0.1 localhost\n::1 localhost\n"
            + f"{self.ipv4} {name}\n{self.ipv6} {name}\n".encode(),
        )
        if durable:
            self.disk.sync()
        self.boot()

    @property
    def running(self) -> bool:
        """Whether the host is up; it may have shut itself down."""
        return self._process is not None and self._process.poll() is None

    def boot(self) -> None:
        """Start the host and return when its boot is complete.  Raises LabError after 30 s."""
        if self.running:
            raise LabError(f"{self.name} is running already")
        with contextlib.suppress(FileNotFoundError):
            remove_cgroup(self._cgroup)
        self._cgroup.mkdir()
        cgroup = f"{CGROUPS}/{self._enclosure.cgroup}/{self.name}"
        notify = f"{self.disk.folder}/notify"
        command = ["sh", "-c", _ENTER_CGROUP, "sh", cgroup]
        command += ["env", f"NOTIFY_SOCKET={notify}", "systemd-nspawn", "--quiet", "--boot"]
        command += ["--keep-unit", "--register=no", f"--machine={self.name}"]
        command += [f"--directory={self.disk.root}", "--console=pipe", "--notify-ready=yes"]
        command += [f"--network-namespace-path=/run/netns/{self.name}"]
        command += ["--capability=CAP_NET_ADMIN", "--link-journal=no"]
        command += ["--resolv-conf=off", "--timezone=off"]
        command += [f"--bind-ro={source}:{target}" for source, target in self._binds.items()]
        socket_path = self._enclosure.path(notify)
        socket_path.unlink(missing_ok=True)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
            self._console.open("wb") as console,
        ):
            ready.bind(str(socket_path))
            self._process = popen(
                self._enclosure.argv(command),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
            try:
                self._wait_ready(ready)
                self._leader = container_init(self._process.pid)
            except LabError:
                self._gone()
                raise

    def run(
        self,
        command: Sequence[str],
        check: bool = True,
        input: bytes | None = None,
        timeout: float = 60,
        user: str | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command as a transient unit of the host, as root or ``user``; output as bytes.

        Raises CalledProcessError (with ``check``) and TimeoutExpired like ``subprocess.run``; a
        command that outlives its time-out is stopped by the host itself.
        """
        unit = ["systemd-run", "--pipe", "--wait", "--quiet", "--collect"]
        unit += [f"--property=RuntimeMaxSec={timeout}"]
        unit += [f"--uid={user}"] if user else []
        # systemd.service(5): $ starts a variable in a command line, $$ is the sign itself.
        literal = [word.replace("$", "$$") for word in command]
        done = run(self._enter([*unit, "--", *literal]), input, timeout)
        done.args = list(command)
        if check:
            try:
                done.check_returncode()
            except subprocess.CalledProcessError as error:
                error.add_note((done.stdout + done.stderr).decode(errors="replace")[-4000:])
                raise
        return done

    def read(self, path: str) -> bytes:
        """The content of a file of the host.  Raises FileNotFoundError."""
        done = run(self._reach(["cat", "--", path]), timeout=30)
        if done.returncode != 0:
            raise FileNotFoundError(f"{self.name}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Make or replace a file of the host, owned by root; its folder must exist."""
        done = run(self._reach(["sh", "-c", _REPLACE, "sh", path, f"{mode:o}"]), content, 30)
        if done.returncode != 0:
            raise LabError(f"{self.name}: {done.stderr.decode(errors='replace').strip()}")

    def install_pop2d(self, starter: str, options: str = "") -> Account:
        """Serve POP2 on port 109, both families, from a ``starter`` of ``lab.pop2.STARTERS``.

        ``options`` are more arguments for the server.  Returns the account that can log in.
        """
        chosen = STARTERS[starter]
        self.write(INSTALLED, SERVER.read_bytes(), 0o755)
        self.write("/etc/pop2d.users", self.account.users_file, 0o600)
        self.write(f"/var/mail/{self.account.user}", self.account.mailbox, 0o660)
        for path, template in chosen.files.items():
            before = self.read(path) if chosen.append else b""
            content = template.format(options=f" {options}" if options else "")
            self.write(path, before + content.encode())
        self.run(["sh", "-c", chosen.reload])
        self.wait_listening(109)
        if self.disk.durable:
            self.disk.sync()
        return self.account

    def snapshot(self, paths: Sequence[str] = SNAPSHOT_PATHS) -> dict[str, Entry]:
        """Everything below ``paths``, as values to compare (see ``lab.snapshot``)."""
        return take(self._root, paths)

    def listeners(self) -> list[Listener]:
        """The listening TCP and bound UDP sockets, sorted."""
        done = run(self._enter(["ss", "-Hlntup"]), timeout=30)
        done.check_returncode()
        found = []
        for line in done.stdout.decode().splitlines():
            match = _SS_LINE.fullmatch(line.rstrip())
            if match is None:
                raise LabError(f"{self.name}: cannot read this line of ss: {line}")
            protocol, address, port, owners = match.groups()
            names = sorted(set(re.findall(r'\("([^"]*)"', owners)))
            found.append((protocol, address.strip("[]"), int(port), ",".join(names)))
        return sorted(found)

    def wait_listening(self, port: int, seconds: float = 10.0) -> None:
        """Wait until something listens on the TCP port: a boot may be over before that."""
        deadline = time.monotonic() + seconds
        while all(listener[::2] != ("tcp", port) for listener in self.listeners()):
            if time.monotonic() > deadline:
                raise LabError(f"{self.name}: nothing listens on port {port} after {seconds} s")
            time.sleep(0.01)

    def console(self) -> str:
        """What the host wrote on its console since it last booted."""
        return self._console.read_text(errors="replace")

    def reboot(self) -> None:
        """Shut down in order and boot the same disk again."""
        self.stop()
        self.boot()

    def stop(self) -> None:
        """Shut down in order; a host that takes more than 20 s is switched off."""
        if self.running:
            os.kill(self._leader, _POWER_OFF)
            self._gone(STOP_SECONDS)

    def kill_power(self) -> None:
        """Take the power away (durable hosts): what is not synced is lost.  Then ``boot``."""
        self.disk.cut()
        if self.running:
            os.kill(self._leader, signal.SIGKILL)
            self._gone(STOP_SECONDS)
        self.disk.recover()

    def reap(self) -> None:
        """Take note that the host ended together with its lab."""
        if self._process is not None:
            self._gone(STOP_SECONDS)

    @property
    def _cgroup(self) -> Path:
        return self._enclosure.path(f"{CGROUPS}/{self._enclosure.cgroup}/{self.name}")

    @property
    def _console(self) -> Path:
        return self._enclosure.path(f"{self.disk.folder}/console")

    @property
    def _root(self) -> Path:
        """The host's root as it sees it itself, or its disk alone while it is down."""
        if self.running:
            return Path(f"/proc/{self._leader}/root")
        return self._enclosure.path(self.disk.root)

    def _enter(self, command: Sequence[str]) -> list[str]:
        """``command`` in the host's namespaces, but with the rights of this process."""
        if not self.running:
            raise LabError(f"{self.name} is not running")
        namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        target = f"--target={self._leader}"
        # systemd-run(1) looks for programs where the caller's PATH says: the host's, not ours.
        return ["nsenter", target, *namespaces, "--root", "--wd", "--", *_ENVIRONMENT, *command]

    def _reach(self, command: Sequence[str]) -> list[str]:
        """``command`` on the host's files, which resolves links as the host does."""
        if self.running:
            return self._enter(command)
        return self._enclosure.argv(["chroot", self.disk.root, *command])

    def _wait_ready(self, ready: socket.socket) -> None:
        """Wait for the message sd_notify(3) describes: READY=1."""
        assert self._process is not None
        ready.settimeout(0.1)
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in ready.recv(4096).split(b"\n"):
                    return
        raise LabError(f"{self.name} did not boot; its console says:\n{self.console()[-4000:]}")

    def _gone(self, patience: float = 0.0) -> None:
        """Wait for the container to end; end it when that takes more than ``patience`` seconds."""
        process, self._process = self._process, None
        self._leader = 0
        assert process is not None
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            # The container outlives a killed systemd-nspawn, so all of its cgroup goes at once.
            with contextlib.suppress(OSError):
                (self._cgroup / "cgroup.kill").write_text("1")
            end(process)
        deadline = time.monotonic() + KILL_SECONDS
        with contextlib.suppress(OSError):  # gone together with the lab
            while "populated 1" in (self._cgroup / "cgroup.events").read_text():
                if time.monotonic() > deadline:
                    raise LabError(f"{self.name}: processes survive that were killed")
                time.sleep(0.005)


def remove_cgroup(path: Path) -> None:
    """Remove an empty cgroup and those below it."""
    for child in path.iterdir():
        if child.is_dir():
            remove_cgroup(child)
    path.rmdir()


def container_init(ancestor: int) -> int:
    """The descendant of ``ancestor`` that is process 1 of its own namespace."""
    generation = [ancestor]
    while generation:
        generation = [child for parent in generation for child in children(parent)]
        for pid in generation:
            status = Path(f"/proc/{pid}/status").read_text()
            numbers = re.search(r"^NSpid:\s+(.*)$", status, re.MULTILINE)
            if numbers and numbers[1].split()[-1] == "1":
                return pid
    raise LabError("the container has no process 1")
