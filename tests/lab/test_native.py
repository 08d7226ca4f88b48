"""TLS enforced by the daemon itself: exposed, applied, refused to strangers, a real login inside
STARTTLS, and back again byte for byte. As the daemons' users run the program; the logins are the
oracle's, which knows nothing of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import Client, Host, Lab
from lab.daemons import DAEMONS, Daemon, install
from tests.lab.story import PROGRAM, ROOT, mailseal, sealed

PYTHON = str(ROOT / ".venv/bin/python")
PAGE = ROOT / "docs" / "howto" / "enforce-in-the-daemon.md"

# Courier's IMAP keeps whoever is refused waiting for 5 s, each time.
pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(400)]


@dataclass(frozen=True)
class Stage:
    """A mail host whose daemon takes cleartext logins, and a client beside it."""

    lab: Lab
    daemon: Daemon
    mail: Host
    client: Client

    def logins(self, port: int, how: str = "clear") -> list[bool | None]:
        """What the account is told at a port of both families, by each way to log in."""
        protocol = next(each.protocol for each in self.daemon.services if each.port == port)
        secret = self.lab.account.password.encode() + b"\n"
        found: list[bool | None] = []
        for address in (self.mail.ipv4, self.mail.ipv6):
            words = [protocol, address, str(port), self.lab.account.user, how]
            argv = [PYTHON, str(ROOT / "lab/login.py"), *words]
            done = self.client.run(argv, input=secret, timeout=120)
            found += json.loads(done.stdout).values()
        return found

    def scanned(self, port: int) -> str:
        """The program's own verdict, from the client."""
        target = f"{self.mail.ipv4}:{port}"
        argv = [PYTHON, "-m", "mailseal", "scan", "--format", "ndjson", target]
        done = self.client.run(argv, check=False, timeout=120)
        return str(json.loads(done.stdout)["verdict"])

    @property
    def listening(self) -> set[tuple[str, int]]:
        return {each[1:3] for each in self.mail.listeners() if each[0] == "tcp"}


def stage(lab: Lab, name: str) -> Stage:
    daemon, net = DAEMONS[name], lab.network()
    mail = lab.host("mailhost", system=daemon.system, network=net, binds={ROOT: "/srv/mailseal"})
    mail.write("/usr/local/bin/mailseal", PROGRAM, mode=0o755)
    install(mail, daemon, "permitted", ("192.0.2.99", "2001:db8:1::99"))
    return Stage(lab, daemon, mail, lab.client(net, "client"))


def beside(on: Stage, port: int) -> Iterator[int]:
    """The daemon's other ports of STARTTLS that have settings apart."""
    apart = on.daemon in (DAEMONS["postfix"], DAEMONS["cyrus"])
    own = next(each.protocol for each in on.daemon.services if each.port == port)
    for each in on.daemon.services:
        if not each.implicit and each.port != port and (apart or each.protocol != own):
            yield each.port


WHOLE = [
    (name, service.port)
    for name in ("postfix", "dovecot-2.3", "dovecot-2.4", "courier", "cyrus", "exim")
    for service in DAEMONS[name].services
    if not service.implicit
]
QUICK = [
    ("postfix", 587),
    ("dovecot-2.3", 143),
    ("dovecot-2.4", 110),
    ("courier", 110),
    ("cyrus", 110),
    ("exim", 587),
]


