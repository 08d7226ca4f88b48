"""The runbooks for other systems: their commands run in a shell, their stunnel run for real."""

from __future__ import annotations

import os
import plistlib
import pwd
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailseal.configs import inetd
from mailseal.configs import stunnel as config
from mailseal.terminators import elsewhere
from mailseal.workflow import BadInput, runbook

STUNNEL = shutil.which("stunnel4") or shutil.which("stunnel")
TARGETS = ("192.0.2.10:109", "[2001:db8::10]:109")
GREETING = b"+ POP2 mail.example ready\r\n"
SYSTEMS = tuple(elsewhere.SYSTEMS)
WITH_INETD = ("freebsd", "openbsd", "sysv")


def book(system: str, *targets: str, name: str = "mail.example") -> str:
    return runbook.write(system, targets or TARGETS, name=name)


def blocks(text: str, language: str = "sh") -> list[str]:
    return re.findall(r"```%s\n(.*?)```" % language, text, re.DOTALL)


def block(text: str, words: str, language: str = "sh") -> str:
    """The one that has these words."""
    (found,) = (each for each in blocks(text, language) if words in each)
    return found


def here(text: str, command: str) -> str:
    """What a command of the runbook writes into a file."""
    start = text.index(command) + len(command)
    return text[text.index("\n", start) + 1 : text.index("\nEND\n", start) + 1]


def configuration(system: str) -> str:
    text = book(system)
    if system == "windows":
        return re.search(r"@'\n(output = .*?)'@", text, re.DOTALL)[1]  # type: ignore[index]
    where = elsewhere.SYSTEMS[system]
    return here(text, "cat >%s <<'END'" % where.path("109.conf"))


@pytest.mark.parametrize("system", SYSTEMS)
def test_nothing_is_left_to_fill_in_and_every_command_can_be_read_by_a_shell(system: str) -> None:
    text = book(system)
    assert not re.search(r"@[A-Za-z_]+@", text)
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == 8
    assert text.count("\n```") % 2 == 0
    for each in blocks(text):
        done = subprocess.run(["sh", "-n"], input=each.encode(), capture_output=True, timeout=10)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_configuration_serves_every_named_address_and_no_other(system: str) -> None:
    document = config.parse(configuration(system).encode())
    assert document.malformed == ()
    accepts, connects = set(), set()
    for service in document.services:
        found = config.effective(document, service)
        accepts.add(found["accept"][-1].value.text)
        connects.add(found["connect"][-1].value.text)
        assert found["sslversionmin"][-1].value.text == "TLSv1.2"
    assert accepts == {"192.0.2.10:109", "2001:db8::10:109"}
    assert connects == {elsewhere.SYSTEMS[system].connect(109)}
    keys = {option.key.text for option in document.globals}
    # stunnel(8): Unix's alone; with them it does not start on Windows.
    assert bool({"foreground", "pid", "syslog", "setuid"} & keys) == (system != "windows")


