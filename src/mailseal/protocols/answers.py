"""What a "no" means, for all protocols that explain themselves in words.

Strategy: a server that will not, one that cannot just now and one that does not know the user all
say no. Only the words (and the codes of RFC 2449, RFC 5530, RFC 5804) tell them apart, and a wrong
guess in one direction would call an open service clean. So whole phrases are looked for, never one
word that a host name might hold, and what fits none of them is left undecided. What one daemon
alone says stands in its record in `daemons`.
"""

from __future__ import annotations

import functools
import re
from typing import Tuple

from mailseal.model.look import Outcome
from mailseal.protocols.base import Answer, printable

_TLS = rb"(?:STARTTLS|STLS|TLS|SSL|encryption|encrypted|secure|confidential)"

PRIVACY = re.compile(
    rb"\[?(?:PRIVACYREQUIRED|ENCRYPT-NEEDED)\b"
    rb"|\b(?:plain|clear)[- ]?text\b.{0,48}\b(?:disallow|disabl|forbid|denied|refus|prohib|not)"
    rb"|\b(?:no|disallow|disabl\w*|forbid\w*|denied|refus\w*)\b.{0,48}\b(?:plain|clear)[- ]?text\b"
    rb"|\b" + _TLS + rb"\b.{0,48}\b(?:required|needed|first|mandatory|only)\b"
    rb"|\b(?:requires?|must|needs?|only|use|issue|without|until|unless|have to)\b.{0,48}\b"
    + _TLS
    + rb"\b"
    rb"|\bunder a layer\b"
    rb"|\bdisallowed on non-secure\b"
    # RFC 3207 section 4, RFC 4954 section 6: STARTTLS first, encryption required. (534, "too weak"
    # of a mechanism, is also said of a password: it counts before one was sent alone.)
    rb"|\A53[08]\b",
    re.IGNORECASE,
)
"""Policy: logins only under TLS, whoever asks."""

UNAVAILABLE = re.compile(
    rb"\b(?:unknown|unrecogni[sz]ed|unsupported|unimplemented|invalid|illegal|bad|bogus|no such)\b"
    rb"[^,;:]{0,24}\b(?:command|verb|state|mechanism|method|sequence|auth(?:entication)? type)\b"
    rb"|\b(?:command|mechanism|method|auth(?:entication)? type)\b[^,;:]{0,24}"
    rb"\b(?:unknown|unrecogni[sz]ed|unsupported|unimplemented|invalid)\b"
    rb"|\b(?:command|mechanism|method|logins?|server|service|authentication)\b[^,;:]{0,24}"
    rb"\b(?:disabled|not (?:valid|available|supported|implemented|enabled|advertised|known))"
    rb"|\bno mechanism available\b"
    rb"|\bnot (?:available|supported|implemented|enabled|advertised|recogni[sz]ed)\b",
    re.IGNORECASE,
)
"""The way to log in is not there, whoever asks."""

TRANSIENT = re.compile(
    rb"\[(?:SYS/TEMP|IN-USE|UNAVAILABLE|LIMIT|LOGIN-DELAY|TRYLATER)\b"
    rb"|\bTRYLATER\b|\btry (?:again )?later\b|\btemporar|\btoo many\b|\bqueue full\b|\boverload"
    rb"|\bbusy\b|\bserver (?:shutting|is shutting|going) down\b|\b4\.[0-9]\.[0-9]{1,3}\b"
    rb"|\A4[0-9][0-9]\b",
    re.IGNORECASE,
)
"""Not now: says nothing of what it would do later."""


REJECTED = re.compile(
    rb"\[?AUTHENTICATIONFAILED\b"
    rb"|\b(?:login|logon|authentication|auth)\b[^,;:]{0,24}\b(?:fail\w*|incorrect|denied|rejected)\b"
    rb"|\b(?:invalid|bad|wrong|incorrect|empty|missing)\b[^,;:]{0,24}"
    rb"\b(?:credentials|password|login|user ?name or password|authentication)\b",
    re.IGNORECASE,
)
"""User and password were looked at."""


def is_a_no(line: bytes) -> bool:
    """The words say no to everybody."""
    return PRIVACY.search(line) is not None or UNAVAILABLE.search(line) is not None


NOT_NOW = ": not now: "
"""In a reason or a gap: the server was too busy to say."""


@functools.lru_cache(maxsize=512)
def to_command(mechanism: str, answer: Answer, line: bytes) -> Tuple[Outcome, str]:
    """What the answer means to a login command that carried no secret."""
    said = printable(line)
    if answer is Answer.MORE:
        return Outcome.ACCEPTED, "%s: the server asks for the secret in cleartext: %s" % (
            mechanism,
            said,
        )
    if answer is Answer.YES:
        return Outcome.ACCEPTED, "%s is taken in cleartext: %s" % (mechanism, said)
    if answer is Answer.NONE:
        return Outcome.UNCLEAR, "%s: no answer that the protocol knows: %s" % (mechanism, said)
    if answer is Answer.BYE or TRANSIENT.search(line):
        return Outcome.UNCLEAR, mechanism + NOT_NOW + said
    if PRIVACY.search(line) or line.startswith(b"534"):
        return Outcome.REFUSED, "%s is refused by policy: %s" % (mechanism, said)
    if answer is Answer.BAD or UNAVAILABLE.search(line):
        return Outcome.REFUSED, "%s is not available: %s" % (mechanism, said)
    return Outcome.UNCLEAR, "%s: neither yes nor a no for everybody: %s" % (mechanism, said)


def to_login(mechanism: str, answer: Answer, line: bytes) -> Tuple[Outcome, str]:
    """What the answer means to a login that carried user and secret. `line` without the secret."""
    said = printable(line)
    if answer is Answer.YES:
        return Outcome.PROVEN, "%s: the login succeeded: %s" % (mechanism, said)
    if answer in (Answer.BYE, Answer.MORE, Answer.NONE) or TRANSIENT.search(line):
        return Outcome.UNCLEAR, "%s: the login was not decided: %s" % (mechanism, said)
    if PRIVACY.search(line):
        return Outcome.REFUSED, "%s: the login was refused by policy: %s" % (mechanism, said)
    if answer is Answer.BAD:
        # The status word ("BAD", "501") is no word of an explanation.
        if is_a_no(line.partition(b" ")[2]):
            return Outcome.REFUSED, "%s: the login was refused: %s" % (mechanism, said)
        return Outcome.UNCLEAR, "%s: the login was not understood: %s" % (mechanism, said)
    return Outcome.ACCEPTED, "%s: user and password were processed in cleartext: %s" % (
        mechanism,
        said,
    )
