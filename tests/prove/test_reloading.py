"""A reload, by the service manager's word and by stunnel's own."""

import pytest

from mailseal.prove.reloading import reload
from mailseal.system.base import Completed
from mailseal.system.memory import Bind, MemorySystem

UNIT = "mailseal@109.service"
SERVICE = b"[Service]\nExecStart=/usr/sbin/ipop2d\nExecReload=/bin/kill -HUP $MAINPID\n"
TAKEN = "2026.11.21 19:45:53 LOG5[ui]: Configuration successful"
REFUSED = """\
2026.11.21 19:45:53 LOG5[ui]: Reading configuration from file /etc/mailseal/109.conf
2026.11.21 19:45:53 LOG3[7]: SSL_accept: unexpected eof while reading
2026.11.21 19:45:53 LOG3[ui]: No trusted certificates found
2026.11.21 19:45:53 LOG3[ui]: /etc/mailseal/109.conf:28: "non\x1bsense = 1": Specified option name \
is not valid here
2026.11.21 19:45:53 LOG3[ui]: Configuration failed
2026.11.21 19:45:53 LOG3[ui]: Failed to reload the configuration file
"""


def host(name: str, *later: str) -> tuple[MemorySystem, list[tuple[str, ...]]]:
    """A host whose journal says these, look by look, since before the reload."""
    system = MemorySystem()
    system.put("/etc/systemd/system/" + name, SERVICE)
    system.put("/usr/sbin/ipop2d", b"", 0o755)
    system.listens[name] = (Bind("192.0.2.10", 109),)
    system.manager.reload_files()
    system.manager.boot()
    system.run(["systemctl", "start", name])
    asked: list[tuple[str, ...]] = []
    answers = iter(later)

    def journalctl(argv: tuple[str, ...], data: bytes) -> Completed:
        asked.append(tuple(argv))
        if "--show-cursor" in argv:
            return Completed(argv, 0, b"started\n-- cursor: s=1;i=2\n", b"")
        assert "--after-cursor=s=1;i=2" in argv
        return Completed(argv, 0, next(answers, "").encode(), b"")

    system.programs["journalctl"] = journalctl
    return system, asked


def test_a_configuration_that_stunnel_refuses_is_told_in_its_words():
    system, _ = host(UNIT, "", REFUSED)
    said = reload(system, UNIT)
    assert said.startswith('stunnel: /etc/mailseal/109.conf:28: "non?sense = 1": Specified option')
    assert said.endswith("Failed to reload the configuration file")
    assert "SSL_accept" not in said


@pytest.mark.parametrize("later", [(TAKEN,), ("", "", TAKEN), ()])
def test_one_that_it_takes_or_says_nothing_of_is_well(later: tuple[str, ...]):
    system, asked = host(UNIT, *later)
    assert reload(system, UNIT) == ""
    assert len(asked) == 1 + (len(later) or 20)


def test_without_a_journal_the_service_manager_is_believed():
    system, _ = host(UNIT)
    del system.programs["journalctl"]
    assert reload(system, UNIT) == ""


def test_of_others_the_journal_is_not_read():
    system, asked = host("exim4.service")
    assert reload(system, "exim4.service") == ""
    system.run(["systemctl", "stop", "exim4.service"])
    assert "systemctl reload" in reload(system, "exim4.service")
    assert asked == []
