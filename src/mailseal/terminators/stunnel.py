"""stunnel in front of a service: its configuration, its unit, and the backend's socket.

Strategy: one template unit of ours runs every instance, hardened and restarted on failure, as the
package's own user from the start. stunnel's `setuid` is not used: with it a HUP loses ports under
1024. One section for each address that was served before, never a bare port (IPv4 only) and never
a wildcard (wider than before). The backend hangs on a Unix socket that only stunnel's group may
open.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple, Optional, Sequence, Tuple, Union

from mailseal.configs import stunnel, systemd
from mailseal.model.host import Server
from mailseal.model.ops import Op, TryTerminator, UnitAction, WriteFile

GROUP = "stunnel4"
"""The account that runs it, of Debian's package; elsewhere `account` makes it."""

PROXY = "/lib/systemd/systemd-socket-proxyd"
DIRECTORY = "/etc/mailseal"
TEMPLATE = "/etc/systemd/system/mailseal@.service"
OLDEST = (5, 50)
"""The first version with sslVersionMin, Unix sockets in `connect` and IPv6 as used here is older;
this is the oldest that was tried."""


class Package(NamedTuple):
    """How a distribution brings stunnel; `account`: with an account of its own."""

    name: str
    program: str
    account: bool


DEBIAN = Package("stunnel4", "/usr/bin/stunnel4", account=True)
RED_HAT = Package("stunnel", "/usr/bin/stunnel", account=False)


def package(manager: str) -> Package:
    """What there is for this package manager (HostFacts.manager)."""
    return RED_HAT if manager in ("dnf", "yum") else DEBIAN


ACCOUNT = "mailseal-account.service"


def account() -> Tuple[Op, ...]:
    """Makes the account where the package brings none; one that is there already stays as it is
    (sysusers.d(5)). A unit of ours does it, so that every executor can. It stays afterwards.
    """
    program = "/usr/bin/systemd-sysusers"
    argv = (program, "--inline", "u %s - -" % GROUP)
    line = systemd.join_exec((systemd.Command("", program, argv),))
    body = systemd.compose(
        (
            ("Unit", (("Description", "mailseal: the account that stunnel has"),)),
            ("Service", (("Type", "oneshot"), ("ExecStart", line))),
        )
    )
    path = "/etc/systemd/system/" + ACCOUNT
    head = b"# Made by mailseal; `mailseal rollback` removes it.\n"
    return (
        WriteFile(path, head + body, "root", "root", 0o644),
        UnitAction("", "daemon-reload", ""),
        UnitAction(ACCOUNT, "start", ""),
    )


def version(first_line: str) -> Optional[Tuple[int, int]]:
    """`(5, 68)` of the first line of `stunnel -version`, None where it says no such thing."""
    match = re.match(r"stunnel (\d+)\.(\d+)\b", first_line)
    return (int(match.group(1)), int(match.group(2))) if match else None


def instance(name: str) -> str:
    """The unit that runs the configuration `name`."""
    return "mailseal@%s.service" % name


def config_path(name: str) -> str:
    """The configuration that `instance(name)` reads."""
    return "%s/%s.conf" % (DIRECTORY, name)


def accept(address: str, port: object) -> str:
    """stunnel splits at the last colon, so an IPv6 address stands bare: `2001:db8::1:109`."""
    return "%s:%s" % (address, port)


