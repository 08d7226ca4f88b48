"""What clients need that cannot speak TLS: a stunnel of their own, for Unix and Windows.

Strategy: the client's stunnel listens on loopback alone, is a client in its own section alone, and
verifies both the chain and the name, so that nobody on the path can stand in for the server. One
set of options makes both configurations. Those of the system stand beside it: on Unix a hardened
unit of systemd runs it as nobody in particular; on Windows stunnel is its own service.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from mailseal.export.base import SERVER, CannotExport, File, Source
from mailseal.model.plan import ClaimKind, Plan

LOCAL = "127.0.0.1"
"""Where the programs on a client find the service."""

_FOLDER = "/etc/mailseal-client"


@dataclass(frozen=True)
class _Server:
    """The service as clients reach it; `local` is the port on the client."""

    protocol: str
    name: str
    port: int
    local: int


def export(source: Source) -> tuple[File, ...]:
    """README.txt, mail-programs.txt, ca.crt, and a folder for each system. Raises CannotExport
    where there is no TLS after the plan, or the CA was not given.
    """
    server = _server(source.plan)
    authority = certificates(source.authority)
    words = {
        "PROTOCOL": server.protocol.upper(),
        "WORD": server.protocol,
        "NAME": server.name,
        "PORT": str(server.port),
        "LOCAL": str(server.local),
        "FOLDER": _FOLDER,
    }
    windows = _config(server, (), "mailseal-ca.crt")
    unix = _config(
        server, (("foreground", "yes"), ("pid", ""), ("syslog", "no")), _FOLDER + "/ca.crt"
    )
    return (
        File("README.txt", 0o644, _fill(_README, words)),
        File("mail-programs.txt", 0o644, _fill(_PROGRAMS, words)),
        File("ca.crt", 0o644, authority),
        File("unix/stunnel.conf", 0o644, unix.encode("ascii")),
        File("unix/mailseal-client.service", 0o644, _fill(_UNIT, words)),
        File("windows/README.txt", 0o644, _fill(_README_WINDOWS, words).replace(b"\n", b"\r\n")),
        File("windows/stunnel.conf", 0o644, windows.encode("ascii").replace(b"\n", b"\r\n")),
        File("windows/mailseal-ca.crt", 0o644, authority),
    )


def _server(plan: Plan) -> _Server:
    """Where TLS is after the plan: at the old port before any other."""
    found = [claim for claim in plan.claims if claim.kind is ClaimKind.SERVICE_IN_TLS]
    if not found:
        raise CannotExport(
            "after this plan (%s) no service answers in TLS: there is nothing for a client pack to "
            "reach" % plan.strategy
        )
    if plan.strategy == "native":
        raise CannotExport(
            "this plan lets TLS begin inside the session, where the pack's stunnel would expect it "
            "from the first byte: programs without TLS need a plan with --strategy wrap"
        )
    found.sort(key=lambda claim: claim.endpoint.port != plan.endpoint.port)
    name = found[0].expected.get("name", "")
    if not SERVER.fullmatch(name):
        raise CannotExport("the plan names no host that clients could verify: plan with --name")
    if not re.fullmatch(r"[a-z0-9]{1,20}", plan.protocol):
        raise CannotExport("the plan names no protocol")
    return _Server(plan.protocol, name, found[0].endpoint.port, plan.endpoint.port)


def certificates(pem: bytes) -> bytes:
    """The certificates of a PEM file, and nothing else that may lie in it."""
    if not pem:
        raise CannotExport(
            "a client pack holds the CA that clients are to trust: give its file with --ca (of a "
            "private CA, /etc/mailseal/ca.crt of the host after the change)"
        )
    found = re.findall(
        rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", pem
    )
    if not found:
        raise CannotExport("the file given with --ca holds no certificate in PEM form")
    return b"".join(each.replace(b"\r", b"") + b"\n" for each in found)


def _config(server: _Server, system: tuple[tuple[str, str], ...], authority: str) -> str:
    """stunnel(8), CONFIGURATION FILE; 5.50 or newer, for sslVersionMin."""
    try:
        check = "checkIP" if ipaddress.ip_address(server.name) else ""
    except ValueError:
        check = "checkHost"
    options = (
        ("client", "yes"),
        ("accept", "%s:%d" % (LOCAL, server.local)),
        ("connect", "%s:%d" % (server.name, server.port)),
        ("verifyChain", "yes"),
        ("CAfile", authority),
        (check, server.name),
        ("sslVersionMin", "TLSv1.2"),
        # The name is looked up at each connection: a network may come late, or change.
        ("delay", "yes"),
    )
    lines = ["; Made by mailseal."]
    lines += [("%s = %s" % pair).rstrip() for pair in system]
    lines += ["", "[%s]" % server.protocol, *("%s = %s" % pair for pair in options)]
    return "\n".join(lines) + "\n"


def _fill(text: str, words: dict[str, str]) -> bytes:
    return re.sub(r"@(\w+)@", lambda match: words[match[1]], text).encode("ascii")


_UNIT = """\
# Made by mailseal. systemd.exec(5) explains each line.
[Unit]
Description=TLS for mail programs that have none (stunnel, @PROTOCOL@ of @NAME@)
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=simple
ExecStart=/usr/bin/stunnel @FOLDER@/stunnel.conf
Restart=always
RestartSec=1
LimitNOFILE=65536
DynamicUser=yes
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
UMask=0077

