"""Faults while a plan is applied on a booted host: it ends wholly as promised, or wholly as before,
and says which.

Strategy: one host serves POP2 and is used by all; each fault is injected, the plan made and
applied, the host compared with what it was, and the fault mended. What is refused or undone leaves
the host as it was; what is kept is rolled back, and then it is. The faults that other files try are
named in tests/project/test_fault_list.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from lab import Lab, missing
from lab.pop2 import INSTALLED
from tests.lab.story import (
    NAME,
    Ran,
    Scene,
    State,
    changed,
    check_as_before,
    check_reload_and_crash,
    install_stunnel,
    mailseal,
    ran,
    scene,
    sealed,
    state,
    wait_until,
)

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.xdist_group("faults")]

PLAN = "/srv/plan.json"
INETD = "/etc/inetd.conf"
UNITS = "/etc/systemd/system"
PATHS = ("/etc", "/usr/sbin", "/usr/local", "/var", "/run/systemd")
"""Wherever a run writes; all of /usr takes seconds to read, and belongs to packages."""

Injected = contextlib.AbstractContextManager[None]


@pytest.fixture(scope="module")
def on() -> Iterator[Scene]:
    """A host that serves POP2 and could install stunnel."""
    reasons = missing()
    if reasons:
        pytest.skip("; ".join(reasons))
    with Lab() as lab:
        yield scene(lab, "bookworm", "inetd")


def now(on: Scene) -> State:
    return state(on.mail, PATHS)


def do(on: Scene, script: str) -> None:
    on.mail.run(["sh", "-ec", script])


def apply(on: Scene) -> Ran:
    return mailseal(on.mail, "apply", PLAN, "--yes", timeout=300)


def with_stunnel(on: Scene) -> None:
    if ran(on.mail, "test", "-x", "/usr/bin/stunnel4").code:
        install_stunnel(on.mail)


def without_stunnel(on: Scene) -> None:
    do(on, "apt-get purge --yes stunnel4 >/dev/null")


@contextlib.contextmanager
def running(on: Scene, *words: str) -> Iterator[None]:
    """A program of somebody else's, that has said so when this returns."""
    unit = ["systemd-run", "--quiet", "--collect", "--unit=other", "--description=other"]
    on.mail.run([*unit, "--service-type=notify", "--property=NotifyAccess=all", *words])
    try:
        yield
    finally:
        ran(on.mail, "systemctl", "stop", "other")


@contextlib.contextmanager
def file(on: Scene, path: str, content: bytes, mode: int = 0o644) -> Iterator[None]:
    """Other bytes in a file, for the time of a case."""
    before = on.mail.read(path)
    kept = int(ran(on.mail, "stat", "-c", "%a", path).out, 8)
    on.mail.write(path, content, mode)
    try:
        yield
    finally:
        on.mail.write(path, before, kept)


# -- the package manager ---------------------------------------------------------------------------

# As apt does: fcntl(2), and both locks (apt.systemd.daily or an administrator's apt holds them).
LOCK = """\
import fcntl, subprocess, time
held = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(held, fcntl.LOCK_EX)
subprocess.run(["systemd-notify", "--ready"], check=True)
time.sleep(%d)
"""


@contextlib.contextmanager
def package_manager_locked_for_a_while(on: Scene) -> Iterator[None]:
    without_stunnel(on)
    with running(on, "python3", "-c", LOCK % 8):
        yield


@contextlib.contextmanager
def package_manager_locked(on: Scene) -> Iterator[None]:
    without_stunnel(on)
    with running(on, "python3", "-c", LOCK % 300):
        yield


MIRROR = """\
mkdir -p /srv/mirror
cp /srv/repo/Packages /srv/mirror
systemd-run --quiet --collect --unit=mirror \\
    python3 -m http.server --bind 127.0.0.1 --directory /srv/mirror 8404
cp /etc/apt/sources.list /srv/sources.list
echo 'deb [trusted=yes] http://127.0.0.1:8404 ./' >/etc/apt/sources.list
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    ss -Hltn | grep -q :8404 && break
    sleep 0.2
done
apt-get -qq update
"""


