"""What a daemon's log says of logins: the record `Dialect`.

Strategy: a dialect is data, and one reader (`mailseal.logs`) reads them all. `anchors` are literals
for a search over whole blocks: every line that counts has one, few others do. What a line says is
decided by the program that wrote it and by patterns that begin with the message's first octet:
clients choose parts of what a daemon writes, and must not be able to write lines of their own.

Patterns name by groups what may be taken over, and nothing else of a line gets anywhere: `user`,
`client` (an address), `name` (the client's name, where there is no address), `local` and `port`
(the server's), `mechanism`, `service`, `session` (joins lines, with the process id), `tls` (there:
inside TLS), `told` (there: the line would say so), `reason`, `good` and `tried` (how many logins of
a session worked, of how many).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import NamedTuple, Optional, Pattern, Tuple

from mailseal.model.login import LoginOutcome
from mailseal.model.look import Channel

COMMAND = "*"
"""As a mechanism: the protocol's own command (USER, LOGIN, HELO)."""


class Says(enum.Enum):
    """What a line tells."""

    LOGIN = "login"
    """Somebody logged in, or tried to."""
    BEGINS = "begins"
    """A session begins: what was known of the process is past."""
    TLS = "tls"
    """The session is inside TLS from here."""
    FAILURE = "failure"
    """TLS was begun, and did not come about."""
    REASON = "reason"
    """Why the failure that the same session told before came about."""
    ENDS = "ends"
    """A session ends."""


class Line(NamedTuple):
    """One kind of line. `channel` is what it tells by itself: TLS where the group `tls` is there,
    else this. UNKNOWN leaves it to other lines of the session. `mechanism` where no group has it.
    """

    says: Says
    pattern: Pattern[bytes]
    outcome: LoginOutcome = LoginOutcome.ACCEPTED
    channel: Channel = Channel.UNKNOWN
    mechanism: str = ""


class Service(NamedTuple):
    """What a service's or program's name tells: where `pattern` is found in it, its protocol, its
    usual port, and whether TLS begins with the first octet.
    """

    pattern: Pattern[bytes]
    protocol: str
    port: int
    implicit: bool = False


@dataclass(frozen=True)
class Dialect:
    """`programs` is matched against the whole name that a line gives as its writer's. `services`
    are looked for in the group `service`, or else in that name; the first counts.

    `settles`: a session's end tells whether it was inside TLS, so logins wait for it; of programs
    that are not `plain` that needs a log where TLS was seen to be told. `default` is the channel of
    what no line tells, because TLS would have been told. `reuses`: a process serves one session
    after the other, with no line between. `front`: it ends TLS for other daemons, to which its
    clients seem to come from the host itself. `cannot` says what this log cannot show; it stands
    beside each login whose channel is not known.
    """

    anchors: Tuple[bytes, ...]
    programs: Pattern[bytes]
    services: Tuple[Service, ...]
    lines: Tuple[Line, ...]
    settles: bool = False
    plain: Pattern[bytes] = re.compile(b"")
    reuses: bool = False
    default: Channel = Channel.UNKNOWN
    front: bool = False
    cannot: str = ""

    def service(self, name: bytes) -> Optional[Service]:
        """What a name tells."""
        return next((each for each in self.services if each.pattern.search(name)), None)


def octets(pattern: bytes) -> Pattern[bytes]:
    """A pattern over a message; blanks in it are for the reader, `\\ ` is a blank."""
    return re.compile(pattern, re.VERBOSE | re.DOTALL)


def services(*names: bytes) -> Tuple[Service, ...]:
    """The usual services of these protocols."""
    return tuple(each for each in _USUAL if each.protocol.encode() in names)


_USUAL = (
    Service(re.compile(rb"(?i)imaps|imapd?-ssl"), "imap", 993, True),
    Service(re.compile(rb"(?i)imap"), "imap", 143),
    Service(re.compile(rb"(?i)pop2"), "pop2", 109),
    Service(re.compile(rb"(?i)pop3s|pop3d?-ssl|spop"), "pop3", 995, True),
    Service(re.compile(rb"(?i)pop"), "pop3", 110),
    Service(re.compile(rb"(?i)sieve"), "managesieve", 4190),
    Service(re.compile(rb"(?i)submissions|smtps|ssmtp"), "smtp", 465, True),
    Service(re.compile(rb"(?i)submission"), "smtp", 587),
    Service(re.compile(rb"(?i)smtp"), "smtp", 25),
)