@pytest.mark.parametrize(
    ("target", "name", "says"),
    [
        ("192.0.2.10:25", "", "open relay"),
        ("127.0.0.1:109", "", "no address at which others"),
        ("192.0.2.10:109", "x\nEND\nreboot", "no host name"),
        ("192.0.2.10:109", "$(reboot)", "no host name"),
        ("192.0.2.10:109", "@CONFIG@", "no host name"),
    ],
)
def test_what_is_refused(target: str, name: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        book("freebsd", target, name=name)


def test_a_system_is_known_by_its_own_name() -> None:
    names = ("FreeBSD 14.1-RELEASE", "OmniOS v11", "Devuan GNU/Linux 5 (daedalus)", "")
    assert [elsewhere.named(each) for each in names] == ["freebsd", "solaris", "sysv", "sysv"]


def test_what_launchd_and_smf_read_is_well_formed() -> None:
    command = "cat >/Library/LaunchDaemons/mailseal.109.plist <<'END'"
    job = plistlib.loads(here(book("macos"), command).encode())
    assert job["ProgramArguments"] == ["/opt/local/bin/stunnel", "/etc/mailseal/109.conf"]
    text = here(book("solaris"), "cat >/var/svc/manifest/site/mailseal-109.xml <<END")
    manifest = ElementTree.fromstring(text)
    credential = manifest.find(".//method_credential")
    assert credential is not None
    assert credential.get("privileges") == "basic,net_privaddr"


INETD = b"""\
# POP
ftp stream tcp nowait root /usr/libexec/ftpd ftpd
pop-2\tstream  tcp\tnowait\troot  /usr/sbin/ipop2d ipop2d
pop2 stream tcp6 nowait root /usr/sbin/ipop2d ipop2d
#pop-2 stream tcp nowait root /usr/sbin/old old
pop-3 stream tcp nowait root /usr/sbin/ipop3d ipop3d
"""


@pytest.mark.parametrize("system", WITH_INETD)
def test_inetd_lets_go_of_this_service_alone_and_takes_it_back(system: str, tmp_path: Path) -> None:
    path = tmp_path / "inetd.conf"
    path.write_bytes(INETD)
    path.chmod(0o640)
    text = book(system).replace("/etc/inetd.conf", str(path))
    whole = block(text, "sed -E")
    edit = whole[whole.index("[ -e ") : whole.index("\ndiff ")]
    for _ in range(2):  # done again it comes to the same
        subprocess.run(["sh", "-ec", edit], check=True, timeout=10)
    before, after = INETD.splitlines(), path.read_bytes().splitlines()
    changed = [number for number, line in enumerate(before) if line != after[number]]
    assert changed == [2, 3]
    assert len(before) == len(after)
    assert after[3] == b"# mailseal: " + before[3]
    if system == "freebsd":
        head = b":root:stunnel:660:/var/run/mailseal-109.sock stream unix nowait"
        assert b" ".join(after[2].split()).startswith(head)
    else:
        assert after[2] == b"127.0.0.1:" + before[2]
        entries = inetd.parse(path.read_bytes()).entries
        assert [(each.address, each.service) for each in entries][1] == ("127.0.0.1", "pop-2")
    back = "cp -p %s.before-mailseal %s" % (path, path)
    assert back in text
    subprocess.run(["sh", "-ec", back], check=True, timeout=10)
    assert path.read_bytes() == INETD
    assert path.stat().st_mode & 0o777 == 0o640


# -- the real stunnel ------------------------------------------------------------------------------

needs_stunnel = pytest.mark.skipif(STUNNEL is None, reason="no stunnel here")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="stunnel lets go of root: needs root")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users may pass through, as pytest's own may not be."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o711)
        yield folder


@contextmanager
def backend(where: str) -> Iterator[str]:
    """Greets one client, at a Unix socket or on loopback; gives its address."""
    unix = where.startswith("/")
    listener = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
    with listener:
        listener.settimeout(20)
        listener.bind(where if unix else ("127.0.0.1", 0))
        if unix:
            os.chmod(where, 0o666)
        listener.listen()
        thread = threading.Thread(target=_greet, args=(listener,))
        thread.start()
        try:
            yield where if unix else "127.0.0.1:%d" % listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(20)


def _greet(listener: socket.socket) -> None:
    try:
        client, _ = listener.accept()
    except OSError:
        return
    with client:
        client.sendall(GREETING)


