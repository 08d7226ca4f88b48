"""A throwaway copy of this very host: its files under overlays, booted, cut off from everything.

Strategy: one transient unit of systemd holds all of it. In a mount namespace of its own the root
file system and every other mount of the host are put under overlays whose upper layers are in
memory; in network namespaces of its own stand the copy's interfaces, with the host's names and
addresses, and the street from which it can be looked at. systemd-nspawn(1) boots that. Nothing of
it has a name outside: mounts, files and interfaces are gone when the unit's last process is. The
unit ends when this process closes a pipe, so it ends however this process does; and by itself after
LIFE_SECONDS.

What makes the copy untouchable: no interface leads out, /run is its own, sockets and FIFOs under an
overlay are other ones than the host's, block devices may not be opened, and of the host's clock and
kernel it may set nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import threading
import time
from dataclasses import replace
from typing import IO, Callable, Iterator, List, Optional, Sequence, Tuple

from mailseal.system import copyparts, packages, units
from mailseal.system.base import Completed, System
from mailseal.system.copyplace import Place
from mailseal.system.live import PROGRAMS
from mailseal.system.talk import talk

UNIT = "mailseal-rehearsal.service"
LOCK = "/run/mailseal-rehearsal.lock"
LIFE_SECONDS = 3600
"""How long a copy may be there, whatever happens."""
BOOT_SECONDS = 180.0
FETCH_SECONDS = 600.0
"""As in the script."""
END_SECONDS = 30.0
NEEDED_MEMORY = 256 * 1024 * 1024
"""Octets that must be free in memory: the copy's own programs, and what the plan writes."""

NEEDS = {
    "systemd-nspawn": "install the package systemd-container",
    "systemd-run": "it comes with systemd",
    "ip": "install the package iproute2",
    "nsenter": "install the package util-linux",
    "unshare": "install the package util-linux",
    "mount": "install the package mount or util-linux",
}
"""Programs, and where they come from."""

# Who would set the interfaces up, which are as they are to be, or wait for a network to come.
MASKED = (
    *("networking.service", "network.service", "NetworkManager.service", "dhcpcd.service"),
    *("systemd-networkd.service", "systemd-networkd.socket", "wicked.service"),
    *("systemd-networkd-wait-online.service", "NetworkManager-wait-online.service"),
    *("cloud-init.service", "cloud-init-local.service", "ifupdown-wait-online.service"),
)

_SAID = "mailseal: "
"""How the script's own lines begin, among those of the copy's console."""

_SCRIPT = r"""
set -eu
say() { echo "mailseal: $*"; }
fetch=$1 inside=$2 street=$3
shift 3
mount -t tmpfs -o mode=700 mailseal /tmp
mkdir /tmp/root
number=0
while test "$1" != boot; do
    point=$1 access=$2 size=$3 root=/tmp/root
    shift 3
    test "$point" = / || root=/tmp/root$point
    if test ! -d "$point"; then
        cp -a "$point" "$root" || say "left out: $point"
        continue
    fi
    number=$((number + 1))
    layer=/tmp/$number
    mkdir "$layer"
    mount -t tmpfs -o "mode=700,size=$size" mailseal "$layer"
    mkdir "$layer/upper" "$layer/work"
    chown --reference="$point" "$layer/upper"
    chmod --reference="$point" "$layer/upper"
    options=lowerdir=$point,upperdir=$layer/upper,workdir=$layer/work
    if ! mount -t overlay -o "$access,$options" overlay "$root"; then
        test "$point" != / || { say "no overlay over the root file system"; exit 1; }
        say "left out: $point, which cannot be put under an overlay"
    fi
done
shift
if test -d /var/log && test ! -L /var/log; then
    mount -t tmpfs -o mode=755,size=256m mailseal /tmp/root/var/log
    cp -a --attributes-only /var/log/. /tmp/root/var/log || :
    rm -rf /tmp/root/var/log/journal
fi
mkdir -p /run/systemd/nspawn
mount -t tmpfs mailseal /run/systemd/nspawn
nspawn() { systemd-nspawn --quiet --keep-unit --register=no --directory=/tmp/root "$@"; }
if test -n "$fetch"; then
    (
        unset NOTIFY_SOCKET
        nspawn --machine=mailseal-fetch --console=pipe --resolv-conf=bind-host --timezone=off \
            --link-journal=no timeout 600 sh -c "$fetch" </dev/null
    ) || say "not fetched"
fi
touch /tmp/copy /tmp/street
unshare --net=/tmp/copy true
unshare --net=/tmp/street true
echo "$inside" >/tmp/lines
echo "$street" >/tmp/outside
nsenter --net=/tmp/street sh -c '
    sed "s/@STREET@/$$/" /tmp/lines >/tmp/inside
    nsenter --net=/tmp/copy ip -force -batch /tmp/inside' || say "left out: an address, see above"
nsenter --net=/tmp/street ip -force -batch /tmp/outside || say "left out: a look from outside"
exec 3<&0
(
    cat <&3 >/dev/null
    kill -KILL $$
) &
nspawn --machine=mailseal-copy --boot --console=pipe --notify-ready=yes --link-journal=no \
    --resolv-conf=off --timezone=off --capability=CAP_NET_ADMIN \
    --network-namespace-path=/tmp/copy "$@" </dev/null 3<&- || :
say "the copy ended"
exit 1
"""
# The words after `boot` are for the copy's init. `cat` ends with the pipe, and the unit with its
# first shell: systemd then kills whatever is left in the unit's control group.