@contextlib.contextmanager
def package_not_on_the_mirror(on: Scene) -> Iterator[None]:
    """The mirror lists the package, and has it no more: 404."""
    without_stunnel(on)
    do(on, MIRROR)
    try:
        yield
    finally:
        do(on, "systemctl stop mirror; cp /srv/sources.list /etc/apt; apt-get -qq update")


# -- the backend -----------------------------------------------------------------------------------

BACKEND = b"""#!/usr/bin/python3
# Is odd to who comes by way of the terminator, as a program may be that asks for its peer.
import os, socket, sys, time
peer = socket.socket(fileno=os.dup(0))
if peer.family == socket.AF_UNIX:
    %s
os.execv("/usr/local/sbin/real-ipop2d", sys.argv)
"""


@contextlib.contextmanager
def backend(on: Scene, does: bytes) -> Iterator[None]:
    with_stunnel(on)
    do(on, "mv %s /usr/local/sbin/real-ipop2d" % INSTALLED)
    on.mail.write(INSTALLED, BACKEND % does, 0o755)
    try:
        yield
    finally:
        do(on, "mv /usr/local/sbin/real-ipop2d %s" % INSTALLED)


def backend_hung(on: Scene) -> Injected:
    """It accepts, and says nothing until the peer hangs up."""
    return backend(on, b"sys.exit(len(sys.stdin.buffer.read(0) or peer.recv(1) and b''))")


def backend_slow(on: Scene) -> Injected:
    """It greets after some seconds."""
    return backend(on, b"time.sleep(3)")


# -- what happens in the midst of a run ------------------------------------------------------------

HOOK = """#!/bin/sh
# Stands for an administrator's own hook, run when inetd reloads: on the way there, and back.
way=back
grep -q '^# mailseal: 109' /etc/inetd.conf && way=there
kill -HUP "$1"
%s
"""
DROP_IN = b"[Service]\nExecReload=\nExecReload=/usr/local/sbin/reload-inetd $MAINPID\n"


@contextlib.contextmanager
def hooked(on: Scene, script: str) -> Iterator[None]:
    with_stunnel(on)
    do(on, "mkdir %s/inetd.service.d" % UNITS)
    on.mail.write("/usr/local/sbin/reload-inetd", (HOOK % script).encode(), 0o755)
    on.mail.write(UNITS + "/inetd.service.d/hook.conf", DROP_IN)
    do(on, "systemctl daemon-reload")
    try:
        yield
    finally:
        do(on, "rm -r %s/inetd.service.d /usr/local/sbin/reload-inetd" % UNITS)
        do(on, "systemctl daemon-reload; systemctl reload inetd")


LEAK = b"""\
import socket, subprocess, time
taken = socket.create_server(("::", 109), family=socket.AF_INET6)
subprocess.run(["systemd-notify", "--ready"], check=True)
time.sleep(300)
"""
LEAKING = """\
case $way in
there)
    systemd-run --quiet --collect --unit=leak --service-type=notify \\
        --property=NotifyAccess=all python3 /usr/local/sbin/leak
    ;;
back) systemctl stop leak || true ;;
esac
"""


@contextlib.contextmanager
def ipv6_only_leak(on: Scene) -> Iterator[None]:
    """The service has IPv4 alone, and while the plan is applied somebody opens its port on [::]."""
    # A plain `tcp` opens both.
    kept = on.mail.read(INETD).replace(b"\ttcp\t", b"\ttcp4\t")
    v4 = kept.replace(b"109\tstream\ttcp6", b"#109\tstream\ttcp6")
    on.mail.write("/usr/local/sbin/leak", LEAK)
    with hooked(on, LEAKING), file(on, INETD, v4):
        do(on, "systemctl restart inetd")
        yield
    do(on, "rm /usr/local/sbin/leak; systemctl restart inetd")


# -- what cannot be written ------------------------------------------------------------------------