[Install]
WantedBy=multi-user.target
"""

_README = """\
TLS for mail programs that have none
====================================

@PROTOCOL@ on @NAME@ answers inside TLS on port @PORT@. A mail program that
can speak TLS needs nothing of this but the CA in ca.crt. For one that cannot, stunnel on
the same machine takes its connection at 127.0.0.1 port @LOCAL@ and carries it to the server
in TLS. It refuses a server whose certificate is not of ca.crt, or not for @NAME@.

Compare the fingerprint of ca.crt with the administrator's before you trust it:

    openssl x509 -in ca.crt -noout -fingerprint -sha256

Unix with systemd, as root, in this folder (stunnel 5.50 or newer; Debian's package is stunnel4):

    apt-get install stunnel4
    install -d -m 0755 @FOLDER@
    install -m 0644 ca.crt unix/stunnel.conf @FOLDER@/
    install -m 0644 unix/mailseal-client.service /etc/systemd/system/
    systemctl daemon-reload
    systemctl enable --now mailseal-client

Windows: windows/README.txt. Then set up the mail program: mail-programs.txt.

To see what is wrong when a program gets no answer:

    journalctl -u mailseal-client

To take it away:

    systemctl disable --now mailseal-client
    rm -r /etc/systemd/system/mailseal-client.service @FOLDER@
"""

_README_WINDOWS = """\
TLS for mail programs that have none: Windows
=============================================

1. Install stunnel (5.50 or newer) from https://www.stunnel.org/ for all users.
2. Copy stunnel.conf and mailseal-ca.crt of this folder into stunnel's config folder,
   usually C:\\Program Files (x86)\\stunnel\\config; keep a copy of the stunnel.conf there.
3. At a command prompt of an administrator:

       cd "C:\\Program Files (x86)\\stunnel\\bin"
       stunnel -install
       stunnel -start

4. Set up the mail program: mail-programs.txt.

To take it away: stunnel -stop, stunnel -uninstall, and put the old stunnel.conf back.
"""

_PROGRAMS = """\
Settings of mail programs
=========================

Any program without TLS, once stunnel runs beside it:

    protocol    @PROTOCOL@
    server      127.0.0.1 (not "localhost": that may be ::1, where nothing listens)
    port        @LOCAL@
    encryption  none: stunnel does it
    user name and password as before, but change the password: it travelled in cleartext

A program that can speak TLS (needs no stunnel):

    server      @NAME@
    port        @PORT@
    encryption  SSL/TLS from the first byte, not STARTTLS
    trust       import ca.crt as an authority for servers; never accept an exception

fetchmail (where `fetchmail -V` lists the protocol), in ~/.fetchmailrc:

    poll 127.0.0.1 protocol @WORD@ port @LOCAL@ user "name" sslproto ""

Pine and Alpine, the name of a folder:

    {127.0.0.1:@LOCAL@/service=@WORD@/user=name/notls}INBOX
"""
