"""Certificates after the seal, on booted hosts: renewed by the unit that the timer starts, in its
sandbox, and the failure alarmed; certbot's hook run as certbot runs it. The commands are those of
the page.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab import Host, Lab
from mailseal.terminators.stunnel import HARDENING
from tests.lab.story import (
    NAME,
    Ran,
    Scene,
    check_as_before,
    install_stunnel,
    ran,
    scene,
    sealed,
    state,
    wait_until,
)

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(240)]

PAGE = (Path(__file__).parents[2] / "docs/howto/renew-certificates.md").read_text()
TARGET = f"{NAME}:109"
UNIT = "mailseal-renew@109.service"
COMMANDS = re.findall(r"(?m)^\$ (.*)$", PAGE)
ALARM, DROP_IN = re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL)

SPOILED = """
cd /etc/mailseal
openssl req -new -key 109.key -subj '/CN=mail service' -out /run/r
printf 'subjectAltName = DNS:%s\\n' >/run/e
openssl x509 -req -in /run/r -CA ca.crt -CAkey ca.key -set_serial 7 -days 0 \\
    -extfile /run/e -out /run/c
cat /run/c ca.crt >109.crt
"""
"""A certificate that ends now is put in place, with the right CA."""

FULL = """
cp -a /etc/mailseal /tmp/kept
mount -t tmpfs -o size=64k full /etc/mailseal
chown --reference=/tmp/kept /etc/mailseal
chmod --reference=/tmp/kept /etc/mailseal
cp -a /tmp/kept/. /etc/mailseal
dd if=/dev/zero of=/etc/mailseal/full 2>/dev/null || :
"""
LINEAGE = """
cd /etc
mkdir -p letsencrypt/live/NAME letsencrypt/archive/NAME letsencrypt/renewal-hooks/deploy
chmod 700 letsencrypt/live letsencrypt/archive
cd letsencrypt/archive/NAME
[ -e /srv/ca.crt ] || openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=test \\
    -keyout /srv/ca.key -out /srv/ca.crt
openssl req -newkey rsa:2048 -nodes -subj /CN=x -keyout privkey$1.pem -out /run/r
chmod 600 privkey$1.pem
printf 'subjectAltName = DNS:NAME\\n' >/run/e
openssl x509 -req -in /run/r -CA /srv/ca.crt -CAkey /srv/ca.key -set_serial 0x77$1 -days 90 \\
    -extfile /run/e -out fullchain$1.pem
for name in fullchain privkey; do
    ln -sfn ../../archive/NAME/$name$1.pem /etc/letsencrypt/live/NAME/$name.pem
done
""".replace("NAME", NAME)
"""certbot's `$1`th certificate, as it leaves it: links into an archive for root alone."""

FIRST_AGAIN = f"""
cd /etc/letsencrypt/archive/{NAME}
rm *[23].pem
for name in fullchain privkey; do
    ln -sfn ../../archive/{NAME}/${{name}}1.pem /etc/letsencrypt/live/{NAME}/$name.pem
done
"""

HOOK = "/etc/letsencrypt/renewal-hooks/deploy/mailseal-109"


def served(on: Scene) -> set[str]:
    """The serial numbers that are served, at either address."""
    found = set()
    for where in (on.mail.ipv4, f"[{on.mail.ipv6}]"):
        words = f"openssl s_client -connect {where}:109 </dev/null 2>/dev/null"
        said = ran(on.mail, "sh", "-c", words + " | openssl x509 -noout -serial").out
        found.add(said.strip().partition("=")[2])
    return found


def in_file(on: Scene) -> str:
    words = ("openssl", "x509", "-noout", "-serial", "-in", "/etc/mailseal/109.crt")
    return ran(on.mail, *words).out.strip().partition("=")[2]


def hashes(mail: Host) -> str:
    return ran(
        mail, "sh", "-c", "cd /etc/mailseal; sha256sum 109.* ca.*; stat -c '%U:%G %a %n' *"
    ).out


def typed(mail: Host, command: str) -> Ran:
    done = ran(mail, "sh", "-c", command)
    assert done.code == 0, (command, done.said)
    return done


def check_alarmed(on: Scene, breaks: str, mends: str, reason: str) -> None:
    """A run that would renew fails under the unit, says why, and leaves what was served."""
    mail = on.mail
    mail.run(["sh", "-ec", SPOILED % NAME])
    mail.run(["systemctl", "reload", "mailseal@109"])
    wait_until(lambda: served(on) == {"07"})
    mail.run(["sh", "-ec", breaks])
    before = hashes(mail)
    done = ran(mail, "systemctl", "start", UNIT)
    assert done.code == 1, done.said
    assert ran(mail, "systemctl", "is-failed", UNIT).out == "failed\n"
    said = typed(mail, next(each for each in COMMANDS if each.startswith("journalctl"))).out
    last = [each for each in said.splitlines() if " sh[" in each or " mkdir[" in each][-1]
    assert re.search(reason, last), said
    assert hashes(mail) == before
    assert served(on) == {"07"}
    mail.run(["sh", "-ec", mends])
    # What was in the way is gone: the next run renews.
    typed(mail, "systemctl start " + UNIT)
    assert served(on) == {in_file(on)} != {"07"}


HOLDS = tuple(each for each in HARDENING if each[1] in ("yes", "strict", "invisible", "pid"))
"""What systemctl(1) shows as it was written."""