def is_address(name: str) -> bool:
    """Whether a certificate is for an address by it, and not for a host name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Rules(NamedTuple):
    """Whether stunnel asks hosts_access(5) for each client, and by which name: it is that of the
    section, and several sections may have one (tried with 5.68).
    """

    name: str = ""
    asked: bool = True


NO_RULES = Rules()

Options = Sequence[Tuple[str, str]]

LINUX: Options = (
    ("foreground", "yes"),
    ("pid", ""),
    ("syslog", "no"),
    # An address may appear late at boot, and one that is gone must not keep the others down.
    ("socket", "a:IP_FREEBIND=1"),
)
"""What hangs on the system that stunnel runs on; `terminators.elsewhere` has others."""


class Leg(NamedTuple):
    """The way to a backend on another host, in TLS: `connect`, the name or address that its
    certificate must be for, and the PEM file of who may have signed that.
    """

    connect: str
    name: str
    authority: str

    def options(self) -> Tuple[Tuple[str, str], ...]:
        """stunnel's, without where it accepts. `verifyChain` alone would take any certificate that
        the authority ever signed."""
        check = "checkIP" if is_address(self.name) else "checkHost"
        return (
            ("client", "yes"),
            ("connect", self.connect),
            ("verifyChain", "yes"),
            (check, self.name),
            ("CAfile", self.authority),
        )


_LEG = "/tmp/backend"
"""Where the section that speaks TLS to the backend accepts: a Unix socket, in the folder that the
unit has for itself (PrivateTmp in systemd.exec(5)), new at each start."""


def config(
    protocol: str,
    accepts: Sequence[str],
    connect: Union[str, Leg],
    certificate: str,
    key: str,
    rules: Rules = NO_RULES,
    system: Options = LINUX,
) -> bytes:
    """A configuration of ours on this system: see `body`."""
    head = b"; Made by mailseal; `mailseal rollback` removes it.\n"
    return head + body(protocol, accepts, connect, certificate, key, rules, system)


def body(
    protocol: str,
    accepts: Sequence[str],
    connect: Union[str, Leg],
    certificate: str,
    key: str,
    rules: Rules = NO_RULES,
    system: Options = LINUX,
) -> bytes:
    """A whole configuration with one section for each `accept`. What stands before the first
    section counts for all of them (tried with 5.56 and 5.68).
    """
    options = (
        *system,
        ("debug", "notice"),
        ("cert", certificate),
        ("key", key),
        ("sslVersionMin", "TLSv1.2"),
        ("options", "NO_RENEGOTIATION"),
        ("TIMEOUTclose", "0"),
    )
    target = _LEG if isinstance(connect, Leg) else connect
    asks = (("libwrap", "yes" if rules.asked else "no"),) if rules.name else ()
    services = [
        (
            rules.name or "%s-%d" % (protocol, number),
            (("accept", value), ("connect", target), *asks),
        )
        for number, value in enumerate(accepts, 1)
    ]
    if isinstance(connect, Leg):
        services.append(("backend", (("accept", _LEG), *connect.options())))
    return stunnel.compose(options, services)


def write_config(name: str, content: bytes) -> WriteFile:
    """The op that puts a configuration in place, for stunnel's group to read."""
    return WriteFile(config_path(name), content, "root", GROUP, 0o640)


def trial_name(name: str) -> str:
    """The instance that is tried before `name` serves."""
    return name + "-trial"


def trial(
    name: str,
    protocol: str,
    connect: Union[str, Leg],
    certificate: str,
    key: str,
    authority: str,
    host: str,
    rules: Rules = NO_RULES,
    system: Options = LINUX,
) -> TryTerminator:
    """The same options behind one loopback port, where rules for other addresses are not asked:
    that stunnel knows the option is seen all the same.
    """
    port = accept("127.0.0.1", TryTerminator.PORT.decode("ascii"))
    unasked = rules._replace(asked=False)
    content = config(protocol, [port], connect, certificate, key, unasked, system)
    instance_name = trial_name(name)
    return TryTerminator(
        unit=instance(instance_name),
        path=config_path(instance_name),
        content=content,
        group=GROUP,
        authority=authority,
        name=host,
        protocol=protocol,
    )


def template(program: str = DEBIAN.program) -> WriteFile:
    """The unit of all instances, which run `program`. systemd.exec(5) explains each line."""
    unit = (
        ("Description", "mailseal: TLS in front of port %i (stunnel)"),
        ("Documentation", "man:stunnel(8)"),
        ("Wants", "network-online.target"),
        ("After", "network-online.target"),
        # Whatever it is that keeps it down: try again, never give up.
        ("StartLimitIntervalSec", "0"),
    )
    service = (
        ("Type", "simple"),
        ("ExecStart", program + " " + config_path("%i")),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("Restart", "always"),
        ("RestartSec", "1"),
        ("User", GROUP),
        ("Group", GROUP),
        ("AmbientCapabilities", "CAP_NET_BIND_SERVICE"),
        ("CapabilityBoundingSet", "CAP_NET_BIND_SERVICE"),
        # The default for a template is a slice of its own, which would stay behind.
        ("Slice", "system.slice"),
        ("LimitNOFILE", "65536"),
        ("UMask", "0077"),
        *HARDENING,
    )
    body = systemd.compose(
        (("Unit", unit), ("Service", service), ("Install", (("WantedBy", "multi-user.target"),)))
    )
    head = b"# Made by mailseal; `mailseal rollback` removes it.\n"
    return WriteFile(TEMPLATE, head + body, "root", "root", 0o644)


