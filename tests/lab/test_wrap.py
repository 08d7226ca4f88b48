"""POP3 and IMAP of daemons that know no TLS, or seem to, behind stunnel on booted hosts: offered
beside cleartext, enforced, turned off, and back each time. The logins are those of real programs,
and of the oracle, which knows nothing of the program under test.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

import pytest

from lab import Client, Host, Lab, Network, clients
from lab.clients import Task
from lab.daemons import DAEMONS, install
from tests.lab.story import (
    NAME,
    PROGRAM,
    ROOT,
    check_as_before,
    install_stunnel,
    mailseal,
    ran,
    sealed,
    state,
    wait_until,
)

PYTHON = str(ROOT / ".venv/bin/python")
PAGE = ROOT / "docs/howto/put-tls-in-front.md"

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(240)]

INETD = """
systemctl --quiet stop popa3d
echo RUN_STANDALONE=no >/etc/default/popa3d
systemctl start popa3d
echo '110 stream tcp nowait root /usr/sbin/tcpd popa3d' >>/etc/inetd.conf
systemctl --quiet enable inetd
systemctl restart inetd
"""


DIALOGUES = {
    "pop3": (["USER %s", "PASS %s", "QUIT"], 2, "+OK"),
    "imap": (["a LOGIN %s %s"], 1, "a OK"),
}
"""What is said to log in, and where the answer to it stands and how it begins."""


@dataclass(frozen=True)
class Stage:
    """A mail host that is reached at some addresses, and a client beside it."""

    lab: Lab
    net: Network
    mail: Host
    client: Client
    protocol: str
    addresses: tuple[str, ...]

    def told(self, how: str, port: int, client: Client | None = None) -> list[list[str]]:
        """What a client of that temper is told when it logs in, at each address."""
        account, (lines, _, _) = self.lab.account, DIALOGUES[self.protocol]
        spoken = "\n".join(lines) % (account.user, account.password)
        ca = self.mail.read("/etc/mailseal/ca.crt").decode() if how == "tls" else ""
        visits = [
            {"how": how, "address": address, "port": port, "lines": spoken.split("\n")}
            | {"name": NAME, "ca": ca}
            for address in self.addresses
        ]
        argv = [PYTHON, "-I", str(ROOT / "tests/lab/pop2client.py")]
        done = (client or self.client).run(argv, input=json.dumps(visits).encode())
        answers: list[list[str]] = json.loads(done.stdout)
        return answers

    def let_in(self, how: str, port: int) -> bool:
        """Whether the account logs in at every address."""
        _, place, yes = DIALOGUES[self.protocol]
        answers = self.told(how, port)
        return all(len(said) > place and said[place].startswith(yes) for said in answers)

    def check_clear(self, port: int) -> None:
        assert self.let_in("polite", port)

    def check_sealed(self, *ports: int) -> None:
        """No answer in cleartext, and a login inside TLS with a certificate that verifies."""
        for port in ports:
            assert self.told("polite", port) == [["!TimeoutError"]] * len(self.addresses)
            # stunnel answers with a TLS alert or closes; what counts is that the service is silent.
            said = [line for answer in self.told("eager", port) for line in answer]
            assert not any(line[:1] in ("+", "-", "*", "a") for line in said), said
            assert self.let_in("tls", port)

    def scanned(self, port: int) -> str:
        """The program's own verdict, from the client."""
        target = f"{self.mail.ipv4}:{port}"
        argv = [PYTHON, "-m", "mailseal", "scan", "--format", "ndjson", target]
        done = self.client.run(argv, check=False, timeout=120)
        return str(json.loads(done.stdout)["verdict"])

    def real_programs(self, host: Host, port: int, *programs: str) -> None:
        """curl, fetchmail and their like log in, TLS from the first octet."""
        mechanism = {"pop3": "USER", "imap": "LOGIN command"}[self.protocol]
        account = self.lab.account
        tasks = [
            Task(
                *(program, self.protocol, mechanism, "implicit", self.mail.ipv4, port),
                *(account.user, account.password, "accepted", ""),
            )
            for program in programs
        ]
        assert len(clients.run(host, tasks)) == len(programs)

    @property
    def ports(self) -> set[int]:
        return {each[2] for each in self.mail.listeners() if each[0] == "tcp"}


def stage(lab: Lab, name: str, protocol: str) -> Stage:
    net = lab.network()
    mail = lab.host(
        "mailhost", system=DAEMONS[name].system, network=net, binds={ROOT: "/srv/mailseal"}
    )
    mail.write("/usr/local/bin/mailseal", PROGRAM, mode=0o755)
    names = f"{mail.ipv4} {NAME}\n{mail.ipv6} {NAME}\n".encode()
    mail.write("/etc/hosts", mail.read("/etc/hosts") + names)
    install(mail, DAEMONS[name], "permitted", ("192.0.2.99", "2001:db8:1::99"))
    return Stage(lab, net, mail, lab.client(net, "client"), protocol, (mail.ipv4,))


