"""What programs are told to do, and dialogues typed by hand: without a host."""

import io
import sys
from dataclasses import replace

import pytest

from lab import LabError, errands
from lab.clients import PROGRAMS, Task, quoted, typed
from lab.peers import PEERS, counted
from lab.sessions import KITS, WAYS, Way, services

SECRET = 'open "sesame'
TASK = Task(
    program="typed",
    protocol="pop3",
    mechanism="USER",
    how="clear",
    address="192.0.2.10",
    port=110,
    user="alice",
    password=SECRET,
    outcome="accepted",
    certificate="-----BEGIN CERTIFICATE-----\n",
)


@pytest.mark.parametrize("how", ["clear", "upgrade", "implicit"])
def test_every_way_of_every_program_can_be_asked_for(how: str):
    for protocol, ways in WAYS.items():
        for way in ways:
            task = replace(TASK, program=way.program, protocol=protocol, how=how)
            task = replace(task, mechanism=way.mechanism, form=way.form)
            if protocol == "pop2" and how != "clear":
                continue
            errand = PROGRAMS[way.program](task)
            assert errand.argv or errand.address
            # swaks has no other way; it is a host of the lab that sees it.
            assert way.program == "swaks" or not any(SECRET in word for word in errand.argv)


def test_a_form_that_nobody_knows_is_an_error_of_the_lab():
    with pytest.raises(LabError, match="typed has no USER in the form 'odd'"):
        typed(replace(TASK, form="odd"))


def test_every_daemon_is_logged_in_to_in_every_protocol_it_speaks():
    for name, kit in KITS.items():
        for service in services(name):
            ways = [way for way in WAYS[service.protocol] if kit.has(service.protocol, way)]
            assert ways, (name, service)


def test_a_program_uses_a_command_where_nothing_else_is_offered():
    assert not KITS["dovecot-2.3"].has("pop3", Way("curl", "USER"))
    assert KITS["courier"].has("pop3", Way("curl", "USER"))
    assert KITS["courier"].has("pop3", Way("typed", "PLAIN"))
    assert not KITS["courier"].has("pop3", Way("curl", "PLAIN"))


def talk(task: Task, *said: str) -> tuple[int, str, str]:
    """Status and transcript of the dialogue with a server that says this, and all that was sent."""
    sent = io.BytesIO()
    heard = io.BytesIO("".join(line + "\r\n" for line in said).encode())
    status, transcript = errands.dialogue(list(typed(task).lines), heard, sent.write)
    return status, transcript, sent.getvalue().decode()


def test_each_line_is_typed_when_its_turn_has_come():
    status, transcript, sent = talk(TASK, "+OK hello", "+OK who", "+OK in")
    assert status == 0
    assert sent == f"USER alice\r\nPASS {SECRET}\r\nQUIT\r\n"
    assert transcript.startswith("S: +OK hello\r\nC: USER alice\nS: +OK who")


def test_after_a_no_nothing_but_the_farewell_is_typed():
    assert talk(TASK, "+OK hello", "-ERR no")[::2] == (1, "USER alice\r\nQUIT\r\n")
    status, _, sent = talk(TASK, "+OK hello", "+OK who", "-ERR wrong")
    assert (status, sent.endswith("QUIT\r\n")) == (1, True)


def test_a_server_that_closes_has_said_neither_yes_nor_no():
    assert talk(TASK, "+OK hello")[0] == 2


def test_untagged_lines_are_no_answers():
    task = replace(TASK, protocol="imap", mechanism="LOGIN command", form="literal")
    said = ("* OK hello", "+ go on", "+ go on", "* CAPABILITY IMAP4rev1", "a OK in")
    status, _, sent = talk(task, *said)
    assert status == 0
    assert sent == "a LOGIN {5}\r\nalice {12}\r\n%s\r\nz LOGOUT\r\n" % SECRET


def test_quotes_are_escaped():
    assert quoted('open "sesame\\') == '"open \\"sesame\\\\"'


def test_errands_are_run_in_folders_of_their_own():
    where = {"lines": [], "address": "", "port": 0, "terminal": False}
    script = "import pathlib, sys; print(pathlib.Path('word').read_text() + sys.stdin.read())"
    errand = {**where, "argv": [sys.executable, "-c", script], "files": {"word": "in "}}
    assert errands.run({**errand, "input": "deed"}) == (0, "in deed\n")


def test_a_program_that_wants_a_screen_has_one():
    where = {"lines": [], "address": "", "port": 0, "files": {}, "input": ""}
    script = "import os; print(os.isatty(0), os.isatty(1))"
    errand = {**where, "argv": [sys.executable, "-c", script], "terminal": True}
    assert errands.run(errand) == (0, "True True\r\n")


TSHARK = """\
===================================================================
Packet     Protocol         Username         Info            
------     --------         --------         --------
38         IMAP             "alice"                          
253        POP3             alice            Username in packet 250
1424       SMTP             (null)           Username in packet 0
"""  # noqa: W291
DSNIFF = """\
(3) USER alice
-----------------
11/21/26 09:27:29 tcp 192.0.2.11.40322 -> 192.0.2.10.110 (pop3)

username [alice] password [x]

(0) QUIT
-----------------
11/21/26 09:28:09 tcp 192.0.2.12.59736 -> 192.0.2.10.25 (smtp)
AUTH LOGIN YWxpY2U= [alice]
"""


def test_the_lists_of_peers_are_counted_by_protocol():
    assert counted(TSHARK, PEERS["tshark"][1]) == {"imap": 1, "pop3": 1, "smtp": 1}
    assert counted(DSNIFF, PEERS["dsniff"][1]) == {"pop3": 1, "smtp": 1}
