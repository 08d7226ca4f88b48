"""Which init script started a daemon: told by the program that it names, and by nothing less."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.facts.scripts import Scripts
from mailseal.model.host import Listener
from mailseal.system.base import Meta
from mailseal.system.memory import MemorySystem
from mailseal.system.memory.files import Node
from mailseal.system.reader import Reader

SKELETON = b'#!/bin/sh\n### BEGIN INIT INFO\nNAME=popd\nDAEMON=/usr/sbin/popd\nDAEMON_ARGS="-x"\n'


def at(executable: str, pid: int = 40) -> Listener:
    return Listener("0.0.0.0", 110, pid, "popd", executable, "")


def unit(listener: Listener, system: MemorySystem | None = None, **scripts: bytes) -> str:
    system = system or MemorySystem()
    for name, text in scripts.items():
        system.put("/etc/init.d/" + name, text, 0o755)
    return Scripts(system, Reader(system), tuple(scripts)).unit(listener)


@pytest.mark.parametrize(
    "script",
    [
        SKELETON,
        b'DAEMON="/usr/sbin/popd"\n',
        b"\texport POPD_DAEMON='/usr/sbin/popd'\n",
        b'#!/sbin/openrc-run\ncommand="/usr/sbin/popd"\ncommand_args="-D"\n',
        b'exec="/usr/sbin/popd"\n',
        b": ${DAEMON:=/usr/sbin/popd}\n",
        b"DAEMON=/sbin/popd # merged\n",
    ],
)
def test_scripts_name_the_program_in_a_variable(script: bytes):
    assert unit(at("/usr/sbin/popd"), popd=script, other=b"DAEMON=/usr/sbin/other\n") == (
        "popd.service"
    )


@pytest.mark.parametrize(
    "script",
    [
        b"#!/usr/sbin/popd\n",
        b"# DAEMON=/usr/sbin/popd\n",
        b"DAEMON=/usr/sbin/popd2\n",
        b"PIDFILE=/usr/sbin/popd\n",
        b"",
    ],
)
def test_what_does_not_start_it(script: bytes):
    assert unit(at("/usr/sbin/popd"), popd=script) == ""


def test_what_two_name_is_nobodys():
    assert unit(at("/usr/sbin/popd"), popd=SKELETON, another=SKELETON) == ""


def process(system: MemorySystem, pid: int, parent: int, executable: str, *words: str) -> None:
    system.put("/proc/%d/stat" % pid, b"%d (a) b) (c) S %d 1 1" % (pid, parent))
    system.put("/proc/%d/cmdline" % pid, "\0".join(words).encode())
    link = Node("link", Meta(0o777, 0, 0), target=executable)
    system.place("/proc/%d/exe" % pid, link)


def test_a_child_is_its_parents():
    system = MemorySystem()
    process(system, 40, 30, "/usr/libexec/popd-login", "popd-login: waiting")
    process(system, 30, 1, "/usr/sbin/popd", "popd")
    assert unit(at("/usr/libexec/popd-login"), system, popd=SKELETON) == "popd.service"


def test_one_in_a_script_language_is_known_by_its_words():
    system = MemorySystem()
    process(system, 40, 1, "/usr/bin/python3.11", "/usr/bin/python3", "/usr/sbin/popd", "--daemon")
    scripts = {"popd": SKELETON, "other": b"DAEMON=/usr/bin/python3.11\n"}
    assert unit(at("/usr/bin/python3.11"), system, **scripts) == "popd.service"


def test_what_init_itself_started_is_of_no_script():
    system = MemorySystem()
    process(system, 40, 1, "/usr/local/sbin/popd", "popd")
    process(system, 1, 0, "/usr/sbin/init", "init")
    assert unit(at("/usr/local/sbin/popd"), system, init=b"DAEMON=/usr/sbin/init\n") == ""


def test_a_daemon_that_another_program_starts_is_known_by_its_record():
    where = at("/usr/lib/postfix/sbin/master")
    assert unit(where, postfix=b"DAEMON=/usr/sbin/postfix\n") == "postfix.service"


def test_processes_that_are_their_own_parents_end_the_search():
    system = MemorySystem()
    process(system, 40, 40, "/usr/sbin/x", "x")
    assert unit(at("/usr/sbin/x"), system, popd=SKELETON) == ""


@given(st.binary(max_size=300), st.binary(max_size=80), st.binary(max_size=80))
def test_no_text_breaks_it(script: bytes, stat: bytes, words: bytes):
    system = MemorySystem()
    system.put("/proc/40/stat", stat)
    system.put("/proc/40/cmdline", words)
    assert isinstance(unit(at("/usr/sbin/popd"), system, popd=script), str)
