"""What real daemons answered, and what is understood of it.

Strategy: the files were written down on booted hosts (their first line says which daemon and
version, in which setting, asked from where). Each is read as an observer reads a capture, cleartext
and TLS apart. What a setting permits must be seen, what it refuses must never be called taken: that
is the verdict, and `lab/daemons.py` with real logins says that the settings hold.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailseal.assess import assess
from mailseal.model.finding import Verdict
from mailseal.model.look import Channel, Endpoint, Observation, Reach, Vantage
from mailseal.protocols.base import Side
from mailseal.protocols.conversation import DIALOGUES
from mailseal.protocols.session import TextSession

FOLDER = Path(__file__).parent / "recorded"
FILES = sorted(FOLDER.glob("*/*.txt"))
TAKES = re.compile(r"-permitted|postfix-outside|dovecot.*-self|-outside-trusted")
"""Cleartext logins work: Postfix only hides them from strangers, Dovecot trusts itself."""


def connections(path: Path) -> Iterator[tuple[str, list[tuple[Side, bytes]]]]:
    """What each part of a file is called, and its lines."""
    title, lines = "", list[tuple[Side, bytes]]()
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# -- "):
            if lines:
                yield title, lines
            title, lines = line[5:], []
        elif line[:3] in ("C: ", "S: "):
            lines.append((Side(line[0]), line[3:].encode() + b"\r\n"))
    if lines:
        yield title, lines


def read(protocol: str, lines: list[tuple[Side, bytes]], inside: bool) -> TextSession:
    session = DIALOGUES[protocol].session(inside)
    for side, data in lines:
        session.feed(side, data)
    return session


def verdict(protocol: str, sessions: list[TextSession]) -> Verdict:
    attempts = [event.attempt(Channel.CLEAR) for each in sessions for event in each.logins]
    seen = Observation(
        Endpoint("192.0.2.1", 109), Vantage.REMOTE, "", "", Reach.OPEN, protocol,
        sessions[0].banner, None, tuple(attempts), (), "", (),
    )  # fmt: skip
    return assess([seen]).verdict


def test_there_are_recordings_of_every_protocol_but_pop2():
    assert {path.parent.name for path in FILES} == DIALOGUES.keys() - {"pop2"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_daemon_is_read_as_it_is_set(path: Path):
    protocol = path.parent.name
    clear = [
        read(protocol, lines, False)
        for title, lines in connections(path)
        if title.endswith(", in cleartext")
    ]
    assert clear
    if TAKES.search(path.stem):
        assert verdict(protocol, clear) is Verdict.EXPOSED
    else:
        assert verdict(protocol, clear) in (Verdict.REFUSED, Verdict.INCONCLUSIVE)
