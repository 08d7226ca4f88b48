"""A booted host without systemd: Debian with sysvinit, whose daemons are started by init scripts.

Strategy: as other hosts, but nobody there tells when the boot is over, keeps units or runs
commands: the runlevel is asked for, and commands enter the host's namespaces as they are.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Mapping, Sequence

from lab.enclosure import run
from lab.hosts import BOOT_SECONDS, Host, container_init
from lab.images import LabError
from lab.pop2 import INSTALLED, SERVER, Account

_SCRIPT = f"""\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          pop2d
# Required-Start:    $network $remote_fs
# Required-Stop:     $network $remote_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: POP2 server
### END INIT INFO
DAEMON={INSTALLED}
PIDFILE=/run/pop2d.pid
. /lib/lsb/init-functions
case "$1" in
start)
    start-stop-daemon --start --oknodo --background --make-pidfile --pidfile $PIDFILE \\
        --startas $DAEMON -- --listen 0.0.0.0:109 --listen '[::]:109' --bad-login-delay 0
    ;;
stop)
    start-stop-daemon --stop --oknodo --retry 5 --remove-pidfile --pidfile $PIDFILE
    ;;
restart)
    $0 stop
    $0 start
    ;;
status)
    status_of_proc -p $PIDFILE $DAEMON pop2d
    ;;
*)
    exit 3
    ;;
esac
"""

_LINES = "".join(
    f"109 stream {family} nowait root {INSTALLED} ipop2d --bad-login-delay 0\n"
    for family in ("tcp", "tcp6")
)
STARTERS: Mapping[str, tuple[str, bytes, int, str]] = {
    "script": (
        "/etc/init.d/pop2d",
        _SCRIPT.encode(),
        0o755,
        "update-rc.d pop2d defaults; service pop2d start",
    ),
    "inetd": (
        "/etc/inetd.conf",
        _LINES.encode(),
        0o644,
        # systemd-nspawn(1) gives init a socket to notify, init hands it on, and an inetd that has
        # one stays in the foreground: the boot would wait for it.
        "echo unset NOTIFY_SOCKET >>/etc/default/openbsd-inetd; service openbsd-inetd restart",
    ),
}
"""What starts it: a file, what is in it, its mode, and the command by which it counts."""


class ScriptedHost(Host):
    """A host of the system ``sysvinit``."""

    def run(
        self,
        command: Sequence[str],
        check: bool = True,
        input: bytes | None = None,
        timeout: float = 60,
        user: str | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command in the host, as root; see ``Host.run``."""
        assert user is None
        done = run(self._enter(command), input, timeout)
        if check:
            done.check_returncode()
        return done

    def install_pop2d(self, starter: str = "script", options: str = "") -> Account:
        """Serve POP2 on port 109, both families, from a ``starter`` of ``STARTERS``."""
        assert not options
        for path, content, mode in (
            (INSTALLED, SERVER.read_bytes(), 0o755),
            ("/etc/pop2d.users", self.account.users_file, 0o600),
            (f"/var/mail/{self.account.user}", self.account.mailbox, 0o660),
        ):
            self.write(path, content, mode)
        path, content, mode, begin = STARTERS[starter]
        self.write(path, content, mode)
        self.run(["sh", "-ec", begin])
        self.wait_listening(109)
        return self.account

    def stop(self) -> None:
        """Switched off: no order of shutdown is of interest here."""
        if self.running:
            self.run(["sync"])
            self._gone()

    def _wait_ready(self, ready: socket.socket) -> None:
        assert self._process is not None
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self._leader = container_init(self._process.pid)
                done = run(self._enter(["runlevel"]), timeout=5)
            except (LabError, OSError):
                pass
            else:
                if done.stdout.split()[-1:] == [b"2"]:
                    return
            time.sleep(0.1)
        raise LabError(f"{self.name} did not boot; its console says:\n{self.console()[-4000:]}")
