"""What `lint` says is so on real hosts: with which files stunnel does not start, on three
generations of Debian, and what there is to say of the configurations that Debian ships.

Strategy: every fixture of every rule for stunnel, unchanged, each in namespaces of its own on a
booted host, with the certificate, key and folders that the rule is about. The files that packages
ship are read where the lab unpacked them, and held against the list that the docs keep.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lab import Lab, missing
from lab.images import image
from mailseal.lint import BY_ID, RULES
from mailseal.lint.base import Named, There
from mailseal.workflow import lint as workflow
from tests.certs import make
from tests.lint.test_lint import fixture, fixtures, stops, there
from tests.project.tree import ROOT

pytestmark = [pytest.mark.lab, pytest.mark.slow]

SUITES = ("bullseye", "bookworm", "trixie")
TRIED = [rule for rule in RULES if rule.kind in ("stunnel", "stunnel-here")]

REFUSED = {
    # OpenSSL is built without compression.
    ("bullseye", "stunnel-compression bad"),
    ("bookworm", "stunnel-compression bad"),
    # Its stunnel knows neither NO_TLSv1_2 nor securityLevel.
    ("bullseye", "stunnel-no-tls-version bad"),
    ("bullseye", "stunnel-no-tls-version one"),
    ("bullseye", "stunnel-security-level bad"),
    # /etc/services has no pop2.
    ("bullseye", "stunnel-port-name bad"),
    ("bookworm", "stunnel-port-name bad"),
    ("trixie", "stunnel-port-name bad"),
}
"""Fixtures that stunnel does not start with in a suite, while `lint` says that it may."""

SETUP = """
mount -t tmpfs none /run && mount -t tmpfs none /etc/mailseal && cd /etc/mailseal
ip link set lo up && ip address add 192.0.2.10/24 dev lo
for name in pop2 pop3 mail; do
    cp /root/$1.crt $name.crt && cp /root/$1.key $name.key && chmod $2 $name.key
done
cp pop2.crt ca.crt
[ -z "$3" ] || install -d -o "$3" /run/mailseal
exec stunnel4 "$4"
"""
"""For a certificate, the key's mode, the owner of the folder if there is one, a configuration."""

RUN = """
import concurrent.futures, contextlib, json, os, subprocess, sys, time
SIGNS = b"Accepting new connections", b"Created pid file", b"No pid file being created"
def started(case):
    path = "/root/" + case["name"]
    with open(path, "w") as file:
        file.write(case["text"])
    words = ["sh", "-ec", case["setup"], "sh", case["cert"], case["mode"], case["folder"], path]
    alone = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with open(path + ".log", "wb") as log:
        process = subprocess.Popen(alone + words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    end = time.monotonic() + 20
    try:
        while time.monotonic() < end and process.poll() is None:
            said = open(path + ".log", "rb").read()
            if any(sign in said for sign in SIGNS):
                return case["name"], True, ""
            time.sleep(0.05)
        # It has gone to the background, or was refused.
        return case["name"], process.poll() == 0, open(path + ".log").read()[-600:]
    finally:
        # setuid takes from a child that it ends with its parent.
        with contextlib.suppress(OSError):  # which are over
            with open("/proc/%d/task/%d/children" % (process.pid, process.pid)) as file:
                for child in file.read().split():
                    os.kill(int(child), 9)
        process.kill()
        process.wait()
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(json.dumps(list(pool.map(started, json.load(sys.stdin)))))
"""


def pair(until: str) -> tuple[bytes, bytes]:
    """A certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made = x509.load_der_x509_certificate(make.certificate(key=key, until=until))
    return made.public_bytes(Encoding.PEM), private


def cases() -> Iterator[dict[str, str]]:
    for rule in TRIED:
        for which in fixtures(rule):
            facts = (there(rule, which) or There()).paths
            key, certificate = (facts.get(f"/etc/mailseal/pop2.{each}") for each in ("key", "crt"))
            folder = facts.get("/run/mailseal", Named(0o755, 0))
            owner = "stunnel4" if folder and folder.owner else "root"
            yield {
                "name": f"{rule.id} {which}",
                # What it logs says that it runs.
                "text": "debug = 7\n"
                + re.sub("debug = .*", "debug = 7", fixture(rule, which).decode()),
                "setup": SETUP,
                "cert": "ended" if certificate and certificate.ended else "valid",
                "mode": f"{key.mode:o}" if key else "600",
                "folder": owner if folder else "",
            }


@pytest.mark.timeout(200)
@pytest.mark.parametrize("suite", SUITES)
def test_stunnel_starts_or_does_not_as_each_rule_says(lab: Lab, suite: str):
    host = lab.host("mailhost", system=suite, network=lab.network())
    host.run(["apt-get", "-qq", "--yes", "install", "stunnel4"])
    host.run(["mkdir", "/etc/mailseal"])
    host.write("/etc/hosts", b"127.0.0.1 localhost\n192.0.2.20 mail.example\n")
    for name, until in (("valid", "2036-01-01"), ("ended", "2026-01-15")):
        certificate, key = pair(until)
        host.write(f"/root/{name}.crt", certificate)
        host.write(f"/root/{name}.key", key, 0o600)
    asked = list(cases())
    done = host.run(["python3", "-c", RUN], input=json.dumps(asked).encode(), timeout=120)
    answers = json.loads(done.stdout)
    wrong = []
    for name, started, log in answers:
        rule, which = name.split()
        if started == ((suite, name) in REFUSED or stops(BY_ID[rule], which)):
            wrong.append(f"{name}: started={started}\n{log}")
    assert not wrong, "\n".join(wrong)
    assert len(answers) == len(asked) > 2 * len(TRIED)


# ---- what Debian ships ---------------------------------------------------------------------------

PAGE = ROOT / "docs/reference/lint-debian.md"
DAEMONS = ("dovecot23", "dovecot24", "cyrus", "courier", "popa3d", "postfix", "exim")
SHOWN = ("etc", "lib/systemd", "usr/lib/systemd", "usr/share/doc/stunnel4/examples")


def shipped(folder: Path) -> set[tuple[str, str]]:
    """File and rule of each finding below what a system, or a package, was unpacked to."""
    shown = [folder / each for each in SHOWN]
    paths = tuple(str(each) for each in shown if each.is_dir() and not each.is_symlink())
    report = workflow.run(workflow.Request(paths), lambda *asked: False)
    assert [(each.path, each.unread) for each in report.files if each.unread] == []
    assert len(report.files) > 2
    found = set()
    for each in report.files:
        name = f"/{Path(each.path).relative_to(folder)}"
        for root in ("/lib/", "/usr/lib/", "/usr/share/doc/stunnel4/"):
            name = name.removeprefix(root)
        found |= {(name, fault.rule) for fault in each.faults}
    return found


@pytest.mark.timeout(200)
def test_every_finding_in_what_debian_ships_is_explained(tmp_path: Path):
    reasons = missing()
    if reasons:
        pytest.skip("; ".join(reasons))
    found: set[tuple[str, str]] = set()
    for system in (*SUITES, *DAEMONS):
        found |= shipped(image(system).layers[0])
    for suite in SUITES:
        (package,) = image(suite).repository.glob("stunnel4_*.deb")
        folder = tmp_path / suite
        subprocess.run(["dpkg-deb", "--extract", str(package), str(folder)], check=True)
        found |= shipped(folder)
    rows = re.findall(r"^\| [\w-]+ \| `(.+?)` \| ([\w-]+) \|$", PAGE.read_text(), re.MULTILINE)
    assert set(rows) == found
