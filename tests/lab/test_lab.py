"""The lab keeps its promises: hosts boot, answer, lose power and vanish.

Strategy: few boots, many assertions on each, because a boot is the cost.  What needs no host (the
pcap reader, the tables) is tested without one.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import STARTERS, TOOLS, Client, Host, Lab, LabError, images, missing
from lab.capture import streams

ROOT = Path(__file__).parents[2]

# Says a POP2 dialogue to each address and prints the answers as JSON.
DIALOGUE = """
import json, socket, sys
answers = {}
for address in sys.argv[3:]:
    with socket.create_connection((address, 109), 10) as connection:
        wire = connection.makefile("rwb", buffering=0)
        said = [wire.readline().decode()]
        for command in (f"HELO {sys.argv[1]} {sys.argv[2]}", "QUIT"):
            wire.write(command.encode() + b"\\r\\n")
            said.append(wire.readline().decode())
        answers[address] = said
print(json.dumps(answers))
"""


def log_in(client: Client, host: Host) -> dict[str, list[str]]:
    """The answers of ``host`` to a login from ``client``, by address."""
    account = host.account
    command = [sys.executable, "-I", "-c", DIALOGUE, account.user, account.password]
    answers: dict[str, list[str]] = json.loads(client.run([*command, host.ipv4, host.ipv6]).stdout)
    return answers


def served(host: Host) -> dict[str, list[str]]:
    """What ``log_in`` gives when both families are served."""
    dialogue = [
        f"+ POP2 {host.name} v1.0 server ready\r\n",
        "#1 messages in /var/mail/alice\r\n",
        "+ Sayonara\r\n",
    ]
    return {host.ipv4: dialogue, host.ipv6: dialogue}


def port_109(host: Host) -> list[tuple[str, str]]:
    return [(address, name) for _, address, port, name in host.listeners() if port == 109]


CAP_NET_ADMIN, CAP_SYS_TIME = 12, 25  # linux/capability.h

STARTS = [
    ("bookworm", "inetd", [("0.0.0.0", "inetd"), ("::", "inetd")]),
    ("bullseye", "xinetd", [("*", "xinetd")]),
    ("bookworm", "standalone", [("0.0.0.0", "ipop2d"), ("::", "ipop2d")]),
    ("bullseye", "standalone", [("0.0.0.0", "ipop2d"), ("::", "ipop2d")]),
]


@pytest.mark.lab
@pytest.mark.parametrize(("system", "starter", "listening"), STARTS)
def test_pop2_over_both_families_and_after_a_reboot(
    lab: Lab, system: str, starter: str, listening: list[tuple[str, str]]
) -> None:
    net = lab.network()
    mail = lab.host("mailhost", system=system, network=net)
    client = lab.client(net, "client")
    assert mail.run(["systemctl", "is-system-running"]).stdout == b"running\n"
    assert port_109(mail) == []

    account = mail.install_pop2d(starter)
    assert port_109(mail) == listening
    with lab.capture(net) as capture:
        assert log_in(client, mail) == served(mail)
        assert account.password.encode() in capture.payload()
    assert capture.payload().count(b"HELO alice " + account.password.encode()) == 2
    assert {flow[0] for flow in capture.streams()} == {
        client.ipv4,
        client.ipv6,
        mail.ipv4,
        mail.ipv6,
    }
    journal = mail.run(["journalctl", "--no-pager"]).stdout
    assert f"Login user=alice host=[{client.ipv4}]".encode() in journal
    assert account.password.encode() not in journal

    mail.reboot()
    mail.wait_listening(109)
    assert port_109(mail) == listening
    assert log_in(client, mail) == served(mail)


@pytest.mark.lab
def test_commands_and_files_of_a_host(lab: Lab) -> None:
    net = lab.network()
    mail = lab.host("mailhost", system="bookworm", network=net, binds={ROOT: "/srv/mailseal"})

    assert mail.run(["cat"], input=b"through").stdout == b"through"
    assert mail.run(["id", "-un"], user="nobody").stdout == b"nobody\n"
    assert mail.run(["false"], check=False).returncode == 1
    with pytest.raises(subprocess.CalledProcessError) as failed:
        mail.run(["sh", "-c", "echo the reason >&2; exit 3"])
    assert failed.value.returncode == 3
    assert "the reason" in failed.value.__notes__[0]
    with pytest.raises(subprocess.TimeoutExpired):
        mail.run(["sleep", "30"], timeout=0.3)
    # A service's rights, not those of the lab's own root: it may not set the clock.
    status = mail.run(["grep", "CapEff", "/proc/self/status"]).stdout
    capabilities = int(status.split()[1], 16)
    assert capabilities & 1 << CAP_NET_ADMIN
    assert not capabilities & 1 << CAP_SYS_TIME
    assert mail.run(["sh", "-c", "echo $0", "costs $5"]).stdout == b"costs $5\n"
    assert mail.run(["test", "-f", "/srv/mailseal/lab/__init__.py"]).returncode == 0
    assert mail.run(["touch", "/srv/mailseal/x"], check=False).returncode != 0

    # Links are the host's: an absolute one must not lead to this machine's files.
    mail.run(["ln", "-s", "/etc/linked", "/opt/link"])
    mail.write("/etc/linked", b"inside\n", 0o640)
    assert mail.read("/opt/link") == b"inside\n"
    assert mail.run(["stat", "-c", "%a %U", "/etc/linked"]).stdout == b"640 root\n"
    with pytest.raises(FileNotFoundError):
        mail.read("/etc/nothing")
    started = time.monotonic()
    mail.stop()
    # systemd waits ten seconds for a dead process that nobody collects.
    assert time.monotonic() - started < 8
    assert not mail.running
    mail.write("/etc/linked", b"while it was off\n")
    assert mail.read("/opt/link") == b"while it was off\n"
    mail.boot()
    assert mail.read("/opt/link") == b"while it was off\n"


STUCK = b"""[Service]
Type=exec
ExecStart=/bin/sh -c "trap : TERM; while :; do sleep 1; done"
TimeoutStopSec=300
KillMode=process
"""


@pytest.mark.lab
def test_a_host_that_does_not_stop_is_switched_off(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = lab.host("mailhost", system="bookworm", network=lab.network())
    mail.write("/etc/systemd/system/stuck.service", STUCK)
    mail.run(["systemctl", "start", "stuck"])
    monkeypatch.setattr("lab.hosts.STOP_SECONDS", 0.5)
    started = time.monotonic()
    mail.stop()
    assert 0.5 <= time.monotonic() - started < 10
    assert not mail.running
    mail.boot()
    assert mail.run(["systemctl", "is-system-running"]).stdout == b"running\n"


@pytest.mark.lab
def test_a_host_that_switches_itself_off_can_boot_again(lab: Lab) -> None:
    mail = lab.host("mailhost", system="bookworm", network=lab.network())
    mail.run(["systemctl", "--no-block", "poweroff"])
    deadline = time.monotonic() + 20
    while mail.running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not mail.running
    with pytest.raises(LabError, match="not running"):
        mail.run(["true"])
    mail.boot()
    assert mail.run(["hostname"]).stdout == b"mailhost\n"


@pytest.mark.lab
def test_snapshots_tell_a_change_and_nothing_else(lab: Lab) -> None:
    mail = lab.host("mailhost", system="bookworm", network=lab.network())
    mail.install_pop2d("inetd")
    before = mail.snapshot()
    assert len(before) > 5000
    mail.run(["true"])
    assert mail.snapshot() == before
    mail.reboot()
    assert mail.snapshot() == before

    changes = {
        "/etc/hostname": "echo other >/etc/hostname",
        "/etc/inetd.conf": "chmod 600 /etc/inetd.conf",
        "/etc/hosts": "chown nobody /etc/hosts",
        "/usr/local/sbin/ipop2d": "setcap cap_net_bind_service+ep /usr/local/sbin/ipop2d",
        "/etc/mtab": "ln -sfn /proc/mounts /etc/mtab",
        "/opt/new": "mkdir /opt/new",
        "/var/mail/alice": "rm /var/mail/alice",
        "/run/systemd/system/x.service": "touch /run/systemd/system/x.service",
    }
    mail.run(["sh", "-ec", "; ".join(changes.values())])
    after = mail.snapshot()
    different = {
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    }
    assert set(changes) <= different | {"/etc/localtime"}
    assert different <= set(changes) | {"/run/systemd/system"}


@pytest.mark.lab
def test_power_loss_takes_what_was_not_synced(lab: Lab) -> None:
    net = lab.network()
    mail = lab.host("mailhost", system="bookworm", network=net, durable=True)
    client = lab.client(net, "client")
    mail.install_pop2d("inetd")
    mail.run(["sh", "-c", "echo kept >/etc/synced && sync /etc/synced /etc"])
    mail.run(["sh", "-c", "echo lost >/etc/unsynced"])
    assert mail.read("/etc/unsynced") == b"lost\n"

    mail.kill_power()
    assert not mail.running
    assert mail.read("/etc/synced") == b"kept\n"
    mail.boot()
    assert mail.read("/etc/synced") == b"kept\n"
    with pytest.raises(FileNotFoundError):
        mail.read("/etc/unsynced")
    assert log_in(client, mail) == served(mail)


@pytest.mark.lab
def test_power_loss_needs_a_durable_disk(lab: Lab) -> None:
    mail = lab.host("mailhost", system="workstation", network=lab.network())
    with pytest.raises(LabError, match="durable"):
        mail.kill_power()
    assert mail.run(["systemctl", "is-system-running"]).stdout == b"running\n"


@pytest.mark.lab
@pytest.mark.parametrize("system", ["bookworm", "bullseye"])
def test_packages_install_without_a_network(lab: Lab, system: str) -> None:
    mail = lab.host("mailhost", system=system, network=lab.network())
    mail.write("/usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n", 0o755)
    mail.run(["apt-get", "install", "--yes", "stunnel4"])
    assert (
        mail.run(["dpkg-query", "-Wf", "${Status}", "stunnel4"]).stdout == b"install ok installed"
    )
    active = mail.run(["systemctl", "list-units", "--plain", "--no-legend", "stunnel*"])
    assert b" running " not in active.stdout
    assert mail.run(["stunnel4", "-version"], check=False).returncode == 0


@pytest.mark.lab
def test_two_labs_at_once_use_the_same_addresses(lab: Lab) -> None:
    with Lab() as other:
        hosts = []
        for one in (lab, other):
            net = one.network()
            hosts.append(one.host("mailhost", system="bookworm", network=net))
            hosts[-1].install_pop2d("inetd")
            assert log_in(one.client(net, "client"), hosts[-1]) == served(hosts[-1])
        assert hosts[0].ipv4 == hosts[1].ipv4
        assert hosts[0].account.password != hosts[1].account.password


KILLED = """
import sys, time
from lab import Lab
lab = Lab()
lab.host("mailhost", system="bookworm", network=lab.network(), durable=True)
print(lab.cgroup, flush=True)
time.sleep(60)
"""


@pytest.mark.lab
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_a_killed_test(lab: Lab, how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as victim:
        assert victim.stdout is not None
        cgroup = victim.stdout.readline().strip()
        assert cgroup.startswith(f"mailseal-lab-{victim.pid}-")
        assert traces(lab, cgroup) != []
        os.kill(victim.pid, how)
    deadline = time.monotonic() + 15
    while traces(lab, cgroup) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert traces(lab, cgroup) == []


def traces(lab: Lab, cgroup: str) -> list[str]:
    """What this machine still shows of the lab with ``cgroup``: its folder and processes."""
    listing = lab.cgroups()
    found = [name for name in listing if name == cgroup]
    for process in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            found += [process.parent.name] if cgroup in process.read_text() else []
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return found


def test_two_builders_make_a_product_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILSEAL_LAB_CACHE", str(tmp_path / "cache"))
    product = images.Product("base-x", "base.sh", ("x",))
    builds: list[Path] = []
    first_is_building = threading.Event()

    def build(_: images.Product, target: Path) -> None:
        assert not product.path.exists()
        first_is_building.set()
        time.sleep(0.1)
        (target / "file").write_text("whole")
        builds.append(target)

    def second() -> None:
        first_is_building.wait(10)
        images.provide(product, build)
        assert (product.path / "file").read_text() == "whole"

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(images.provide, product, build), pool.submit(second)]:
            done.result(10)
    assert len(builds) == 1


def test_a_failed_build_leaves_no_product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILSEAL_LAB_CACHE", str(tmp_path / "cache"))
    product = images.Product("base-x", "base.sh", ("x",))

    def fail(_: images.Product, target: Path) -> None:
        (target / "half").touch()
        raise LabError("the mirror does not answer")

    with pytest.raises(LabError, match="mirror"):
        images.provide(product, fail)
    assert not product.path.exists()
    images.provide(product, lambda _, target: (target / "whole").touch())
    assert [path.name for path in product.path.iterdir()] == ["whole"]
    assert sorted(path.name for path in product.path.parent.iterdir()) == [
        product.path.name,
        "base-x.lock",
    ]
    assert images.prune() == [product.path]
    assert [path.name for path in product.path.parent.iterdir()] == ["base-x.lock"]


def test_all_that_decides_the_content_is_in_the_name() -> None:
    base = images.Product("base-x", "base.sh", ("x",))
    one = images.Product("layer-x", "layer.sh", ("x", "a"), base)
    others = [
        images.Product("layer-x", "layer.sh", ("x", "b"), base),
        images.Product("layer-x", "repository.sh", ("x", "a"), base),
        images.Product("layer-x", "layer.sh", ("x", "a"), images.Product("y", "base.sh", ("y",))),
    ]
    assert len({product.path for product in (one, *others)}) == 4


def test_every_tool_has_its_package_in_the_list() -> None:
    listed = (ROOT / "lab/packages.txt").read_text().splitlines()
    assert set(TOOLS.values()) <= set(listed)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda tool: None if tool == "tcpdump" else "x")
    assert missing() == [
        "the lab needs root",
        "tcpdump is missing: install the Debian package tcpdump",
    ]


def test_an_unknown_system_says_which_there_are() -> None:
    with pytest.raises(LabError, match="bookworm, bullseye"):
        images.image("potato")


def test_starters_know_both_kinds_of_file() -> None:
    assert {name: starter.append for name, starter in STARTERS.items()} == {
        "inetd": True,
        "xinetd": False,
        "standalone": False,
        "socket": False,
    }


def tcp(sequence: int, data: bytes, flags: int = 16, port: int = 1234) -> bytes:
    """An Ethernet frame 192.0.2.1:port -> 192.0.2.2:109, as captured in a pcap record."""
    segment = struct.pack("!HHIIBBHHH", port, 109, sequence, 0, 5 << 4, flags, 0, 0, 0) + data
    packet = struct.pack("!BxHxxxxxBxx4B4B", 0x45, 20 + len(segment), 6, 192, 0, 2, 1, 192, 0, 2, 2)
    frame = bytes(12) + b"\x08\x00" + packet + segment + b"\0\0"  # with Ethernet padding
    return struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame


SYN = 2
FLOW = ("192.0.2.1", 1234, "192.0.2.2", 109)


@pytest.mark.parametrize(
    ("records", "payload"),
    [
        ([tcp(10, b"", SYN), tcp(11, b"HELO "), tcp(16, b"a b")], b"HELO a b"),
        ([tcp(10, b"", SYN), tcp(16, b"a b"), tcp(11, b"HELO ")], b"HELO a b"),
        ([tcp(10, b"", SYN), tcp(11, b"HELO "), tcp(11, b"HELO a"), tcp(17, b" b")], b"HELO a b"),
        ([tcp(2**32 - 3, b"", SYN), tcp(2**32 - 2, b"HELO "), tcp(3, b"a b")], b"HELO a b"),
        ([tcp(10, b"", SYN), tcp(11, b"one"), tcp(90, b"", SYN), tcp(91, b"two")], b"onetwo"),
        ([tcp(50, b"joined "), tcp(57, b"late")], b"joined late"),
        ([tcp(50, b"whole"), tcp(55, b"cut off")[:-5]], b"whole"),
    ],
    ids=["order", "reordered", "retransmitted", "wraps", "reused port", "mid-stream", "cut off"],
)
def test_reassembly(records: list[bytes], payload: bytes) -> None:
    assert streams(bytes(24) + b"".join(records)) == {FLOW: payload}