HARDENING = (
    ("NoNewPrivileges", "yes"),
    ("ProtectSystem", "strict"),
    ("ProtectHome", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectProc", "invisible"),
    ("ProcSubset", "pid"),
    ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("RemoveIPC", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallFilter", "@system-service"),
    ("SystemCallFilter", "~@privileged @resources"),
    # stunnel gives its housekeeping thread a lower priority, and is killed if it may not.
    ("SystemCallFilter", "sched_setscheduler"),
)


# -- the backend -----------------------------------------------------------------------------------


def backend_socket(port: int) -> str:
    """Where the backend listens. Directly in /run: nothing to create, nothing to leave."""
    return "/run/mailseal-%d.sock" % port


def backend_unit(port: int) -> str:
    """The socket unit of the backend."""
    return "mailseal-backend-%d.socket" % port


_SESSIONS = "512"
"""Sessions at a time that the backend takes."""


def backend(port: int, server: Server) -> Tuple[Op, ...]:
    """The units that start `server` for each connection, as inetd did."""
    path = server.path.replace("%", "%%")
    argv = [word.replace("%", "%%").replace("$", "$$") for word in server.argv]
    command = systemd.Command("-@", path, tuple(argv))
    service = [
        ("ExecStart", systemd.join_exec((command,))),
        ("User", server.user),
        ("Slice", "system.slice"),
        ("StandardInput", "socket"),
        ("StandardOutput", "socket"),
        ("StandardError", "journal"),
    ]
    if server.group:
        service.append(("Group", server.group))
    service += [("Environment", _assignment(each)) for each in server.environment]
    accept_each = (("Accept", "yes"), ("MaxConnections", _SESSIONS))
    unit = (("CollectMode", "inactive-or-failed"),)
    instances = backend_unit(port)[: -len(".socket")] + "@.service"
    return _backend_units(port, accept_each, instances, unit, tuple(service))


def isolated_backend(port: int, daemon: str, inside: str, proxy: str) -> Tuple[Op, ...]:
    """The units that take each connection into the network namespace of the unit `daemon`, which
    listens at the loopback or wildcard address `inside` there: the unit `proxy` is
    systemd-socket-proxyd(8), joined to the daemon (JoinsNamespaceOf= in systemd.unit(5)).
    """
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(inside, inside)
    # It splits at the last colon and takes no brackets (socket-proxyd.c, resolve_remote).
    target = "%s:%d" % (address, port)
    service = (
        ("ExecStart", "%s --connections-max=%s %s" % (PROXY, _SESSIONS, target)),
        ("User", GROUP),
        ("Group", GROUP),
        ("PrivateNetwork", "yes"),
        ("CapabilityBoundingSet", ""),
        ("Slice", "system.slice"),
        # What both units have of their own would be shared: /tmp is the daemon's business.
        *(each for each in HARDENING if each[0] != "PrivateTmp"),
    )
    socket = backend_unit(port)
    unit = (("JoinsNamespaceOf", daemon), ("Requires", socket), ("After", socket))
    return _backend_units(port, (("Service", proxy),), proxy, unit, service)


_Options = Tuple[Tuple[str, str], ...]


def _backend_units(
    port: int, more: _Options, started: str, unit: _Options, service: _Options
) -> Tuple[Op, ...]:
    """The backend's socket, and the service `started` for it."""
    socket = (*systemd.listens(backend_socket(port), GROUP), *more)
    about = ("Description", "mailseal: the service behind TLS on port %d" % port)
    head = b"# Made by mailseal; `mailseal rollback` removes it.\n"
    units = (
        (backend_unit(port), (("Unit", (about,)), ("Socket", socket))),
        (started, (("Unit", (about, *unit)), ("Service", service))),
    )
    return tuple(
        WriteFile(
            "/etc/systemd/system/" + path, head + systemd.compose(sections), "root", "root", 0o644
        )
        for path, sections in units
    )


def _assignment(words: str) -> str:
    """`NAME=value` as Environment= takes it literally."""
    for special, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%")):
        words = words.replace(special, written)
    return '"%s"' % words
