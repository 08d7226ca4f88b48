"""`mailseal watch` as the unit that it prints, not on the mail host: drifts of a sealed service,
each told within one interval, and each recovery; killed in between, and nothing told twice.
"""

from __future__ import annotations

import re
import time

import pytest

from lab import Host, Lab
from tests.lab.drift import close_beside, ended, open_beside, pair, put_back, serve, upgrade
from tests.lab.story import NAME, desk, mailseal, ran, scene, sealed, wait_until
from tests.watch.exposition import value

INTERVAL = 10.0
"""Seconds."""
NOTICE = re.compile(r"^\S+ (drift|recovery|reminder): (\S+) at (\S+) ", re.MULTILINE)
DROPIN = """\
[Service]
RestartSec=1
SupplementaryGroups=adm
LoadCredential=hook:/etc/mailseal/hook.secret
Environment="MAILSEAL_WATCH_OPTIONS=--every 10s --jitter 100 --timeout 3 \\
  --ca /etc/mailseal/ca.crt --logs /var/log/mail.log --zone UTC \\
  --metrics 127.0.0.1:9109"
"""
ALERTS = b"""\
[[receiver]]
name = "log"
kind = "syslog"

[[receiver]]
name = "hook"
kind = "webhook"
url = "http://127.0.0.1:9/"
secret-file = "/run/credentials/mailseal-watch.service/hook"
"""
LOG = (
    "{moment} mailhost stunnel: LOG5[1]: Service [pop2] accepted connection from 192.0.2.9:4000\\n"
    "{moment} mailhost stunnel: LOG3[1]: SSL_accept: error:0A000102:SSL routines::unsupported"
    " protocol\\n"
)


class Watched:
    """The watch on the desk: what it told since it was asked last."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._seen = 0

    def journal(self) -> str:
        return ran(self._host, "journalctl", "-u", "mailseal-watch", "-o", "cat", "--no-pager").out

    def told(self) -> list[tuple[str, ...]]:
        found = NOTICE.findall(self.journal())
        new, self._seen = found[self._seen :], len(found)
        return new

    def within_an_interval(self, *wanted: tuple[str, str, str]) -> None:
        """All of these are told, and nothing else."""
        told: list[tuple[str, ...]] = []
        # A round began just before the change; the next one takes its time to look.
        deadline = time.monotonic() + INTERVAL + 8
        while not set(wanted) <= set(told):
            told += self.told()
            assert time.monotonic() < deadline, (told, self.journal())
            time.sleep(0.2)
        assert sorted(told) == sorted(wanted)

    def metrics(self) -> str:
        url = "http://127.0.0.1:9109/metrics"
        words = f"import urllib.request as r; print(r.urlopen({url!r}).read().decode(), end='')"
        done = ran(self._host, "python3", "-c", words)
        assert done.code == 0, done.said
        return done.out

    def wait_round(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            done = ran(self._host, "grep", "-c", "began", "/var/lib/private/mailseal/watch.json")
            if done.code == 0:
                return
            assert time.monotonic() < deadline, self.journal()
            time.sleep(0.2)


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_drift_of_a_sealed_host_is_told_within_one_interval_and_so_is_its_recovery(lab: Lab):
    scenery = scene(lab, "bookworm", "inetd")
    mail, home = scenery.mail, desk(scenery)
    upgrade(mail, 1)
    sealed(mail, "seal", f"{NAME}:109", "--yes")

    v4, v6 = f"{mail.ipv4}:2109", f"[{mail.ipv6}]:2110"
    home.run(["mkdir", "-p", "/etc/mailseal", "/etc/systemd/system/mailseal-watch.service.d"])
    home.write("/etc/mailseal/ca.crt", mail.read("/etc/mailseal/ca.crt"))
    home.write("/etc/mailseal/targets", f"{NAME}:109\n{v4}\n{v6}\n".encode())
    home.write("/etc/mailseal/policy.toml", b"")
    home.write("/etc/mailseal/alerts.toml", ALERTS)
    home.write("/etc/mailseal/hook.secret", b"12345\n", 0o600)
    home.write("/var/log/mail.log", b"", 0o640)
    home.run(["chgrp", "adm", "/var/log/mail.log"])
    unit = mailseal(home, "watch", "--print-unit", "service").out
    home.write("/etc/systemd/system/mailseal-watch.service", unit.encode())
    home.write("/etc/systemd/system/mailseal-watch.service.d/lab.conf", DROPIN.encode())
    home.run(["systemctl", "daemon-reload"])
    home.run(["systemctl", "start", "mailseal-watch"])
    watched = Watched(home)
    watched.wait_round()
    assert watched.told() == [], watched.journal()

    # An administrator opens the server beside its seal, on IPv4 and on IPv6, and renews nothing.
    open_beside(mail)
    ours = pair(mail)
    serve(mail, ended(ours))
    drift = [
        ("drift", "pop2-cleartext-login", v4),
        ("drift", "pop2-cleartext-login", v6),
        *(
            ("drift", rule, at)
            for rule in ("tls-certificate", "certificate-days")
            for at in (f"{mail.ipv4}:109", f"[{mail.ipv6}]:109")
        ),
    ]
    watched.within_an_interval(*drift)
    # The secret was read; nobody listens there, so the notices wait, and do so over the kill.
    assert "hook does not take a notice (Connection refused)" in watched.journal()
    assert value(watched.metrics(), "mailseal_watch_alerts_waiting", receiver="hook") == len(drift)
    home.run(["systemctl", "kill", "--signal=KILL", "mailseal-watch"])

    close_beside(mail)
    serve(mail, ours)
    gone = [("drift", "service-gone", at) for at in (v4, v6)]
    watched.within_an_interval(*(("recovery", rule, at) for _, rule, at in drift), *gone)
    home.write("/etc/mailseal/targets", f"{NAME}:109\n".encode())

    # stunnel is stopped; then an upgrade of the server enters it in inetd.conf again.
    after = mail.read("/etc/inetd.conf")
    both = [f"{mail.ipv4}:109", f"[{mail.ipv6}]:109"]
    mail.run(["systemctl", "stop", "mailseal@109"])
    watched.within_an_interval(*(("drift", "service-gone", at) for at in both))
    upgrade(mail, 2)
    watched.within_an_interval(
        *(("recovery", "service-gone", at) for at in both),
        *(("drift", "pop2-cleartext-login", at) for at in both),
    )
    moment = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    home.run(["sh", "-c", "printf '%s' >>/var/log/mail.log" % LOG.format(moment=moment)])
    wait_until(lambda: "client_failures_total{" in watched.metrics())
    text = watched.metrics()
    assert value(text, "mailseal_watch_alerts_waiting", receiver="hook") > len(drift)
    for at in (mail.ipv4, mail.ipv6):
        assert value(text, "mailseal_endpoint_verdict", address=at, verdict="exposed") == 1
    put_back(mail, after)
    mail.run(["systemctl", "start", "mailseal@109"])
    watched.within_an_interval(*(("recovery", "pop2-cleartext-login", at) for at in both))
    scenery.check_sealed()
    # syslog has the same, from the unit's sandbox.
    assert "drift: service-gone" in ran(home, "journalctl", "-t", "mailseal", "-o", "cat").out
