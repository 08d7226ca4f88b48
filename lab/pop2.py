"""How a host comes to serve POP2: the project's legacy server behind each kind of starter.

Strategy: a starter is data, the files it needs and the command that makes it read them, so the
hosts' code knows no starter by name.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SERVER = Path(__file__).parents[1] / "src/mailseal/demo/pop2d.py"
INSTALLED = "/usr/local/sbin/ipop2d"


@dataclass(frozen=True)
class Account:
    """A mail user whose password exists in one lab only, so a test can look for it on the wire."""

    user: str = "alice"
    password: str = field(default_factory=lambda: secrets.token_hex(12))

    @property
    def users_file(self) -> bytes:
        """The server's table of users."""
        return f"{self.user}:{self.password}\n".encode()

    @property
    def mailbox(self) -> bytes:
        """A mailbox (mbox format) with one message."""
        return (
            f"From carol@example.org Mon Jan  1 00:00:00 2024\n"
            f"From: Carol <carol@example.org>\n"
            f"To: {self.user}@example.org\n"
            f"Subject: Minutes\n"
            f"\n"
            f"The minutes of Monday are in the usual place.\n"
            f"\n"
        ).encode()


@dataclass(frozen=True)
class Starter:
    """A way to start a network service on demand or at boot."""

    files: Mapping[str, str]
    """Path to content; ``{options}`` stands for the server's options."""
    append: bool
    """Whether the content is added to a file that is there already."""
    reload: str
    """Shell command that makes the starter read them, now and at each boot."""


STARTERS: Mapping[str, Starter] = {
    "inetd": Starter(
        {
            "/etc/inetd.conf": (
                f"109\tstream\ttcp\tnowait\troot\t{INSTALLED}\tipop2d{{options}}\n"
                f"109\tstream\ttcp6\tnowait\troot\t{INSTALLED}\tipop2d{{options}}\n"
            )
        },
        append=True,
        reload="systemctl --quiet enable inetd && systemctl restart inetd",
    ),
    "xinetd": Starter(
        {
            "/etc/xinetd.d/pop2": (
                "service pop2\n"
                "{{\n"
                "\ttype\t\t= UNLISTED\n"
                "\tport\t\t= 109\n"
                "\tsocket_type\t= stream\n"
                "\tprotocol\t= tcp\n"
                "\tflags\t\t= IPv6\n"
                "\twait\t\t= no\n"
                "\tuser\t\t= root\n"
                f"\tserver\t\t= {INSTALLED}\n"
                "\tserver_args\t={options}\n"
                "\tdisable\t\t= no\n"
                "}}\n"
            )
        },
        append=False,
        reload="systemctl --quiet enable xinetd && systemctl restart xinetd",
    ),
    "standalone": Starter(
        {
            "/etc/systemd/system/pop2d.service": (
                "[Unit]\n"
                "Description=POP2 server\n"
                "After=network.target\n"
                "\n"
                "[Service]\n"
                "Type=notify\n"
                f"ExecStart={INSTALLED} --listen 0.0.0.0:109 --listen [::]:109{{options}}\n"
                "\n"
                "[Install]\n"
                "WantedBy=multi-user.target\n"
            )
        },
        append=False,
        reload="systemctl daemon-reload && systemctl --quiet enable --now pop2d",
    ),
    "socket": Starter(
        {
            "/etc/systemd/system/pop2.socket": (
                "[Unit]\n"
                "Description=POP2\n"
                "\n"
                "[Socket]\n"
                "ListenStream=109\n"
                "Accept=yes\n"
                "\n"
                "[Install]\n"
                "WantedBy=sockets.target\n"
            ),
            "/etc/systemd/system/pop2@.service": (
                "[Unit]\n"
                "Description=POP2 session\n"
                "\n"
                "[Service]\n"
                f"ExecStart=-{INSTALLED}{{options}}\n"
                "StandardInput=socket\n"
            ),
        },
        append=False,
        reload="systemctl daemon-reload && systemctl --quiet enable --now pop2.socket",
    ),
}
