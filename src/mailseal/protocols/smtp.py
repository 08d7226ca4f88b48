"""SMTP and message submission (RFC 5321, RFC 6409), ports 25/tcp, 587/tcp and 465/tcp (TLS from the
start).

The server speaks first. A reply is one line of a code and a text, or several, all but the last with
a hyphen behind the code. EHLO lists what there is; AUTH (RFC 4954) is the only way to log in, with
SASL mechanisms; STARTTLS (RFC 3207) begins TLS, after which EHLO is said again. A server without
AUTH takes no logins at all: that is what a plain MX does.

    command (argument)         answer                      prompts (334)
    EHLO, HELO, LHLO (name)    250 and a list              no
    AUTH (mechanism [text])    235, 4xx, 5xx               yes
    STARTTLS                   220, TLS begins             no
    DATA                       354, then mail up to "."    no
    BDAT (octets [LAST])       250 (RFC 3030)              no
    others                     one reply                   no

    code                 means
    2xx                  yes
    334                  more, please
    421                  goodbye
    other 4xx            not now
    500 502 503 504      not known, not now, not in this form
    530 534 538          policy: TLS first, too weak, encryption required
    other 5xx            no

Postfix can leave AUTH out of the list and still take it (smtpd_sasl_exceptions_networks), so
`AUTH PLAIN` without its text is asked whatever the list says.
"""

from __future__ import annotations

import re

from mailseal.model.look import Outcome
from mailseal.protocols import sasl
from mailseal.protocols.base import HEAR, Answer, Client, Reply, Say, Side, Task, printable
from mailseal.protocols.session import Asked, TextSession, exchange_of

NAME = "smtp"
PORT = 25
MECHANISMS = sasl.PROBED
HARMLESS = b"NOOP\r\n"

EHLO_NAME = b"mailseal.invalid"
"""RFC 5321 section 4.1.4 wants a name or address; nobody else's is borrowed (RFC 2606)."""

HELLO = frozenset((b"EHLO", b"HELO", b"LHLO"))
_HOST = re.compile(rb"\[?[A-Za-z0-9.:_-]{1,255}\]?\Z")
"""What a client may call itself: a name, or an address in brackets."""
_REPLY = re.compile(rb"([2-5]\d\d)(-?)")


class Session(TextSession):
    """Both sides of an SMTP connection."""

    STARTTLS = b"STARTTLS"

    __slots__ = ("_greeted_back", "_mail")

    def __init__(self, inside: bool = False) -> None:
        super().__init__(inside)
        self._mail = False
        self._greeted_back = True

    def _command(self, line: bytes) -> None:
        if self._mail:
            # Somebody's message. It is over at the dot, and answered then.
            if line == b".":
                self._mail = False
                self._ask(Asked(b""))
            return
        verb, _, argument = line.partition(b" ")
        verb, argument = verb.upper(), argument.strip(b" ")
        if verb == b"AUTH" and argument:
            self._ask(exchange_of(verb, argument))
        elif verb == b"BDAT":
            size = argument.split(b" ", 1)[0]
            if re.fullmatch(rb"\d{1,10}", size):
                self._client.skip = int(size)
            self._ask(Asked(b""))
        else:
            # What is not in the table gets an answer too, but leaves nothing of itself here.
            known = verb in HELLO or verb in (b"STARTTLS", b"DATA")
            if verb in HELLO and _HOST.match(argument):
                self.software = ("%s %s" % (verb.decode("ascii"), argument.decode("ascii")),)
            self._ask(Asked(verb if known else b""))

    def _line(self, line: bytes) -> None:
        found = _REPLY.match(line)
        if found is None:
            self._replied(Answer.NONE, line)
        elif found.group(2):
            self._collect(line)
        else:
            if self.torn and self._waiting is None:
                # Of DATA or of the dot behind the message only the answer was seen.
                self._mail = line.startswith(b"354")
            self._replied(_answer(found.group(1)), line)

    def _forget(self, side: Side) -> None:
        if side is Side.SERVER and any(asked.verb == b"DATA" for asked in self._asked):
            # Its 354 may have been there: what comes then is somebody's message.
            self._mail = True

    def _answered(self, asked: Asked, reply: Reply) -> None:
        if asked.verb in HELLO:
            self._greeted_back = reply.answer is Answer.YES
            if self._greeted_back:
                self._capable(reply)
        elif asked.verb == b"DATA":
            self._mail = reply.line.startswith(b"354")

    def _decided(self, asked: Asked, reply: Reply) -> None:
        if reply.answer is Answer.YES and not reply.line.startswith(b"235"):
            # RFC 4954 section 6 has no other: it is the answer to something else.
            reply = reply._replace(answer=Answer.NONE)
        if self._greeted_back or reply.answer in (Answer.YES, Answer.NONE):
            super()._decided(asked, reply)
            return
        # "Send HELO first", to whoever's name it does not like: that is no word on logins.
        said = printable(reply.line)
        reason = "%s: not greeted, and so not heard: %s" % (asked.mechanism, said)
        self._note(asked, reply, (Outcome.UNCLEAR, reason))

    def _capable(self, reply: Reply) -> None:
        lines = [line[4:] for line in (*reply.before, reply.line)][1:]
        # "AUTH=PLAIN" is how servers wrote it before RFC 2554, and some still do as well.
        listed = [line.upper().replace(b"AUTH=", b"AUTH ").split() for line in lines]
        self.capabilities = tuple(printable(line) for line in lines)
        self.tls_offered = [b"STARTTLS"] in [words[:1] for words in listed]
        self.offers = sasl.offered(
            word for words in listed if words[:1] == [b"AUTH"] for word in words[1:]
        )


def _answer(code: bytes) -> Answer:
    if code[:1] == b"2":
        return Answer.YES
    if code in (b"334", b"354"):
        return Answer.MORE
    if code == b"421":
        return Answer.BYE
    return Answer.BAD if code in (b"500", b"502", b"503", b"504") else Answer.NO


_EHLO = Say(b"EHLO %s\r\n" % EHLO_NAME, "EHLO " + EHLO_NAME.decode("ascii"))
_HELO = Say(b"HELO %s\r\n" % EHLO_NAME, "HELO " + EHLO_NAME.decode("ascii"))
_STARTTLS = Say(b"STARTTLS\r\n", "STARTTLS")
_QUIT = Say(b"QUIT\r\n", "QUIT")


def _begin(mechanism: str) -> bytes:
    return b"AUTH %s\r\n" % mechanism.encode("ascii")


def client(session: TextSession, task: Task) -> Client:
    """The careful client: EHLO, the SASL mechanisms up to their prompts, STARTTLS where it is not
    listed (a listed one gets a connection of its own), QUIT.
    """
    if not task.inside:
        greeting = yield HEAR
        if greeting.answer is not Answer.YES:
            return
    hello = yield _EHLO
    if hello.answer is not Answer.YES:
        yield _HELO
    if task.upgrade:
        yield Say(_STARTTLS.data + task.injected, _STARTTLS.shown)
        return
    if task.login is not None:
        yield from sasl.login(task.mechanisms[0], task.login, _begin)
    if task.then is not None:
        yield from task.then(session)
    elif task.login is None:
        yield from sasl.careful(sasl.to_try(task.mechanisms, session.offers), _begin)
        if not task.inside and not session.tls_offered:
            yield _STARTTLS
    yield _QUIT