def popa3d(lab: Lab, starter: str) -> Stage:
    """popa3d on port 110 alone, started in that way now and at boot."""
    on = stage(lab, "popa3d", "pop3")
    on.mail.run(["systemctl", "stop", "pop3odd.socket"])
    if starter == "inetd":
        on.mail.run(["sh", "-ec", INETD])
        on.mail.wait_listening(110)
        on = replace(on, addresses=(on.mail.ipv4, on.mail.ipv6))
    install_stunnel(on.mail)
    return on


@pytest.mark.parametrize("starter", ["inetd", pytest.param("standalone", marks=pytest.mark.soak)])
def test_popa3d_offered_enforced_and_back(lab: Lab, starter: str) -> None:
    on = popa3d(lab, starter)
    mail, target = on.mail, f"{NAME}:110"
    on.check_clear(110)
    assert on.scanned(110) == "exposed"
    before, ports = state(mail), on.ports

    out = sealed(mail, "seal", target, "--stage", "offer", "--yes")
    assert out.splitlines()[1].startswith("Nobody is cut off: cleartext on port 110 stays")
    on.check_clear(110)
    on.check_sealed(995)
    offered = state(mail)

    out = sealed(mail, "seal", target, "--yes")
    assert "Strategy wrap, because" in out
    on.check_sealed(110, 995)
    assert on.scanned(110) == on.scanned(995) == "refused"
    assert on.ports == ports | {995}
    mail.reboot()
    wait_until(lambda: {110, 995} <= on.ports)
    on.check_sealed(110, 995)

    sealed(mail, "rollback")
    on.check_clear(110)
    on.check_sealed(995)
    check_as_before(offered, state(mail))
    sealed(mail, "rollback")
    on.check_clear(110)
    check_as_before(before, state(mail))


@pytest.mark.soak
@pytest.mark.parametrize("starter", ["inetd", "standalone"])
def test_popa3d_turned_off_and_back(lab: Lab, starter: str) -> None:
    on = popa3d(lab, starter)
    before, ports = state(on.mail), on.ports
    out = sealed(on.mail, "seal", f"{NAME}:110", "--strategy", "retire", "--yes")
    assert "POP3 is turned off" in out
    assert on.scanned(110) == "absent"
    assert on.ports == ports - {110}
    sealed(on.mail, "rollback")
    on.check_clear(110)
    check_as_before(before, state(on.mail))


SHUT = {"!closed", "!ConnectionResetError", "!SSLEOFError"}
"""What a client is told that stunnel turns away before TLS."""


def test_rules_of_tcpd_go_on_counting_and_real_programs_log_in(lab: Lab) -> None:
    on = popa3d(lab, "inetd")
    mail = on.mail
    stranger = lab.client(on.net, "stranger")
    mail.write("/etc/hosts.deny", f"popa3d: {stranger.ipv4} [{stranger.ipv6}]/128\n".encode())
    on.check_clear(110)
    # tcpd(8) waits before it closes on whom it turns away.
    assert on.told("polite", 110, stranger) == [["!TimeoutError"]] * 2

    out = sealed(mail, "seal", f"{NAME}:110", "--yes")
    assert "go on counting: stunnel asks them" in out
    on.check_sealed(110, 995)
    for port in (110, 995):
        said = on.told("tls", port, stranger)
        assert {line for answer in said for line in answer} <= SHUT, said
    programs = lab.host("programs", system="clients", network=on.net)
    with lab.capture(on.net) as wire:
        on.real_programs(programs, 995, "curl", "fetchmail", "mpop")
        on.real_programs(programs, 110, "curl", "fetchmail")
        heard = wire.payload()
    assert len(heard) > 1000
    assert lab.account.password.encode() not in heard
    sealed(mail, "rollback")
    on.check_clear(110)


def test_the_commands_of_the_page_work_as_typed(lab: Lab) -> None:
    on = popa3d(lab, "standalone")
    commands = re.findall(r"(?m)^\$ (.*)$", PAGE.read_text())
    assert len(commands) == 6
    for command in commands:
        done = ran(on.mail, "sh", "-c", "cd /root; " + command)
        assert done.code == 0, (command, done.said)
    assert on.scanned(110) == "absent"


FOLDERS = ("/etc", "/usr")
"""Not /var: Courier keeps TLS sessions there."""

COURIER = """
sed -i -e 's/^PORT=.*/PORT=143/' /etc/courier/imapd
sed -i -e 's/^MAXPERIP=.*/MAXPERIP=4/' -e 's/^MAXDAEMONS=.*/MAXDAEMONS=40/' /etc/courier/imapd
systemctl --quiet disable --now courier-imap-ssl courier-pop courier-pop-ssl
systemctl restart courier-imap
"""


