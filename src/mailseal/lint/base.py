"""What a rule for configuration files is: a record of plain values and one pure function.

Strategy: a rule gets a parsed document and answers with places, words and, where that is safe,
splices. It knows no file and no network: what is on the host is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from mailseal.configs import stunnel
from mailseal.configs.text import Span, Splice
from mailseal.model.finding import Severity


class Hit(NamedTuple):
    """A place where a rule is broken. `splices` together are the safe fix; () where a person must
    decide. `stops`: the program does not start with what stands there.
    """

    place: Span
    said: str
    splices: tuple[Splice, ...] = ()
    stops: bool = False


class Named(NamedTuple):
    """What a configuration names, as it is on this host. `mode` are its permission bits, `owner` is
    its user's number. `ended`: of a file with a certificate, when that expired (RFC 3339); empty
    where it has not, or there is none. `key`: a private key is in it. `read_only`: not even root
    can write there.
    """

    mode: int
    owner: int
    ended: str = ""
    key: bool = False
    read_only: bool = False


class Answer(NamedTuple):
    """What came of connecting to a backend: whether its name has an address, whether somebody takes
    connections there and, where that was waited for, whether it spoke first.
    """

    resolves: bool
    taken: bool = False
    greets: bool = False


class There(NamedTuple):
    """What is known of this host. `paths`: what is at each; None is what is not there. `answers`:
    by the value of `connect`. What is not known is not in them.
    """

    paths: Mapping[str, Named | None] = {}
    answers: Mapping[str, Answer] = {}


class Names(NamedTuple):
    """What a configuration names and rules ask about: paths, and values of `connect`, with whether
    to wait for the backend to speak first.
    """

    paths: tuple[str, ...] = ()
    connects: Mapping[str, bool] = {}


class Here(NamedTuple):
    """A document of stunnel.conf beside what it names on this host."""

    document: stunnel.Document
    there: There


class With(NamedTuple):
    """A document beside the one that the same daemon reads with it, where that is at hand."""

    document: Any
    other: Any


class Rule(NamedTuple):
    """`kind` is the format of `lint.kinds` that the rule reads; with `-here` behind it the rule
    reads a `Here`, and is asked on the host alone that the configuration is for. Kinds with a
    neighbour give a `With`. `whole`: it concludes from what is not there, and is not asked of a
    part of a file or a template.
    """

    id: str
    title: str
    severity: Severity
    kind: str
    why: str
    fix: str
    check: Callable[[Any], Iterator[Hit]]
    whole: bool = False

    @property
    def page(self) -> str:
        """The documentation of this rule."""
        return f"docs/lint/{self.id}.md"


def without(data: bytes, span: Span) -> tuple[Splice, ...]:
    """Takes a whole line out."""
    return (Splice(span.start, data[span.start : span.end], b""),)
