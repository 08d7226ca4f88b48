"""stunnel on systems that mailseal itself does not change: what differs from Linux with systemd.

Strategy: one row a system. Where the system can give the right to low ports to an account, stunnel
has that account from the start; elsewhere it starts as root and lets go of it (`setuid`), and must
be restarted, never reloaded: a HUP would lose the low ports. The backend is a Unix socket for
stunnel's group where the system's inetd can make one, else the service's own port on loopback,
which on Unix only root can take while the service is down.
"""

from __future__ import annotations

import re
from typing import Mapping, NamedTuple

from mailseal.terminators.stunnel import LINUX, Options


class Elsewhere(NamedTuple):
    """A system. `folder` holds the configuration and certificates, `separator` parts its names;
    `backend` is stunnel's `connect`, with `%d` for the port.
    """

    title: str
    folder: str
    options: Options
    backend: str = "127.0.0.1:%d"
    separator: str = "/"
    starter: str = "inetd"
    """What starts services for each connection there."""
    known_by: str = ""
    """In the name that the system gives itself (os-release(5), uname(1)), a regular expression."""

    def connect(self, port: int) -> str:
        """Where stunnel finds the service."""
        return self.backend.replace("%d", str(port))

    def path(self, name: str) -> str:
        """A file in the folder."""
        return self.folder + self.separator + name


_FOREGROUND: Options = (("foreground", "yes"), ("pid", ""), ("syslog", "no"))


def _lets_go(user: str, group: str) -> Options:
    return (*_FOREGROUND, ("setuid", user), ("setgid", group))


SYSTEMS: Mapping[str, Elsewhere] = {
    "freebsd": Elsewhere(
        "FreeBSD",
        "/usr/local/etc/mailseal",
        _lets_go("stunnel", "stunnel"),
        "/var/run/mailseal-%d.sock",
        known_by="FreeBSD",
    ),
    "openbsd": Elsewhere(
        "OpenBSD", "/etc/mailseal", _lets_go("_stunnel", "_stunnel"), known_by="OpenBSD"
    ),
    "macos": Elsewhere(
        "macOS",
        "/etc/mailseal",
        _lets_go("_mailseal", "_mailseal"),
        starter="launchd",
        known_by="macOS|Darwin",
    ),
    # The right to low ports is given by the service's method context.
    "solaris": Elsewhere(
        "Solaris and illumos",
        "/etc/mailseal",
        _FOREGROUND,
        starter="inetd (SMF)",
        known_by="Solaris|illumos|OmniOS|OpenIndiana|SmartOS|SunOS",
    ),
    "windows": Elsewhere(
        "Windows",
        r"C:\Program Files (x86)\stunnel\config",
        (("output", "stunnel.log"),),
        separator="\\",
        known_by="Windows",
    ),
    "sysv": Elsewhere("Linux with SysV init", "/etc/mailseal", LINUX, starter="inetd or xinetd"),
}
"""By the name that `mailseal runbook` takes."""


def named(system: str) -> str:
    """Which of SYSTEMS has this name for itself; a Linux is run by SysV init where nothing else is
    known of it.
    """
    return next(
        name for name, row in SYSTEMS.items() if re.search(row.known_by, system, re.IGNORECASE)
    )
