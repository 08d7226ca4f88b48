"""Updates on booted hosts: security and ordinary told apart by the real apt, and nothing changed;
and every command of the howto page run as typed.
"""

from __future__ import annotations

import email.utils
import hashlib
import json
import re
import shlex
import time

import pytest

from lab import Lab
from lab.hosts import Host
from mailseal import bundle
from mailseal.model import codec
from mailseal.model.local import LocalHost, Package
from tests.lab.story import ran
from tests.lab.test_docs import _PROGRAM, _SSH, ROOT, commands

PAGE = ROOT / "docs" / "howto" / "what-needs-patching.md"
pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(180)]

READ = ("/etc", "/usr", "/opt", "/var/lib/apt", "/var/lib/dpkg", "/var/cache", "/var/log/apt")
"""Where asking must leave no trace."""
_STANZA = """\
Package: %s
Version: %s
Architecture: amd64
Maintainer: The lab <lab@example.org>
Filename: ./x.deb
Size: 1
SHA256: %064d
Description: an update

"""
_RELEASE = """\
Origin: Debian
Label: %s
Suite: %s
Codename: %s
Date: %s
Architectures: amd64
SHA256:
 %s %d Packages
"""


def offer(host: Host, archive: str, days: float, **versions: str) -> None:
    """An archive on the host's disk, made so many days ago; in names of packages `_` stands
    for `-`.
    """
    security = archive.endswith("-security")
    listed = "".join(_STANZA % (name.replace("_", "-"), v, 0) for name, v in versions.items())
    label = "Debian-Security" if security else "Debian"
    suite = "stable-security" if security else "stable"
    date = email.utils.formatdate(time.time() - days * 86400)
    digest = hashlib.sha256(listed.encode()).hexdigest()
    release = _RELEASE % (label, suite, archive, date, digest, len(listed))
    host.run(["mkdir", "-p", "/srv/" + archive])
    host.write("/srv/%s/Packages" % archive, listed.encode())
    host.write("/srv/%s/Release" % archive, release.encode())
    line = "deb [trusted=yes] file:/srv/%s ./\n" % archive
    host.write("/etc/apt/sources.list.d/%s.list" % archive, line.encode())
    # apt keeps lists that are newer than what it is offered.
    host.run(["sh", "-c", "rm -rf /var/lib/apt/lists/*; apt-get update"])


def asked(host: Host, *words: str) -> LocalHost:
    said = ran(host, "python3", "-I", "/srv/mailseal.pyz", "local", *words)
    assert said.code == 0, said.err
    return codec.loads(LocalHost, said.out, lenient=False)


def package(found: LocalHost, name: str) -> Package:
    return next(each for each in found.software.packages if each.name == name)


@pytest.mark.parametrize(
    ("system", "codename", "starter", "name"),
    [
        ("bookworm", "bookworm", "inetd", "openbsd-inetd"),
        ("bullseye", "bullseye", "xinetd", "xinetd"),
        pytest.param("trixie", "trixie", "xinetd", "xinetd", marks=pytest.mark.soak),
    ],
)
def test_updates_are_told_apart_and_nothing_is_changed(
    lab: Lab, system: str, codename: str, starter: str, name: str
) -> None:
    host = lab.host("mailhost", system=system, network=lab.network())
    host.write("/srv/mailseal.pyz", bundle.build())
    host.install_pop2d(starter)
    host.run(["systemctl", "start", "ssh"])
    host.wait_listening(22)
    plain = package(asked(host), name)
    assert (plain.update, plain.unknown[:2]) == ("", "it")
    key = name.replace("-", "_")
    version = plain.version
    offer(host, codename, 0.1, **{key: version + "+u2", "openssh_server": "9:99"})
    assert asked(host).software.gaps == (
        "updates: no source of security updates is among apt's package lists",
    )
    assert package(asked(host), name).security is None
    offer(host, codename + "-security", 0.1, **{key: version + "+u1"})
    before = host.snapshot(READ)
    found = asked(host, "22")
    assert host.snapshot(READ) == before
    assert found.software.gaps == ()
    # apt itself shows it as an ordinary one: the security update is below it.
    mine = package(found, name)
    assert (mine.version, mine.update, mine.security) == (version, version + "+u2", True)
    ordinary = package(found, "openssh-server")
    assert (ordinary.update, ordinary.security, ordinary.vendor) == ("9:99", False, "Debian")
    host.run(["apt-mark", "hold", name])
    assert package(asked(host), name).blocked == "it is on hold"
    offer(host, codename + "-security", 30, **{key: version + "+u1"})
    (gap,) = asked(host).software.gaps
    assert "older than 8 days" in gap
    host.run(["sh", "-c", "rm -rf /var/lib/apt/lists/*"])
    assert asked(host).software.gaps == ("updates: apt has no package lists: run apt-get update",)


def test_the_commands_of_the_page_work_as_typed(lab: Lab) -> None:
    network = lab.network()
    mail = lab.host("mailhost", system="bookworm", network=network)
    mail.install_pop2d("inetd", "--bad-login-delay 0")
    offer(mail, "bookworm-security", 0.1, openbsd_inetd="9")
    desk = lab.host("desk", system="workstation", network=network, binds={ROOT: "/srv/mailseal"})
    desk.run(["sh", "-c", _SSH % (mail.ipv4, mail.ipv4)])
    mail.run(["mkdir", "-p", "-m", "700", "/root/.ssh"])
    mail.write("/root/.ssh/authorized_keys", desk.read("/root/.ssh/id_ed25519.pub"), mode=0o600)
    mail.run(["systemctl", "start", "ssh"])
    desk.write("/usr/local/bin/mailseal", _PROGRAM, mode=0o755)

    def typed(command: str, *codes: int) -> bytes:
        words = shlex.split(command)
        done = desk.run(["env", "-C", "/root", "HOME=/root", *words], check=False, timeout=100)
        assert done.returncode in codes, (command, done.stdout, done.stderr)
        return done.stdout

    page = commands(PAGE)
    # Something is exposed; and who mends a program of no package cannot be told.
    expected = {"scan": (1,), "findings": (3,)}
    said = {each: typed(each, *expected.get(each.split()[1], (0,))) for each in page}
    assert b"openbsd-inetd 0.20221205-2~deb12u1 to 9, security, due " in said[page[1]]
    (asset,) = [json.loads(line) for line in said[page[3]].splitlines()]
    assert asset["endpoint"]["address"] == mail.ipv4
    assert asset["updates"][0]["security"]
    assert asset["review"] is None
    listed = typed("mailseal findings", 1).decode()
    number = re.search(r"^([0-9a-f]{12}) ", listed, re.MULTILINE)
    assert number
    (reviewed,) = re.findall(r"^mailseal findings ID .*", PAGE.read_text(), re.MULTILINE)
    shown = typed(reviewed.replace("ID", number[1]), 1).decode()
    assert re.search(r"reviewed  \d{4}-\d\d-\d\d by root \(uid 0\) on desk; next by ", shown)
    assert "openbsd-inetd" in shown
    assert b"Software and updates" in typed("cat report.html", 0)