class CannotCopy(Exception):
    """No copy can be made here. `str()` says why, and what would help."""


class HostCopy:
    """Within the `with`, which gives its Place, the copy is booted. `wanted` are packages to fetch
    into it before it is cut off. Raises CannotCopy, with nothing left behind.
    """

    def __init__(self, system: System, wanted: Sequence[str], tell: Callable[[str], None]) -> None:
        self._system = system
        self._wanted = tuple(wanted)
        self._tell = tell
        self._stack = contextlib.ExitStack()
        self._console = _Console()
        self._place = Place(0, 0)

    # -- its life ----------------------------------------------------------------------------

    def __enter__(self) -> Place:
        problem = obstacle(self._system)
        if problem:
            raise CannotCopy(problem)
        with contextlib.ExitStack() as stack:
            if not stack.enter_context(self._system.lock(LOCK)):
                raise CannotCopy("another rehearsal is under way: wait for it to end.")
            self._sweep()
            lacking = self._start(stack)
            place = replace(self._place, gaps=(*lacking, *self._after_boot()))
            self._stack = stack.pop_all()
        return place

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _sweep(self) -> None:
        """Whoever made what is still there does not hold the lock: it was killed."""
        if units.state(self._system, UNIT).active not in ("inactive", ""):
            self._tell("ending what is left of a rehearsal that was killed")
            self._system.run(["systemctl", "stop", "--", UNIT], timeout=END_SECONDS)
            self._system.run(["systemctl", "reset-failed", "--", UNIT], timeout=END_SECONDS)

    def _start(self, stack: contextlib.ExitStack) -> Tuple[str, ...]:
        """Boots it; what of the host could not be put into it."""
        mounts, left = copyparts.mounts(self._text("/proc/self/mountinfo"))
        net = copyparts.network(
            self._json("address", "show"),
            [
                self._json("-4", "route", "show", "default"),
                self._json("-6", "route", "show", "default"),
            ],
        )
        memory = _available(self._text("/proc/meminfo")) // 2
        words = [self._fetch(), "\n".join(net.inside), "\n".join(net.street)]
        for mount in mounts:
            size = max(min(_free(mount.point), memory), 4096)
            words += [mount.point, "rw" if mount.writable else "ro", "%d" % size]
        words += ["boot", *("systemd.mask=" + unit for unit in MASKED)]
        # systemd-run(1) takes $ for the start of a variable; $$ is the sign itself.
        script = [word.replace("$", "$$") for word in (_SCRIPT, "sh", *words)]
        process = subprocess.Popen(
            [
                *_UNIT_WORDS,
                "--property=MemoryMax=%d" % memory,
                "--",
                "unshare",
                "--mount",
                "--propagation=slave",
                "sh",
                "-c",
                *script,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(self._end, process)
        self._console.follow(process)
        self._await_boot(process)
        return (*left, *net.left_out)

    def _fetch(self) -> str:
        """The shell words that fetch what the plan installs; empty where that is nothing."""
        found = packages.manager(self._system)
        missing = [each for each in self._wanted if not packages.installed(self._system, each)]
        if not missing or found is None:
            return ""
        self._tell("fetching into it: " + ", ".join(missing))
        return packages.fetching(found, missing)

    def _await_boot(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + BOOT_SECONDS + (FETCH_SECONDS if self._wanted else 0.0)
        while process.poll() is None and time.monotonic() < deadline:
            found = units.properties(self._system, UNIT, ("ActiveState", "MainPID"))
            if found.get("ActiveState") == "active":
                self._place = Place(int(found["MainPID"]), int(_leader(found["MainPID"])))
                return
            self._system.sleep(0.1)
        self._console.settle()
        raise CannotCopy(
            "the copy does not boot: see above what it said (%s)."
            % (self._console.last(self._tell) or "nothing")
        )

    def _after_boot(self) -> List[str]:
        """What else it lacks."""
        said = self._console.own()
        gaps = list(said)
        if "not fetched" in said:
            gaps.remove("not fetched")
            gaps.append("a package could not be fetched: installing it in the copy will fail too")
        gaps += self._firewall()
        gaps += self._failed()
        gaps += self._confined()
        return gaps

    def _firewall(self) -> Iterator[str]:
        """The rules that are in force now: what the copy loads at boot may be others."""
        rules = self._system.run(["nft", "list", "ruleset"], timeout=30)
        if rules.ok and rules.out.strip():
            done = self._run(["nft", "-f", "-"], b"flush ruleset\n" + rules.out)
            if not done.ok:
                yield "its firewall is not the host's: " + done.words()
        elif not rules.ok:
            yield "firewall rules are not copied: " + rules.words()
        if self._text("/proc/net/ip_tables_names") + self._text("/proc/net/ip6_tables_names"):
            yield "rules of the old iptables (iptables-legacy) are not copied"

    def _failed(self) -> Iterator[str]:
        argv = ["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager"]
        here, there = (
            {line.split()[0] for line in done.out.decode("utf-8", "replace").splitlines() if line}
            for done in (self._system.run(argv), self._run(argv))
        )
        for unit in sorted(there - here):
            yield "%s failed in it, and not on the host" % unit

    def _confined(self) -> Iterator[str]:
        for path, name in (("/sys/fs/selinux/enforce", "SELinux"), (_APPARMOR, "AppArmor")):
            if self._text(path).strip() in ("1", "Y"):
                yield "%s confines nothing in it" % name

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        """Closes the pipe, on which everything hangs, and sees to it that it is all gone."""
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        if process.poll() is None or units.state(self._system, UNIT).active not in _ENDED:
            self._system.run(["systemctl", "stop", "--", UNIT], timeout=2 * END_SECONDS)
            process.kill()
            process.wait()
        self._console.settle()
        if units.state(self._system, UNIT).active not in _ENDED:
            self._tell("the copy does not end: run systemctl kill --signal=KILL " + UNIT)

    # -- asking it, and the host -------------------------------------------------------------

    def _run(self, argv: Sequence[str], data: bytes = b"") -> Completed:
        """Runs a program in it that takes no time."""
        return talk(self._place.words(argv, 60), data, 70, lambda line: None)

    def _text(self, path: str) -> str:
        try:
            return self._system.read(path).decode("utf-8", "replace")
        except OSError:
            return ""

    def _json(self, *words: str) -> object:
        done = self._system.run(["ip", "-j", *words], timeout=10)
        try:
            return json.loads(done.out or b"[]") if done.ok else []
        except ValueError:
            return []


_ENDED = ("inactive", "failed", "")
_APPARMOR = "/sys/module/apparmor/parameters/enabled"
_APART = ("unshare", "--mount", "--propagation=slave")
_UNIT_WORDS = (
    *("systemd-run", "--pipe", "--wait", "--quiet", "--collect", "--unit=" + UNIT),
    "--description=A throwaway copy of this host, for mailseal rehearse",
    *("--property=Type=notify", "--property=NotifyAccess=all", "--property=Delegate=yes"),
    "--property=TimeoutStartSec=%d" % (BOOT_SECONDS + FETCH_SECONDS),
    "--property=RuntimeMaxSec=%d" % LIFE_SECONDS,
    # Nothing in the copy is worth an orderly end.
    *("--property=KillSignal=SIGKILL", "--property=TimeoutStopSec=20"),
    # What systemd-nspawn@.service has: pseudo devices, and no disk.
    *("--property=DevicePolicy=closed", "--property=DeviceAllow=char-pts rw"),
    "--property=DeviceAllow=/dev/net/tun rwm",
    # The host's own work comes first.
    *("--property=CPUWeight=20", "--property=IOWeight=20"),
)


def obstacle(system: System) -> str:
    """Why no copy can be made of this host, and what would help; empty where one can."""
    if system.uid() != 0:
        return "copying this host needs root: run it with sudo."
    if not units.is_systemd(system):
        return (
            "systemd is not this host's init, and a copy is booted by it: rehearse on one like it."
        )
    missing = [each for each in NEEDS if not any(system.stat(d + "/" + each) for d in PROGRAMS)]
    if missing:
        return "there is no %s here: %s." % (missing[0], NEEDS[missing[0]])
    memory = _available(system.read("/proc/meminfo").decode("ascii", "replace"))
    if memory < NEEDED_MEMORY:
        return "%d MiB of memory are free, and a copy needs %d: free some." % (
            memory >> 20,
            NEEDED_MEMORY >> 20,
        )
    return ""


def _available(meminfo: str) -> int:
    """MemAvailable of proc(5), in octets."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


def _free(point: str) -> int:
    """Octets that root may still write there, so that a disk that is full is full in the copy. Of
    what ext4 calls free it keeps up to 4096 blocks from everybody (reserved_clusters, ext4(5)).
    """
    found = os.statvfs(point)
    return max(found.f_bavail, found.f_bfree - 4096, 0) * found.f_frsize


def _leader(main: str) -> str:
    """The process below `main` that is the first of its process namespace. Raises CannotCopy."""
    generation = [main]
    while generation:
        generation = [child for parent in generation for child in _children(parent)]
        for pid in generation:
            with contextlib.suppress(OSError), open("/proc/%s/status" % pid) as file:
                found = re.search(r"^NSpid:\s+(.*)$", file.read(), re.MULTILINE)
                numbers = found.group(1).split() if found else []
                if len(numbers) > 1 and numbers[-1] == "1":
                    return pid
    raise CannotCopy("the copy booted and has no first process: it ended.")


def _children(pid: str) -> List[str]:
    try:
        with open("/proc/%s/task/%s/children" % (pid, pid)) as file:
            return file.read().split()
    except OSError:
        return []


class _Console:
    """What the script and the copy's console say: the last LINES of it."""

    LINES = 400

    def __init__(self) -> None:
        self._lines: List[str] = []
        self._thread: Optional[threading.Thread] = None

    def follow(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        self._thread = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[bytes]) -> None:
        for line in iter(lambda: stream.readline(4096), b""):
            text = line.decode("utf-8", "replace").rstrip()
            self._lines.append("".join(char if char.isprintable() else "?" for char in text))
            del self._lines[: -self.LINES]
        stream.close()

    def settle(self) -> None:
        """Waits for the last words."""
        if self._thread is not None:
            self._thread.join(5.0)

    def own(self) -> List[str]:
        """What the script said of itself."""
        return [line[len(_SAID) :] for line in self._lines if line.startswith(_SAID)]

    def last(self, tell: Callable[[str], None]) -> str:
        """The last line; the ones before it are told."""
        lines = [line for line in self._lines if line.strip()][-20:]
        for line in lines:
            tell(line)
        return lines[-1][:300] if lines else ""
