"""Every kind of daemon, in every way that it is started here, by every strategy that fits: exposed,
sealed, real programs inside TLS, an eavesdropper who reads nothing, and back again byte for byte.

Strategy: a row of the matrix is data, and one story is told of all. The program is run as its users
run it; who logs in is the oracle, which knows nothing of it, and real mail programs. What was seen
is a row of the page, which the test finds there or fails. `script/test` tells of those without
which a pair of daemon, start and strategy would be told of nowhere there; `script/soak` of all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from lab import Client, Host, Lab, Network, clients
from lab.clients import Task
from lab.daemons import DAEMONS, install
from tests.lab.story import NAME, PROGRAM, ROOT, desk_of, install_stunnel, sealed, wait_until

PYTHON = str(ROOT / ".venv/bin/python")
PAGE = ROOT / "docs/reference/matrix.md"
FOLDERS = ("/etc", "/usr")

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(400)]


class Row(NamedTuple):
    """What is sealed, and how. `ports` is where TLS is served afterwards, and `how` it begins."""

    daemon: str
    starter: str
    port: int
    strategy: str
    ports: tuple[int, ...] = ()
    how: str = ""


def wrapped(daemon: str, starter: str, port: int, *beside: int) -> Row:
    return Row(daemon, starter, port, "wrap", (port, *beside), "implicit")


def enforced(daemon: str, port: int) -> Row:
    return Row(daemon, "systemd", port, "native", (port,), "upgrade")


def retired(daemon: str, starter: str, port: int) -> Row:
    return Row(daemon, starter, port, "retire")


POP2_STARTERS = ("inetd", "xinetd", "systemd", "socket")
MATRIX = (
    *(wrapped("pop2", starter, 109) for starter in POP2_STARTERS),
    *(retired("pop2", starter, 109) for starter in POP2_STARTERS),
    *(wrapped("popa3d", starter, 110, 995) for starter in ("inetd", "systemd")),
    *(retired("popa3d", starter, 110) for starter in ("inetd", "systemd")),
    wrapped("courier", "systemd", 143, 993),
    *(enforced("courier", port) for port in (143, 110)),
    retired("courier", "systemd", 143),
    *(enforced("dovecot-2.3", port) for port in (143, 110, 4190)),
    *(enforced("dovecot-2.4", port) for port in (143, 110, 4190)),
    *(enforced("cyrus", port) for port in (143, 110, 4190)),
    enforced("postfix", 587),
    enforced("exim", 587),
)
ELSEWHERE = {
    ("pop2", "inetd", "wrap"): "test_seal.py::test_sealed_on_the_host_itself_and_back",
    ("pop2", "systemd", "wrap"): "test_seal.py::test_sealed_on_the_host_itself_and_back",
    ("pop2", "xinetd", "wrap"): "test_seal_ssh.py::test_sealed_from_a_workstation_and_back",
    ("pop2", "inetd", "retire"): "test_stages.py::test_retire_and_back",
    ("pop2", "systemd", "retire"): "test_stages.py::test_retire_and_back",
    ("pop2", "xinetd", "retire"): "test_stages.py::test_retire_and_back",
    ("popa3d", "inetd", "wrap"): "test_wrap.py::test_popa3d_offered_enforced_and_back",
    **{
        (daemon, "systemd", "native"): (
            "test_native.py::test_the_daemon_itself_refuses_and_takes_it_back"
        )
        for daemon in ("courier", "dovecot-2.3", "dovecot-2.4", "cyrus", "postfix", "exim")
    },
}
"""Daemon, start and strategy that another story of `script/test` has."""
QUICK = (
    wrapped("pop2", "socket", 109),
    retired("popa3d", "systemd", 110),
    retired("pop2", "socket", 109),
    wrapped("courier", "systemd", 143, 993),
    retired("courier", "systemd", 143),
    enforced("dovecot-2.3", 4190),
)

_PROGRAMS = {
    "pop2": ("HELO", ("typed",)),
    "pop3": ("USER", ("curl", "fetchmail", "mutt", "typed")),
    "imap": ("LOGIN command", ("curl", "fetchmail", "mutt", "typed")),
    "smtp": ("PLAIN", ("curl", "swaks", "mutt", "typed")),
    "managesieve": ("PLAIN", ("sieve-connect", "typed")),
}
_PROTOCOLS = {109: "pop2", 110: "pop3", 143: "imap", 587: "smtp", 4190: "managesieve"}
_TLS_PORT = 10.0
"""Seconds that a port of TLS is given to be silent to who speaks in cleartext."""


class Stage(NamedTuple):
    """The mail host, a client beside it, and where mailseal is run, on which target."""

    lab: Lab
    net: Network
    mail: Host
    client: Client
    home: Host
    target: tuple[str, ...]
    on: tuple[str, ...]
    addresses: tuple[str, ...]

    def let_in(self, protocol: str, port: int, how: str) -> set[bool]:
        """Whether the account can log in at the addresses, in any way."""
        account = self.lab.account

        def at(address: str) -> bool:
            argv = [PYTHON, str(ROOT / "lab/login.py"), protocol, address, str(port), account.user]
            secret = account.password.encode() + b"\n"
            done = self.client.run([*argv, how, str(_TLS_PORT)], input=secret, timeout=120)
            return any(json.loads(done.stdout).values())

        with ThreadPoolExecutor() as pool:  # at a port of TLS each way takes its whole time
            return set(pool.map(at, self.addresses))


def stage(lab: Lab, row: Row) -> Stage:
    net = lab.network()
    pop2 = row.daemon == "pop2"
    system = "bullseye" if row.starter == "xinetd" else "bookworm"
    system = system if pop2 else DAEMONS[row.daemon].system
    mail = lab.host("mailhost", system=system, network=net, binds={ROOT: "/srv/mailseal"})
    mail.write("/usr/local/bin/mailseal", PROGRAM, mode=0o755)
    mail.write("/etc/hosts", mail.read("/etc/hosts") + f"{mail.ipv4} {NAME}\n".encode())
    addresses: tuple[str, ...] = (mail.ipv4, mail.ipv6)
    if pop2:
        starter = {"systemd": "standalone"}.get(row.starter, row.starter)
        mail.install_pop2d(starter, "--bad-login-delay 0")
    else:
        install(mail, DAEMONS[row.daemon], "permitted", ("192.0.2.99", "2001:db8:1::99"))
        for command in _ALONE.get((row.daemon, row.starter, row.strategy), ()):
            mail.run(["sh", "-ec", command])
        # popa3d's own daemon listens on IPv4 alone.
        addresses = (
            addresses[:1] if (row.daemon, row.starter) == ("popa3d", "systemd") else addresses
        )
    wait_until(lambda: row.port in ports(mail))
    if row.strategy == "wrap":
        install_stunnel(mail)
    client = lab.client(net, "client")
    if system != "bullseye":
        target = (f"{NAME}:{row.port}",)
        return Stage(lab, net, mail, client, mail, target, (), addresses)
    far = desk_of(lab, net, mail)
    where = ("ssh://mailhost", "--port", str(row.port))
    return Stage(lab, net, mail, client, far, where, ("--on", "ssh://mailhost"), addresses)


_POPA3D = "systemctl stop pop3odd.socket"
_INETD = """
systemctl --quiet stop popa3d
echo RUN_STANDALONE=no >/etc/default/popa3d
systemctl start popa3d
echo '110 stream tcp nowait root /usr/sbin/tcpd popa3d' >>/etc/inetd.conf
systemctl --quiet enable inetd
systemctl restart inetd
"""
_COURIER = """
sed -i -e 's/^PORT=.*/PORT=143/' -e 's/^MAXPERIP=.*/MAXPERIP=40/' /etc/courier/imapd
systemctl stop courier-imap-ssl courier-pop courier-pop-ssl
systemctl restart courier-imap
"""
_ALONE = {
    **{("popa3d", "systemd", strategy): (_POPA3D,) for strategy in ("wrap", "retire")},
    **{("popa3d", "inetd", strategy): (_POPA3D, _INETD) for strategy in ("wrap", "retire")},
    **{("courier", "systemd", strategy): (_COURIER,) for strategy in ("wrap", "retire")},
}
"""What makes the service one that this strategy can be tried on: served at this port alone."""


def ports(mail: Host) -> set[int]:
    return {each[2] for each in mail.listeners() if each[0] == "tcp"}


@pytest.mark.parametrize(
    "row",
    [row if row in QUICK else pytest.param(row, marks=pytest.mark.soak) for row in MATRIX],
    ids=lambda row: f"{row.daemon}-{row.starter}-{row.port}-{row.strategy}",
)
def test_exposed_sealed_used_and_back(
    lab: Lab, row: Row, record_property: Callable[[str, str], None]
) -> None:
    on, protocol = stage(lab, row), _PROTOCOLS[row.port]
    mail, secret = on.mail, lab.account.password
    mechanism, programs = _PROGRAMS[protocol]
    if row.daemon == "cyrus":
        on.let_in("imap", 143, "clear")  # IMAP makes the mailbox that the others want.
    net = on.net
    with lab.capture(net) as wire:
        assert on.let_in(protocol, row.port, "clear") == {True}
        assert protocol != "pop2" or secret.encode() in wire.payload()
    files, listening = mail.snapshot(FOLDERS), ports(mail)

    sealed(on.home, "seal", *on.target, "--strategy", row.strategy, "--yes")
    for port in row.ports or (row.port,):
        assert on.let_in(protocol, port, "clear") == {False}
    used = "nobody"
    if row.how:
        desk = lab.host("programs", system="clients", network=net)
        with lab.capture(net) as wire:
            for port in row.ports:
                assert on.let_in(protocol, port, row.how) == {True}
            tasks = [task(lab, on, row, protocol, mechanism, each) for each in programs]
            assert len(clients.run(desk, tasks)) == len(programs)
            heard = wire.payload()
        assert len(heard) > 1000
        assert secret.encode() not in heard
        used = ", ".join("openssl" if each == "typed" else each for each in programs)

    sealed(on.home, "rollback", *on.on)
    wait_until(lambda: ports(mail) == listening)
    assert on.let_in(protocol, row.port, "clear") == {True}
    assert mail.snapshot(FOLDERS) == files
    assert not mail.run(["find", "/run", "-maxdepth", "1", "-name", "mailseal-*"]).stdout
    line = f"| {row.daemon} | {protocol} | {row.starter} | {row.strategy} | {used} |"
    record_property("table", line)
    assert line in PAGE.read_text(), f"not in {PAGE.name}:\n{line}"


def task(lab: Lab, on: Stage, row: Row, protocol: str, mechanism: str, program: str) -> Task:
    """One login of a real program, which must be let in."""
    account = lab.account
    path = "/etc/ssl/mail.pem" if row.strategy == "native" else f"/etc/mailseal/{row.port}.crt"
    return Task(
        *(program, protocol, mechanism, row.how, on.mail.ipv4, row.ports[0]),
        *(account.user, account.password, "accepted", on.mail.read(path).decode()),
    )
