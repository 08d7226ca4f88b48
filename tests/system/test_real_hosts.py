"""The same code on booted Debian hosts, with their own systemd, apt and Python.

Strategy: one script a question, run on the host by the host's Python from this tree; what it
prints is the answer. So the agent floor is tried on Debian 11's Python 3.9 too.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mailseal
from lab import Host, Lab, missing

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(missing()), reason="; ".join(missing())),
]
SRC = Path(mailseal.__file__).parents[1]
THERE = "/srv/mailseal"

FACTS = """
import json
from mailseal.facts.gather import gather
from mailseal.model import codec
from mailseal.system.live import LiveSystem
print(json.dumps(codec.encode(gather(LiveSystem()))))
"""
INSTALL = """
import json, os
from mailseal.system import packages, units
from mailseal.system.live import LiveSystem
system = LiveSystem()
result = packages.install(system, "stunnel4")
print(json.dumps({
    "code": result.done.code, "said": result.done.words(), "enabled": result.enabled,
    "version": packages.installed(system, "stunnel4"),
    "active": [units.state(system, unit).active for unit in ("stunnel4.service", *result.enabled)],
    "still": [units.state(system, unit).enabled for unit in result.enabled],
    "guard": os.path.exists(packages.GUARD) or os.path.exists(packages.KEPT),
}))
"""
LOOK = """
import json, socket, subprocess, sys
from mailseal.system.live import LiveSystem
from mailseal.system.netns import ThrowawayNamespace
system = LiveSystem()
greetings = []
code = "import socket, sys; s = socket.create_connection((sys.argv[1], 109), 5); print(s.recv(6))"
with ThrowawayNamespace(system) as there:
    for address in sys.argv[1:]:
        done = system.run([*there.exec_prefix, sys.executable, "-c", code, address])
        greetings.append(done.out.decode() or done.err.decode())
    gaps = there.gaps
left = [*system.listdir("/run/netns"), *(name for _, name in socket.if_nameindex())]
print(json.dumps({"greetings": greetings, "gaps": gaps, "left": left}))
"""


@pytest.fixture(params=["bookworm", "bullseye"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    with Lab() as lab:
        name = request.param
        yield lab.host("mailhost", system=name, network=lab.network(), binds={SRC: THERE})


def ask(host: Host, script: str, *arguments: str, user: str | None = None) -> Any:
    argv = ["env", f"PYTHONPATH={THERE}", "python3", "-B", "-c", script, *arguments]
    try:
        done = host.run(argv, user=user, timeout=120)
    except subprocess.CalledProcessError as error:
        pytest.fail(error.stderr.decode() + error.stdout.decode())
    return json.loads(done.stdout)


# Debian 11 starts xinetd from a SysV script, for which systemd generates a unit.
SERVED = {
    "bookworm": ("inetd", "inetd.service", "enabled", "/lib/systemd/system"),
    "bullseye": ("xinetd", "xinetd.service", "generated", "/run/systemd/generator.late"),
}


def test_facts_listeners_and_the_look_from_a_namespace(
    host: Host, request: pytest.FixtureRequest
) -> None:
    starter, unit, enabled, directory = SERVED[request.node.callspec.params["host"]]
    host.install_pop2d(starter)
    facts = ask(host, FACTS)
    assert (facts["host"], facts["init"], facts["privileged"]) == ("mailhost", "systemd", True)
    assert facts["unread"] == {}
    ours = [each for each in facts["listeners"] if each["port"] == 109]
    assert {(each["process"], each["unit"]) for each in ours} == {(starter, unit)}
    assert all(each["executable"] == f"/usr/sbin/{starter}" for each in ours)
    # As ss sees it: a socket of both families is written with a star.
    seen = sorted(address for kind, address, port, _ in host.listeners() if port == 109)
    assert sorted("*" if each["dual"] else each["address"] for each in ours) == seen
    state = {"name": unit, "load": "loaded", "active": "active", "enabled": enabled}
    assert state in facts["units"]
    assert f"{directory}/{unit}" in {fact["path"] for fact in facts["files"]}
    assert facts["packages"]["stunnel4"] == ""
    assert set(facts["tools"]) >= {"openssl", "systemctl", "python3"}
    assert host.ipv4 in {each["address"] for each in facts["addresses"]}

    less = ask(host, FACTS, user="nobody")
    assert not less["privileged"]
    assert any("run as root" in reason for reason in less["unread"].values())

    look = ask(host, LOOK, host.ipv4, host.ipv6)
    assert look["greetings"] == ["b'+ POP2'\n"] * 2
    assert look["gaps"] == []
    assert set(look["left"]) <= {"lo", "eth0"}


def test_stunnel_comes_without_starting(host: Host) -> None:
    done = ask(host, INSTALL)
    assert done["code"] == 0, done["said"]
    assert done["version"]
    assert set(done["active"]) <= {"inactive", ""}
    assert "enabled" not in done["still"]
    assert not done["guard"]
    host.reboot()
    assert host.run(["pgrep", "-x", "stunnel4"], check=False).returncode == 1


# One change each, the last thing that happens before the power fails; and what is to be found.
TOP = "/var/lib/kept"
CHANGES = (
    ("system.mkdir(top, Meta(0o750, 0, 8))", "found.kind, found.meta.mode", "", ["directory", 488]),
    ("system.write(top + '/a', b'old', Meta(0o600, 0, 0))", "read('/a')", "/a", "old"),
    ("system.write(top + '/a', b'new', Meta(0o640, 0, 8))", "read('/a')", "/a", "new"),
    ("system.append(top + '/b', b'one ')", "read('/b')", "/b", "one "),
    ("system.append(top + '/b', b'two')", "read('/b')", "/b", "one two"),
    ("system.symlink(top + '/l', 'a')", "found.target", "/l", "a"),
    ("system.remove(top + '/a')", "found", "/a", None),
)
ACT = """
import sys
from mailseal.system.base import Meta
from mailseal.system.live import LiveSystem
system, top = LiveSystem(), sys.argv[1]
exec(sys.argv[2])
print("true")
"""
FIND = """
import json, sys
from mailseal.system.live import LiveSystem
system, top = LiveSystem(), sys.argv[1]
found = system.stat(top + sys.argv[3])
def read(name): return system.read(top + name).decode()
print(json.dumps(eval(sys.argv[2])))
"""


def test_what_was_done_is_done_when_the_power_fails() -> None:
    with Lab() as lab:
        network = lab.network()
        host = lab.host("mailhost", "bookworm", network, durable=True, binds={SRC: THERE})
        for change, question, name, answer in CHANGES:
            ask(host, ACT, TOP, change)
            host.kill_power()
            host.boot()
            assert ask(host, FIND, TOP, question, name) == answer, change
