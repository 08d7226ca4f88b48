"""The script that renews, run as it stands with the real openssl and stunnel on loopback; only
systemctl is ours, and the folder and its owner.
"""

from __future__ import annotations

import datetime
import grp
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from mailseal.configs import openssl, systemd
from mailseal.terminators import renewal, stunnel
from mailseal.terminators.renewal import Copied, Issued

STUNNEL = shutil.which("stunnel4") or shutil.which("stunnel")
NAME = "mail.example"
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
WORKS = "kill -HUP $(cat %s/pid)\n"


@dataclass
class Host:
    """A folder as /etc/mailseal is, and stunnel that serves 109.crt of it at two addresses."""

    folder: Path
    authority: trustme.CA = field(default_factory=trustme.CA)
    ports: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def path(self, name: str) -> Path:
        return self.folder / name

    def leaf(self, name: str = NAME, ended: int = 10, lasts: int = 800) -> trustme.LeafCert:
        """Of a certificate of these days that ends in `ended` days."""
        end = NOW + ended * DAY
        return self.authority.issue_cert(name, not_before=end - lasts * DAY, not_after=end)

    def put(self, leaf: trustme.LeafCert, name: str = "109") -> None:
        chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
        self.path(name + ".crt").write_bytes(chain + self.authority.cert_pem.bytes())
        self.path(name + ".key").write_bytes(leaf.private_key_pem.bytes())

    def systemctl(self, text: str) -> None:
        """What the service manager does when it is asked for a reload."""
        program = self.path("bin/systemctl")
        program.write_text('#!/bin/sh\necho "$@" >>%s/asked\n%s' % (self.folder, text))
        program.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        log = self.path("asked")
        return log.read_text().splitlines() if log.exists() else []

    def start(self) -> None:
        sockets = [
            socket.create_server(("127.0.0.1", 0)),
            socket.create_server(("::1", 0), family=socket.AF_INET6),
        ]
        self.ports = tuple(each.getsockname()[1] for each in sockets)
        for each in sockets:
            each.close()
        # The second is an address that this host does not have (any more).
        accepts = [
            stunnel.accept("127.0.0.1", self.ports[0]),
            stunnel.accept("192.0.2.99", self.ports[0]),
            stunnel.accept("::1", self.ports[1]),
        ]
        certificate, key = map(str, self.pair)
        config = stunnel.config("pop2", accepts, str(self.path("backend")), certificate, key)
        self.path("109.conf").write_bytes(config)
        self.path("109-trial.conf").write_bytes(config)
        assert STUNNEL is not None
        with self.path("log").open("wb") as log:
            self.process = subprocess.Popen([STUNNEL, str(self.path("109.conf"))], stderr=log)
        self.path("pid").write_text(str(self.process.pid))
        for _ in range(200):
            if self.path("log").read_bytes().count(b"Configuration successful"):
                return
            time.sleep(0.05)
        raise AssertionError(self.path("log").read_text())

    @property
    def pair(self) -> tuple[Path, Path]:
        return self.path("109.crt"), self.path("109.key")

    def shown(self) -> set[str]:
        """The serial numbers that are served."""
        found = set()
        for where in ("127.0.0.1:%d" % self.ports[0], "[::1]:%d" % self.ports[1]):
            words = ["openssl", "s_client", "-connect", where]
            said = subprocess.run(words, input=b"", capture_output=True, timeout=20, check=False)
            found.add(serial(said.stdout))
        return found

    def comes_from(self, source: Issued | Copied) -> None:
        text = renewal.settings("109", NAME, source).content
        folder = str(self.folder).encode()
        self.path("109.renew").write_bytes(text.replace(b"/etc/mailseal", folder))

    def write_script(self) -> None:
        text = renewal.script().content.decode()
        user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
        for line, mine in (
            ("directory=/etc/mailseal", "directory=%s" % self.folder),
            ("owner=root group=stunnel4", "owner=%s group=%s" % (user.pw_name, group.gr_name)),
            ("sleep 0.5", "sleep 0.05"),
        ):
            assert line in text
            text = text.replace(line, mine)
        self.path("renew").write_text(text)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """A run, in a process group of its own."""
        path = "%s:%s" % (self.path("bin"), os.environ["PATH"])
        return subprocess.Popen(
            ["sh", str(self.path("renew")), "109", *words],
            env={"PATH": path},
            text=True,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def renew(self, *words: str) -> tuple[int, str]:
        """The exit status of a run, and what it said."""
        with self.begin(*words) as process:
            said, _ = process.communicate(timeout=60)
        assert not self.path(".issue-109").exists(), said
        return process.returncode, said

    def files(self) -> list[bytes]:
        return [path.read_bytes() for path in self.pair]


def serial(pem: bytes) -> str:
    words = ["openssl", "x509", "-noout", "-serial"]
    return subprocess.run(words, input=pem, capture_output=True, timeout=20).stdout.decode().strip()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Its certificate comes from its own CA and has ten of 800 days left."""
    if STUNNEL is None:
        pytest.skip("no stunnel here")
    made = Host(tmp_path)
    made.path("bin").mkdir()
    made.systemctl(WORKS % tmp_path)
    made.authority.cert_pem.write_to_path(made.path("ca.crt"))
    made.authority.private_key_pem.write_to_path(made.path("ca.key"))
    made.comes_from(Issued((NAME, "192.0.2.1"), 90))
    made.write_script()
    made.put(made.leaf())
    made.start()
    try:
        yield made
    finally:
        if made.process:
            made.process.terminate()
            made.process.wait(10)


# -- the private CA --------------------------------------------------------------------------------


def test_what_is_due_is_renewed_under_its_key_and_served(host: Host):
    old, key = host.files()
    assert host.shown() == {serial(old)}
    code, said = host.renew()
    assert code == 0, said
    assert "renewed, and served: serial=" in said
    new = host.files()[0]
    assert host.files()[1] == key
    assert serial(new) != serial(old)
    assert host.shown() == {serial(new)}
    assert new.endswith(host.authority.cert_pem.bytes())
    assert host.path("109.crt").stat().st_mode & 0o777 == 0o644
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-text"], input=new, capture_output=True, timeout=20
    ).stdout
    assert b"DNS:mail.example, IP Address:192.0.2.1" in shown
    assert host.asked == ["reload -- mailseal@109.service"]


def test_what_is_not_due_stays_and_is_served(host: Host):
    host.put(host.leaf(ended=700))
    before = host.files()
    assert host.renew() == (0, "")
    assert host.asked == ["reload -- mailseal@109.service"]
    assert host.files() == before
    assert host.shown() == {serial(before[0])}
    assert host.renew() == (0, "")
    assert len(host.asked) == 1, "what is served already needs no reload"
    code, _ = host.renew("now")
    assert (code, len(host.asked)) == (0, 2)
    assert host.files()[0] != before[0]


@pytest.mark.parametrize(
    ("ended", "lasts", "name"), [(-3, 90, NAME), (800, 10, NAME), (700, 800, "old.example")]
)
def test_what_clients_refuse_is_due(host: Host, ended: int, lasts: int, name: str):
    """It has ended, or a clock that jumped has made one of the future, or it has another name."""
    host.put(host.leaf(name, ended, lasts))
    assert host.renew()[0] == 0
    assert host.shown() == {serial(host.files()[0])}


BROKEN = {
    "no such key": "rm ca.key",
    "another key": "openssl ecparam -genkey -name prime256v1 -out ca.key",
    "no CA": "rm ca.crt",
    "a CA that is none": "echo x >ca.crt",
    "no openssl": "printf '#!/bin/sh\\nexit 1\\n' >bin/openssl; chmod +x bin/openssl",
    "no room": "printf '#!/bin/sh\\nexit 1\\n' >bin/mkdir; chmod +x bin/mkdir",
    "no configuration": "rm *.conf",
    "no settings": "rm 109.renew",
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_stands_in_the_way_is_told_long_before_it_is_due(host: Host, what: str):
    served = host.shown()
    host.put(host.leaf(ended=700))
    subprocess.run(["sh", "-c", BROKEN[what]], cwd=host.folder, check=True, timeout=20)
    certificate = host.files()[0]
    code, said = host.renew()
    assert code != 0
    assert said
    assert host.files()[0] == certificate
    assert host.shown() == served


def test_a_key_that_was_put_there_by_hand_gets_a_certificate(host: Host):
    host.path("109.key").write_bytes(host.leaf().private_key_pem.bytes())
    assert host.renew()[0] == 0
    assert host.shown() == {serial(host.files()[0])}


@pytest.mark.parametrize(
    ("manager", "says"),
    [
        ("exit 0\n", "still serves serial="),
        ("exit 1\n", "mailseal@109.service cannot be reloaded: the old one is back"),
        ("kill -KILL $(cat %s/pid)\n", "answers at no address of this host: the old one is back"),
    ],
)
def test_what_is_not_served_is_taken_back(host: Host, manager: str, says: str):
    before = host.files()
    host.systemctl(manager % host.folder if "%" in manager else manager)
    code, said = host.renew()
    assert code == 1
    assert says in said
    assert host.files() == before


def test_a_run_that_is_stopped_takes_back_what_it_did(host: Host):
    before = host.files()
    host.systemctl("[ -e %(f)s/told ] || { : >%(f)s/told; sleep 30; }\n" % {"f": host.folder})
    with host.begin() as process:
        for _ in range(200):
            if host.path("told").exists():
                break
            time.sleep(0.05)
        assert host.files() != before
        # As systemd does: every process of the unit.
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(20) == 143
    assert host.files() == before
    assert not host.path(".issue-109").exists()


@pytest.mark.parametrize("half", [("crt",), ("crt", "key")])
def test_a_run_that_was_killed_is_taken_back_by_the_next(host: Host, half: tuple[str, ...]):
    host.put(host.leaf(ended=700))
    before = host.files()
    work = host.path(".issue-109")
    work.mkdir()
    for each in half:
        shutil.copy(host.path("109." + each), work / ("old." + each))
    host.put(host.leaf(ended=700))
    if "key" not in half:
        host.path("109.key").write_bytes(before[1])
    (work / "new.crt").write_bytes(b"half")
    assert host.renew()[0] == 0
    assert host.files() == before
    assert host.shown() == {serial(before[0])}


def test_two_at_once_do_one_after_the_other(host: Host):
    runs = [host.begin("now") for _ in range(3)]
    said = [run.communicate(timeout=60)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], said
    assert host.shown() == {serial(host.files()[0])}
    assert len(host.asked) == 3


def test_a_certificate_that_ends_with_its_ca_is_told(host: Host):
    words = ["openssl", "req", "-x509", "-key", str(host.path("ca.key")), "-days", "40"]
    words += ["-subj", "/CN=short", "-out", str(host.path("ca.crt"))]
    subprocess.run(words, check=True, capture_output=True, timeout=20)
    code, _ = host.renew()
    assert code == 0
    end = subprocess.run(
        ["openssl", "x509", "-noout", "-checkend", str(41 * 86400)],
        input=host.files()[0],
        capture_output=True,
        timeout=20,
    )
    assert end.returncode == 1, "it ends no later than its CA"


# -- files that somebody else renews ---------------------------------------------------------------


def copied(host: Host, folder: str = "live") -> Copied:
    """Files as certbot leaves them: links into an archive."""
    live = host.path(folder)
    (live / "archive").mkdir(parents=True)
    for name in ("fullchain", "privkey"):
        (live / (name + ".pem")).symlink_to("archive/%s1.pem" % name)
    source = Copied(
        str(live / "fullchain.pem"), str(live / "privkey.pem"), str(host.path("ca.crt"))
    )
    host.comes_from(source)
    owner(host, source, host.leaf(ended=80, lasts=90))
    return source


def owner(host: Host, source: Copied, leaf: trustme.LeafCert) -> None:
    """Whoever has the files renews them."""
    chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
    Path(source.certificate).write_bytes(chain)
    Path(source.key).write_bytes(leaf.private_key_pem.bytes())


def sources(source: Copied) -> list[bytes]:
    return [Path(source.certificate).read_bytes(), Path(source.key).read_bytes()]


@pytest.mark.parametrize("folder", ["live", 'it\'s $(here) "and" there'])
def test_what_its_owner_renews_is_copied_with_its_key_and_served(host: Host, folder: str):
    source = copied(host, folder)
    for _ in range(2):
        owner(host, source, host.leaf(ended=80, lasts=90))
        code, said = host.renew()
        assert code == 0, said
        assert host.files() == sources(source)
        assert host.shown() == {serial(host.files()[0])}
        modes = [path.stat().st_mode & 0o777 for path in host.pair]
        assert modes == [0o644, 0o640]
    count = len(host.asked)
    assert host.renew() == (0, "")
    assert len(host.asked) == count


@pytest.mark.parametrize(
    "what", ["other key", "other name", "ended", "gone", "other CA", "rubbish"]
)
def test_what_cannot_be_served_is_not_copied(host: Host, what: str):
    source = copied(host)
    assert host.renew()[0] == 0
    before = host.files()
    leaf = host.leaf(ended=80, lasts=90)
    if what == "other key":
        Path(source.key).write_bytes(leaf.private_key_pem.bytes())
    elif what == "other name":
        owner(host, source, host.leaf("other.example", 80, 90))
    elif what == "ended":
        owner(host, source, host.leaf(ended=-1, lasts=90))
    elif what == "gone":
        Path(source.certificate).unlink()
    elif what == "other CA":
        owner(host, source, trustme.CA().issue_cert(NAME))
    else:
        Path(source.certificate).write_bytes(os.urandom(5000))
    code, said = host.renew()
    assert code == 1
    assert "the next one cannot be had" in said
    assert host.files() == before
    assert host.shown() == {serial(before[0])}


def test_a_pair_that_is_not_served_is_taken_back_whole(host: Host):
    source = copied(host)
    assert host.renew()[0] == 0
    before = host.files()
    owner(host, source, host.leaf(ended=80, lasts=90))
    host.systemctl("exit 0\n")
    code, said = host.renew()
    assert code == 1
    assert "the old one is back" in said
    assert host.files() == before


HALF = """#!/bin/sh
case $3 in *.key) echo half >"$3"; exit 1 ;; esac
exec /bin/cp "$@"
"""
"""A disk that is full in the middle of a key."""


def test_what_cannot_be_kept_is_not_replaced(host: Host):
    source = copied(host)
    assert host.renew()[0] == 0
    before = host.files()
    owner(host, source, host.leaf(ended=80, lasts=90))
    host.path("bin/cp").write_text(HALF)
    host.path("bin/cp").chmod(0o755)
    code, said = host.renew()
    assert (code, "no place for the next one" in said) == (1, True)
    assert host.files() == before


def test_what_its_owner_forgot_is_told_while_it_is_still_served(host: Host):
    source = copied(host)
    owner(host, source, host.leaf(ended=4, lasts=90))
    code, said = host.renew()
    assert code == 1
    assert re.search(r"it ends on .*, and no newer one is there", said)
    assert host.shown() == {serial(sources(source)[0])}


# -- the hook, the settings, the units -------------------------------------------------------------


@pytest.mark.parametrize(
    ("lineage", "manager", "code", "asked"),
    [
        ("/etc/letsencrypt/live/mail.example", "exit 0\n", 0, 1),
        ("/etc/letsencrypt/live/mail.example", "exit 1\n", 1, 1),
        ("/etc/letsencrypt/live/other.example", "exit 1\n", 0, 0),
        (None, "exit 1\n", 0, 0),
    ],
)
def test_certbots_hook_is_for_its_lineage_and_tells_what_came_of_it(
    tmp_path: Path, lineage: str | None, manager: str, code: int, asked: int
):
    made = Host(tmp_path)
    made.path("bin").mkdir()
    made.systemctl(manager)
    op = renewal.hook("109", "/etc/letsencrypt/live/mail.example")
    assert op.mode == 0o755
    made.path("hook").write_bytes(op.content)
    env = {"PATH": "%s:%s" % (made.path("bin"), os.environ["PATH"])}
    if lineage is not None:
        env["RENEWED_LINEAGE"] = lineage
    done = subprocess.run(["sh", str(made.path("hook"))], env=env, capture_output=True, timeout=20)
    assert (done.returncode, bool(done.stderr)) == (code, code != 0)
    assert made.asked == ["restart -- mailseal-renew@109.service"] * asked


@given(st.text(st.characters(exclude_characters="\0"), max_size=40))
def test_any_path_is_read_back_as_it_was_and_nothing_of_it_is_run(path: str):
    settings = renewal.settings("109", NAME, Copied("/" + path, "/k", "")).content
    script = b'. /dev/stdin\nprintf %s "$certificate"\n'
    command = ["sh", "-c", script.decode()]
    done = subprocess.run(command, input=settings, capture_output=True, timeout=20, check=False)
    assert done.stderr == b""
    assert done.stdout == ("/" + path).encode("utf-8", "surrogateescape")


def test_an_address_is_checked_as_one():
    for name, option in ((NAME, b"-verify_hostname"), ("192.0.2.1", b"-verify_ip")):
        assert b"check=%s\n" % option in renewal.settings("1", name, Issued((name,), 9)).content


def test_the_request_is_what_the_certificate_was_made_of():
    text = renewal.settings("1", NAME, Issued((NAME, "::1"), 9)).content.decode()
    assert openssl.configurations((NAME, "::1"))["leaf.cnf"] in text


def test_the_service_has_what_the_terminator_must_hold_and_next_to_nothing_of_root():
    written = renewal.units()[0].content
    found = systemd.effective([systemd.parse(written)])["Service"]
    own = {"ProtectHome", "SystemCallFilter"}
    for key, value in stunnel.HARDENING:
        assert key in own or found[key] == (value,)
    assert found["CapabilityBoundingSet"] == ("CAP_DAC_READ_SEARCH",)
    assert found["ReadWritePaths"] == ("/etc/mailseal",)
