"""main.cf of Postfix: parameters, as postconf(5) and postconf(1) have them.

A logical line begins with text, and lines that begin with white space continue it; empty lines and
lines whose first text is `#` mean nothing, also in between. `name = value`; the last one counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Mapping, Union

from mailseal.configs import text
from mailseal.configs.postfix import logical
from mailseal.configs.text import Malformed, Span, Trivia, Word

_NAME = re.compile(rb"(?P<name>[^\s=]+)[ \t]*=[ \t]*")
_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|\((\w+)\)|(\w+))")
_DEEPEST = 10


@dataclass(frozen=True)
class Setting:
    """`name = value`. `value.text` has lines that continue it joined, as Postfix has them."""

    span: Span
    name: str
    value: Word


Items = Union[Trivia, Malformed, Setting]


@dataclass(frozen=True)
class Document(text.Document[Items]):
    """A parsed main.cf."""

    @property
    def last(self) -> Mapping[str, Setting]:
        """The setting of each name that counts."""
        found = (item for item in self.items if isinstance(item, Setting))
        return {each.name: each for each in found}


def parse(data: bytes) -> Document:
    """The document of a main.cf; never raises."""
    lines, rest = text.split_lines(data)
    return Document(data, text.tile([*logical(lines, _setting), *rest]))


def _setting(group: List[text.Line]) -> Items:
    span, first = text.cover(group[0], group[-1]), group[0]
    if first.text[:1] in (b" ", b"\t"):
        return Malformed(span, "continues no parameter: Postfix does not start")
    match = _NAME.match(first.text)
    if not match:
        return Malformed(span, "no 'name = value': Postfix ignores it or does not start")
    if any(b"\0" in line.text for line in group):
        return Malformed(span, "a NUL inside: Postfix cuts the line there")
    parts = [first.text[match.end() :], *(line.text for line in group[1:])]
    kept = [each.strip() for each in parts if not each.strip().startswith(b"#")]
    value = text.decode(b" ".join(each for each in kept if each))
    end = max(match.end(), len(first.text.rstrip()))
    return Setting(span, text.decode(match["name"]), Word(value, first.span(match.end(), end)))


def expanded(settings: Mapping[str, str], value: str) -> str:
    """A value with the parameters it names in their place; one that is not set is left as it is
    written.
    """
    for _ in range(_DEEPEST):
        # No switch has so many, and each may be as long as the file.
        if value.count("$") > _DEEPEST or len(value) > 10_000:
            break
        after = _REFERENCE.sub(
            lambda each: settings.get(each[1] or each[2] or each[3], each[0]), value
        )
        if after == value or len(after) > 10_000:
            break
        value = after
    return value
