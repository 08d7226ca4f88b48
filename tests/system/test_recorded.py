"""A recorded machine knows what was recorded and does nothing."""

import pytest

from mailseal.facts.gather import gather
from mailseal.system.base import Completed, Meta
from mailseal.system.memory import MemorySystem
from mailseal.system.recorded import RecordedSystem, Recording

META = Meta(0o600, 0, 0)


@pytest.fixture
def facts():
    system = MemorySystem()
    system.install("openbsd-inetd")
    system.put("/etc/inetd.conf", b"109 stream tcp nowait root /usr/sbin/ipop2d ipop2d\n", 0o640)
    system.manager.boot()
    return gather(system)


def test_it_answers_as_the_host_did(facts):
    recorded = RecordedSystem.from_facts(facts)
    assert recorded.read("/etc/inetd.conf").startswith(b"109 stream")
    found = recorded.stat("/etc/inetd.conf")
    assert found
    assert (found.kind, found.meta.mode) == ("file", 0o640)
    directory = recorded.stat("/etc")
    assert directory
    assert directory.kind == "directory"
    assert "inetd.conf" in recorded.listdir("/etc")
    assert [each.port for each in recorded.listeners()] == [109]
    assert recorded.uid() == 0
    assert recorded.now() > 0


def test_not_known_is_not_absent(facts):
    recorded = RecordedSystem.from_facts(facts)
    with pytest.raises(PermissionError, match="not in the record"):
        recorded.stat("/etc/shadow")
    with pytest.raises(PermissionError, match="not in the record"):
        recorded.read("/etc/shadow")
    known = RecordedSystem(Recording({}, absent=("/etc/x",), unread={"/etc/y": "no root"}))
    assert known.stat("/etc/x") is None
    with pytest.raises(FileNotFoundError):
        known.read("/etc/x")
    with pytest.raises(PermissionError, match="no root"):
        known.read("/etc/y")


def test_programs_say_what_they_said():
    done = Completed(("uname",), 0, b"Linux\n", b"")
    recorded = RecordedSystem(Recording({}, commands={("uname",): done}, users={"a": 7}))
    assert recorded.run(["uname"]) == done
    with pytest.raises(PermissionError, match="run rm"):
        recorded.run(["/bin/rm", "-rf", "/"])
    with pytest.raises(LookupError):
        recorded.ids("a", "a")


CHANGES = {
    "write": lambda system: system.write("/a", b"", META),
    "append": lambda system: system.append("/a", b""),
    "mkdir": lambda system: system.mkdir("/a", META),
    "symlink": lambda system: system.symlink("/a", "/b"),
    "remove": lambda system: system.remove("/a"),
    "lock": lambda system: system.lock("/a"),
    "sleep": lambda system: system.sleep(1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_refused(facts, name):
    with pytest.raises(PermissionError, match="on the host itself"):
        CHANGES[name](RecordedSystem.from_facts(facts))