@contextlib.contextmanager
def arranged(on: Scene, there: str, back: str) -> Iterator[None]:
    with_stunnel(on)
    do(on, there)
    try:
        yield
    finally:
        do(on, back)


def immutable_file(on: Scene) -> Injected:
    return arranged(on, "chattr +i " + INETD, "chattr -i " + INETD)


def append_only_file(on: Scene) -> Injected:
    return arranged(on, "chattr +a " + INETD, "chattr -a " + INETD)


def immutable_directory(on: Scene) -> Injected:
    return arranged(on, "chattr +i " + UNITS, "chattr -i " + UNITS)


def read_only_file(on: Scene) -> Injected:
    return arranged(on, "mount -o bind,ro %s %s" % (INETD, INETD), "umount " + INETD)


def read_only_file_system(on: Scene) -> Injected:
    return arranged(on, "mount -o bind,ro %s %s" % (UNITS, UNITS), "umount " + UNITS)


def file_that_is_a_mount(on: Scene) -> Injected:
    return arranged(on, "mount --bind %s %s" % (INETD, INETD), "umount " + INETD)


# -- as before -------------------------------------------------------------------------------------

REFUSED, UNDONE = (6, ""), (4, "undone: the host is as before")
soak = pytest.mark.soak


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("inject", "outcome", "says"),
    [
        (package_not_on_the_mirror, UNDONE, "package stunnel4 cannot be installed"),
        pytest.param(package_manager_locked, UNDONE, "acquire the dpkg frontend lock", marks=soak),
        (backend_hung, UNDONE, "through the trial's TLS"),
        (ipv6_only_leak, UNDONE, "leak.service listens at [::]:109, where nothing did before"),
        (immutable_file, REFUSED, "`chattr -i /etc/inetd.conf`. Then apply again."),
        (read_only_file, REFUSED, "/etc/inetd.conf is mounted read-only"),
        (read_only_file_system, REFUSED, "/etc/systemd/system is mounted read-only"),
        pytest.param(append_only_file, REFUSED, "/etc/inetd.conf is append-only", marks=soak),
        pytest.param(immutable_directory, REFUSED, "system is immutable (chattr)", marks=soak),
        pytest.param(file_that_is_a_mount, REFUSED, "is a mount of its own", marks=soak),
    ],
)
def test_as_before(
    on: Scene, inject: Callable[[Scene], Injected], outcome: tuple[int, str], says: str
) -> None:
    with inject(on):
        sealed(on.mail, "plan", f"{NAME}:109", "-o", PLAN, "--overwrite")
        before = now(on)
        done = apply(on)
        check_as_before(before, now(on))
    code, words = outcome
    assert done.code == code, done.said
    assert words in done.out
    assert says in done.said, done.said
    on.check_cleartext()


@pytest.mark.timeout(300)
def test_a_package_whose_script_fails_is_left_and_said_to_be(on: Scene) -> None:
    """As before, but for what apt itself leaves of it; which is said."""
    without_stunnel(on)
    with file(on, "/usr/bin/systemd-sysusers", b"#!/bin/sh\nexit 1\n", 0o755):
        clean = now(on)
        install = ["apt-get", "install", "--yes", "--no-install-recommends", "stunnel4"]
        assert ran(on.mail, *install).code
        # The script did not come to that.
        do(on, "systemctl daemon-reload")
        alone = now(on)
        allowed = State(changed(clean.files, alone.files), changed(clean.units, alone.units), ())
        without_stunnel(on)
        sealed(on.mail, "plan", f"{NAME}:109", "-o", PLAN, "--overwrite")
        before = now(on)
        done = apply(on)
        after = now(on)
    without_stunnel(on)
    check_as_before(before, after, allowed)
    assert done.code == 4, done.said
    assert "package stunnel4 cannot be installed" in done.out
    assert "package stunnel4 stays half-configured" in done.said, done.said
    assert "stays     package stunnel4" in done.out
    on.check_cleartext()


