"""Stages and strategies on booted hosts: offer, then enforce on top of it; retire; a certificate
that was given; the private CA; plans made without root or elsewhere.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import trustme

from lab import Lab
from tests.lab.story import (
    NAME,
    Scene,
    check_as_before,
    desk,
    install_stunnel,
    mailseal,
    package_alone,
    ran,
    scene,
    sealed,
    state,
)

pytestmark = [pytest.mark.lab, pytest.mark.slow]

TARGET = f"{NAME}:109"

# Logs in on a TLS connection, says so, and goes on when it is told to.
LASTING = """
import socket, ssl, sys
context = ssl.create_default_context(cadata=sys.stdin.readline().replace("~", "\\n"))
raw = socket.create_connection((sys.argv[1], 1109), 10)
wire = context.wrap_socket(raw, server_hostname=sys.argv[2]).makefile("rwb", buffering=0)
wire.readline(), wire.write(b"HELO %s %s\\r\\n" % (sys.argv[3].encode(), sys.argv[4].encode()))
print(wire.readline().decode().strip(), flush=True)
sys.stdin.readline(), wire.write(b"QUIT\\r\\n")
print(wire.readline().decode().strip(), flush=True)
"""


def lasting_session(on: Scene) -> subprocess.Popen[bytes]:
    account = on.mail.account
    argv = [sys.executable, "-I", "-c", LASTING, on.mail.ipv4, NAME]
    session = on.client.popen([*argv, account.user, account.password])
    assert session.stdin is not None
    assert session.stdout is not None
    session.stdin.write(on.ca().replace("\n", "~").encode() + b"\n")
    session.stdin.flush()
    assert session.stdout.readline() == b"#1 messages in /var/mail/alice\n"
    return session


@pytest.mark.timeout(240)
@pytest.mark.parametrize("starter", ["inetd", "standalone"])
def test_offer_then_enforce_and_back_in_turn(lab: Lab, starter: str) -> None:
    on = scene(lab, "bookworm", starter)
    mail = on.mail
    install_stunnel(mail)
    before = state(mail)

    out = sealed(mail, "seal", TARGET, "--stage", "offer", "--yes")
    assert out.splitlines()[1].startswith("Nobody is cut off")
    on.check_cleartext()
    on.check_sealed(1109)
    offered = state(mail)
    again = sealed(mail, "seal", TARGET, "--stage", "offer", "--yes")
    assert "TLS is offered beside port 109 by mailseal@1109.service already" in again
    check_as_before(offered, state(mail))

    with lasting_session(on) as session:
        sealed(mail, "seal", TARGET, "--yes")
        said, _ = session.communicate(b"\n", timeout=10)
        # A daemon that is restarted drops its sessions, which the plan says; inetd's live on.
        assert said == (b"+ Sayonara\n" if starter == "inetd" else b"\n")
    on.check_sealed(109)
    on.check_sealed(1109)
    refused = mailseal(mail, "seal", TARGET, "--strategy", "retire", "--yes")
    assert refused.code == 6
    assert "undo that first (mailseal rollback)" in refused.err

    first = sealed(mail, "runs").split()[1]
    refused = mailseal(mail, "rollback", first)
    assert refused.code == 6
    assert "may rest on this one: undo it first" in refused.err

    # Half of it undone, nobody would serve the port.
    config = mail.read("/etc/mailseal/109.conf")
    mail.write("/etc/mailseal/109.conf", config + b"; edited since\n")
    refused = mailseal(mail, "rollback")
    assert refused.code == 6
    assert "/etc/mailseal/109.conf was changed since" in refused.err
    mail.write("/etc/mailseal/109.conf", config)
    on.check_sealed(109)

    sealed(mail, "rollback")
    on.check_cleartext()
    on.check_sealed(1109)
    check_as_before(offered, state(mail))

    sealed(mail, "rollback")
    on.check_cleartext()
    check_as_before(before, state(mail))


KINDS = [("bookworm", "inetd"), ("bookworm", "standalone"), ("bullseye", "xinetd")]


@pytest.mark.parametrize(("system", "starter"), KINDS)
def test_retire_and_back(lab: Lab, system: str, starter: str) -> None:
    on = scene(lab, system, starter)
    mail, near = on.mail, system == "bookworm"
    home = mail if near else desk(on)
    before = state(mail)
    target = TARGET if near else "ssh://mailhost"
    out = sealed(home, "seal", target, "--strategy", "retire", "--yes")
    assert "STOPS WORKING" in out.splitlines()[1]
    assert on.log_in("polite") == [["!ConnectionRefusedError"]] * 2
    mail.reboot()
    assert on.log_in("polite") == [["!ConnectionRefusedError"]] * 2
    if not near:
        mail.run(["systemctl", "start", "ssh"])
    sealed(home, "rollback", *([] if near else ["--on", target]))
    on.check_cleartext()
    check_as_before(before, state(mail))


def test_a_given_certificate(lab: Lab) -> None:
    """As an ACME client leaves them: links to the files, in a directory for root alone."""
    on = scene(lab, "bookworm", "inetd")
    mail, authority = on.mail, trustme.CA()
    leaf = authority.issue_cert(NAME)
    mail.run(["mkdir", "-p", "-m", "700", "/etc/letsencrypt/live", "/etc/letsencrypt/archive"])
    mail.write("/etc/letsencrypt/archive/1.crt", leaf.cert_chain_pems[0].bytes())
    mail.write("/etc/letsencrypt/archive/1.key", leaf.private_key_pem.bytes(), 0o600)
    for kind in ("crt", "key"):
        link = f"/etc/letsencrypt/live/mail.{kind}"
        mail.run(["ln", "-s", f"../archive/1.{kind}", link])
    mail.write("/srv/ca.crt", authority.cert_pem.bytes())
    before = state(mail)
    live = "/etc/letsencrypt/live/mail"
    given = ("--cert", f"{live}.crt", "--key", f"{live}.key", "--ca", "/srv/ca.crt")
    out = sealed(mail, "seal", TARGET, *given, "--yes")
    assert "The certificate is a copy of /etc/letsencrypt/live/mail.crt" in out
    assert "Clients need the CA file" not in out
    on.check_sealed(ca=authority.cert_pem.bytes().decode())
    listing = ran(mail, "stat", "-c", "%n %U:%G %a", "/etc/mailseal", "/etc/mailseal/109.key").out
    expected = "/etc/mailseal root:stunnel4 750\n/etc/mailseal/109.key root:stunnel4 640\n"
    assert listing == expected
    ours = ["109.conf", "109.crt", "109.key", "109.renew", "renew"]
    assert ran(mail, "ls", "/etc/mailseal").out.split() == ours
    sealed(mail, "rollback")
    on.check_cleartext()
    check_as_before(before, state(mail), package_alone("bookworm"))


@pytest.mark.timeout(240)
def test_two_services_of_a_host_share_its_private_ca(lab: Lab) -> None:
    on = scene(lab, "bookworm", "inetd")
    lines = on.mail.read("/etc/inetd.conf")
    more = b"".join(
        line.replace(b"109\t", b"1110\t", 1)
        for line in lines.splitlines(keepends=True)
        if line.startswith(b"109\t")
    )
    on.mail.write("/etc/inetd.conf", lines + more)
    on.mail.run(["systemctl", "reload", "inetd"])
    on.mail.wait_listening(1110)
    install_stunnel(on.mail)
    before = state(on.mail)
    sealed(on.mail, "seal", TARGET, "--yes")
    ca = on.ca()
    sealed(on.mail, "seal", f"{NAME}:1110", "--yes")
    assert on.ca() == ca
    on.check_sealed(109)
    on.check_sealed(1110)
    # The first cannot go while the second may rest on its CA; in turn both can.
    first = sorted(on.mail.run(["ls", "/var/lib/mailseal/runs"]).stdout.decode().split())[0]
    refused = mailseal(on.mail, "rollback", first)
    assert (refused.code, "undo it first" in refused.said) == (6, True), refused.said
    sealed(on.mail, "rollback")
    on.check_sealed(109)
    on.check_cleartext(1110)
    sealed(on.mail, "rollback")
    on.check_cleartext(109)
    check_as_before(before, state(on.mail))