@pytest.mark.parametrize(
    ("name", "port"),
    [each if each in QUICK else pytest.param(*each, marks=pytest.mark.soak) for each in WHOLE],
)
def test_the_daemon_itself_refuses_and_takes_it_back(lab: Lab, name: str, port: int) -> None:
    on = stage(lab, name)
    mail, target = on.mail, f"{on.mail.ipv4}:{port}"
    if name == "cyrus":
        assert all(on.logins(143))  # IMAP makes the mailbox that Sieve wants.
    assert all(on.logins(port))
    assert on.scanned(port) == "exposed"
    files, listening = mail.snapshot(("/etc", "/usr")), on.listening

    planned = sealed(mail, "plan", target)
    assert "Strategy native, because" in planned
    assert mail.snapshot(("/etc", "/usr")) == files
    out = sealed(mail, "seal", target, "--yes")
    assert "Applied and confirmed. It is proven only from another host" in out
    assert not any(on.logins(port))
    assert all(on.logins(port, "upgrade"))
    assert on.scanned(port) == "refused"
    for other in beside(on, port):
        assert all(on.logins(other)), other
    assert on.listening == listening
    assert "already: nothing was changed" in sealed(mail, "seal", target, "--yes")

    sealed(mail, "rollback")
    assert mail.snapshot(("/etc", "/usr")) == files
    assert on.listening == listening
    assert all(on.logins(port))


EXIM_MACROS = b"""\
MAIN_TLS_ENABLE = yes
MAIN_TLS_CERTIFICATE = /etc/ssl/mail.pem
MAIN_TLS_PRIVATEKEY = /etc/ssl/mail.key
daemon_smtp_ports = 25 : 587 : 465 : 10025
tls_on_connect_ports = 465
"""
USE_DEBIAN_S = r"""
cd /etc/exim4
{ echo; sed -n '/^begin authenticators/,$p' exim4.conf | sed 1d; } >/tmp/authenticators
rm exim4.conf
cat /tmp/authenticators >>exim4.conf.template
cp /tmp/authenticators conf.d/auth/40_lab
cp exim4.conf.localmacros conf.d/main/000_localmacros
sed -i -e "s/^dc_local_interfaces=.*/dc_local_interfaces=''/" \
    -e "s/^dc_use_split_config=.*/dc_use_split_config='$1'/" update-exim4.conf.conf
systemctl restart exim4
"""


@pytest.mark.parametrize("split", ["false", pytest.param("true", marks=pytest.mark.soak)])
def test_the_configuration_that_debian_makes_for_exim_is_made_anew(lab: Lab, split: str) -> None:
    on = stage(lab, "exim")
    mail, target = on.mail, f"{on.mail.ipv4}:587"
    mail.write("/etc/exim4/exim4.conf.localmacros", EXIM_MACROS)
    mail.run(["sh", "-ec", USE_DEBIAN_S, "sh", split])
    mail.wait_listening(587)
    assert all(on.logins(587))
    files = mail.snapshot(("/etc", "/usr", "/var/lib/exim4"))
    sealed(mail, "seal", target, "--yes")
    assert not any(on.logins(587))
    assert all(on.logins(587, "upgrade"))
    sealed(mail, "rollback")
    assert all(on.logins(587))
    assert mail.snapshot(("/etc", "/usr", "/var/lib/exim4")) == files


def test_without_tls_it_is_refused_and_what_comes_first_is_said(lab: Lab) -> None:
    on = stage(lab, "postfix")
    mail = on.mail
    mail.run(["postconf", "smtpd_tls_security_level=", "smtpd_tls_cert_file="])
    mail.run(["systemctl", "reload", "postfix"])
    files = mail.snapshot(("/etc",))
    done = mailseal(mail, "seal", f"{mail.ipv4}:587", "--strategy", "native", "--yes")
    assert done.code == 6, done.said
    assert "set smtpd_tls_cert_file, smtpd_tls_key_file" in done.err
    assert mail.snapshot(("/etc",)) == files


def test_the_commands_of_the_page_work_as_typed(lab: Lab) -> None:
    on = stage(lab, "postfix")
    names = f"{on.mail.ipv4} mail.example\n".encode()
    on.mail.write("/etc/hosts", on.mail.read("/etc/hosts") + names)
    commands = re.findall(r"(?m)^\$ (.*)$", Path(PAGE).read_text())
    assert commands
    for command in commands:
        done = on.mail.run(["sh", "-c", "cd /root; " + command], check=False, timeout=120)
        assert done.returncode == 0, (command, (done.stdout + done.stderr).decode())