@soak
@pytest.mark.timeout(300)
def test_what_somebody_edits_half_way_is_left_and_said_and_forced(on: Scene) -> None:
    once = "[ -e /run/once ] || { touch /run/once; echo '# mine' >>%s; exit 1; }" % INETD
    with hooked(on, once):
        sealed(on.mail, "plan", f"{NAME}:109", "-o", PLAN, "--overwrite")
        before = now(on)
        done = apply(on)
        assert b"# mine\n" in on.mail.read(INETD)
        assert done.code == 5, done.said
        assert "/etc/inetd.conf was changed since; the bytes before are in" in done.said
        run = ran(on.mail, "ls", "/var/lib/mailseal/runs").out.split()[-1]
        sealed(on.mail, "rollback", run, "--force")
        check_as_before(before, now(on))
        do(on, "rm /run/once")
    on.check_cleartext()


@soak
@pytest.mark.timeout(300)
def test_a_rollback_that_is_killed_is_finished_without_anybodys_help(on: Scene) -> None:
    once = "[ $way = there ] || [ -e /run/once ] || "
    once += "{ touch /run/once; systemctl kill --signal=KILL --kill-whom=main undoing; }"
    with hooked(on, once):
        sealed(on.mail, "plan", f"{NAME}:109", "-o", PLAN, "--overwrite")
        before = now(on)
        assert apply(on).code == 0
        on.check_sealed()
        unit = ["systemd-run", "--wait", "--pipe", "--quiet", "--collect", "--unit=undoing"]
        killed = ran(on.mail, *unit, "mailseal", "rollback")
        assert killed.code not in (0, 4, 5), killed.said
        assert not ran(on.mail, "test", "-e", "/run/once").code
        ours = ["systemctl", "list-units", "--all", "-q", "mailseal*"]
        wait_until(lambda: not ran(on.mail, *ours).out, 60)
        check_as_before(before, now(on))
        do(on, "rm /run/once")
    on.check_cleartext()


# -- as promised -----------------------------------------------------------------------------------

OWN = """\
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=own -keyout /etc/stunnel/own.key \\
    -out /etc/stunnel/own.crt 2>/dev/null
chmod 600 /etc/stunnel/own.key
cat >/etc/stunnel/own.conf <<END
setuid = stunnel4
setgid = stunnel4
foreground = yes
[own]
accept = 192.0.2.10:800
connect = 127.0.0.1:22
cert = /etc/stunnel/own.crt
key = /etc/stunnel/own.key
END
systemd-run --quiet --collect --unit=own stunnel4 /etc/stunnel/own.conf
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    ss -Hltn | grep -q :800 && break
    sleep 0.2
done
"""


@contextlib.contextmanager
def own_stunnel_with_setuid(on: Scene) -> Iterator[None]:
    with arranged(on, OWN, "systemctl stop own || true; rm -r /etc/stunnel/own.*"):
        yield


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "inject", [package_manager_locked_for_a_while, pytest.param(backend_slow, marks=soak)]
)
def test_as_promised(on: Scene, inject: Callable[[Scene], Injected]) -> None:
    with inject(on):
        sealed(on.mail, "plan", f"{NAME}:109", "-o", PLAN, "--overwrite")
        done = apply(on)
        assert done.code == 0, done.said
        assert "kept" in done.out
        on.check_sealed()
        sealed(on.mail, "rollback")
    on.check_cleartext()


@soak
@pytest.mark.timeout(300)
def test_a_hup_fails_under_setuid_and_not_with_ours(on: Scene) -> None:
    """A stunnel that gave up root by itself cannot read its key again."""
    with own_stunnel_with_setuid(on):
        sealed(on.mail, "plan", f"{NAME}:109", "-o", PLAN, "--overwrite")
        before = now(on)
        assert apply(on).code == 0
        do(on, "systemctl kill --signal=HUP own")
        said = ["journalctl", "-u", "own", "-o", "cat", "--no-pager"]
        wait_until(lambda: "Failed to reload the configuration" in ran(on.mail, *said).out)
        check_reload_and_crash(on)
        sealed(on.mail, "rollback")
        check_as_before(before, now(on))
    on.check_cleartext()
