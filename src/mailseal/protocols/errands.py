"""What a logged-in client does to show that a mailbox works, and what a stranger may not: relay.

Strategy: each is a part of a careful client (`Task.then`) that goes on where the login ended, and
writes a `Diary`: one line a step, in our words and numbers. Mail is somebody's: nothing is marked,
moved or deleted (POP2 NACK, IMAP EXAMINE and BODY.PEEK), one message is fetched, the last, where it
is not too large, and not an octet of it gets into the diary.
"""

from __future__ import annotations

import re
from typing import Callable, Generator, List, Mapping, Optional

from mailseal.model.look import Outcome
from mailseal.protocols import imap, pop2, pop3, smtp
from mailseal.protocols.base import Answer, Client, Reply, Say, Step, printable
from mailseal.protocols.session import TextSession

LARGEST = 128 * 1024
"""Octets of a message that is fetched."""

RELAY_TO = "mailseal-relay-test@example.net"
"""RFC 2606 section 3: a domain that is nobody's. The sender is empty (RFC 5321 section 6.1), so
nobody's either.
"""

_Talk = Generator[Step, Reply, bool]


class Diary:
    """The steps that were taken. `failed` is set by the first that did not work, `whole` once there
    is no more to do.
    """

    def __init__(self) -> None:
        self.lines: List[str] = []
        self.failed = False
        self.whole = False

    def note(self, what: str, reply: Optional[Reply] = None) -> bool:
        """Writes a step down; whether it worked. Of a reply that is no yes, the words."""
        worked = reply is None or reply.answer is Answer.YES
        if not worked and reply is not None:
            what = "%s: %s" % (what, printable(reply.line))
            self.failed = True
        self.lines.append(what)
        return worked


def _proven(session: TextSession) -> bool:
    return any(event.outcome is Outcome.PROVEN for event in session.logins)


def _pop2(session: TextSession, diary: Diary) -> Client:
    count = session.messages if isinstance(session, pop2.Session) else None
    diary.note("the mailbox was listed: %s messages" % count)
    if not count:
        return
    reply = yield Say(b"READ %d\r\n" % count, "READ")
    found = re.match(rb"=\s?(\d{1,10})", reply.line)
    if found is None:
        diary.note("READ %d" % count, reply._replace(answer=Answer.NO))
    elif int(found.group(1)) > LARGEST:
        diary.note("message %d is too large to be fetched for a test" % count)
    else:
        # RETR is answered by the octets alone, so that what follows is sent with it.
        reply = yield Say(b"RETR\r\nNACK\r\n", "RETR, NACK")
        diary.note("message %d fetched and left as it was" % count, _equals(reply))


def _equals(reply: Reply) -> Reply:
    """POP2 says yes to NACK by a length."""
    return reply if reply.line[:1] == b"=" else reply._replace(answer=Answer.NO)


def _pop3(session: TextSession, diary: Diary) -> Client:
    reply = yield Say(b"LIST\r\n", "LIST")
    sizes = [line.split() for line in reply.before]
    listed = [(int(each[0]), int(each[1])) for each in sizes if _numbers(each)]
    if not diary.note("the mailbox was listed: %d messages" % len(listed), reply) or not listed:
        return
    number, size = listed[-1]
    if size > LARGEST:
        diary.note("message %d is too large to be fetched for a test" % number)
        return
    reply = yield Say(b"RETR %d\r\n" % number, "RETR")
    diary.note("message %d fetched" % number, reply)


def _numbers(words: List[bytes]) -> bool:
    return len(words) == 2 and all(re.fullmatch(rb"\d{1,10}", word) for word in words)


def _imap(session: TextSession, diary: Diary) -> Client:
    reply = yield Say(b'v1 LIST "" "INBOX"\r\n', "LIST")
    if not diary.note("the folders were listed", reply):
        return
    reply = yield Say(b"v2 EXAMINE INBOX\r\n", "EXAMINE")
    count = session.messages if isinstance(session, imap.Session) else None
    if not diary.note("INBOX opened to be read alone: %s messages" % count, reply) or not count:
        return
    reply = yield Say(b"v3 FETCH %d BODY.PEEK[]<0.1024>\r\n" % count, "FETCH")
    diary.note("the beginning of message %d fetched" % count, reply)


def _smtp(sender: str) -> Callable[[TextSession, Diary], Client]:
    def then(session: TextSession, diary: Diary) -> Client:
        words = b"MAIL FROM:<%s>\r\n" % sender.encode("ascii", "replace")
        reply = yield Say(words, "MAIL FROM")
        diary.note("MAIL FROM its address", reply)
        reply = yield Say(b"RSET\r\n", "RSET")
        diary.note("and taken back (RSET)", reply)

    return then


_AFTER: Mapping[str, Callable[[TextSession, Diary], Client]] = {
    pop2.NAME: _pop2,
    pop3.NAME: _pop3,
    imap.NAME: _imap,
}


def after_login(
    protocol: str, user: str, name: str, diary: Diary
) -> Callable[[TextSession], Client]:
    """What an account does once it is logged in. `name` is the server's, for the address of a user
    who has none. ManageSieve: nothing more.
    """
    sender = user if "@" in user else "%s@%s" % (user, name)
    steps = _smtp(sender) if protocol == smtp.NAME else _AFTER.get(protocol)

    def then(session: TextSession) -> Client:
        if _proven(session) and steps is not None:
            yield from steps(session, diary)
        diary.whole = True

    return then


class Relay:
    """Whether mail of a stranger is taken for somewhere else: one MAIL, one RCPT, RSET. Never DATA,
    so that nothing is sent whatever the answers are.
    """

    def __init__(self) -> None:
        self.outcome = Outcome.UNCLEAR
        self.said = "it was not asked"

    def then(self, session: TextSession) -> Client:
        """For `Task.then`."""
        for command in ("MAIL FROM:<>", "RCPT TO:<%s>" % RELAY_TO):
            reply = yield Say(command.encode("ascii") + b"\r\n", command)
            self.said = "%s: %s" % (command, printable(reply.line))
            if reply.answer is not Answer.YES:
                for_good = reply.line[:1] == b"5"
                self.outcome = Outcome.REFUSED if for_good else Outcome.UNCLEAR
                break
        else:
            self.outcome = Outcome.ACCEPTED
        yield Say(b"RSET\r\n", "RSET")