def certificates(text: str, folder: Path, where: elsewhere.Elsewhere) -> None:
    """Runs step 2 as it stands, but for the folder."""
    commands = block(text, "ecparam").replace(where.folder, str(folder))
    done = subprocess.run(["sh", "-ec", commands], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("OK")
    assert (folder / "109.key").stat().st_mode & 0o777 == 0o600
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600


def greeted(port: int, process: subprocess.Popen[bytes], authority: Path) -> bytes:
    """What is said inside TLS, to who knows the private CA and the name alone."""
    context = ssl.create_default_context(cafile=str(authority))
    for _ in range(200):
        assert process.poll() is None, "stunnel ended"
        try:
            raw = socket.create_connection(("127.0.0.1", port), 5)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    else:
        raise AssertionError("stunnel does not listen")
    with context.wrap_socket(raw, server_hostname="mail.example") as wire:
        return wire.recv(100)


def on_loopback(text: str, system: str, connect: str, port: int) -> str:
    """The first section alone, at a free port of this host."""
    head, first, *_ = re.split(r"(?=^\[)", text, flags=re.MULTILINE)
    first = first.replace("192.0.2.10:109", "127.0.0.1:%d" % port)
    old = "connect = " + elsewhere.SYSTEMS[system].connect(109)
    assert old in first
    return head + first.replace(old, "connect = " + connect)


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@needs_stunnel
@needs_root
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_service_answers_inside_tls_with_the_certificate_of_the_runbook(
    system: str, place: Path
) -> None:
    where = elsewhere.SYSTEMS[system]
    folder = place / "files"
    # Windows' own step has the same commands in PowerShell.
    source = system if system != "windows" else "sysv"
    certificates(book(source), folder, elsewhere.SYSTEMS[source])
    port = free()
    with backend(str(place / "sock") if where.connect(109).startswith("/") else "tcp") as at:
        text = on_loopback(configuration(system), system, at, port)
        text = text.replace(where.folder + where.separator, str(folder) + "/")
        # Accounts of that system, which this one does not have.
        text = re.sub(r"setuid = \S+", "setuid = nobody", text)
        text = re.sub(r"setgid = \S+", "setgid = nogroup", text)
        if system == "windows":
            text = "foreground = yes\npid =\n" + text.replace("stunnel.log", str(folder / "log"))
        (folder / "conf").write_text(text)
        assert STUNNEL is not None
        with subprocess.Popen([STUNNEL, str(folder / "conf")], stderr=subprocess.DEVNULL) as done:
            try:
                assert greeted(port, done, folder / "ca.crt") == GREETING
                owner = os.stat("/proc/%d" % done.pid).st_uid
                nobody = pwd.getpwnam("nobody").pw_uid
                assert owner == (nobody if "setuid" in text else 0)
            finally:
                done.terminate()
                done.wait(10)


@needs_stunnel
@needs_root
def test_what_init_starts_has_the_right_to_low_ports_and_no_other(place: Path) -> None:
    try:
        user = pwd.getpwnam("stunnel4")
    except KeyError:
        pytest.skip("Debian's stunnel4 is not installed")
    where, text = elsewhere.SYSTEMS["sysv"], book("sysv")
    folder = place / "files"
    certificates(text, folder, where)
    for commands in (block(text, "chgrp"), block(text, "cat >%s" % where.path("start-109"))):
        commands = commands[: commands.find("\ngrep")] if "\ngrep" in commands else commands
        commands = commands.replace("/var/log/mailseal-109.log", str(folder / "log"))
        commands = commands.replace(where.folder, str(folder))
        subprocess.run(["sh", "-ec", commands], check=True, timeout=10)
    port = free()
    with backend("tcp") as at:
        conf = on_loopback(configuration("sysv"), "sysv", at, port)
        (folder / "109.conf").write_text(conf.replace(where.folder, str(folder)))
        (folder / "109.conf").chmod(0o644)
        with subprocess.Popen([str(folder / "start-109")]) as process:
            try:
                assert greeted(port, process, folder / "ca.crt") == GREETING
                status = Path("/proc/%d/status" % process.pid).read_text()
                seen = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
                assert seen["Uid"].split()[0] == str(user.pw_uid)
                assert int(seen["CapEff"], 16) == int(seen["CapBnd"], 16) == 1 << 10
                assert seen["NoNewPrivs"] == "1"
            finally:
                process.terminate()
                process.wait(10)