def exposure(mail: Host, *units: str) -> list[float]:
    """What systemd-analyze(1) gives them: 0 is the best."""
    words = "systemd-analyze security --no-pager "
    found = [typed(mail, words + unit).out.splitlines()[-1] for unit in units]
    return [float(re.findall(r"(\d+\.\d) [A-Z]+", line)[0]) for line in found]


def test_the_private_ca_renews_by_the_timer_and_what_fails_is_alarmed(lab: Lab, capsys) -> None:
    on = scene(lab, "bookworm", "inetd")
    mail = on.mail
    install_stunnel(mail)
    before = state(mail)
    sealed(mail, "seal", TARGET, "--yes")

    timer, start, now, result, _, reload, rollback, _ = COMMANDS
    assert "mailseal-renew@109.service" in typed(mail, timer).out
    typed(mail, start)
    first = in_file(on)
    assert served(on) == {first}
    key = mail.read("/etc/mailseal/109.key")
    typed(mail, now)
    assert served(on) == {in_file(on)} != {first}
    mail.run(["sh", "-ec", SPOILED % NAME])
    typed(mail, start)
    assert served(on) == {in_file(on)} != {"07"}
    assert mail.read("/etc/mailseal/109.key") == key
    modes = typed(mail, "stat -c '%U:%G %a' /etc/mailseal/109.key /etc/mailseal/109.crt").out
    assert modes == "root:stunnel4 640\nroot:root 644\n"
    on.check_sealed()
    assert typed(mail, result).out == "Result=success\n"

    mail.write("/etc/systemd/system/alarm@.service", ALARM.encode())
    drop_in = "/etc/systemd/system/mailseal-renew@.service.d"
    mail.run(["mkdir", drop_in])
    mail.write(drop_in + "/alarm.conf", DROP_IN.encode())
    deaf = "/etc/systemd/system/mailseal@109.service.d"
    mail.run(["mkdir", deaf])
    mail.write("/tmp/deaf.conf", b"[Service]\nExecReload=\nExecReload=/bin/true\n")
    typed(mail, reload)
    check_alarmed(
        on,
        f"cp /tmp/deaf.conf {deaf}; {reload}",
        f"rm -r {deaf}; {reload}",
        r"109\.crt: .*:109 still serves serial=07, .* the old one is back",
    )
    wait_until(lambda: f"{UNIT} failed" in ran(mail, "journalctl", "-t", "alarm").out)
    away, back = "/etc/mailseal/ca.key /tmp/away.key", "/tmp/away.key /etc/mailseal/ca.key"
    check_alarmed(
        on, "mv " + away, "mv " + back, r"109\.crt: the next one cannot be had: .*ca\.key"
    )
    check_alarmed(on, FULL, "umount /etc/mailseal; rm -r /tmp/kept", "No space left|no place")

    ours, its_renewal, debians = exposure(mail, "mailseal@109.service", UNIT, "stunnel@x.service")
    with capsys.disabled():
        print(f"\n    exposure: ours {ours}, its renewal {its_renewal}, stunnel@ {debians}", end="")
    assert ours <= 1.5 < its_renewal < debians
    shown = typed(mail, "systemctl show mailseal@109.service").out.splitlines()
    assert {"User=stunnel4", "CapabilityBoundingSet=cap_net_bind_service"} <= {*shown}
    assert {"%s=%s" % each for each in HOLDS} <= {*shown}

    mail.run(["rm", "-r", drop_in, "/etc/systemd/system/alarm@.service"])
    typed(mail, rollback)
    on.check_cleartext()
    mail.run(["sh", "-ec", "rm /tmp/deaf.conf; systemctl stop system-alarm.slice"])
    check_as_before(before, state(mail))


def test_certbots_hook_serves_what_it_renewed_or_says_that_it_does_not(lab: Lab) -> None:
    on = scene(lab, "bookworm", "inetd")
    mail = on.mail
    install_stunnel(mail)
    mail.run(["sh", "-ec", LINEAGE, "sh", "1"])
    before = state(mail)
    command = next(each for each in COMMANDS if "--certbot" in each)
    typed(mail, command + " --ca /srv/ca.crt")
    assert served(on) == {"0771"}
    on.check_sealed(ca=on.ca("/srv/ca.crt"))

    renewed = f"env RENEWED_LINEAGE=/etc/letsencrypt/live/{NAME} RENEWED_DOMAINS={NAME} {HOOK}"
    mail.run(["sh", "-ec", LINEAGE, "sh", "2"])
    typed(mail, renewed.replace(NAME, "other.example", 1))
    assert served(on) == {"0771"}
    typed(mail, renewed)
    assert served(on) == {in_file(on)} == {"0772"}
    modes = typed(mail, "stat -c '%U:%G %a' /etc/mailseal/109.key /etc/mailseal/109.crt").out
    assert modes == "root:stunnel4 640\nroot:root 644\n"

    mail.run(["sh", "-ec", LINEAGE, "sh", "3"])
    mail.run(["systemctl", "stop", "mailseal@109"])
    done = ran(mail, "sh", "-c", renewed)
    assert done.code == 1
    assert "the new certificate is not served" in done.err
    assert in_file(on) == "0772"
    mail.run(["systemctl", "start", "mailseal@109"])
    typed(mail, renewed)
    assert served(on) == {"0773"}
    on.check_sealed(ca=on.ca("/srv/ca.crt"))

    sealed(mail, "rollback")
    on.check_cleartext()
    mail.run(["sh", "-ec", FIRST_AGAIN])
    check_as_before(before, state(mail))
