"""What a rule for configuration files is: a record of plain values and one pure function.

Strategy: a rule gets a parsed document and answers with places, words and, where that is safe,
splices. It knows no file and no network: what only the running host can tell is left to `mailseal
verify`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mailseal.configs.text import Span, Splice
from mailseal.model.finding import Severity


class Hit(NamedTuple):
    """A place where a rule is broken. `splices` together are the safe fix; () where a person must
    decide.
    """

    place: Span
    said: str
    splices: tuple[Splice, ...] = ()


class Rule(NamedTuple):
    """`kind` is the format of `lint.kinds` that the rule reads. `stops`: the program does not start
    with such a file.
    """

    id: str
    title: str
    severity: Severity
    kind: str
    why: str
    fix: str
    check: Callable[[Any], Iterator[Hit]]
    stops: bool = False

    @property
    def page(self) -> str:
        """The documentation of this rule."""
        return f"docs/lint/{self.id}.md"


def without(data: bytes, span: Span) -> tuple[Splice, ...]:
    """Takes a whole line out."""
    return (Splice(span.start, data[span.start : span.end], b""),)
