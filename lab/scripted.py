"""A booted host without systemd: Debian with sysvinit, whose daemons are started by init scripts.

Strategy: as other hosts, but nobody there tells when the boot is over, keeps units or runs
commands: the runlevel is asked for, and commands enter the host's namespaces as they are.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Sequence

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
        """Serve POP2 on port 109, both families, from an init script of its own."""
        assert (starter, options) == ("script", "")
        self.write(INSTALLED, SERVER.read_bytes(), 0o755)
        self.write("/etc/pop2d.users", self.account.users_file, 0o600)
        self.write(f"/var/mail/{self.account.user}", self.account.mailbox, 0o660)
        self.write("/etc/init.d/pop2d", _SCRIPT.encode(), 0o755)
        self.run(["update-rc.d", "pop2d", "defaults"])
        self.run(["service", "pop2d", "start"])
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
