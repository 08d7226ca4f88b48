"""systemctl, worded and read."""

import pytest

from mailseal.model.host import UnitFact
from mailseal.system import units
from mailseal.system.memory import MemorySystem
from mailseal.system.recorded import RecordedSystem, Recording

SERVICE = b"[Service]\nExecStart=/usr/sbin/pop2d\n[Install]\nWantedBy=multi-user.target\n"


def test_the_state_of_a_unit():
    system = MemorySystem()
    system.put("/etc/systemd/system/pop2.service", SERVICE)
    system.put("/usr/sbin/pop2d", b"", 0o755)
    name = "pop2.service"
    assert units.state(system, name) == UnitFact(name, "not-found", "inactive", "")
    assert units.act(system, "", "daemon-reload").ok
    assert units.state(system, name) == UnitFact(name, "loaded", "inactive", "disabled")
    assert units.act(system, name, "start").ok
    assert units.state(system, name) == UnitFact(name, "loaded", "active", "disabled")
    assert units.act(system, name, "stop").ok
    assert not units.act(system, name, "reload").ok
    assert units.state(system, name).active == "inactive"


def test_no_other_words():
    with pytest.raises(ValueError, match="mask"):
        units.act(MemorySystem(), "pop2.service", "mask")


def test_no_answer_is_no_guess():
    system = MemorySystem()
    del system.programs["systemctl"]
    assert units.state(system, "a.service") == UnitFact("a.service", "", "", "")


def test_which_init_runs():
    assert units.is_systemd(MemorySystem())
    assert not units.is_systemd(RecordedSystem(Recording({}, absent=("/run/systemd/system",))))
