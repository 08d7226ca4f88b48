"""A throwaway namespace, for real: inside a network of the test's own, never on the machine's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mailseal.system import netns
from mailseal.system.base import Completed
from mailseal.system.memory import Killed, MemorySystem, kill_at
from mailseal.system.netns import ThrowawayNamespace, sweep

SRC = str(Path(netns.__file__).parents[2])

# Run behind `unshare`: a machine with a loopback and one address, and nothing of ours before.
LOOK = """
import os, socket, subprocess, sys
sys.path.insert(0, sys.argv[1])
from mailseal.system.live import LiveSystem
from mailseal.system.netns import ThrowawayNamespace, sweep

system = LiveSystem()
def ip(*words): subprocess.run(["ip", *words], check=True)
ip("link", "set", "lo", "up")
ip("address", "add", "192.0.2.10/32", "dev", "lo")
ip("address", "add", "2001:db8:1::10/128", "dev", "lo", "nodad")
ip("address", "add", "100.64.3.4/32", "dev", "lo")
forwarding = open("/proc/sys/net/ipv4/ip_forward").read()
code = "import socket, sys; s = socket.create_connection((sys.argv[1], 2109), 5); print(s.recv(9))"
with ThrowawayNamespace(system) as there:
    assert there.gaps == (), there.gaps
    # The host uses the first range, so it is left alone.
    assert there.ipv4.startswith("169.254."), there.ipv4
    assert all(len(name) <= 15 for _, name in socket.if_nameindex())
    for family, address, own in (
        (socket.AF_INET, "192.0.2.10", there.ipv4), (socket.AF_INET6, "2001:db8:1::10", there.ipv6)
    ):
        with socket.socket(family) as server:
            server.bind((address, 2109))
            server.listen()
            server.settimeout(10)
            argv = [*there.exec_prefix, sys.executable, "-c", code, address]
            client = subprocess.Popen(argv, stdout=subprocess.PIPE)
            peer, name = server.accept()
            with peer:
                peer.sendall(b"+ POP2")
            assert name[0] == own, (name, own)
            out, _ = client.communicate(timeout=10)
            assert out == b"b'+ POP2'\\n", out
    assert sweep(system) == ()
try:
    with ThrowawayNamespace(system) as there:
        raise KeyError("from inside")
except KeyError:
    pass
assert open("/proc/sys/net/ipv4/ip_forward").read() == forwarding
# What a killed process leaves behind is found by its name.
dead = subprocess.Popen(["true"])
dead.wait()
ip("netns", "add", "mailseal-%d-00ff" % dead.pid)
ip("link", "add", "ms%d00ffh" % dead.pid, "type", "veth", "peer", "name", "ms%d00ffn" % dead.pid)
assert len(sweep(system)) >= 2
assert system.listdir("/run/netns") == ()
assert [name for _, name in socket.if_nameindex() if name.startswith("ms")] == []
print("all seen")
"""


def test_services_are_seen_from_another_address_and_nothing_is_left():
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("needs root, unshare and iproute2")
    # A fresh /run/netns; /sys stays the machine's, as in some containers.
    script = 'mount -t tmpfs none /run && exec "$@"'
    done = subprocess.run(
        [
            *("unshare", "--net", "--mount", "--kill-child", "sh", "-c", script, "sh"),
            *(sys.executable, "-W", "error", "-c", LOOK, SRC),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "all seen\n"), done.stderr


def test_only_root_may():
    system = MemorySystem()
    system.user = 1000
    with pytest.raises(PermissionError, match="root"), ThrowawayNamespace(system):
        pass


def left(system: MemorySystem) -> list[str]:
    return [*system.listdir("/run/netns"), *system.listdir("/sys/class/net")]


def test_a_namespace_half_built_is_removed():
    full = MemorySystem()
    real = full.programs["ip"]

    def fails(argv: tuple[str, ...], data: bytes) -> Completed:
        bad = "default" in argv and "-4" in argv
        return Completed(argv, 2, b"", b"RTNETLINK answers: no") if bad else real(argv, data)

    full.programs["ip"] = fails
    with pytest.raises(OSError, match="RTNETLINK"), ThrowawayNamespace(full):
        pass
    assert left(full) == []


def test_without_ipv6_it_says_so():
    system = MemorySystem()
    real = system.programs["ip"]

    def fails(argv: tuple[str, ...], data: bytes) -> Completed:
        return Completed(argv, 2, b"", b"no IPv6") if "-6" in argv else real(argv, data)

    system.programs["ip"] = fails
    with ThrowawayNamespace(system) as there:
        assert there.ipv4
        assert there.ipv6 == ""
        assert "no IPv6" in there.gaps[0]


def test_what_a_killed_run_left_is_swept():
    points = MemorySystem()
    with ThrowawayNamespace(points):
        pass
    assert points.points > 10
    for number in range(points.points):
        system = MemorySystem(kill_at(number))
        with pytest.raises(Killed), ThrowawayNamespace(system):
            pass
        system.revive()
        sweep(system)
        assert left(system) == [], number