@pytest.mark.soak
def test_courier_needs_a_higher_limit_and_is_then_served_in_its_own_network(lab: Lab) -> None:
    on = stage(lab, "courier", "imap")
    mail, target = on.mail, f"{NAME}:143"
    mail.run(["sh", "-ec", COURIER])
    wait_until(lambda: 143 in on.ports and not {993, 10143} & on.ports)
    install_stunnel(mail)
    before = mail.snapshot(FOLDERS)
    done = mailseal(mail, "seal", target, "--strategy", "wrap", "--yes")
    assert done.code == 6, done.said
    assert "set MAXPERIP=40 as MAXDAEMONS is" in done.err
    assert mail.snapshot(FOLDERS) == before

    mail.run(["sed", "-i", "s/^MAXPERIP=.*/MAXPERIP=40/", "/etc/courier/imapd"])
    mail.run(["systemctl", "restart", "courier-imap"])
    wait_until(lambda: 143 in on.ports)
    before, ports = mail.snapshot(FOLDERS), on.ports
    out = sealed(mail, "seal", target, "--strategy", "wrap", "--yes")
    assert "courier-imap.service gets a network of its own" in out
    on.check_sealed(143, 993)
    programs = lab.host("programs", system="clients", network=on.net)
    on.real_programs(programs, 993, "curl", "fetchmail")
    sealed(mail, "rollback")
    on.check_clear(143)
    assert mail.snapshot(FOLDERS) == before
    assert on.ports == ports


@pytest.mark.soak
def test_courier_takes_a_network_past_stunnel(lab: Lab) -> None:
    outside = stage(lab, "courier", "imap")
    mail, target = outside.mail, f"{NAME}:143"
    outside = replace(outside, addresses=(mail.ipv4, mail.ipv6))
    inside = replace(outside, client=lab.client(outside.net, "inside"))
    mail.run(["sh", "-ec", COURIER.replace("=4/", "=40/")])
    wait_until(lambda: 143 in outside.ports and not {993, 10143} & outside.ports)
    install_stunnel(mail)
    before, ports = mail.snapshot(FOLDERS), outside.ports
    networks = (f"{inside.client.ipv4}/32", f"{inside.client.ipv6}/128")
    excepted = [word for network in networks for word in ("--except", network)]
    wish = ["seal", target, *excepted, "--until", "2035-03-31", "--owner", "a", "--reason", "b"]

    refused = mailseal(mail, *wish, "--yes")
    assert (refused.code, "--strategy wrap takes them past stunnel" in refused.err) == (6, True)
    out = sealed(mail, *wish, "--strategy", "wrap", "--yes")
    assert f"{networks[1]} until 2035-03-31, a" in out
    inside.check_clear(143)
    outside.check_sealed(143, 993)

    # Whatever becomes of the rules, nobody is exposed; a boot brings them back.
    mail.run(["nft", "flush", "ruleset"])
    inside.check_sealed(143)
    mail.reboot()
    wait_until(lambda: {143, 993} <= outside.ports, seconds=60)
    wait_until(lambda: inside.let_in("polite", 143), seconds=60)
    outside.check_sealed(143, 993)
    sealed(mail, "rollback")
    inside.check_clear(143)
    outside.check_clear(143)
    assert mail.snapshot(FOLDERS) == before
    assert outside.ports == ports


@pytest.mark.soak
def test_tls_is_offered_beside_managesieve(lab: Lab) -> None:
    """Its daemons all know TLS; where one has no certificate, stunnel can offer it besides."""
    on = stage(lab, "dovecot-2.3", "managesieve")
    install_stunnel(on.mail)
    before = on.mail.snapshot(FOLDERS)
    wish = (f"{NAME}:4190", "--strategy", "wrap", "--stage", "offer")
    out = sealed(on.mail, "seal", *wish, "--yes")
    assert "Dovecot takes every client of stunnel's for a local one" in out
    words = ["managesieve", on.mail.ipv4, "1109", lab.account.user, "implicit"]
    secret = lab.account.password.encode() + b"\n"
    done = on.client.run([PYTHON, str(ROOT / "lab/login.py"), *words], input=secret)
    assert set(json.loads(done.stdout).values()) == {True}
    assert on.scanned(1109) == "refused"
    assert on.scanned(4190) == "exposed"
    sealed(on.mail, "rollback")
    assert on.mail.snapshot(FOLDERS) == before


@pytest.mark.parametrize(
    ("name", "port", "says"),
    [
        ("postfix", 587, "an open relay"),
        pytest.param("dovecot-2.3", 110, "takes a client of its own host", marks=pytest.mark.soak),
        pytest.param("cyrus", 4190, "serves all its protocols", marks=pytest.mark.soak),
    ],
)
def test_what_is_not_put_behind_stunnel(lab: Lab, name: str, port: int, says: str) -> None:
    on = stage(lab, name, "smtp")
    files = on.mail.snapshot(("/etc",))
    done = mailseal(on.mail, "seal", f"{NAME}:{port}", "--strategy", "wrap", "--yes")
    assert done.code == 6, done.said
    assert says in done.err
    assert "--strategy native" in done.err
    assert on.mail.snapshot(("/etc",)) == files
