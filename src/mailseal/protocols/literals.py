"""Literals, as IMAP (RFC 3501 section 4.3) and ManageSieve (RFC 5804 section 1.2) have them.

Strategy: a line that ends in `{n}` or `{n+}` goes on with n octets and another line.
`LiteralSession` puts such a line together before the protocol sees it, each literal as the quoted
string that it could have been, so that a protocol needs one grammar alone. Literals that nobody
asked to keep (mail, scripts) are let go as they come; kept ones are bounded.
"""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple

from mailseal.protocols.base import LINE_LIMIT, Side
from mailseal.protocols.session import TextSession

_LITERAL = re.compile(rb"\{(\d{1,10})\+?\}\Z")
_WORD = re.compile(rb'\s*("(?:[^"\\]|\\.)*"|[^\s"]+)')


def quoted(text: bytes) -> bytes:
    """A quoted string: a backslash before each backslash and quote."""
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def words(text: bytes, limit: int) -> Tuple[bytes, ...]:
    """The first `limit` atoms and quoted strings of a line, without quotes and escapes."""
    found: List[bytes] = []
    at = 0
    while len(found) < limit:
        match = _WORD.match(text, at)
        if match is None:
            break
        word = match.group(1)
        if word[:1] == b'"':
            word = re.sub(rb"\\(.)", rb"\1", word[1:-1], flags=re.DOTALL)
        found.append(word)
        at = match.end()
    return tuple(found)


class LiteralSession(TextSession):
    """A session whose lines may hold literals."""

    __slots__ = ("_begun", "_kept", "_literal")

    def __init__(self, inside: bool = False) -> None:
        super().__init__(inside)
        self._begun: Dict[Side, Optional[bytes]] = {Side.CLIENT: None, Side.SERVER: None}
        self._literal: Dict[Side, bytes] = {Side.CLIENT: b"", Side.SERVER: b""}
        self._kept: Dict[Side, bool] = {Side.CLIENT: False, Side.SERVER: False}

    def _keeps(self, side: Side, line: bytes) -> bool:
        """Whether the literals of a line that begins so are needed."""
        raise NotImplementedError

    def _take(self, side: Side, line: bytes) -> bool:
        begun = self._begun[side]
        if begun is not None:
            literal, self._literal[side] = self._literal[side], b""
            line = begun + quoted(literal) + line if len(begun) < LINE_LIMIT else begun
        found = _LITERAL.search(line)
        if found is None:
            self._begun[side] = None
            return super()._take(side, line)
        begun = line[: found.start()]
        self._begun[side] = begun
        self._skip[side] = int(found.group(1))
        self._kept[side] = self._keeps(side, begun)
        return False

    def _counted(self, side: Side, data: bytes) -> None:
        if self._kept[side]:
            self._literal[side] += data[: LINE_LIMIT - len(self._literal[side])]
