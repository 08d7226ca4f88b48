"""A look, and what else is to be tried once it has shown the way: weak ciphers, logins inside TLS,
relaying.

Strategy: `whole` takes the look first and asks only what makes sense of what it saw. A real account
is used inside TLS alone, and only where the certificate verified: the connection for it is one that
OpenSSL breaks off otherwise, before a word is said. Each errand has a connection of its own.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import Generator, List, Optional, Tuple

from mailseal.model.look import Attempt, Channel, Errand, Observation, Outcome, Reach, Upgrade
from mailseal.model.moment import Clock
from mailseal.probe.look import LOGIN_WAYS, Call, Dial, Layer, LookSteps, Question, look
from mailseal.protocols.base import Credentials, Task
from mailseal.protocols.conversation import DIALOGUES, Conversation
from mailseal.protocols.errands import Diary, Relay, after_login
from mailseal.protocols.tlshello import VERSIONS, WEAK, chosen, client_hello

DUMMY, ACCOUNT, RELAY = "dummy-login", "login", "relay"
"""The kinds of `Errand`."""

_Steps = Generator[Dial, Call, Errand]


def whole(question: Question, now: Clock) -> LookSteps:
    """The look, with all that the question asks besides."""
    seen = yield from look(question, now)
    if seen.reach is not Reach.OPEN:
        return seen
    if question.suites and seen.tls is not None:
        seen = yield from _suites(seen)
    errands: List[Errand] = []
    if question.dummy is not None:
        errands.append((yield from _dummy(seen, question.dummy)))
    if question.relay and seen.protocol == "smtp":
        errands.append((yield from _relay(seen)))
    if question.account is not None:
        # Last: no later answer can repeat its secret.
        errands.append((yield from _account(question, seen, question.account)))
    return dataclasses.replace(seen, errands=tuple(errands))


def _suites(seen: Observation) -> Generator[Dial, Call, Observation]:
    """Weak cipher suites, class by class: the server names the one that it takes."""
    assert seen.tls is not None
    taken: List[str] = []
    asked: List[str] = []
    gaps = list(seen.gaps)
    for kind, suites in WEAK.items():
        hello = client_hello(VERSIONS["TLSv1.2"], secrets.token_bytes(32), tuple(suites))
        call = yield Dial(Layer.RAW, hello=hello, before=_before(seen))
        suite = chosen(call.answer)
        if suite is not None and suite in suites:
            taken.append(suites[suite])
        elif call.answer[:2] != b"\x15\x03":
            gaps.append("weak ciphers (%s): no readable answer" % kind)
            continue
        asked.append(kind)
    tls = dataclasses.replace(seen.tls, suites=tuple(taken), asked=tuple(asked))
    return dataclasses.replace(seen, tls=tls, gaps=tuple(gaps))


def _before(seen: Observation) -> Optional[Conversation]:
    """The way to TLS, as the look found it."""
    return Conversation(Task(upgrade=True)) if _upgraded(seen) else None


def _upgraded(seen: Observation) -> bool:
    return seen.starttls is not None and seen.starttls.outcome is Upgrade.DONE


def _inside(seen: Observation, task: Task) -> Conversation:
    """A conversation inside TLS: a new one, or the one that asked for TLS going on."""
    if _upgraded(seen):
        return Conversation(dataclasses.replace(task, inside=True), seen.protocol)
    return Conversation(task)


def _way(seen: Observation) -> str:
    """How to log in inside TLS: what asked for a secret before what is only listed; empty where
    nothing does.
    """
    ways = {Outcome.ACCEPTED: 0, Outcome.OFFERED: 1, Outcome.UNCLEAR: 2}
    found = [
        (ways[each.outcome], LOGIN_WAYS.index(each.mechanism), each.mechanism)
        for each in seen.attempts
        if each.channel is Channel.TLS and each.outcome in ways and each.mechanism in LOGIN_WAYS
    ]
    return min(found)[2] if found else ""


def _no_way(seen: Observation) -> Tuple[Outcome, str]:
    """Why nobody can log in inside TLS."""
    if seen.tls is None:
        return Outcome.UNCLEAR, "there is no TLS to log in inside of"
    refused = _inside_tls(seen, Outcome.REFUSED)
    if refused:
        return Outcome.REFUSED, refused[0].reason
    return Outcome.UNCLEAR, "no way to log in was offered inside TLS"


def _inside_tls(seen: Observation, outcome: Outcome) -> List[Attempt]:
    found = (each for each in seen.attempts if each.channel is Channel.TLS)
    return [each for each in found if each.outcome is outcome]


def _dummy(seen: Observation, login: Credentials) -> _Steps:
    """A made-up login: whoever rejects it is the backend, alive."""
    way = _way(seen)
    if seen.tls is None or not way:
        outcome, reason = _no_way(seen)
        return Errand(DUMMY, outcome, (reason,))
    conversation = _inside(seen, Task(mechanisms=(way,), login=login))
    call = yield Dial(Layer.TLS_ANY, conversation, before=_before(seen))
    return Errand(DUMMY, *_judged(conversation, call))


def _judged(conversation: Conversation, call: Call) -> Tuple[Outcome, Tuple[str, ...]]:
    """How a login was taken; and the server's words."""
    if conversation.logins:
        last = conversation.logins[-1]
        if last.sent:
            return last.outcome, ("%s: %s" % (last.mechanism, last.said),)
    end = conversation.ended.reason if conversation.ended else "no answer"
    return Outcome.UNCLEAR, ("the login was not answered: " + (call.fault or call.reason or end),)


def _account(question: Question, seen: Observation, login: Credentials) -> _Steps:
    """A real account: in, a look around, out."""
    way = _way(seen)
    if seen.tls is None or seen.tls.trust or not way:
        outcome, reason = _no_way(seen)
        if seen.tls is not None and seen.tls.trust:
            reason = "not used: the certificate does not verify (%s)" % seen.tls.trust
        return Errand(ACCOUNT, outcome, (reason,))
    assert seen.protocol in DIALOGUES
    diary = Diary()
    then = after_login(seen.protocol, login.user, question.server_name, diary)
    conversation = _inside(seen, Task(mechanisms=(way,), login=login, then=then))
    call = yield Dial(Layer.TLS_VERIFIED, conversation, before=_before(seen))
    outcome, lines = _judged(conversation, call)
    if outcome is not Outcome.PROVEN:
        return Errand(ACCOUNT, outcome, lines)
    words = ("logged in by %s" % way, *diary.lines)
    if not diary.whole:
        end = conversation.ended.reason if conversation.ended else "it went no further"
        return Errand(ACCOUNT, Outcome.UNCLEAR, (*words, end))
    return Errand(ACCOUNT, Outcome.UNCLEAR if diary.failed else Outcome.PROVEN, words)


def _relay(seen: Observation) -> _Steps:
    """Inside TLS where there is any: behind a terminator every client seems to be a local one."""
    relay = Relay()
    task = Task(then=relay.then)
    if seen.tls is None:
        yield Dial(Layer.CLEAR, Conversation(task))
    else:
        yield Dial(Layer.TLS_ANY, _inside(seen, task), before=_before(seen))
    return Errand(RELAY, relay.outcome, (relay.said,))
