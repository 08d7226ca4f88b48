"""What becomes of a daemon behind a wrap."""

from dataclasses import replace

import pytest

from mailseal.daemons.behind import PATHS, Behind, behind
from mailseal.facts.gather import gather
from mailseal.model.host import FileFact, HostFacts, Server
from mailseal.system.memory import MemorySystem

BARE = gather(MemorySystem())


def courier(data: bytes | None, path: str = "/etc/courier/pop3d") -> HostFacts:
    return replace(BARE, files=(FileFact(path, "file", 0o644, 0, 0, "x", data),))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"MAXDAEMONS=40\nMAXPERIP=4\n", "set MAXPERIP=40 as MAXDAEMONS is"),
        (b"", "takes 4 connections"),
        (b"MAXPERIP=40\n MAXPERIP='9'\n#MAXPERIP=40\n", "takes 9 connections"),
        (b"MAXPERIP=40\nMAXDAEMONS=41\n", "set MAXPERIP=41"),
        (None, "takes 4 connections"),
    ],
)
def test_couriers_limit_for_one_address_must_be_that_for_all(data: bytes | None, says: str):
    assert says in behind(courier(data), "/usr/sbin/couriertcpd", "pop3").refused


@pytest.mark.parametrize("path", PATHS["courier"][:2])
def test_a_courier_whose_limits_are_the_same_may_stand_there(path: str):
    found = behind(courier(b"MAXPERIP=40\n", path), "/usr/sbin/couriertcpd", "pop3")
    assert found.refused == found.enforce_refused == ""
    assert "counts the whole site as one" in found.told[0]


def test_a_limit_that_cannot_be_read_is_no_high_one():
    assert "could not be read" in behind(BARE, "/usr/sbin/couriertcpd", "imap").refused
    assert "could not be read" in behind(BARE, "/usr/sbin/couriertcpd", "managesieve").refused


@pytest.mark.parametrize(
    ("executable", "says"),
    [
        ("/usr/sbin/dovecot", "takes a client of its own host for safe"),
        ("/usr/lib/cyrus/bin/master", "serves all its protocols as one unit"),
    ],
)
def test_daemons_that_enforce_tls_better_themselves(executable: str, says: str):
    found = behind(BARE, executable, "imap")
    assert says in found.enforce_refused
    assert "--strategy native" in found.enforce_refused
    assert found.refused == ""
    assert found.told


def test_popa3d_serves_a_session_on_its_standard_input():
    found = behind(BARE, "/usr/sbin/popa3d", "pop3")
    assert found.session == Server("/usr/sbin/popa3d", ("popa3d",), "root", "")


def test_of_an_unknown_daemon_nothing_is_known():
    assert behind(BARE, "/opt/x", "pop3") == Behind()
