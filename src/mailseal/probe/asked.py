"""One look as a program of its own: a question on standard input, the observation out.

Strategy: a look from a network namespace, or from another host, is a new process, and one change
takes many of them. So this loads what a look needs and nothing besides, a quarter of the agent.
"""

from __future__ import annotations

import sys
import time

from mailseal.model import codec
from mailseal.model.look import Observation, Reach, Vantage
from mailseal.model.moment import rfc3339
from mailseal.probe import blocking, canary
from mailseal.probe.look import Question

USAGE = 2
"""The exit code of bad input."""


def main() -> int:
    """Answers the question; gives the exit code."""
    try:
        question = codec.loads(Question, sys.stdin.buffer.read(), lenient=False)
    except (codec.CodecError, ValueError) as error:
        print("bad input: %s" % error, file=sys.stderr, flush=True)
        return USAGE
    print(codec.dumps(answer(question)), flush=True)
    return 0


def answer(question: Question) -> Observation:
    """The look from here; a remote one is not taken by the host itself."""
    if question.vantage is Vantage.REMOTE and canary.own(question.endpoint.address):
        return blind(question, "the host that was to look is the mail host itself")
    return blocking.observe(question)


def blind(question: Question, reason: str) -> Observation:
    """The look that could not be taken."""
    moment = rfc3339(time.time())
    return Observation(
        endpoint=question.endpoint,
        vantage=question.vantage,
        start=moment,
        end=moment,
        reach=Reach.UNROUTABLE,
        protocol=None,
        banner="",
        tls=None,
        attempts=(),
        transcript=(),
        digest="",
        gaps=(reason,),
        name=question.name,
    )
