"""The digest is the same where nothing changed, and another where anything did."""

import dataclasses
from collections.abc import Callable

import pytest

from mailseal.facts.gather import gather
from mailseal.facts.scope import digest
from mailseal.model.plan import Scope
from mailseal.system.base import Meta
from mailseal.system.memory import Bind, MemorySystem

Change = Callable[[MemorySystem], object]
SCOPE = Scope(paths=("/etc/inetd.conf", "/etc/mailseal", "/etc/xinetd.d/pop2"), ports=(109,))
INETD = b"109 stream tcp nowait root /usr/sbin/ipop2d ipop2d\n"


def host() -> MemorySystem:
    system = MemorySystem()
    system.install("openbsd-inetd")
    system.put("/etc/inetd.conf", INETD)
    system.put("/usr/sbin/other", b"", 0o755)
    system.put("/etc/systemd/system/other.service", b"[Service]\nExecStart=/usr/sbin/other\n")
    system.manager.boot()
    return system


def of(system: MemorySystem) -> str:
    return digest(gather(system, SCOPE.ports, SCOPE.paths), SCOPE)


def listen(system: MemorySystem, port: int) -> None:
    system.listens["other.service"] = (Bind("192.0.2.10", port),)
    system.run(["systemctl", "stop", "inetd.service"])
    system.run(["systemctl", "start", "other.service"])


IRRELEVANT: dict[str, Change] = {
    "nothing": lambda system: None,
    "another start": lambda system: system.run(["systemctl", "restart", "inetd.service"]),
    "another time": lambda system: system.write("/etc/inetd.conf", INETD, Meta(0o644, 0, 0)),
    "another file": lambda system: system.put("/etc/hosts.deny", b"ALL: ALL\n"),
    "another package": lambda system: system.install("xinetd"),
    "a reboot": lambda system: system.reboot(),
}
RELEVANT: dict[str, Change] = {
    "bytes": lambda system: system.write("/etc/inetd.conf", INETD + b"#\n", Meta(0o644, 0, 0)),
    "mode": lambda system: system.write("/etc/inetd.conf", INETD, Meta(0o600, 0, 0)),
    "owner": lambda system: system.write("/etc/inetd.conf", INETD, Meta(0o644, 8, 0)),
    "gone": lambda system: system.remove("/etc/inetd.conf"),
    "there": lambda system: system.put("/etc/xinetd.d/pop2", b""),
    "stopped": lambda system: system.run(["systemctl", "stop", "inetd.service"]),
    "another daemon": lambda system: listen(system, 109),
    "machine": lambda system: system.put("/etc/machine-id", b"f" * 32 + b"\n"),
    "tools": lambda system: system.install("stunnel4"),
}


@pytest.mark.parametrize("name", IRRELEVANT)
def test_the_same(name):
    system = host()
    before = of(system)
    system.clock += 1000
    IRRELEVANT[name](system)
    assert of(system) == before


@pytest.mark.parametrize("name", RELEVANT)
def test_another(name):
    system = host()
    before = of(system)
    RELEVANT[name](system)
    assert of(system) != before


def test_what_could_not_be_read_is_not_what_was_not_there():
    facts = gather(host(), SCOPE.ports, SCOPE.paths)
    unread = dataclasses.replace(facts, unread={"/etc/xinetd.d/pop2": "permission denied"})
    assert digest(unread, SCOPE) != digest(facts, SCOPE)
